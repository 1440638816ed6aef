"""Scores of a whole search space by our own engine: the recipe, its computation, and the table that is shipped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

import proxies
from po_nas import __version__, networks, spaces
from po_nas.benchmarks.own_scores import OwnScores
from po_nas.core.settings import read_settings, validated
from po_nas.errors import ConfigError, ProxyError
from po_nas.spaces.base import Architecture, Space
from proxies.synthetic import synthetic_images

__all__ = ["ImageSet", "Part", "ScoreRecipe", "classes_of", "collect", "compute", "load_recipe", "score_sample"]


class ImageSet(BaseModel):
    """Made-up images in the shape of a data set, and the network's number of classes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    classes: PositiveInt
    size: PositiveInt = Field(description="height and width, pixels")
    samples: PositiveInt = Field(description="images in the batch")

    def batch(self, seed: int) -> proxies.Batch:
        """The images and labels."""
        return synthetic_images(self.samples, self.classes, self.size, seed=seed)


class ScoreRecipe(BaseModel):
    """Everything that decides the scores of a space's table.

    `parts` are lists of proxies that are computed together, in the order in which they are worth having: all tasks get
    the first list before any gets the second. A score is computed for one architecture of each class of isomorphic
    ones, except for those `per_architecture`, which see operations that are connected to nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    space: str
    tasks: Mapping[str, ImageSet]
    parts: tuple[tuple[str, ...], ...]
    per_architecture: tuple[str, ...] = ()
    init_seed: int = 0
    seed: int = 0

    @model_validator(mode="after")
    def _proxies_exist(self) -> ScoreRecipe:
        listed = [name for part in self.parts for name in part]
        for name in (*listed, *self.per_architecture):
            proxies.spec(name)
        if len(set(listed)) < len(listed):
            raise ValueError("a proxy is in two parts; name each once")
        return self


@dataclass(frozen=True, slots=True)
class Part:
    """A task and proxies that are computed for it in one go, and for how many architectures."""

    task: str
    names: tuple[str, ...]
    count: int


def load_recipe(path: Path) -> ScoreRecipe:
    """Read a recipe; `ConfigError` that names what is wrong."""
    return validated(ScoreRecipe, read_settings(path, ()))


def classes_of(space: Space) -> tuple[list[Architecture], NDArray[np.int64]]:
    """One architecture of each class of isomorphic ones, and the class of each architecture in enumeration order.

    The first of a class represents it. Codes count from ``none``, so it has no operation that is connected to nothing.
    """
    numbers: dict[str, int] = {}
    firsts: list[Architecture] = []
    belongs = []
    for architecture in space.enumerate():
        key = space.canonical(architecture)
        if key not in numbers:
            numbers[key] = len(firsts)
            firsts.append(architecture)
        belongs.append(numbers[key])
    return firsts, np.array(belongs)


def _build(architecture: Architecture, classes: int) -> networks.Module:
    return networks.build(architecture, classes=classes)


def compute(
    recipe: ScoreRecipe,
    cache: proxies.ScoreCache,
    *,
    workers: int = 1,
    parts: int | None = None,
    progress: Callable[[Part, int], None] = lambda part, done: None,
) -> None:
    """Compute what the cache lacks of the first `parts` parts of a recipe (default: all of it).

    Stopped at any time, it goes on where it was. `progress` is told after every architecture.
    """
    space = spaces.get(recipe.space)
    firsts, _ = classes_of(space)
    everything = list(space.enumerate()) if recipe.per_architecture else []
    for part, items in _parts(recipe, firsts, everything, parts):
        for done, _ in enumerate(_scored(recipe, part, items, cache, workers), 1):
            progress(part, done)


def _parts(
    recipe: ScoreRecipe, firsts: list[Architecture], everything: list[Architecture], limit: int | None
) -> Iterator[tuple[Part, list[Architecture]]]:
    for names in recipe.parts[:limit]:
        for task in recipe.tasks:
            yield Part(task, names, len(firsts)), firsts
    if recipe.per_architecture:
        for task in recipe.tasks:
            yield Part(task, recipe.per_architecture, len(everything)), everything


def _scored(
    recipe: ScoreRecipe, part: Part, items: list[Architecture], cache: proxies.ScoreCache | None, workers: int
) -> Iterator[proxies.ScoreResult]:
    images = recipe.tasks[part.task]
    space = spaces.get(recipe.space)
    # One thread in each process: with more, sums are taken in another order, and scores change in the last digits.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield from proxies.score_many(
            items,
            images.batch(recipe.seed),
            part.names,
            build=partial(_build, classes=images.classes),
            seed=recipe.seed,
            init_seed=recipe.init_seed,
            workers=workers,
            cache=cache,
            key=space.to_string if cache is not None else None,
            space=f"{recipe.space} classes={images.classes}" if cache is not None else "",
        )
    finally:
        torch.set_num_threads(threads)


def score_sample(recipe: ScoreRecipe, task: str, names: tuple[str, ...], items: list[Architecture]) -> list[Any]:
    """Scores of some architectures, computed now: what a test compares a shipped table with."""
    return list(_scored(recipe, Part(task, names, len(items)), items, None, 1))


def collect(recipe: ScoreRecipe, cache: proxies.ScoreCache, *, parts: int | None = None) -> OwnScores:
    """The table of what the cache holds; a part without any score in it is left out.

    A score that failed is NaN. Failures are not kept in a cache and are tried again here, one by one.
    """
    space = spaces.get(recipe.space)
    firsts, belongs = classes_of(space)
    everything = list(space.enumerate()) if recipe.per_architecture else []
    tasks: dict[str, dict[str, NDArray[np.float32]]] = {task: {} for task in recipe.tasks}
    for part, items in _parts(recipe, firsts, everything, parts):
        columns = {name: np.full(len(items), np.nan, dtype=np.float32) for name in part.names}
        for result in _scored(recipe, part, items, cache, 1):
            for name, value in result.values.items():
                columns[name][result.index] = value
            for error in result.errors.values():
                if not isinstance(error, ProxyError):
                    raise ConfigError("recipe", recipe.space, str(error))
        tasks[part.task] |= columns
    chosen = sorted({name for columns in tasks.values() for name in columns})
    origin = {
        "recipe": recipe.model_dump(mode="json"),
        "po_nas": __version__,
        "torch": torch.__version__.partition("+")[0],
        "proxies": {name: proxies.spec(name).version for name in chosen},
        "directions": {name: proxies.spec(name).direction for name in chosen},
    }
    return OwnScores(recipe.space, belongs.astype(np.uint16), tasks, json.dumps(origin, sort_keys=True))
