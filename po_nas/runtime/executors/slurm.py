"""A Slurm job for each task, through submitit."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from po_nas.errors import ConfigError, ExecutorError, MissingExtraError, WorkerLostError
from po_nas.runtime.executors.base import Answer, ExecutorOptions, Task, Workload, timed_out
from po_nas.runtime.executors.lanes import LaneExecutor, LaneOptions
from po_nas.runtime.executors.messages import READY, answer_of, answered, broken, built, check_ready, recipe, text_of

__all__ = ["SubmititExecutor", "SubmititOptions", "run_job"]

_TICK_S = 0.5


class SubmititOptions(LaneOptions):
    """Options of `submitit`; what is not given is left to the cluster."""

    cluster: Literal["slurm", "local"] = Field("slurm", description="local runs the jobs as processes, to try it out")
    minutes: PositiveInt = Field(1440, description="time limit of a job")
    memory_gb: PositiveFloat | None = Field(None, description="memory of a job")
    slurm: dict[str, Any] = Field({}, description="further parameters of sbatch: partition, account, qos, setup, …")


class SubmititExecutor(LaneExecutor):
    """Each task is a job of its own, so as many run at a time as Slurm allows, up to the number of workers.

    A job is cancelled when its trial takes longer than `timeout_s` from the moment it begins. A job that Slurm ends
    (preempted, out of memory, node failed) is submitted again. When the search itself is killed, its jobs go on, and
    the resumed search takes up what they found. Needs a run directory on a disk that all nodes share.
    """

    needs_directory: ClassVar[bool] = True
    by_value: ClassVar[bool] = True
    pieces: ClassVar[int] = 1
    Options: ClassVar[type[ExecutorOptions]] = SubmititOptions
    options: SubmititOptions

    def __init__(self, workload: Workload, **settings: Any) -> None:
        super().__init__(workload, **settings)
        options = self.options
        try:
            import submitit
            from submitit.core.utils import FailedJobError, UncompletedJobError
        except ImportError:
            raise MissingExtraError("executor 'submitit'", "submitit", "slurm") from None
        import cloudpickle

        if self.out is None:
            raise ConfigError("executor", "submitit", "needs a run directory for its jobs")
        if options.cluster == "slurm" and shutil.which("srun") is None:
            raise ConfigError("executor.cluster", "slurm", "there is no Slurm on this machine (srun is not found)")
        if options.gpus_per_trial is not None and options.gpus_per_trial != int(options.gpus_per_trial):
            raise ConfigError("executor.gpus_per_trial", options.gpus_per_trial, "Slurm gives whole GPUs")
        self._submitit: Any = submitit
        self._failed, self._uncompleted = FailedJobError, UncompletedJobError
        self._recipe = recipe(self, cloudpickle.dumps)
        self._folder = self.out / "artifacts" / "jobs"
        self._submitting = threading.Lock()
        self._running: dict[int, tuple[Task, Any]] = {}

    def prepare(self) -> None:
        options = self.options
        self._engine = self._submitit.AutoExecutor(folder=str(self._folder), cluster=options.cluster)
        wanted = {
            "name": "po-nas",
            "timeout_min": options.minutes,
            "mem_gb": options.memory_gb,
            "cpus_per_task": options.cpus_per_trial,
            "gpus_per_node": None if options.gpus_per_trial is None else int(options.gpus_per_trial),
            **{f"slurm_{key}": value for key, value in options.slurm.items()},
        }
        try:
            self._engine.update_parameters(**{key: value for key, value in wanted.items() if value is not None})
        except (NameError, ValueError, TypeError) as error:
            raise ConfigError("executor.slurm", options.slurm, f"submitit refuses it ({error})") from error

    def attempt(self, lane: int, task: Task) -> Answer:
        """Submit the task's job, or find it again, and wait."""
        handle = self._handle(task)
        self._running[lane] = task, handle
        begun = None
        marker = self._file(task, "begun")
        while not handle.done():
            if self.closing:
                raise WorkerLostError("the search is over")
            if begun is None and marker.exists():
                begun = time.perf_counter()
            if self.timeout_s is not None and begun is not None and time.perf_counter() - begun > self.timeout_s:
                self.stop(lane)
                return timed_out(self.timeout_s, time.perf_counter() - begun)
            time.sleep(_TICK_S)
        self._running.pop(lane)
        try:
            first, answer = handle.result()
        except self._uncompleted as error:
            raise WorkerLostError(f"ended without a result (job {handle.job_id}, {handle.state})") from error
        except self._failed as error:
            self._forget(task)
            raise ExecutorError(f"job {handle.job_id} cannot be run; {handle.paths.stderr} says why") from error
        if not answer:
            # What was wrong may be repaired when the search goes on.
            self._forget(task)
        check_ready(first)
        try:
            return answer_of(answer)
        except TypeError as error:
            # Of a job that an earlier session, of another version, submitted.
            self._forget(task)
            raise WorkerLostError("has answered in the words of another version") from error

    def _handle(self, task: Task) -> Any:
        """The submitted job. One that an earlier session submitted may be running still, or have a result."""
        record = self._file(task, "job")
        try:
            with self._submitting:
                if record.exists():
                    return self._engine.job_class(folder=self._folder, job_id=record.read_text(encoding="utf-8"))
                handle = self._engine.submit(run_job, self._recipe, text_of(task), str(self._file(task, "begun")))
                record.write_text(handle.job_id, encoding="utf-8")
        except Exception as error:
            raise ExecutorError(f"a job cannot be submitted ({_last_line(error)})") from error
        return handle

    def _forget(self, task: Task) -> None:
        """Let a resumed search submit the task anew, instead of finding what became of this job."""
        for kind in ("job", "begun"):
            self._file(task, kind).unlink(missing_ok=True)

    def _file(self, task: Task, kind: str) -> Path:
        return self._folder / f"{task.name}-{task.attempt}.{kind}"

    def stop(self, lane: int) -> None:
        if lane in self._running:
            task, handle = self._running.pop(lane)
            handle.cancel(check=False)
            self._forget(task)


def run_job(text: str, task: str, marker: str) -> tuple[str, str]:
    """What a job runs: the worker's first words and its answer. `marker` is a file that says when it began."""
    try:
        workload = built(text)
    except Exception as error:
        return broken(error), ""
    Path(marker).touch()
    return READY, answered(workload, task)


def _last_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).rpartition("\n")[2]
