"""The loss study: predictors trained under every loss, on the tasks of arXiv 2506.05869, scored where it matters.

A predictor is trained on validation metrics of a random subset and scored against test metrics (validation where none
are recorded) of three sets: the ``space`` (the whole table, training rows included, as in the paper), ``held_out``
(without whatever is isomorphic to a training row) and ``mutants`` (neighbours of good architectures). The training
subsets depend on task, size and seed alone, so losses are compared in pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

import losses
import surrogates
from po_nas.errors import MissingDataError
from po_nas.research import ranking
from po_nas.research.loss_study.design import Case, LossStudyConfig
from po_nas.research.loss_study.predictor_pools import Pool
from po_nas.runtime.parts import Parts
from po_nas.runtime.study import Progress, complete_parts, open_study
from surrogates.isolation import single_thread
from surrogates.labels import scaled
from surrogates.training import TrainingSettings, train_members

__all__ = ["BEST_AT", "CEILING", "PERCENTS", "ceiling", "run_case", "run_loss_study"]

PERCENTS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""T of Precision@T, %."""
BEST_AT = (1, 5, 10, 20, 50, 100)
"""K of N@K."""
CEILING = "validation labels"
"""In place of a loss's name: the scores of a predictor that knows every validation label."""


@lru_cache(maxsize=1)
def _pool(benchmark: str, feedback: str | None) -> Pool:
    return Pool.load(benchmark, feedback)


def _rng(pool: Pool, seed: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, crc32(pool.benchmark.name.encode()), purpose])


def run_case(case: Case) -> list[dict[str, Any]]:
    """Train one batch of predictors and score them: one row per run, test set and figure."""
    pool = _pool(case.task.benchmark, case.feedback)
    seeds = range(case.first_seed, case.first_seed + case.runs)
    rows = np.stack([pool.draw(case.task.train, _rng(pool, seed, 0)) for seed in seeds])
    loss = losses.get(case.loss.name, **case.loss.hyperparameters)
    with single_thread():
        members = train_members(
            surrogates.network(case.predictor),
            pool.encodings,
            torch.from_numpy(rows),
            torch.from_numpy(pool.labels[rows]).to(torch.float32),
            loss,
            TrainingSettings(steps=case.steps),
            seed=list(seeds),
        )
        predicted = members.predict(pool.encodings).double().numpy()
    common = {
        "task": case.task.benchmark,
        "train": case.task.train,
        "predictor": case.predictor,
        "loss": case.loss.name,
        "hyperparameters": str(sorted(case.loss.hyperparameters.items())),
    }
    return [
        {**common, "seed": seed, **row}
        for seed, scores, training in zip(seeds, predicted, rows, strict=True)
        for row in _figures(pool, scores, training, seed)
    ]


def ceiling(pool: Pool, runs: int) -> list[dict[str, Any]]:
    """The figures of a predictor that knows all validation labels: what noise alone costs."""
    known = np.where(np.isnan(pool.labels), -np.inf, pool.labels)
    common = {
        "task": pool.benchmark.name,
        "train": len(pool),
        "predictor": "",
        "loss": CEILING,
        "hyperparameters": "[]",
    }
    nothing = np.array([], dtype=np.int64)
    rows = [row for row in _figures(pool, known, nothing, 0) if row["set"] == "space"]
    for seed in range(runs):
        rows += [row | {"seed": seed} for row in _mutant_figures(pool, known, seed)]
    return [{**common, "seed": 0, **row} for row in rows]


def _figures(
    pool: Pool, scores: NDArray[np.float64], training: NDArray[np.int64], seed: int
) -> Iterator[dict[str, Any]]:
    yield from _rows("space", len(pool), _full(scores, pool.truth))
    held_out = pool.held_out(training)
    yield from _rows("held_out", len(held_out), _short(scores[held_out], pool.truth[held_out], 0.5))
    if len(training):
        yield from _mutant_figures(pool, scores, seed)


