"""Many trainings, side by side in processes, each kept when it has ended and never repeated."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from po_nas.core.processes import processes
from po_nas.errors import RunDirectoryError
from po_nas.loss_search.training import Job, Trained, train
from po_nas.studies.parts import Parts
from surrogates.isolation import single_thread

__all__ = ["Trainings"]


class Trainings:
    """A context: `workers` processes of one thread each (one: this process) that train jobs for `run`.

    `told` hears of every job that has ended, as the number of those ended so far, earlier sessions' included.
    """

    def __init__(self, directory: Path, workers: int = 1, told: Callable[[int], None] = lambda done: None) -> None:
        self.directory, self.workers, self._told = directory, workers, told
        self.parts = Parts(directory)
        self._known: dict[str, Trained] = {}
        self._open = ExitStack()
        self._pool: ProcessPoolExecutor | None = None
        self._ended: set[str] = set()
        self.seconds = 0.0

    @property
    def ended(self) -> int:
        """How many different trainings have been asked for and have ended."""
        return len(self._ended)

    def __enter__(self) -> Trainings:
        for torn in self.parts.directory.glob("*.tmp"):
            # A session that was killed left it.
            torn.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def run(self, jobs: Sequence[Job]) -> list[Trained]:
        """The results of jobs, in their order; equal jobs are trained once.

        Raises what a training raises that is no matter of its loss, and `RunDirectoryError` when a process died.
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
        if self.workers <= 1:
            with single_thread():
                for name, job in todo.items():
                    self._keep(name, job, train(job))
        elif todo:
            self._in_processes(todo)
        return [self._known[name] for name in names]

    def _in_processes(self, todo: dict[str, Job]) -> None:
        if self._pool is None:
            self._pool = self._open.enter_context(processes(self.workers))
        try:
            waiting = {self._pool.submit(train, job): name for name, job in todo.items()}
            for future in as_completed(waiting):
                name = waiting[future]
                self._keep(name, todo[name], future.result())
        except BrokenProcessPool as error:
            raise RunDirectoryError(
                self.directory,
                "a worker process died, perhaps for want of memory; finished trainings are kept, run the same command "
                "again, with fewer --workers if need be",
            ) from error

    def _keep(self, name: str, job: Job, trained: Trained) -> None:
        self.parts.write(job.key, [dataclasses.asdict(trained)])
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
