"""Successive halving: many architectures at a low fidelity, the best of them at higher ones. ASHA and Hyperband."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from po_nas.core.searcher import Domain, MethodOptions, Proposal, Searcher
from po_nas.core.trial import Observation, Trial
from po_nas.errors import ConfigError, SearchExhaustedError
from po_nas.spaces.base import Architecture

__all__ = ["ASHA", "Hyperband"]


class _Options(MethodOptions):
    eta: int = Field(3, ge=2, description="one architecture in so many goes on to the next fidelity")
    lowest: PositiveFloat | None = Field(
        None, description="lowest fidelity that is used, as the objective declares it; default: as low as eta allows"
    )


class _Halving(Searcher):
    """What methods of successive halving share: rungs, and who is on them."""

    Options: ClassVar[type[MethodOptions]] = _Options
    options: _Options

    @classmethod
    def uses_fidelities(cls, options: MethodOptions) -> bool:
        return True

    def __init__(self, domain: Domain, *, seed: int, options: MethodOptions | None = None) -> None:
        super().__init__(domain, seed=seed, options=options)
        self.domain.fidelities.check_budget(
            self.domain.max_evaluations, self._least_budget(), "set method.lowest higher"
        )

    @abstractmethod
    def _least_budget(self) -> float:
        """Full evaluations that are spent before there may be one at the full fidelity."""

    @cached_property
    def rungs(self) -> tuple[float, ...]:
        """The fidelities that are used, ascending, the full one last (`Fidelities.ladder`)."""
        declared, lowest = self.domain.fidelities.values, self.options.lowest
        self.domain.fidelities.require_lower()
        if lowest is not None and lowest not in declared:
            known = ", ".join(f"{value:g}" for value in declared)
            raise ConfigError("method.lowest", lowest, f"is none of {known}")
        rungs = self.domain.fidelities.ladder(self.options.eta, lowest)
        if len(rungs) == 1:
            remedy = f"leaves no fidelity below {declared[-1]:g}; those there are: {', '.join(map(str, declared))}"
            raise ConfigError("method.eta", self.options.eta, remedy)
        return rungs

    def _costs(self, first: int) -> list[float]:
        """What an evaluation on each rung from `first` on costs, in full ones, by one that has begun there."""
        return self.domain.fidelities.climb(self.rungs[first:])

    def _rung_of(self, trial: Trial) -> int:
        return self.rungs.index(self.domain.fidelities.amount(trial.fidelity))

    def _ordered(self, told: Sequence[Observation]) -> list[Observation]:
        """Those that succeeded, the best first; equal ones in the order of asking."""
        scores = self.scores(told)
        order = np.argsort(-scores, kind="stable")
        return [told[place] for place in order if told[place].outcome.validation is not None]

    def _new(self, rung: int, rng: np.random.Generator) -> Proposal:
        return Proposal(self.draw_unseen(rng), "random", self.rungs[rung])

    def _promoted(self, architecture: Architecture, rung: int) -> Proposal:
        return Proposal(architecture, "promotion", self.rungs[rung])


class ASHA(_Halving):
    """Asynchronous successive halving.

    New architectures are drawn at random and evaluated at the lowest fidelity. Whenever one is among the best
    1 / `eta` of those that have been evaluated at a fidelity, failed ones included, it is evaluated at the next one;
    high fidelities first, and nobody waits for anybody. What is evaluated therefore depends on the order in which
    parallel evaluations end, as with every asynchronous method; that order is in the journal. Warm-start observations
    are of full evaluations: they are not evaluated again, and on no rung.

    Reference: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, arXiv 1810.05934.
    """

    def _least_budget(self) -> float:
        top, costs = len(self.rungs) - 1, self._costs(0)
        shares = (cost * self.options.eta ** (top - rung) for rung, cost in enumerate(costs))
        return float(sum(shares))

    def propose(self, rng: np.random.Generator) -> Proposal:
        """A promotion on the highest rung that has one, or a new architecture."""
        rungs: list[list[Observation]] = [[] for _ in self.rungs]
        for observation in self.all_observations:
            if observation.trial.number >= 0:
                rungs[self._rung_of(observation.trial)].append(observation)
        for rung in reversed(range(len(rungs) - 1)):
            best = self._ordered(rungs[rung])[: len(rungs[rung]) // self.options.eta]
            if (found := self._waiting(best, rung)) is not None:
                return found
        try:
            return self._new(0, rng)
        except SearchExhaustedError:
            # Of a small space that has been seen as a whole, the best go on.
            for rung in reversed(range(len(rungs) - 1)):
                if (found := self._waiting(self._ordered(rungs[rung]), rung)) is not None:
                    return found
            raise

    def _waiting(self, best: Sequence[Observation], rung: int) -> Proposal | None:
        """The first that has not been asked for above `rung`."""
        for observation in best:
            latest = self.latest_trial(observation.trial.architecture)
            if latest is not None and self.domain.fidelities.amount(latest.fidelity) == self.rungs[rung]:
                return self._promoted(observation.trial.architecture, rung + 1)
        return None


class _HyperbandOptions(_Options):
    brackets: PositiveInt | None = Field(
        None, description="brackets before the first one comes again; 1: successive halving; default: one for each rung"
    )


@dataclass
class _Bracket:
    """A bracket: on its i-th rung, which is the rung `first` + i of all, there are `sizes[i]` architectures."""

    first: int
    sizes: tuple[int, ...]
    members: list[Trial] = field(default_factory=list)
    """The trials on its first rung, in the order of asking."""


class Hyperband(_Halving):
    """Hyperband: successive halving in brackets, from many architectures at the lowest fidelity to few at the full one.

    Bracket s of s_max + 1, where s_max + 1 is the number of rungs, begins with ⌈(s_max + 1) / (s + 1) · eta^s⌉ random
    architectures s rungs below the full fidelity; of n on a rung the best ⌊n / eta⌋ go on to the next. After the last
    bracket the first comes again. A rung is decided when all of it has been evaluated: a free worker begins the next
    bracket meanwhile, and failed evaluations are never among the best. Warm-start observations are of full evaluations:
    they are not evaluated again, and on no rung.

    Reference: Li et al., Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization, JMLR 18(185), 2018,
    arXiv 1603.06560.
    """

    Options = _HyperbandOptions
    options: _HyperbandOptions

    def _bracket(self, number: int) -> _Bracket:
        """The bracket of that number, from 0, still empty."""
        top, eta = len(self.rungs) - 1, self.options.eta
        s = top - number % min(self.options.brackets or top + 1, top + 1)
        sizes = [math.ceil((top + 1) / (s + 1) * eta**s)]
        for _ in range(s):
            sizes.append(sizes[-1] // eta)
        return _Bracket(top - s, tuple(sizes))

    def _least_budget(self) -> float:
        bracket = self._bracket(0)
        *lower, last = zip(bracket.sizes, self._costs(bracket.first), strict=True)
        return sum(size * cost for size, cost in lower) + last[1]

    def propose(self, rng: np.random.Generator) -> Proposal:
        """What the first bracket wants that can go on; a new architecture when all of them wait."""
        brackets = self._begun()
        waiting = [b for b in brackets if len(b.members) == b.sizes[0]]
        if (found := self._promotion(waiting)) is not None:
            return found
        try:
            return self._new(self._open(brackets).first, rng)
        except SearchExhaustedError:
            # Of a small space that has been seen as a whole: a bracket that is never filled goes on with what it has.
            if (found := self._promotion(brackets)) is None:
                raise
            return found

    def _promotion(self, brackets: Sequence[_Bracket]) -> Proposal | None:
        """The next architecture that goes on in the first bracket that has one."""
        told = {(o.trial.architecture, self._rung_of(o.trial)): o for o in self.all_observations if o.trial.number >= 0}
        for bracket in brackets:
            on_rung = [trial.architecture for trial in bracket.members]
            for rung, size in enumerate(bracket.sizes[1:], bracket.first + 1):
                known = [told[place] for architecture in on_rung if (place := (architecture, rung - 1)) in told]
                if len(known) < len(on_rung):
                    break
                on_rung = [o.trial.architecture for o in self._ordered(known)[:size]]
                for architecture in on_rung:
                    latest = self.latest_trial(architecture)
                    if latest is not None and self._rung_of(latest) < rung:
                        return self._promoted(architecture, rung)
        return None

    def _begun(self) -> list[_Bracket]:
        """The brackets in the order in which they began; new architectures fill one after the other."""
        found: list[_Bracket] = []
        seen = set()
        for trial in self.all_trials:
            key = self.domain.identity(trial.architecture)
            if trial.number >= 0 and key not in seen:
                seen.add(key)
                self._open(found).members.append(trial)
        return found

    def _open(self, brackets: list[_Bracket]) -> _Bracket:
        """The bracket that takes the next new architecture; begun where the last one is full."""
        if not brackets or len(brackets[-1].members) == brackets[-1].sizes[0]:
            brackets.append(self._bracket(len(brackets)))
        return brackets[-1]
