"""A cell with operations on the edges of a graph, as in NAS-Bench-201 and TransNAS-Bench-101 micro."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from po_nas.spaces.cell import EDGES

__all__ = ["EdgeCell", "live_edges"]

_LAST = 3


def live_edges(code: tuple[int, ...]) -> tuple[bool, ...]:
    """Which of the six edges lie on a path of operations other than ``none`` (0) from node 0 to node 3."""
    present = [edge for edge, operation in zip(EDGES, code, strict=True) if operation]
    # Edges are sorted by target, so one sweep forwards and one backwards close both sets.
    reached, useful = {0}, {_LAST}
    for source, target in present:
        if source in reached:
            reached.add(target)
    for source, target in reversed(present):
        if target in useful:
            useful.add(source)
    return tuple(
        bool(operation) and source in reached and target in useful
        for (source, target), operation in zip(EDGES, code, strict=True)
    )


class EdgeCell(nn.Module):
    """Four nodes, each the sum of the operations on its incoming edges: (b, c, h, w) to (b, d, h / stride, w / stride).

    `make` returns the module of an operation's number for an edge from the given node. Operations that a ``none``
    makes useless are made, for they count as parameters, but not computed unless `dead` asks for it. A cell without a
    path gives zeros. `outputs` and `stride` say what the zeros look like.
    """

    def __init__(
        self, code: tuple[int, ...], make: Callable[[int, int], nn.Module], outputs: int, stride: int, dead: bool
    ) -> None:
        super().__init__()
        self.outputs, self.stride = outputs, stride
        self.edges = nn.ModuleDict()
        for (source, target), operation in zip(EDGES, code, strict=True):
            if operation:
                self.edges[f"{source}_{target}"] = make(operation, source)
        computed = [bool(operation) for operation in code] if dead else live_edges(code)
        self.computed = tuple(edge for edge, used in zip(EDGES, computed, strict=True) if used)

    def forward(self, x: Tensor) -> Tensor:
        nodes: list[Tensor | None] = [x, None, None, None]
        for source, target in self.computed:
            before, sofar = nodes[source], nodes[target]
            term = self.edges[f"{source}_{target}"](self._zeros(x) if before is None else before)
            nodes[target] = term if sofar is None else sofar + term
        result = nodes[_LAST]
        return self._zeros(x) if result is None else result

    def _zeros(self, x: Tensor) -> Tensor:
        """Zeros of the shape of all nodes but the first, tied to `x` so that gradients exist (and are zero)."""
        stride = self.stride
        zeros = x[:, :, ::stride, ::stride] * 0
        missing = self.outputs - zeros.shape[1]
        if not missing:
            return zeros
        return torch.cat([zeros, zeros.new_zeros(len(zeros), missing, *zeros.shape[2:])], dim=1)
