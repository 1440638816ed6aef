"""How a proxy is evolved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from pydantic import ConfigDict

from po_nas.errors import ConfigError, UnknownNameError
from po_nas.research.evolved_proxies.symbolic.fitness import Aggregate
from proxies.evolved.functions import FUNCTIONS
from proxies.evolved.reference import Kind, Missing

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """Settings of one run; the defaults are ours (the method's publication does not state its own).

    `population` formulas for `generations`; trees of at most `max_size` nodes and `max_depth` edges. Parents win
    tournaments of `tournament`; a child is made by crossover with the probability `crossover`, else by a subtree, point
    or hoist `mutation` (probabilities of the three, which sum to 1). `elite` best ones live on. `parsimony` is taken
    off a formula's fitness for each node. `aggregate` makes one number of the τ on the problems, `sd_weight` is λ of
    ``mean-sd``; with `by_space` the mean τ of every search space is aggregated, so that one with many problems
    counts no more than one with a single problem. `normaliser` and `missing` treat the leaves
    (`proxies.evolved.reference`). `objectives` is ``tau`` (fitness alone) or ``nsga2`` (τ, size and seconds of the
    proxies). `constants` adds numbers, which are tuned at the
    end. `leaves` are the terminals, wildcards too (None: all columns); a column counts as there when the share
    `coverage` of the problems have it for half of their architectures. `graph_features` admits columns ``g_*``.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    population: int = 200
    generations: int = 30
    max_depth: int = 6
    max_size: int = 25
    tournament: int = 5
    crossover: float = 0.8
    mutation: tuple[float, float, float] = (0.6, 0.25, 0.15)
    elite: int = 2
    parsimony: float = 0.001
    aggregate: Aggregate = "mean"
    sd_weight: float = 0.5
    by_space: bool = False
    normaliser: Kind = "rank"
    missing: Missing = "middle"
    objectives: Literal["tau", "nsga2"] = "tau"
    constants: bool = False
    functions: tuple[str, ...] = tuple(FUNCTIONS)
    leaves: tuple[str, ...] | None = None
    coverage: float = 0.5
    graph_features: bool = False

    def __post_init__(self) -> None:
        for name, least in (
            ("population", 4),
            ("generations", 0),
            ("max_depth", 1),
            ("max_size", 2),
            ("tournament", 1),
        ):
            if getattr(self, name) < least:
                raise ConfigError(name, getattr(self, name), f"must be at least {least}")
        if not 0 <= self.elite < self.population:
            raise ConfigError("elite", self.elite, "must be at least 0 and less than the population")
        for name in ("crossover", "coverage"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(name, getattr(self, name), "must be between 0 and 1")
        if len(self.mutation) != 3 or min(self.mutation) < 0 or not abs(sum(self.mutation) - 1) <= 1e-9:
            raise ConfigError("mutation", self.mutation, "must be three probabilities that sum to 1")
        for name in ("parsimony", "sd_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(name, getattr(self, name), "must be 0 or more, and finite")
        for name, kind in (("aggregate", Aggregate), ("normaliser", Kind), ("missing", Missing)):
            if getattr(self, name) not in get_args(kind):
                raise UnknownNameError(name, str(getattr(self, name)), get_args(kind))
        if self.objectives not in ("tau", "nsga2"):
            raise UnknownNameError("objectives", str(self.objectives), ("tau", "nsga2"))
        for function in self.functions:
            if function not in FUNCTIONS:
                raise UnknownNameError("function", function, FUNCTIONS)
        if not self.functions:
            raise ConfigError("functions", self.functions, "must name one function at least")
