"""Which trainings a step of the ladder asks for, and what they say of the losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.research.evolved_losses.checks import Candidate
from po_nas.research.evolved_losses.config import EvolveLossConfig, Rung
from po_nas.research.evolved_losses.training import Job, Trained
from po_nas.research.evolved_losses.trainings import Trainings

__all__ = ["climb", "loss_of", "rung_jobs", "scores"]

F64 = NDArray[np.float64]


def loss_of(candidate: Candidate) -> dict[str, Any]:
    """Name and hyper-parameters of a candidate in `losses.classification`."""
    return {"name": "formula", "formula": candidate.text, "sign": candidate.sign, "scale": candidate.scale}


def rung_jobs(config: EvolveLossConfig, rung: Rung, loss: Mapping[str, Any], step: int) -> list[Job]:
    """All trainings of one loss on a rung, the `step`-th, whose seeds no other rung uses."""
    return [
        Job(
            loss=loss,
            setting=setting,
            dataset=config.dataset,
            seed=1000 * (config.seed + 1) + 100 * step + seed,
            samples=config.samples,
            validation=config.validation,
            data=config.data.get(config.dataset),
            device=config.device,
        )
        for setting in rung.settings
        for seed in range(rung.seeds)
    ]


def scores(results: Sequence[Trained], each: int) -> F64:
    """Mean validation accuracy of every loss, whose `each` trainings follow each other; NaN where one failed."""
    return np.asarray(np.array([one.score for one in results]).reshape(-1, each).mean(1))


def climb(
    config: EvolveLossConfig, rung: Rung, step: int, losses: Sequence[Mapping[str, Any]], trainings: Trainings
) -> F64:
    """Train losses on a rung: their scores, NaN for those that failed."""
    jobs = [job for loss in losses for job in rung_jobs(config, rung, loss, step)]
    return scores(trainings.run(jobs), len(rung.settings) * rung.seeds)
