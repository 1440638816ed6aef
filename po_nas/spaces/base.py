"""What a search space is: the contract that every method, benchmark and report relies on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import InvalidArchitectureError, NotEnumerableError
from po_nas.spaces.networks import networks_of

__all__ = ["Architecture", "GraphEncoding", "OperationGraph", "Space"]


@dataclass(frozen=True, slots=True, order=True)
class Architecture:
    """One architecture: the name of its space and a nested tuple of integers whose meaning the space documents.

    Equality is structural. Two architectures that compute the same function may differ here; `Space.canonical` is the
    key that merges them.

    Attributes:
        space: The name of the search space.
        code: A nested tuple of integers; hashable, and the same after JSON.

    Examples:
        >>> import po_nas
        >>> space = po_nas.spaces.get("nasbench201")
        >>> cell = po_nas.Architecture("nasbench201", (3, 3, 0, 3, 0, 3))
        >>> space.to_string(cell)
        '|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|nor_conv_3x3~0|none~1|nor_conv_3x3~2|'
    """

    space: str
    code: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class GraphEncoding:
    """A dense graph of fixed size, the same for every architecture of a space.

    Attributes:
        nodes: Node features (n, f), float32.
        adjacency: (n, n), float32; entry [i, j] = 1 for an edge i → j.
        edges: Edge features (n, n, e), float32, zero where there is no edge.
        mask: (n,), bool; true for real nodes, false for padding.

    Examples:
        >>> import po_nas
        >>> space = po_nas.spaces.get("nasbench201")
        >>> graph = space.encode_graph(space.at(0))
        >>> graph.nodes.shape, graph.adjacency.shape, graph.edges.shape, graph.mask.shape
        ((4, 10), (4, 4), (4, 4, 5), (4,))
    """

    nodes: NDArray[np.float32]
    adjacency: NDArray[np.float32]
    edges: NDArray[np.float32]
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class OperationGraph:
    """An architecture as a directed acyclic graph with one operation per node, in topological order.

    This form is the same for all spaces: drawings, path and subtree features are computed from it. Operations that no
    input reaches or that reach no output are left out.

    Attributes:
        labels: The operation of each node; node 0 is ``"input"`` (DARTS cells have two inputs), the last ``"output"``.
        edges: Pairs (i, j), i < j, for an edge from node i to node j.

    Examples:
        >>> import po_nas
        >>> graph = po_nas.OperationGraph(("input", "conv", "pool", "output"), ((0, 1), (1, 2), (2, 3)))
        >>> graph.labels[1]
        'conv'
    """

    labels: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]


class Space(ABC):
    """A search space over architectures.

    Subclasses set `name` and `size` and implement the abstract methods. Every random draw comes from the generator
    passed in. `po_nas.testing.SpaceConformance` checks the whole contract for a plug-in author:

    * `from_string(to_string(a)) == a` and `from_json(to_json(a)) == a`;
    * `neighbours(a)` are all architectures one elementary edit away (which the subclass names), without `a`; the
      relation is symmetric; `mutate` draws one of them;
    * `edit_distance` is the smallest number of elementary edits, a metric, 1 exactly for neighbours;
    * where `neighbours_complete` is False, both hold of a part: neighbours are some architectures near by, `mutate` may
      draw others, and the edit distance is a metric;
    * `steps_towards(a, b)` lead nearer to b, so that walking on leads there;
    * `canonical(a) == canonical(b)` when `a` and `b` are isomorphic;
    * `crossover(a, b)` is valid and takes each part from one of its parents;
    * `encode_graph` has the shapes `graph_shape`, `encode_vector` the length `vector_size`.

    Attributes:
        name: As in the registry; every architecture carries it.
        size: Number of structurally distinct architectures; None where it is infinite or unknown.
        enumerable: Whether `enumerate` may be called; true up to about a million architectures.
        neighbours_complete: Whether `neighbours` lists exactly what is at edit distance 1; not so, for example, with
            continuous choices.
        operations: Names of the operations, in the order of their integer codes.
        reference: Publication, with its arXiv id.

    Examples:
        >>> import numpy as np
        >>> import po_nas
        >>> space = po_nas.spaces.get("nasbench201")
        >>> rng = np.random.default_rng(0)
        >>> cell = space.sample(rng)
        >>> space.edit_distance(cell, space.mutate(cell, rng))
        1
        >>> space.from_string(space.to_string(cell)) == cell
        True
    """

    name: str
    size: int | None
    enumerable: bool = True
    neighbours_complete: bool = True
    operations: tuple[str, ...] = ()
    reference: str = ""

    @property
    @abstractmethod
    def graph_shape(self) -> tuple[int, int, int]:
        """(n, f, e): nodes, node features and edge features of `encode_graph`."""

    @property
    @abstractmethod
    def vector_size(self) -> int:
        """Length of `encode_vector`."""

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw one architecture; the distribution is documented by the subclass."""

    @abstractmethod
    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """All architectures exactly one elementary edit away, in a fixed order."""

    @abstractmethod
    def crossover(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
        """A valid child whose every part comes from one of the two parents."""

    @abstractmethod
    def edit_distance(self, first: Architecture, second: Architecture) -> int:
        """Smallest number of elementary edits that turn `first` into `second`."""

    @abstractmethod
    def canonical(self, architecture: Architecture) -> str:
        """A key that isomorphic architectures share and others do not."""

    @abstractmethod
    def to_string(self, architecture: Architecture) -> str:
        """The field's customary string, or one that the subclass documents."""

    @abstractmethod
    def from_string(self, text: str) -> Architecture:
        """Parse `to_string`'s output; `InvalidArchitectureError` otherwise."""

    @abstractmethod
    def validate(self, architecture: Architecture) -> None:
        """Raise `InvalidArchitectureError` unless the architecture belongs to this space."""

    def _check_name(self, architecture: Architecture) -> None:
        """The part of `validate` that is the same everywhere."""
        if architecture.space != self.name:
            raise InvalidArchitectureError(self.name, architecture.code, f"it belongs to {architecture.space}")

    @abstractmethod
    def encode_graph(self, architecture: Architecture) -> GraphEncoding:
        """Dense graph encoding of shapes `graph_shape`."""

    @abstractmethod
    def encode_vector(self, architecture: Architecture) -> NDArray[np.float64]:
        """Vector encoding of shape (vector_size,), entries in [0, 1]."""

    def encode_vectors(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """Vector encodings of n architectures, (n, vector_size)."""
        found = np.zeros((len(architectures), self.vector_size))
        for row, architecture in enumerate(architectures):
            found[row] = self.encode_vector(architecture)
        return found

    @abstractmethod
    def operation_graph(self, architecture: Architecture) -> OperationGraph:
        """The architecture as a graph of operations."""

    def sequence_graph(self, architecture: Architecture) -> OperationGraph:
        """The graph whose sequences of operations are counted to compare architectures; by default `operation_graph`.

        A space with choices of very many values leaves these out of its labels: no two architectures would have one in
        common.
        """
        return self.operation_graph(architecture)

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """One elementary edit, drawn uniformly from `neighbours`."""
        near = self.neighbours(architecture)
        return near[int(rng.integers(len(near)))]

    def steps_towards(self, architecture: Architecture, goal: Architecture) -> Iterator[Architecture]:
        """Architectures one edit away that are nearer to another one, in a fixed order; none when it is that one.

        By default the neighbours that are one edit nearer.
        """
        # The goal goes first: spaces that search for distances keep what they found from there.
        left = self.edit_distance(goal, architecture)
        if left:
            yield from (n for n in self.neighbours(architecture) if self.edit_distance(goal, n) == left - 1)

    @property
    def numeric_columns(self) -> NDArray[np.intp]:
        """Columns of `encode_vector` that are the places of single choices on a scale, such as a learning rate."""
        return np.empty(0, dtype=np.intp)

    @property
    def vector_groups(self) -> tuple[tuple[int, ...], ...]:
        """Columns of `encode_vector` by named choice, for kernels that weigh choices; none by default."""
        return ()

    def scale_columns(self, architecture: Architecture) -> NDArray[np.intp]:
        """Columns of `encode_vector` that are places on a scale of what this architecture has; none by default.

        `at_places` finds the architectures for other places.
        """
        return np.empty(0, dtype=np.intp)

    def at_places(self, architecture: Architecture, places: NDArray[np.float64]) -> Architecture | None:
        """The architecture with the values nearest to `places` in its `scale_columns`; None where it is not allowed."""
        return None

    def enumerate(self) -> Iterator[Architecture]:
        """Every architecture once, in a fixed order; `NotEnumerableError` for large spaces."""
        raise NotEnumerableError(self.name, self.size)

    def build(self, architecture: Architecture, **options: Any) -> Any:
        """The network (`torch.nn.Module`) of an architecture, by default the benchmark's own.

        `options` are those of `po_nas.networks.build`. A plug-in registers the networks of its space there.
        """
        return networks_of(self.name).build(architecture, **options)

    @property
    def network_options(self) -> dict[str, Any]:
        """What networks of this space can be built with, by name, and the defaults.

        Raises `UnknownNameError` for a space without networks.
        """
        return networks_of(self.name).options()

    @property
    def network_identity(self) -> str:
        """What tells the networks of this space from those of others, for keys of kept scores: its name."""
        return self.name

    def example_inputs(self, samples: int = 16, seed: int = 0, **task: Any) -> tuple[Mapping[str, Any], Any]:
        """Options for `build`, and a made-up batch (`proxies.Batch`) of about `samples` that the network takes.

        `task` says how a task differs from the usual one (``num_classes=100``); what there is to say depends on the
        space. `seed` decides the inputs. Raises `UnknownNameError` for a space without networks.
        """
        return networks_of(self.name).example_inputs(samples, seed, **task)

    def to_json(self, architecture: Architecture) -> dict[str, Any]:
        """A JSON-serialisable value: the space's name and the code as nested lists."""
        return {"space": architecture.space, "code": _lists(architecture.code)}

    def from_json(self, value: Any) -> Architecture:
        """Inverse of `to_json`; `InvalidArchitectureError` for anything else."""
        if not isinstance(value, dict) or not isinstance(value.get("code"), list) or value.get("space") != self.name:
            raise InvalidArchitectureError(self.name, value, 'expected {"space": …, "code": […]} of this space')
        architecture = Architecture(self.name, _tuples(value["code"]))
        self.validate(architecture)
        return architecture

    def config_of(self, architecture: Architecture) -> dict[str, Any]:
        """The architecture as named choices, for functions that know nothing of this package: values of JSON.

        By default its string under the name ``architecture``.
        """
        return {"architecture": self.to_string(architecture)}

    def __repr__(self) -> str:
        counted = "no end of architectures" if self.size is None else f"{self.size:,} architectures"
        return f"<{type(self).__name__} {self.name!r}, {counted}>"


def _lists(value: Any) -> Any:
    return [_lists(v) for v in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
