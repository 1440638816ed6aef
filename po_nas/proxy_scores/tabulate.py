"""Scores of a whole search space by our own engine: the recipe, its computation, and the table that is shipped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, model_validator

import proxies
from po_nas import networks, spaces
from po_nas._version import __version__
from po_nas.core.settings import Settings, read_settings, validated
from po_nas.errors import ConfigError
from po_nas.networks.base import OLD_OPTIONS
from po_nas.proxy_scores.packaged import OwnScores
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.pool import PoolSpace
from proxies.cache import CacheKey
from proxies.synthetic import synthetic_images
from proxies.synthetic_graph import synthetic_graph
from proxies.synthetic_tokens import synthetic_tokens

__all__ = [
    "GraphSet",
    "ImageSet",
    "Part",
    "ScoreRecipe",
    "TextSet",
    "classes_of",
    "collect",
    "compute",
    "load_recipe",
    "rounded",
    "score_sample",
    "scored_space",
    "take_over",
]

_BITS = 16
"""Significant bits of a score that is shipped: a relative error below 8e-6, and two thirds of the file's size."""


_NEARLY_ALL = 0.9


class ImageSet(Settings):
    """Made-up images in the shape of a data set, and the network's number of classes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    deprecated: ClassVar[Mapping[str, str]] = OLD_OPTIONS
    num_classes: PositiveInt
    size: PositiveInt = Field(description="height and width, pixels")
    samples: PositiveInt = Field(description="images in the batch")
    options: Mapping[str, int | float | str] = Field(default={}, description="further options of the network")

    def batch(self, seed: int) -> proxies.Batch:
        """The images and labels."""
        return synthetic_images(self.samples, self.num_classes, self.size, seed=seed)

    @property
    def network(self) -> dict[str, Any]:
        """What the network is built with."""
        return {"num_classes": self.num_classes, **self.options}


class TextSet(Settings):
    """Made-up texts; labels are classes, or the next words where there are none, and the network has no classes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    tokens: PositiveInt = Field(description="words of a text")
    vocabulary: PositiveInt
    samples: PositiveInt = Field(description="texts in the batch")
    num_classes: PositiveInt | None = None
    options: Mapping[str, int | float | str] = Field(default={}, description="further options of the network")

    def batch(self, seed: int) -> proxies.Batch:
        """The texts and labels."""
        return synthetic_tokens(self.samples, self.tokens, self.vocabulary, self.num_classes, seed=seed)

    @property
    def network(self) -> dict[str, Any]:
        """What the network is built with."""
        classes = {} if self.num_classes is None else {"num_classes": self.num_classes}
        return {"vocabulary": self.vocabulary, **classes, **self.options}


class GraphSet(Settings):
    """A made-up graph, whose nodes are the samples, and the width and the dropout of the network."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    deprecated: ClassVar[Mapping[str, str]] = OLD_OPTIONS
    nodes: PositiveInt
    num_classes: PositiveInt
    features: PositiveInt = Field(description="of each node")
    degree: NonNegativeFloat = Field(description="mean number of neighbours")
    homophily: float = Field(ge=0, le=1, description="share of neighbours of a node's own class")
    hidden: PositiveInt = Field(description="width of the network's layers")
    dropout: float = Field(ge=0, lt=1)

    def batch(self, seed: int) -> proxies.Batch:
        """Node features and edges, and the nodes' classes."""
        return synthetic_graph(self.nodes, self.num_classes, self.features, self.degree, self.homophily, seed=seed)

    @property
    def network(self) -> dict[str, Any]:
        """What the network is built with."""
        return {name: getattr(self, name) for name in ("num_classes", "dropout", "features", "hidden")}


