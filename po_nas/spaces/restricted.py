"""A space with a condition that its architectures must fulfil, such as a bound on their number of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import InvalidArchitectureError, NotEnumerableError
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.declared.errors import InfeasibleError
from po_nas.spaces.derived import DerivedSpace

__all__ = ["RestrictedSpace"]

_PROBED = 500
_ENOUGH = 3
_DRAWS = 20_000
_TRIES = 50


class RestrictedSpace(DerivedSpace):
    """The architectures of a base space that fulfil a condition.

    Sampling repeats that of the base space until the condition holds, mutation and crossover repeat theirs and fall
    back on a sample and on a parent. `neighbours` are those of the base space that fulfil it. Nobody knows how many
    there are, so the space is neither counted nor enumerated.
    """

    def __init__(self, base: Space, admits: Callable[[Architecture], bool], condition: str) -> None:
        """`admits` says whether an architecture fulfils the condition, which `condition` tells.

        Raises `InfeasibleError` when hardly any of up to 500 sampled architectures does.
        """
        super().__init__(base)
        self.condition = condition
        self.size = None
        self.enumerable = False
        self.neighbours_complete = False
        self._admits = admits
        self._known: dict[str, bool] = {}
        rng, passed = np.random.default_rng(0), 0
        for _ in range(_PROBED):
            passed += self.admits(base.sample(rng))
            if passed == _ENOUGH:
                return
        raise InfeasibleError(self.name, [condition], passed, _PROBED)

    def admits(self, architecture: Architecture) -> bool:
        """Whether an architecture of the base space fulfils the condition; asked once for each key."""
        key = self.base.canonical(architecture)
        if key not in self._known:
            self._known[key] = self._admits(architecture)
        return self._known[key]

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw from the base space until the condition holds."""
        for _ in range(_DRAWS):
            architecture = self.base.sample(rng)
            if self.admits(architecture):
                return architecture
        raise InfeasibleError(self.name, [self.condition], 0, _DRAWS)

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """A mutant of the base space that fulfils the condition; a sample when 50 do not."""
        for _ in range(_TRIES):
            mutant = self.base.mutate(architecture, rng)
            if self.admits(mutant):
                return mutant
        return self.sample(rng)

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """Those of the base space that fulfil the condition."""
        return [near for near in self.base.neighbours(architecture) if self.admits(near)]

    def crossover(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
        """A child in the base space that fulfils the condition; a parent when 50 do not."""
        for _ in range(_TRIES):
            child = self.base.crossover(first, second, rng)
            if self.admits(child):
                return child
        return first if rng.random() < 0.5 else second

    def steps_towards(self, architecture: Architecture, goal: Architecture) -> Iterator[Architecture]:
        """Those of the base space that fulfil the condition; the goal itself where none does."""
        steps = [step for step in self.base.steps_towards(architecture, goal) if self.admits(step)]
        return iter(steps or ([] if architecture == goal else [goal]))

    def scale_columns(self, architecture: Architecture) -> NDArray[np.intp]:
        """Those of the base space."""
        return self.base.scale_columns(architecture)

    def at_places(self, architecture: Architecture, places: NDArray[np.float64]) -> Architecture | None:
        """That of the base space; None where it does not fulfil the condition."""
        found = self.base.at_places(architecture, places)
        return found if found is not None and self.admits(found) else None

    def enumerate(self) -> Iterator[Architecture]:
        """Raise `NotEnumerableError`."""
        raise NotEnumerableError(self.name, None)

    def validate(self, architecture: Architecture) -> None:
        """Check that the architecture is one of the base space and fulfils the condition."""
        self.base.validate(architecture)
        if not self.admits(architecture):
            raise InvalidArchitectureError(self.name, architecture.code, f"it does not fulfil {self.condition}")
