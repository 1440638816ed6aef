"""The NAS-Bench-201 cell space: 15,625 cells."""

from __future__ import annotations

from po_nas.errors import InvalidArchitectureError
from po_nas.spaces.base import Architecture
from po_nas.spaces.cell import EDGES, EdgeCellSpace

__all__ = ["NASBench201Space"]


class NASBench201Space(EdgeCellSpace):
    """NAS-Bench-201: six edges, five operations, 15,625 cells.

    Strings are those of the benchmark's API, for example
    ``|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|``.

    `canonical` merges cells that compute the same function: 4,930 classes. The rule printed with the benchmark gives
    6,466, because it leaves some zero terms in its strings; it separates cells that are the same network.

    References: Dong and Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search,
    ICLR 2020, arXiv 2001.00326.
    """

    name = "nasbench201"
    operations = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    cardinalities = (5,) * 6
    skip_is_identity = True
    reference = "Dong and Yang, ICLR 2020, arXiv 2001.00326"

    def to_string(self, architecture: Architecture) -> str:
        parts: dict[int, str] = {}
        for (source, target), operation in zip(EDGES, architecture.code, strict=True):
            parts[target] = parts.get(target, "|") + f"{self.operations[operation]}~{source}|"
        return "+".join(parts[target] for target in sorted(parts))

    def from_string(self, text: str) -> Architecture:
        code = []
        nodes = text.strip().split("+")
        if len(nodes) != 3:
            raise InvalidArchitectureError(self.name, text, "expected three nodes joined by '+'")
        for target, node in enumerate(nodes, 1):
            edges = node.strip("|").split("|")
            if len(edges) != target:
                raise InvalidArchitectureError(self.name, text, f"node {target} must have {target} edges")
            for source, edge in enumerate(edges):
                operation, _, tail = edge.partition("~")
                if operation not in self.operations or tail != str(source):
                    raise InvalidArchitectureError(
                        self.name, text, f"{edge!r} is no operation~{source}; operations: {', '.join(self.operations)}"
                    )
                code.append(self.operations.index(operation))
        return Architecture(self.name, tuple(code))
