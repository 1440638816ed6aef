"""Running the study of fusion: orders of oracles, rankings after some labels, and whole searches, part by part.

Ranking: a model is told the labels of some candidates, half of them picked by proxies, and predicts all candidates.
Searches: whole searches among the candidates, from the same initial design unless a model says otherwise. Labels and
designs depend on the task and the seed alone, so models are compared in pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from po_nas.core.trial import SourceTask
from po_nas.errors import ConfigError, MissingDataError, ProxiesUnavailableError, SearchExhaustedError
from po_nas.methods.po_nas import PRIORS
from po_nas.methods.proxy_bo import ProxyBO
from po_nas.research import ranking
from po_nas.research.fusion.design import MODELS, FusionStudyConfig, Part, Task
from po_nas.research.fusion.models import searcher
from po_nas.research.fusion.oracles import oracle_orders
from po_nas.research.fusion.other_spaces import prior_of_other_spaces
from po_nas.research.fusion.task_pool import TaskPool, tasks_of_runs
from po_nas.runtime.parts import Parts
from po_nas.runtime.study import Progress, complete_parts, open_study
from surrogates.isolation import single_thread

__all__ = ["TOP", "present_tasks", "run_fusion_study", "run_part"]

F64 = NDArray[np.float64]
TOP = 5
"""The regret of a ranking is that of the best of so many that are predicted highest."""


@lru_cache(maxsize=1)
def _pool(task: Task) -> TaskPool:
    return TaskPool.load(task)


def run_fusion_study(
    config: FusionStudyConfig,
    directory: Path,
    workers: int = 1,
    progress: Callable[[Progress], None] | None = None,
    plugins: Sequence[str] = (),
) -> pa.Table:
    """Run (or go on with) the study; all rows as one table, also written to ``results.parquet``.

    Finished parts are kept and never run again. Benchmarks whose public data are not here, and those without proxies,
    are left out and named; `MissingDataError` or `ProxiesUnavailableError` when none is left. Raises `StudyError` when
    parts failed, after all others have finished, and `RunLockedError` when another process is at it.
    """
    tasks, missing = present_tasks(config)
    every = config.parts(tasks)
    with open_study(directory) as parts:
        work = partial(_keep, directory=directory)
        complete_parts(every, work, parts, workers=workers, plugins=plugins, progress=progress, remarks=missing)
        keys = []
        for part in every:
            key = part.key
            if part.kind == "orders":
                key = key | {"kind": "figures of orders"}
                if key not in parts:
                    parts.write(key, _order_figures(part, _orders(part, directory)))
            keys.append(key)
        return parts.gather(keys, directory / "results.parquet")


def present_tasks(config: FusionStudyConfig) -> tuple[list[Task], tuple[str, ...]]:
    """Tasks whose data and proxies are here, and why the others are left out."""
    # First, for what is wrong with them is known at once, and scores of a benchmark may take minutes.
    of_runs = tasks_of_runs(config.runs)
    for task in of_runs:
        _pool(task)
    found: list[Task] = []
    missing: dict[str, Exception] = {}
    for name in config.benchmarks():
        task = Task(name, config.feedback, config.pool, config.pool_seed)
        try:
            _pool(task)
        except (MissingDataError, ProxiesUnavailableError) as error:
            missing[f"{name} is left out: {error}"] = error
        else:
            found.append(task)
    found += of_runs
    if not found:
        raise next(iter(missing.values()))
    return found, tuple(missing)


def _keep(part: Part, directory: Path) -> None:
    if part.kind == "orders":
        _orders(part, directory)
        return
    order = None
    if name := MODELS[part.model].order:
        order = _orders(Part("orders", part.task, part.trees), directory)[name]
    Parts(directory).write(part.key, run_part(part, _pool(part.task), order))


@lru_cache(maxsize=2)
def _orders(part: Part, directory: Path) -> dict[str, F64]:
    """The orders of a task, computed where no part has kept them yet: another process may be at it as well."""
    parts = Parts(directory)
    if part.key not in parts:
        orders = oracle_orders(_pool(part.task), part.trees, part.task.draw)
        parts.write(part.key, [dict(zip(orders, values, strict=True)) for values in zip(*orders.values(), strict=True)])
    table = parts.read(part.key)
    return {name: table[name].to_numpy().copy() for name in table.column_names}


def run_part(part: Part, pool: TaskPool, order: F64 | None = None) -> list[dict[str, Any]]:
    """The rows of a ranking or a search; `order` (m,) is what the model asks for."""
    with single_thread():
        found = _ranking(part, pool, order) if part.kind == "ranking" else _search(part, pool, order)
    return [_row(part, pool, at, measure, value) for at, figures in found.items() for measure, value in figures.items()]


def _row(part: Part, pool: TaskPool, at: int, measure: str, value: float, model: str = "") -> dict[str, Any]:
    return {
        "kind": part.kind,
        "task": part.task.name,
        "group": pool.group,
        "model": model or part.model,
        "seed": part.seed,
        "at": at,
        "measure": measure,
        "value": float(value),
    }


def _searcher(part: Part, pool: TaskPool, design: tuple[int, int], order: F64 | None) -> ProxyBO:
    model = MODELS[part.model]
    told = pool.other_tasks if model.other_tasks else ()
    if model.other_tasks and not told:
        raise ConfigError(
            "models",
            part.model,
            f"learns from a benchmark's other tasks, and {pool.name} has none; leave one of them out",
        )
    if model.told:
        told = tuple(_few(task, pool, model.told, part.seed) for task in told)
    prior = None
    if model.other_spaces:
        if not part.others:
            raise ConfigError("models", part.model, "learns from other spaces, and all tasks have one; name more tasks")
        prior = prior_of_other_spaces(part.others, PRIORS)
    return searcher(model, pool.domain(told), part.seed, design, order, prior)


def _few(task: SourceTask, pool: TaskPool, number: int, seed: int) -> SourceTask:
    """Evaluations of another task: those that are labels here, as far as they did not fail there."""
    known = dict(zip(task.architectures, task.scores, strict=True))
    chosen = [pool.architectures[place] for place in pool.labels(number, seed)]
    told = [architecture for architecture in chosen if architecture in known]
    return SourceTask(task.task, tuple(told), tuple(known[architecture] for architecture in told))


def _ranking(part: Part, pool: TaskPool, order: F64 | None) -> dict[int, dict[str, float]]:
    places = pool.labels(max(part.at), part.seed)
    found = {}
    for number in part.at:
        told = places[:number]
        # With fewer candidates than labels, or with fewer than two that did not fail, there is nothing to compare.
        if number > len(pool) // 2 or np.isfinite(pool.signal[told]).sum() < 2:
            continue
        search = _searcher(part, pool, (1, 0), order)
        for place in told:
            search.tell_custom(pool.architectures[place], pool.outcome(int(place)))
        predicted = search.predict(search.features(), search.stream("model", number)).mean.numpy()
        found[number] = figures(pool, np.asarray(predicted, dtype=np.float64))
    return found


def figures(pool: TaskPool, predicted: F64) -> dict[str, float]:
    """How well predictions (m,) order the candidates: regret of the best of the top five, and rank correlations."""
    top = np.argsort(-predicted, kind="stable")[:TOP]
    best = float(pool.truth[top].max())
    return {
        "regret": pool.regret(best),
        "scaled_regret": pool.scaled_regret(best),
        "rank": pool.rank(best),
        "spearman": ranking.spearman(predicted, pool.truth),
        "kendall": ranking.kendall(predicted, pool.truth),
    }


def _search(part: Part, pool: TaskPool, order: F64 | None) -> dict[int, dict[str, float]]:
    search = _searcher(part, pool, part.design, order)
    position = pool.features.candidates.position
    best, found = float(pool.truth.min()), {}
    for evaluation in range(1, max(part.at) + 1):
        try:
            (trial,) = search.ask()
        except SearchExhaustedError:
            break
        place = position[pool.identity(trial.architecture)]
        search.tell(trial.number, pool.outcome(place))
        best = max(best, float(pool.truth[place]))
        if evaluation in part.at:
            found[evaluation] = {
                "regret": pool.regret(best),
                "scaled_regret": pool.scaled_regret(best),
                "rank": pool.rank(best),
            }
    return found


def _order_figures(part: Part, orders: dict[str, F64]) -> list[dict[str, Any]]:
    """How well each order does alone, where it puts the optimum, and what the task is like."""
    pool = _pool(part.task)
    optimum = int(np.argmax(pool.truth))
    rows = []
    for name, order in orders.items():
        found = figures(pool, order)
        above, level = np.count_nonzero(order > order[optimum]), np.count_nonzero(order == order[optimum])
        found["rank of the optimum"] = 1 + above + (level - 1) / 2
        rows += [_row(part, pool, 0, measure, value, name) for measure, value in found.items()]
    known = {"candidates": len(pool), "proxies": pool.features.z.shape[1]}
    return [*rows, *(_row(part, pool, 0, measure, value, "task") for measure, value in known.items())]
