"""A finite part of a space as a space of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import ConfigError, InvalidArchitectureError
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.derived import DerivedSpace

__all__ = ["PoolSpace"]

_PROBES = 256
_SHARE = 0.95
_NEIGHBOURS = 4


class PoolSpace(DerivedSpace):
    """A finite set of architectures of a base space, for tables that cover a part of it.

    Architectures keep the name of their base space; strings, encodings, `canonical` and `edit_distance` are the base
    space's. Members are rarely one edit apart, so neighbours are defined by the vector encoding instead: members within
    `radius`, a squared Euclidean distance, the smallest at which at least 95 % of 256 evenly spaced members have four
    neighbours or more. The relation is symmetric; an isolated member has none and mutates to its nearest member.

    `validate` accepts members and whatever is isomorphic to one; `member` finds that one.
    """

    size: int

    def __init__(self, base: Space, architectures: Sequence[Architecture], name: str | None = None) -> None:
        """Make a pool; `label` (by default the base space's name) appears in messages.

        Raises `ConfigError` for an empty pool or one with the same architecture twice, `InvalidArchitectureError` for
        an architecture of another space.
        """
        super().__init__(base)
        self.label = name or f"a pool of {base.name}"
        self._members = tuple(architectures)
        self.size = len(self._members)
        self._positions = {architecture: k for k, architecture in enumerate(self._members)}
        for architecture in self._members:
            if architecture.space != base.name:
                raise InvalidArchitectureError(self.label, architecture.code, f"it belongs to {architecture.space}")
        if len(self._positions) < max(2, self.size):
            raise ConfigError("architectures", f"{self.size} given", "a pool needs two or more different ones")

    def __reduce__(self) -> tuple[type[PoolSpace], tuple[Space, tuple[Architecture, ...], str]]:
        return PoolSpace, (self.base, self._members, self.label)

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """Vector encodings of all members, (size, vector_size), in the order of `enumerate`."""
        vectors = np.empty((self.size, self.vector_size), np.float32)
        for row, architecture in zip(vectors, self._members, strict=True):
            row[:] = self.base.encode_vector(architecture)
        return vectors

    @cached_property
    def radius(self) -> float:
        """Largest squared Euclidean distance between the encodings of neighbours."""
        probes = np.unique(np.linspace(0, self.size - 1, min(_PROBES, self.size)).astype(int))
        wanted = min(_NEIGHBOURS, self.size - 1)
        reach = np.sort([np.partition(self._distances(self.vectors[p]), wanted)[wanted] for p in probes])
        return float(reach[int(np.ceil(_SHARE * len(reach))) - 1])

    @cached_property
    def _by_key(self) -> dict[str, int]:
        return {self.base.canonical(architecture): k for k, architecture in reversed([*enumerate(self._members)])}

    def member(self, architecture: Architecture) -> Architecture:
        """The member that is this architecture, or the first one isomorphic to it.

        Raises `InvalidArchitectureError` when there is none.
        """
        return self._members[self._position(architecture)]

    def _position(self, architecture: Architecture) -> int:
        position = self._positions.get(architecture)
        if position is None:
            self.base.validate(architecture)
            position = self._by_key.get(self.base.canonical(architecture))
        if position is None:
            raise InvalidArchitectureError(self.label, architecture.code, f"it is none of the {self.size:,} members")
        return position

    def _distances(self, vector: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Squared Euclidean distances (size,) of all members from one encoding."""
        # differences, not inner products: they make the distance of two members exactly symmetric
        difference = self.vectors - vector.astype(np.float32)
        squared: NDArray[np.float32] = np.einsum("nd,nd->n", difference, difference)
        return squared

    def sample(self, rng: np.random.Generator) -> Architecture:
        return self._members[int(rng.integers(self.size))]

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """All other members within `radius`, in the order of `enumerate`."""
        position = self._position(architecture)
        near = np.flatnonzero(self._distances(self.vectors[position]) <= self.radius)
        return [self._members[k] for k in near if k != position]

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """A neighbour, drawn uniformly; the nearest other member where there is none."""
        position = self._position(architecture)
        distances = self._distances(self.vectors[position])
        distances[position] = np.inf
        near = np.flatnonzero(distances <= self.radius)
        choice = int(near[rng.integers(len(near))]) if len(near) else int(distances.argmin())
        return self._members[choice]

    def crossover(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
        """The member nearest to the base space's child of the two parents; ties go to the first member."""
        child = self.base.crossover(first, second, rng)
        return self._members[int(self._distances(self.base.encode_vector(child)).argmin())]

    def enumerate(self) -> Iterator[Architecture]:
        """All members in the order in which they were given."""
        return iter(self._members)

    def validate(self, architecture: Architecture) -> None:
        """Check that the architecture is a member or isomorphic to one."""
        self.base.validate(architecture)
        self._position(architecture)

    def __repr__(self) -> str:
        return f"<PoolSpace of {self.name!r}, {self.size:,} architectures>"
