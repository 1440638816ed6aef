"""Graph encodings of many architectures as one batch of tensors: what every neural predictor reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from po_nas.errors import EncodingError
from po_nas.switches import default_switches, plain

__all__ = ["Encodings", "GraphLike", "Shape"]


class GraphLike(Protocol):
    """One architecture as a dense graph of fixed size, for example a `po_nas.spaces.base.GraphEncoding`.

    `nodes` (n, f); `adjacency` (n, n), entry [i, j] = 1 for an edge i → j; `edges` (n, n, e), zero where there is no
    edge; `mask` (n,) true for real nodes.
    """

    @property
    def nodes(self) -> NDArray[np.float32]:
        """Node features (n, f)."""

    @property
    def adjacency(self) -> NDArray[np.float32]:
        """Adjacency (n, n)."""

    @property
    def edges(self) -> NDArray[np.float32]:
        """Edge features (n, n, e)."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Which nodes are real (n,)."""


class Shape(NamedTuple):
    """Sizes that the encodings of one space share."""

    nodes: int
    """Nodes of a graph, padding included (n)."""
    node_features: int
    """Features of a node (f)."""
    edge_features: int
    """Features of an edge (e)."""
    proxy_scores: int
    """Number of proxy scores of an architecture (p); 0 without."""


@dataclass(frozen=True)
class Encodings:
    """Encodings of k architectures of one space.

    `Encodings.stack` makes them of the graphs of a space. All tensors are on one device.

    Attributes:
        nodes: Node features (k, n, f), float32.
        adjacency: (k, n, n), float32.
        edges: Edge features (k, n, n, e), float32.
        mask: (k, n), bool; true for real nodes.
        proxy_scores: (k, p), float32, any scale; None without.

    Raises:
        EncodingError: For wrong shapes, and values that are NaN or infinite.

    Examples:
        >>> import po_nas, surrogates
        >>> space = po_nas.spaces.get("nasbench201")
        >>> encodings = surrogates.Encodings.stack(space.encode_graph(space.at(row)) for row in (0, 7, 42))
        >>> len(encodings), encodings.shape.nodes, encodings[:2].nodes.shape
        (3, 4, torch.Size([2, 4, 10]))
    """

    nodes: torch.Tensor
    adjacency: torch.Tensor
    edges: torch.Tensor
    mask: torch.Tensor
    proxy_scores: torch.Tensor | None = None

    def __post_init__(self) -> None:
        for part in ("nodes", "adjacency", "edges", "mask", "proxy_scores"):
            if (values := getattr(self, part)) is not None:
                object.__setattr__(self, part, plain(values))
        if self.nodes.ndim != 3:
            raise EncodingError(f"nodes have shape {tuple(self.nodes.shape)}, expected (k, n, f)")
        k, n, _ = self.nodes.shape
        _expect("adjacency", self.adjacency, (k, n, n))
        _expect("edges", self.edges, (k, n, n, None))
        _expect("mask", self.mask, (k, n))
        if self.proxy_scores is not None:
            _expect("proxy_scores", self.proxy_scores, (k, None))
        for part in ("nodes", "adjacency", "edges", "proxy_scores"):
            values = getattr(self, part)
            if values is None or not k:
                continue
            finite = torch.isfinite(values).flatten(1).all(1)
            if not finite.all():
                row = int((~finite).nonzero()[0])
                remedy = "; leave it out, or replace what is missing" if part == "proxy_scores" else ""
                raise EncodingError(f"{part} of architecture {row} are NaN or infinite{remedy}")

    @classmethod
    @default_switches()
    def stack(
        cls, graphs: Iterable[GraphLike], proxy_scores: torch.Tensor | NDArray[np.floating[Any]] | None = None
    ) -> Encodings:
        """Encodings of several graphs of the same shapes, on the CPU; `proxy_scores` (k, p) are optional."""
        listed = list(graphs)
        if not listed:
            raise EncodingError("there is no graph to stack; give at least one")
        stacked = []
        for part in ("nodes", "adjacency", "edges", "mask"):
            arrays = [getattr(graph, part) for graph in listed]
            for position, array in enumerate(arrays):
                if array.shape != arrays[0].shape:
                    raise EncodingError(
                        f"graph {position} has {part} of shape {array.shape}, graph 0 of {arrays[0].shape}; "
                        "stack architectures of one space"
                    )
            stacked.append(torch.from_numpy(np.stack(arrays)))
        nodes, adjacency, edges, mask = stacked
        found = None if proxy_scores is None else torch.as_tensor(proxy_scores, dtype=torch.float32)
        return cls(nodes.float(), adjacency.float(), edges.float(), mask.bool(), found)

    @property
    def shape(self) -> Shape:
        """The sizes that are not k."""
        _, n, f = self.nodes.shape
        return Shape(n, f, self.edges.shape[-1], 0 if self.proxy_scores is None else self.proxy_scores.shape[-1])

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.nodes.device

    def to(self, device: torch.device | str) -> Encodings:
        """The same encodings on a device."""
        return self._each(lambda part: part.to(device))

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, index: int | slice | torch.Tensor) -> Encodings:
        """Rows; an integer gives encodings of length one."""
        if isinstance(index, int):
            index = slice(index, index + 1 if index != -1 else None)
        return self._each(lambda part: part[index])

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Encodings:
        proxy_scores = None if self.proxy_scores is None else change(self.proxy_scores)
        nodes, adjacency, edges, mask = map(change, (self.nodes, self.adjacency, self.edges, self.mask))
        return Encodings(nodes, adjacency, edges, mask, proxy_scores)


def _expect(name: str, tensor: torch.Tensor, shape: tuple[int | None, ...]) -> None:
    found = tuple(tensor.shape)
    if len(found) != len(shape) or any(b is not None and a != b for a, b in zip(found, shape, strict=True)):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise EncodingError(f"{name} have shape {found}, expected ({wanted}) to fit the nodes")
