"""Do our scores order architectures as the published ones do, and what would make them differ?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import proxies
from po_nas import benchmarks, networks, spaces
from po_nas.errors import ConfigError
from po_nas.proxy_scores.tabulate import ImageSet, ScoreRecipe
from po_nas.research import ranking
from po_nas.spaces.base import Architecture

__all__ = ["Condition", "Match", "condition_table", "conditions", "matches", "score_conditions"]

_FEWEST = 50


@dataclass(frozen=True, slots=True)
class Match:
    """Spearman's ρ of our score and the published one of that name, over the `rows` that have both.

    `repeat` is that of the published score with itself, over `pairs` of isomorphic architectures: the same network with
    other weights (but for operations that are connected to nothing), so noise alone keeps it below 1. NaN where there
    are fewer than 50 pairs.
    """

    score: str
    rows: int
    spearman: float
    pairs: int
    repeat: float


@dataclass(frozen=True, slots=True)
class Condition:
    """One way to compute scores: images, seed of weights, seed of scoring, and another initialisation or none."""

    name: str
    batch: proxies.Batch
    init_seed: int = 0
    seed: int = 0
    initialisation: str = "default"


def matches(benchmark: str) -> list[Match]:
    """Every score that both our own table and the published one hold for a benchmark, best agreement first.

    Raises `UnknownNameError` where one of the two tables does not exist and `MissingDataError` where the published one
    has not been fetched.
    """
    table = benchmarks.get(benchmark)
    ours, published = table.score_table("own"), table.score_table("published")
    keys = [table.space.canonical(table.rows.architecture(row)) for row in range(len(table.rows))]
    classes = np.unique(keys, return_inverse=True)[1]
    found = []
    for name in ours.names:
        if name in published.names:
            mine, theirs = ours.column(name), published.column(name)
            both = np.isfinite(mine) & np.isfinite(theirs)
            if both.sum() > 2:
                first, second = _isomorphic_pairs(classes, np.flatnonzero(np.isfinite(theirs)))
                repeat = ranking.spearman(theirs[first], theirs[second]) if len(first) >= _FEWEST else np.nan
                rho = ranking.spearman(mine[both], theirs[both])
                found.append(Match(name, int(both.sum()), rho, len(first), repeat))
    return sorted(found, key=lambda match: -match.spearman)


def _isomorphic_pairs(classes: NDArray[np.intp], rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Two random rows of every class that has two among `rows`."""
    drawn = np.random.default_rng(0).permutation(rows)
    ordered = drawn[np.argsort(classes[drawn], kind="stable")]
    same = classes[ordered][1:] == classes[ordered][:-1]
    start = same & ~np.concatenate([[False], same[:-1]])
    where = np.flatnonzero(start)
    return ordered[where], ordered[where + 1]


def conditions(recipe: ScoreRecipe, task: str, others: proxies.Batch | None = None) -> tuple[Condition, ...]:
    """The recipe itself, then one thing changed at a time: seeds, 64 images, initialisation, `others` as images."""
    images = recipe.tasks[task]
    if not isinstance(images, ImageSet):
        raise ConfigError("task", task, "has no images; conditions are those of image classification")
    base = images.batch(recipe.seed)
    many = images.model_copy(update={"samples": 64})
    found = [
        Condition("recipe", base, recipe.init_seed, recipe.seed),
        Condition("other seeds", images.batch(recipe.seed + 1), recipe.init_seed + 1, recipe.seed + 1),
        Condition("64 images", many.batch(recipe.seed), recipe.init_seed, recipe.seed),
        Condition("64 images, other seeds", many.batch(recipe.seed + 1), recipe.init_seed + 1, recipe.seed + 1),
        Condition("Kaiming weights", base, recipe.init_seed, recipe.seed, "kaiming"),
    ]
    if others is not None:
        found.append(Condition(f"{len(others)} given images", others, recipe.init_seed, recipe.seed))
    return tuple(found)


def score_conditions(
    recipe: ScoreRecipe,
    task: str,
    items: Sequence[Architecture],
    names: Sequence[str],
    ways: Sequence[Condition],
    cache: proxies.ScoreCache | None = None,
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Scores (items,) by condition and name, NaN where there is none; with a `cache` an interrupted run goes on."""
    options = recipe.tasks[task].network
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for way in ways:
        columns = {name: np.full(len(items), np.nan) for name in names}
        place = f"{recipe.space} classes={options['num_classes']} initialisation={way.initialisation}"
        results = proxies.score_many(
            items,
            way.batch,
            names,
            build=partial(_build, options=options, initialisation=way.initialisation),
            seed=way.seed,
            init_seed=way.init_seed,
            cache=cache,
            key=spaces.get(recipe.space).to_string if cache is not None else None,
            space=place if cache is not None else "",
        )
        for result in results:
            for name, value in result.values.items():
                columns[name][result.index] = value
        found[way.name] = columns
    return found


def condition_table(
    benchmark: str,
    recipe: ScoreRecipe,
    names: Sequence[str],
    ways: Sequence[Condition],
    count: int,
    cache: proxies.ScoreCache | None = None,
    seed: int = 0,
) -> list[tuple[str, str, str, str]]:
    """Spearman's ρ with the published scores, and with the first condition, on `count` random architectures.

    They are drawn from those that have all the published scores. Rows of condition, score and the two figures.
    """
    told = benchmarks.get(benchmark)
    published, table = told.score_table("published"), told.rows
    theirs = {name: published.column(name) for name in names if name in published.names}
    known = np.flatnonzero(np.isfinite(np.stack([*theirs.values(), np.zeros(len(table))])).all(axis=0))
    drawn = np.sort(np.random.default_rng(seed).choice(known, min(count, len(known)), replace=False)).tolist()
    items = [table.architecture(row) for row in drawn]
    found = score_conditions(recipe, benchmark.partition("/")[2], items, names, ways, cache)
    base = found[ways[0].name]
    return [
        (way, name, _rho(column, theirs[name][drawn]) if name in theirs else "–", _rho(column, base[name]))
        for way, columns in found.items()
        for name, column in columns.items()
    ]


def _rho(first: NDArray[np.float64], second: NDArray[np.float64]) -> str:
    both = np.isfinite(first) & np.isfinite(second)
    return f"{ranking.spearman(first[both], second[both]):.3f}" if both.sum() > 2 else "–"


def _build(architecture: Architecture, options: Mapping[str, Any], initialisation: str) -> networks.Module:
    network = networks.build(architecture, **options)
    if initialisation == "kaiming":
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                torch.nn.init.kaiming_normal_(module.weight)
    return network
