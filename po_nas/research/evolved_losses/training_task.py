"""Trainings of losses as executors see them: what is evaluated is a job, written as JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from po_nas.core.objective import Outcome
from po_nas.research.evolved_losses.config import Setting
from po_nas.research.evolved_losses.training import Job, train
from po_nas.runtime.parts import Parts

__all__ = ["Jobs", "Surrogates"]


class Jobs:
    """The space of all jobs, as far as an executor needs one: from and to text."""

    name = "trainings of losses"

    def to_string(self, job: Job) -> str:
        """A job as JSON."""
        return json.dumps(dataclasses.asdict(job) | {"setting": job.setting.model_dump(mode="json")}, sort_keys=True)

    def from_string(self, text: str) -> Job:
        """The job of a text."""
        content = json.loads(text)
        return Job(**{**content, "setting": Setting.model_validate(content["setting"])})


class Surrogates:
    """Trains jobs and keeps what came of them as parts of `directory`, which all workers share.

    An outcome says only that the part is there: a loss that fails is a result like any other.
    """

    name = "surrogate trainings"

    def __init__(self, directory: Path) -> None:
        self.directory = str(directory.absolute())
        self.space = Jobs()

    def evaluate(self, architecture: Job, *, seed: int, fidelity: float | None = None) -> Outcome:
        """Train a job. Raises what is wrong beside its loss."""
        trained = train(architecture)
        Parts(Path(self.directory)).write(architecture.key, [dataclasses.asdict(trained)])
        return Outcome.ok(0.0, trained.seconds)