def _mutant_figures(pool: Pool, scores: NDArray[np.float64], seed: int) -> Iterator[dict[str, Any]]:
    mutants = np.array(pool.mutants(_rng(pool, seed, 1)))
    yield from _rows("mutants", len(mutants), _short(scores[mutants], pool.truth[mutants], 5.0))


def _rows(name: str, size: int, figures: dict[str, float]) -> Iterator[dict[str, Any]]:
    for metric, value in figures.items():
        yield {"set": name, "set_size": size, "metric": metric, "value": value}


def _short(scores: NDArray[np.float64], truth: NDArray[np.float64], percent: float) -> dict[str, float]:
    return {
        "kendall_b": ranking.kendall(scores, truth),
        f"precision@{percent:g}%": ranking.precision_at(scores, truth, percent),
        "best_rank@10": ranking.best_rank_at(scores, truth, 10),
    }


def _full(scores: NDArray[np.float64], truth: NDArray[np.float64]) -> dict[str, float]:
    found = {
        "kendall_b": ranking.kendall(scores, truth),
        "spearman": ranking.spearman(scores, truth),
        "weighted_tau": ranking.weighted_tau(scores, truth),
        "relative@10": ranking.relative_at(scores, truth, 10),
        "ndcg@10": ranking.ndcg_at(scores, truth, 10),
        "constant": float(np.ptp(scores) == 0),
    }
    precisions = zip(PERCENTS, ranking.precision_curve(scores, truth, PERCENTS), strict=True)
    found |= {f"precision@{percent:g}%": value for percent, value in precisions}
    best = zip(BEST_AT, ranking.best_rank_curve(scores, truth, BEST_AT), strict=True)
    return found | {f"best_rank@{k}": value for k, value in best}


def _keep(case: Case, directory: Path) -> None:
    Parts(directory).write(case.key, run_case(case))


def run_loss_study(
    config: LossStudyConfig,
    directory: Path,
    workers: int = 1,
    progress: Callable[[Progress], None] | None = None,
    plugins: Sequence[str] = (),
) -> pa.Table:
    """Run (or go on with) the study; all results as one table, also written to ``results.parquet``.

    Finished cases are kept and never trained again. Benchmarks whose public data are not here are left out and named.
    Several workers are processes of one thread each, which load `plugins`. Raises, before anything is trained,
    `LossInputError` for a loss that cannot work with the labels of a task and `DataError` for more labels than a task
    has; `StudyError` when cases failed, after
    all others have finished, and `RunLockedError` when another process is at it.
    """
    cases, missing = _present(config)
    with open_study(directory) as parts:
        work = partial(_keep, directory=directory)
        complete_parts(cases, work, parts, workers=workers, plugins=plugins, progress=progress, remarks=missing)
        keys = [case.key for case in cases]
        for name in dict.fromkeys(case.task.benchmark for case in cases):
            key = {"study": "losses", "version": 1, "ceiling": name, "feedback": config.feedback, "runs": config.runs}
            if key not in parts:
                parts.write(key, ceiling(_pool(name, config.feedback), config.runs))
            keys.append(key)
        return parts.gather(keys, directory / "results.parquet")


def _present(config: LossStudyConfig) -> tuple[list[Case], tuple[str, ...]]:
    missing: dict[str, str] = {}
    cases = config.cases()
    for name in dict.fromkeys(case.task.benchmark for case in cases):
        try:
            pool = _pool(name, config.feedback)
        except MissingDataError as error:
            missing[name] = f"left out: {error}"
            continue
        # What can never be trained would stop the study after all else is done, for good.
        labels = torch.from_numpy(pool.labels[pool.trainable]).float()
        for case in (case for case in cases if case.task.benchmark == name and case.first_seed == 0):
            pool.draw(case.task.train, _rng(pool, 0, 0))
            scaled(labels, losses.get(case.loss.name, **case.loss.hyperparameters), None)
    return [case for case in cases if case.task.benchmark not in missing], tuple(missing.values())