class ScoreRecipe(BaseModel):
    """Everything that decides the scores of a space's table.

    `parts` are lists of proxies that are computed together, in the order in which they are worth having: all tasks get
    the first list before any gets the second. A score is computed for one architecture of each class of isomorphic
    ones, except for those `per_architecture`, which see operations that are connected to nothing.

    Searches use all scores of the table, or with `by_default` those of so many of the first parts, where they are not
    asked for others by name or for all.

    With a `benchmark`, whose space is `space`, the architectures are those of its table, in the order of its rows. With
    a `sample` they are so many of them, at random by `seed`, in their order; a space that cannot be listed needs one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    space: str
    benchmark: str | None = None
    sample: Annotated[int, Field(ge=2)] | None = None
    tasks: Mapping[str, ImageSet | GraphSet | TextSet]
    parts: tuple[tuple[str, ...], ...]
    per_architecture: tuple[str, ...] = ()
    by_default: PositiveInt | None = None
    init_seed: int = 0
    seed: int = 0

    @model_validator(mode="after")
    def _proxies_exist(self) -> ScoreRecipe:
        listed = [name for part in self.parts for name in part]
        for name in (*listed, *self.per_architecture):
            proxies.spec(name)
        twice = [name for name in listed if listed.count(name) > 1]
        if twice:
            raise ValueError(f"{twice[0]} is in two parts; name each once")
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


def scored_space(recipe: ScoreRecipe, table: Space | None = None) -> Space:
    """The architectures of a recipe, as a space that can be enumerated.

    `table` is the space of its benchmark, where it names one. Raises `ConfigError` for a benchmark on another space, a
    sample that is larger than what there is, and a space that cannot be listed without a sample.
    """
    space = spaces.get(recipe.space) if table is None else table
    if space.name != recipe.space:
        raise ConfigError("space", recipe.space, f"is not that of {recipe.benchmark}, {space.name}")
    if recipe.sample is None:
        if not space.enumerable:
            raise ConfigError("sample", None, f"is missing: {space.name} has too many architectures to score them all")
        return space
    if space.size is not None and recipe.sample > space.size:
        raise ConfigError("sample", recipe.sample, f"is more than the {space.size:,} architectures that there are")
    rng = np.random.default_rng(recipe.seed)
    if space.enumerable:
        every = list(space.enumerate())
        chosen = [every[k] for k in np.sort(rng.permutation(len(every))[: recipe.sample])]
    else:
        drawn: dict[Architecture, None] = {}
        while len(drawn) < recipe.sample:
            drawn[space.sample(rng)] = None
        chosen = list(drawn)
    return PoolSpace(space, chosen)


def classes_of(space: Space) -> tuple[list[Architecture], NDArray[np.int64]]:
    """One architecture of each class of isomorphic ones, and the class of each architecture in enumeration order.

    The first of a class represents it. In NAS-Bench-201 codes count from ``none``, so it has no operation that is
    connected to nothing.
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


def _build(architecture: Architecture, options: Mapping[str, Any]) -> networks.Module:
    return networks.build(architecture, **options)


def compute(
    recipe: ScoreRecipe,
    cache: proxies.ScoreCache,
    *,
    workers: int = 1,
    parts: int | None = None,
    progress: Callable[[Part, int], None] = lambda part, done: None,
    space: Space | None = None,
) -> None:
    """Compute what the cache lacks of the first `parts` parts of a recipe (default: all of it).

    Stopped at any time, it goes on where it was. `progress` is told after every architecture. `space` has the
    architectures (default: `scored_space`).
    """
    space = space or scored_space(recipe)
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
    inputs = recipe.tasks[part.task]
    # One thread in each process: with more, sums are taken in another order, and scores change in the last digits.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield from proxies.score_many(
            items,
            inputs.batch(recipe.seed),
            part.names,
            build=partial(_build, options=inputs.network),
            seed=recipe.seed,
            init_seed=recipe.init_seed,
            workers=workers,
            cache=cache,
            key=spaces.get(recipe.space).to_string if cache is not None else None,
            space=_networks_of(recipe, part.task) if cache is not None else "",
        )
    finally:
        torch.set_num_threads(threads)


def _networks_of(recipe: ScoreRecipe, task: str) -> str:
    # Keys of scores that were kept before have the names that options had then.
    was = {new: old for old, new in OLD_OPTIONS.items()}
    options = {was.get(name, name): value for name, value in recipe.tasks[task].network.items()}
    return " ".join([recipe.space, *(f"{name}={value}" for name, value in sorted(options.items()))])


def take_over(recipe: ScoreRecipe, table: OwnScores, cache: proxies.ScoreCache) -> int:
    """Put the scores of a table into a cache, so that they need not be computed again, and count them.

    Only scores that the recipe would give: the same space and seeds, a task with the same inputs and networks, a proxy
    of the same version, and known which. They have the table's 16 significant bits.
    """
    made = table.made_by
    theirs = validated(ScoreRecipe, {**made["recipe"], "parts": [], "per_architecture": []})
    decisive = ("space", "benchmark", "sample", "init_seed", "seed")
    if any(getattr(theirs, name) != getattr(recipe, name) for name in decisive):
        return 0
    space = spaces.get(recipe.space)
    firsts, _ = classes_of(space)
    everything = list(space.enumerate()) if recipe.per_architecture else []
    count = 0
    for part, items in _parts(recipe, firsts, everything, None):
        if theirs.tasks.get(part.task) != recipe.tasks[part.task]:
            continue
        texts = [space.to_string(item) for item in items]
        for name in part.names:
            values = table.tasks.get(part.task, {}).get(name)
            if values is None or len(values) != len(items) or made["proxies"].get(name) != proxies.spec(name).version:
                continue
            key = _keys(recipe, part.task)
            scores = {key(text, name): float(v) for text, v in zip(texts, values, strict=True) if np.isfinite(v)}
            cache.put(scores)
            count += len(scores)
    return count


