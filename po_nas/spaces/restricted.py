"""A space with limits that its architectures must keep, such as one on their number of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import InvalidArchitectureError, NotEnumerableError
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.declared.errors import InfeasibleError
from po_nas.spaces.derived import DerivedSpace

__all__ = ["RestrictedSpace", "Violations"]

Violations = Callable[[Sequence[Architecture]], NDArray[np.float64]]
"""How far n architectures are beyond the limits (n,): 0 where they keep them, infinite where that is not known."""

_DRAWS = 500
"""Architectures that are drawn before the search for one within the limits walks."""
_WALKS = 4
_STEPS = 300
_PATIENCE = 60
"""Steps of a walk without one that comes nearer."""
_TRIES = 50


class RestrictedSpace(DerivedSpace):
    """The architectures of a base space that keep limits.

    Sampling repeats that of the base space until the limits are kept. In a part so small that 500 draws do not hit it,
    the nearest of them is mutated, and so on as long as mutants are not farther beyond the limits, until one keeps
    them; where that leads nowhere, mutants that keep the limits lead on from one that is known to. Those are not drawn
    uniformly. Mutation and crossover repeat theirs; then a mutation walks back to the limits
    likewise, and a crossover returns a parent. `neighbours` are those of the base space that keep the limits. Where all
    of the base space was listed, so is this part of it, and sampling takes one of the list in the end. Otherwise nobody
    knows how many there are, so the space is neither counted nor enumerated.
    """

    def __init__(self, base: Space, violations: Violations, condition: str, *, listed: bool = False) -> None:
        """Make the space; `condition` tells the limits. `listed` asks for all of the base space at once.

        Raises `InfeasibleError` when no architecture of the list keeps the limits, or none was found.
        """
        super().__init__(base)
        self.condition = condition
        self._violations = violations
        self._known: dict[Architecture, float] = {}
        self.members: tuple[Architecture, ...] | None = None
        self.neighbours_complete = False
        self.size, self.enumerable = None, False
        # Within the limits, and found the same way in every process.
        self._first: Architecture | None = None
        if listed:
            every = list(base.enumerate())
            self._known = dict(zip(every, map(float, violations(every)), strict=True))
            self.members = tuple(a for a, violation in self._known.items() if violation == 0.0)
            self.size, self.enumerable = len(self.members), True
            if not self.members:
                raise InfeasibleError(self.name, [condition], 0, len(every), counted=True)
        else:
            self._first = self.sample(np.random.default_rng(0))

    def violation(self, architecture: Architecture) -> float:
        """How far an architecture of the base space is beyond the limits; asked once for each."""
        # Not by canonical form: cells of one function may differ in size.
        if architecture not in self._known:
            self._known[architecture] = float(self._violations([architecture])[0])
        return self._known[architecture]

    def admits(self, architecture: Architecture) -> bool:
        """Whether an architecture of the base space keeps the limits."""
        return self.violation(architecture) == 0.0

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw from the base space until the limits are kept, or walk to where they are."""
        nearest, least = None, np.inf
        for _ in range(_TRIES if self.members else _DRAWS):
            architecture = self.base.sample(rng)
            violation = self.violation(architecture)
            if violation == 0.0:
                return architecture
            if nearest is None or violation < least:
                nearest, least = architecture, violation
        if self.members:
            return self.members[int(rng.integers(len(self.members)))]
        assert nearest is not None
        for _ in range(_WALKS):
            found = self._walked(nearest, rng)
            if found is not None:
                return found
        if self._first is None:
            raise InfeasibleError(self.name, [self.condition], 0, _DRAWS)
        return self._wandered(self._first, rng)

    def _wandered(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """Where random mutations lead that keep the limits."""
        for _ in range(_STEPS):
            mutant = self.base.mutate(architecture, rng)
            if self.admits(mutant):
                architecture = mutant
        return architecture

    def _walked(self, architecture: Architecture, rng: np.random.Generator) -> Architecture | None:
        """Where mutations lead that do not go farther beyond the limits; None where they stay beyond."""
        violation, idle = self.violation(architecture), 0
        for _ in range(_STEPS):
            if violation == 0.0:
                return architecture
            if idle == _PATIENCE:
                break
            mutant = self.base.mutate(architecture, rng)
            found = self.violation(mutant)
            idle = 0 if found < violation else idle + 1
            if found <= violation:
                architecture, violation = mutant, found
        return architecture if violation == 0.0 else None

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """A mutant of the base space that keeps the limits; where 50 do not, one that walked back, or a sample."""
        mutant = architecture
        for _ in range(_TRIES):
            mutant = self.base.mutate(architecture, rng)
            if self.admits(mutant):
                return mutant
        back = self._walked(self.base.mutate(mutant, rng), rng)
        return self.sample(rng) if back is None or back == architecture else back

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """Those of the base space that keep the limits."""
        return [near for near in self.base.neighbours(architecture) if self.admits(near)]

    def crossover(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
        """A child in the base space that keeps the limits; a parent when 50 do not."""
        for _ in range(_TRIES):
            child = self.base.crossover(first, second, rng)
            if self.admits(child):
                return child
        return first if rng.random() < 0.5 else second

    def steps_towards(self, architecture: Architecture, goal: Architecture) -> Iterator[Architecture]:
        """Those of the base space that keep the limits; the goal itself where none does."""
        steps = [step for step in self.base.steps_towards(architecture, goal) if self.admits(step)]
        return iter(steps or ([] if architecture == goal else [goal]))

    def scale_columns(self, architecture: Architecture) -> NDArray[np.intp]:
        """Those of the base space."""
        return self.base.scale_columns(architecture)

    def at_places(self, architecture: Architecture, places: NDArray[np.float64]) -> Architecture | None:
        """That of the base space; None where it does not keep the limits."""
        found = self.base.at_places(architecture, places)
        return found if found is not None and self.admits(found) else None

    def enumerate(self) -> Iterator[Architecture]:
        """Those of the list; `NotEnumerableError` where there is none."""
        if self.members is None:
            raise NotEnumerableError(self.name, None)
        return iter(self.members)

    def validate(self, architecture: Architecture) -> None:
        """Check that the architecture is one of the base space and keeps the limits."""
        self.base.validate(architecture)
        if not self.admits(architecture):
            raise InvalidArchitectureError(self.name, architecture.code, f"it does not keep {self.condition}")
