"""Trainings of losses as tasks of an executor."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from po_nas.errors import ExecutorError
from po_nas.research.evolved_losses.config import Setting
from po_nas.research.evolved_losses.training import Job, Trained, train
from po_nas.runtime.executors import Answer, Task, Workload
from po_nas.runtime.parts import Parts

__all__ = ["LossTrainings", "job_of", "task_of", "trained_of"]

TRAIN = "train"
_ACCURACIES = ("training", "validation", "test")


def task_of(job: Job) -> Task:
    """The task of a job, named after what its result depends on."""
    payload = dataclasses.asdict(job) | {"setting": job.setting.model_dump(mode="json")}
    return Task(f"training-{Parts.name(job.key)}", TRAIN, payload)


def job_of(task: Task) -> Job:
    """The job of a task."""
    return Job(**{**task.payload, "setting": Setting.model_validate(task.payload["setting"])})


def trained_of(answer: Answer) -> Trained:
    """What came of a job; a loss that failed is a result like any other."""
    value: dict[str, Any] = dict(answer.value)
    return Trained(**value | {name: math.nan for name in _ACCURACIES if value[name] is None})


class LossTrainings(Workload):
    """Trains jobs and keeps what came of them as parts of `directory`, which all workers share."""

    def __init__(self, directory: Path) -> None:
        self.directory = str(directory.absolute())

    @property
    def name(self) -> str:
        """What messages call it."""
        return "trainings of losses"

    def run(self, task: Task) -> Answer:
        """Train a job. Raises what is wrong beside its loss."""
        if task.kind != TRAIN:
            raise ExecutorError(f"{self.name} know no task of the kind {task.kind!r}")
        job = job_of(task)
        trained = train(job)
        # Kept here and now: whoever asked may be gone.
        Parts(Path(self.directory)).write(job.key, [dataclasses.asdict(trained)])
        value = dataclasses.asdict(trained)
        return Answer(
            value | {name: None if math.isnan(value[name]) else value[name] for name in _ACCURACIES}, trained.seconds
        )
