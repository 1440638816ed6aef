"""Spaces that are a product of categorical variables: one integer per variable."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterator
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import InvalidArchitectureError
from po_nas.spaces.base import Architecture, Space

__all__ = ["CategoricalSpace"]


class CategoricalSpace(Space):
    """A space whose code is one integer per variable, variable v in 0 .. cardinalities[v] - 1.

    The elementary edit sets one variable to another value, so the edit distance is the Hamming distance. Sampling is
    uniform over the codes, crossover takes each variable from either parent with probability one half.

    A subclass sets `name`, `operations`, `cardinalities`, `variables` and `graph_shape`, and implements `to_string`,
    `from_string`, `canonical`, `operation_graph` and `encode_graph`.

    Attributes:
        cardinalities: Number of values of each variable.
        size: Product of the cardinalities.

    Examples:
        >>> import po_nas
        >>> space = po_nas.spaces.get("nasbench201")
        >>> isinstance(space, po_nas.CategoricalSpace), space.cardinalities, space.size
        (True, (5, 5, 5, 5, 5, 5), 15625)
    """

    cardinalities: ClassVar[tuple[int, ...]]
    size: int

    def __init__(self) -> None:
        self.size = prod(self.cardinalities)

    @property
    @abstractmethod
    def variables(self) -> tuple[str, ...]:
        """A name for each variable, for reports and error messages."""

    @property
    def vector_size(self) -> int:
        """Sum of the cardinalities: the variables one-hot, one after the other."""
        return sum(self.cardinalities)

    def sample(self, rng: np.random.Generator) -> Architecture:
        return Architecture(self.name, tuple(int(v) for v in rng.integers(self.cardinalities)))

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """All codes that differ in exactly one variable."""
        code = architecture.code
        return [
            Architecture(self.name, (*code[:v], value, *code[v + 1 :]))
            for v, cardinality in enumerate(self.cardinalities)
            for value in range(cardinality)
            if value != code[v]
        ]

    def crossover(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
        """Uniform crossover."""
        take = rng.random(len(self.cardinalities)) < 0.5
        return Architecture(
            self.name, tuple(a if t else b for a, b, t in zip(first.code, second.code, take, strict=True))
        )

    def edit_distance(self, first: Architecture, second: Architecture) -> int:
        """Number of variables that differ."""
        return sum(a != b for a, b in zip(first.code, second.code, strict=True))

    def validate(self, architecture: Architecture) -> None:
        code = architecture.code
        self._check_name(architecture)
        if len(code) != len(self.cardinalities):
            raise InvalidArchitectureError(self.name, code, f"expected {len(self.cardinalities)} integers")
        for name, value, cardinality in zip(self.variables, code, self.cardinalities, strict=True):
            if type(value) is not int or not 0 <= value < cardinality:
                raise InvalidArchitectureError(self.name, code, f"{name} is {value!r}, expected 0 to {cardinality - 1}")

    def encode_vector(self, architecture: Architecture) -> NDArray[np.float64]:
        vector = np.zeros(self.vector_size)
        vector[np.cumsum((0, *self.cardinalities[:-1])) + architecture.code] = 1.0
        return vector

    def config_of(self, architecture: Architecture) -> dict[str, Any]:
        """The variables by name: operations where every variable chooses one of them, else the integers of the code."""
        names = self.operations
        chosen = set(self.cardinalities) == {len(names)}
        values = [names[value] for value in architecture.code] if chosen else architecture.code
        return dict(zip(self.variables, values, strict=True))

    def enumerate(self) -> Iterator[Architecture]:
        """All codes in lexicographic order."""
        for code in itertools.product(*(range(c) for c in self.cardinalities)):
            yield Architecture(self.name, code)

    def index(self, architecture: Architecture) -> int:
        """Position of the architecture in `enumerate`, in 0 .. size - 1; `InvalidArchitectureError` if it has none."""
        position = 0
        if len(architecture.code) != len(self.cardinalities):
            self.validate(architecture)
        for value, cardinality in zip(architecture.code, self.cardinalities, strict=True):
            if not 0 <= value < cardinality:
                self.validate(architecture)
            position = position * cardinality + value
        return position

    def at(self, position: int) -> Architecture:
        """Inverse of `index`."""
        code = []
        position = int(position)
        for cardinality in reversed(self.cardinalities):
            position, value = divmod(position, cardinality)
            code.append(value)
        return Architecture(self.name, tuple(reversed(code)))
