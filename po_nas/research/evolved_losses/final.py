"""The final comparison: winners and known losses, all training images, the test images looked at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from losses.classification import registry
from po_nas.research.evolved_losses.config import EvolveLossConfig, Setting
from po_nas.research.evolved_losses.training import Job
from po_nas.research.evolved_losses.trainings import Trainings

__all__ = ["BASELINES", "choose_rates", "compare", "final_jobs", "rate_jobs"]

BASELINES: dict[str, dict[str, Any]] = {
    "cross_entropy": {"name": "cross_entropy"},
    "cross_entropy + LS": {"name": "cross_entropy", "label_smoothing": 0.1},
    "focal": {"name": "focal", "gamma": 2.0, "scale": None},
    "baikal": {"name": "baikal", "scale": None},
    "ngl": {"name": "ngl", "scale": None},
}
"""Scaled as the evolved ones are: gradients as large as cross-entropy's where ten classes are predicted alike."""

assert all(given["name"] in registry for given in BASELINES.values())


Losses = Mapping[str, Mapping[str, Any]]
_TUNING = 9000
"""First seed of the trainings that choose learning rates."""


def _places(config: EvolveLossConfig) -> list[tuple[str, Setting]]:
    """Every data set with every setting that is for it."""
    return [
        (dataset, setting)
        for dataset in config.compared_on
        for setting in config.final.settings
        if dataset in (setting.datasets or (dataset,))
    ]


def _job(config: EvolveLossConfig, dataset: str, setting: Setting, loss: Mapping[str, Any], seed: int) -> Job:
    return Job(
        loss=loss,
        setting=setting,
        dataset=dataset,
        seed=seed,
        samples=config.final.samples or config.samples,
        validation=config.validation,
        data=config.data.get(dataset),
        device=config.device,
    )


def _at(setting: Setting, rate: float) -> Setting:
    """The setting with a multiple of its learning rate."""
    return setting.model_copy(update={"learning_rate": float(f"{setting.learning_rate * rate:.6g}")})


def rate_jobs(config: EvolveLossConfig, losses: Losses) -> dict[tuple[str, str, str], list[tuple[float, list[Job]]]]:
    """By data set, setting and loss: every learning rate to try, as a multiple, with its trainings."""
    seeds = range(_TUNING, _TUNING + config.final.tuning_seeds)
    return {
        (dataset, setting.title, name): [
            (rate, [_job(config, dataset, _at(setting, rate), loss, seed) for seed in seeds]) for rate in setting.rates
        ]
        for dataset, setting in _places(config)
        for name, loss in losses.items()
        if len(setting.rates) > 1
    }


def choose_rates(config: EvolveLossConfig, losses: Losses, trainings: Trainings) -> dict[tuple[str, str, str], float]:
    """The multiple of the learning rate with the best validation accuracy; of equals, and where all fail, the first."""
    wanted = rate_jobs(config, losses)
    trainings.run([job for tried in wanted.values() for _, jobs in tried for job in jobs])
    found = {}
    for place, tried in wanted.items():
        scores = [np.mean([one.score for one in trainings.run(jobs)]) for _, jobs in tried]
        found[place] = tried[int(np.argmax(np.nan_to_num(scores)))][0]
    return found


def final_jobs(
    config: EvolveLossConfig, losses: Losses, rates: Mapping[tuple[str, str, str], float]
) -> list[tuple[dict[str, Any], Job]]:
    """What is trained, each with the words that tell it apart: dataset, setting, loss, seed, rate."""
    found = []
    for dataset, setting in _places(config):
        usual = setting.rates[0] if setting.rates else 1.0
        for seed in range(config.final.seeds):
            for name, loss in losses.items():
                rate = rates.get((dataset, setting.title, name), usual)
                job = replace(_job(config, dataset, _at(setting, rate), loss, seed), test=True)
                words = {"dataset": dataset, "setting": setting.title, "loss": name, "seed": seed, "rate": rate}
                found.append((words, job))
    return found


def compare(config: EvolveLossConfig, losses: Losses, trainings: Trainings) -> list[dict[str, Any]]:
    """One row a training: dataset, setting, loss, seed, rate, test accuracy in % (NaN for a failure) and seconds."""
    named = final_jobs(config, losses, choose_rates(config, losses, trainings))
    results = trainings.run([job for _, job in named])
    return [
        words | {"test": trained.test, "seconds": trained.seconds, "failure": trained.failure}
        for (words, _), trained in zip(named, results, strict=True)
    ]