def _keys(recipe: ScoreRecipe, task: str) -> Callable[[str, str], CacheKey]:
    """The key of a score by the architecture's string and the proxy's name."""
    place, batch = _networks_of(recipe, task), recipe.tasks[task].batch(recipe.seed).fingerprint()
    seeds = f"{recipe.init_seed}/{recipe.seed}"

    def key(text: str, name: str) -> CacheKey:
        spec = proxies.spec(name)
        return CacheKey(place, text, name, spec.version, seeds, batch, spec.dtype)

    return key


def _cached(
    recipe: ScoreRecipe, part: Part, items: list[Architecture], cache: proxies.ScoreCache
) -> Iterator[proxies.ScoreResult]:
    """What the cache has, nothing computed."""
    key = _keys(recipe, part.task)
    for index, item in enumerate(items):
        text = spaces.get(recipe.space).to_string(item)
        found = {name: cache.get(key(text, name)) for name in part.names}
        yield proxies.ScoreResult(index, {name: value for name, value in found.items() if value is not None}, {})


def score_sample(recipe: ScoreRecipe, task: str, names: tuple[str, ...], items: list[Architecture]) -> list[Any]:
    """Scores of some architectures, computed now: what a test compares a shipped table with."""
    return list(_scored(recipe, Part(task, names, len(items)), items, None, 1))


def rounded(values: NDArray[np.float64]) -> NDArray[np.floating]:
    """The nearest numbers of 16 significant bits, in single precision if all are in its range (synflow's are not)."""
    mantissa, exponent = np.frexp(values)
    found: NDArray[np.float64] = np.ldexp(np.rint(np.ldexp(mantissa, _BITS)), exponent - _BITS)
    sizes = np.abs(found[np.isfinite(found) & (found != 0)])
    limits = np.finfo(np.float32)
    narrow = not len(sizes) or (sizes.max() <= limits.max and sizes.min() >= limits.tiny)
    return found.astype(np.float32) if narrow else found


def collect(
    recipe: ScoreRecipe,
    cache: proxies.ScoreCache,
    *,
    parts: int | None = None,
    computing: bool = True,
    space: Space | None = None,
) -> OwnScores:
    """The table of the scores in the cache, rounded to 16 significant bits.

    What is missing is computed, one by one: that is what failed, for failures are not kept in a cache; a score that
    fails again is NaN, and one that no architecture has is left out. With `computing` off it is NaN at once, and a
    score that fewer than nine in ten architectures have is left out: what is done first is not a random sample.
    """
    space = space or scored_space(recipe)
    firsts, belongs = classes_of(space)
    everything = list(space.enumerate()) if recipe.per_architecture else []
    tasks: dict[str, dict[str, NDArray[np.floating]]] = {task: {} for task in recipe.tasks}
    for part, items in _parts(recipe, firsts, everything, parts):
        columns = {name: np.full(len(items), np.nan) for name in part.names}
        results = _scored(recipe, part, items, cache, 1) if computing else _cached(recipe, part, items, cache)
        for result in results:
            for name, value in result.values.items():
                columns[name][result.index] = value
        has = {name: np.isfinite(column) for name, column in columns.items()}
        least = 0.0 if computing else _NEARLY_ALL
        carried = {name: column.any() and column.mean() >= least for name, column in has.items()}
        kept = {name: rounded(column) for name, column in columns.items() if carried[name]}
        tasks[part.task] |= kept
    chosen = sorted({name for columns in tasks.values() for name in columns})
    origin = {
        "recipe": recipe.model_dump(mode="json"),
        "po_nas": __version__,
        "torch": torch.__version__.partition("+")[0],
        "proxies": {name: proxies.spec(name).version for name in chosen},
        "directions": {name: proxies.spec(name).direction for name in chosen},
    }
    if recipe.sample is not None:
        origin["architectures"] = [space.to_string(architecture) for architecture in space.enumerate()]
    classes = belongs.astype(np.min_scalar_type(len(firsts)))
    return OwnScores(recipe.space, classes, tasks, json.dumps(origin, sort_keys=True))
