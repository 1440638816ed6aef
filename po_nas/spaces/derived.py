"""Spaces that are a part of another one: what they have in common with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.spaces.base import Architecture, GraphEncoding, OperationGraph, Space

__all__ = ["DerivedSpace"]


class DerivedSpace(Space):
    """A space whose architectures are those of a base space, with its name, keys, strings, encodings and networks.

    Subclasses say which there are, and how to move among them.
    """

    def __init__(self, base: Space) -> None:
        self.base = base
        self.name = base.name
        self.operations = base.operations
        self.reference = base.reference

    @property
    def graph_shape(self) -> tuple[int, int, int]:
        """That of the base space."""
        return self.base.graph_shape

    @property
    def vector_size(self) -> int:
        """That of the base space."""
        return self.base.vector_size

    @property
    def numeric_columns(self) -> NDArray[np.intp]:
        """Those of the base space."""
        return self.base.numeric_columns

    @property
    def vector_groups(self) -> tuple[tuple[int, ...], ...]:
        """Those of the base space."""
        return self.base.vector_groups

    def edit_distance(self, first: Architecture, second: Architecture) -> int:
        """That of the base space."""
        return self.base.edit_distance(first, second)

    def canonical(self, architecture: Architecture) -> str:
        """That of the base space."""
        return self.base.canonical(architecture)

    def to_string(self, architecture: Architecture) -> str:
        """That of the base space."""
        return self.base.to_string(architecture)

    def from_string(self, text: str) -> Architecture:
        """Parse a string of the base space; `InvalidArchitectureError` when it is not in this part of it."""
        architecture = self.base.from_string(text)
        self.validate(architecture)
        return architecture

    def config_of(self, architecture: Architecture) -> dict[str, Any]:
        """That of the base space."""
        return self.base.config_of(architecture)

    def encode_graph(self, architecture: Architecture) -> GraphEncoding:
        """That of the base space."""
        return self.base.encode_graph(architecture)

    def encode_vector(self, architecture: Architecture) -> NDArray[np.float64]:
        """That of the base space."""
        return self.base.encode_vector(architecture)

    def encode_vectors(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """Those of the base space."""
        return self.base.encode_vectors(architectures)

    def operation_graph(self, architecture: Architecture) -> OperationGraph:
        """That of the base space."""
        return self.base.operation_graph(architecture)

    def sequence_graph(self, architecture: Architecture) -> OperationGraph:
        """That of the base space."""
        return self.base.sequence_graph(architecture)

    def build(self, architecture: Architecture, **options: Any) -> Any:
        """That of the base space."""
        return self.base.build(architecture, **options)

    @property
    def network_options(self) -> dict[str, Any]:
        """Those of the base space."""
        return self.base.network_options

    @property
    def network_identity(self) -> str:
        """That of the base space."""
        return self.base.network_identity

    def example_inputs(self, samples: int = 16, seed: int = 0, **task: Any) -> tuple[Mapping[str, Any], Any]:
        """Those of the base space."""
        return self.base.example_inputs(samples, seed, **task)
