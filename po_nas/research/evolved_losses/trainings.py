"""Many trainings, side by side in processes, each kept when it has ended and never repeated."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from po_nas.core.settings import validated
from po_nas.errors import ExecutorError, RunDirectoryError
from po_nas.research.evolved_losses.training import Job, Trained, train
from po_nas.research.evolved_losses.training_task import LossTrainings, task_of, trained_of
from po_nas.runtime import executors
from po_nas.runtime.config import ExecutorConfig
from po_nas.runtime.executors import Executor
from po_nas.runtime.parts import Parts
from surrogates.isolation import single_thread

__all__ = ["Trainings"]

_log = logging.getLogger(__name__)

_TORN_S = 3600.0
"""Age in seconds from which a temporary file is nobody's any more."""


class Trainings:
    """A context: an executor that trains jobs for `run`.

    By default `workers` processes of one thread each (one: this process). `told` hears of every job that has ended, as
    the number of those ended so far, earlier sessions' included.
    """

    def __init__(
        self,
        directory: Path,
        workers: int = 1,
        told: Callable[[int], None] = lambda done: None,
        executor: ExecutorConfig | None = None,
    ) -> None:
        self.directory, self.workers, self._told = directory, workers, told
        self.parts = Parts(directory)
        self._config = executor or ExecutorConfig()
        self._executor: Executor | None = None
        self._known: dict[str, Trained] = {}
        self._ended: set[str] = set()
        self.seconds = 0.0

    @property
    def ended(self) -> int:
        """How many different trainings have been asked for and have ended."""
        return len(self._ended)

    def __enter__(self) -> Trainings:
        # What a killed session left; others may be writing to the same folder now, which takes them seconds.
        for torn in self.parts.directory.glob("*.tmp"):
            with suppress(FileNotFoundError):
                if time.time() - torn.stat().st_mtime > _TORN_S:
                    torn.unlink()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._executor is not None:
            self._executor.close()

    def run(self, jobs: Sequence[Job]) -> list[Trained]:
        """The results of jobs, in their order; equal jobs are trained once.

        A loss that fails is a result. Raises what a training raises that is no matter of its loss; from an executor's
        workers this is an `ExecutorError`, as it is when no worker is left.
        """
        names = [self.parts.name(job.key) for job in jobs]
        todo: dict[str, Job] = {}
        for name, job in zip(names, jobs, strict=True):
            if name not in self._known and name not in todo:
                if job.key in self.parts:
                    self._known[name] = _read(self.parts, name)
                else:
                    todo[name] = job
        self._tell(name for name in names if name not in todo)
        if self.workers <= 1 and self._config.name == "inline":
            with single_thread():
                for name, job in todo.items():
                    trained = train(job)
                    self.parts.write(job.key, [dataclasses.asdict(trained)])
                    self._keep(name, trained)
        elif todo:
            self._by_executor(todo)
        return [self._known[name] for name in names]

    def _by_executor(self, todo: Mapping[str, Job]) -> None:
        executor = self._executor = self._executor or self._made()
        executor.open()
        tasks = {name: task_of(job) for name, job in todo.items()}
        waiting = {task.name: name for name, task in tasks.items()}
        for task in tasks.values():
            executor.submit(task)
        while waiting:
            news = executor.poll()
            if not news:
                raise ExecutorError("the executor was closed; finished trainings are kept")
            for done in news:
                if done.answer.failure is not None:
                    if done.answer.details:
                        _log.error("%s", done.answer.details)
                    raise ExecutorError(
                        f"a training cannot be made ({done.answer.failure}); finished ones are kept, run the same "
                        "command again"
                    )
                self._keep(waiting.pop(done.task.name), trained_of(done.answer))

    def _made(self) -> Executor:
        options = self._config.options
        if self._config.name == "inline":
            kind, given = executors.registry.get("process"), {"cpus_per_trial": 1, "workers": self.workers}
        else:
            kind = executors.registry.get(self._config.name)
            given = {"workers": self.workers} if self.workers > 1 else {}
        made = validated(kind.Options, {**given, **options}, prefix="executor.")
        return kind(LossTrainings(self.directory), options=made, out=self.directory.absolute())

    def _keep(self, name: str, trained: Trained) -> None:
        self._known[name] = trained
        self._tell([name])

    def _tell(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._ended:
                self._ended.add(name)
                self.seconds += self._known[name].seconds
                self._told(len(self._ended))


def _read(parts: Parts, name: str) -> Trained:
    path = parts.directory / f"{name}.parquet"
    try:
        (row,) = pq.read_table(path).to_pylist()
        return Trained(**row)
    except (OSError, pa.ArrowInvalid, TypeError, ValueError) as error:
        raise RunDirectoryError(path, f"is damaged ({error}); delete it and run the evolution again") from error
