"""Groups of alike architectures, within which a proxy may order them quite differently."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from po_nas.benchmarks.base import Benchmark
from po_nas.spaces.base import OperationGraph

__all__ = ["dominant_operation", "groups_of"]

_ENDS = ("input", "output")


def dominant_operation(graph: OperationGraph) -> str:
    """The operation that at least half of the graph's operations are, or ``"mixed"``; ``"none"`` for an empty graph."""
    labels = [label for label in graph.labels if not label.rpartition(".")[2].startswith(_ENDS)]
    if not labels:
        return "none"
    label, count = Counter(labels).most_common(1)[0]
    return label if 2 * count >= len(labels) else "mixed"


def groups_of(
    benchmark: Benchmark, sizes: NDArray[np.float64] | None, smallest: int = 50
) -> dict[str, NDArray[np.bool_]]:
    """Named row masks: all; thirds by number of parameters `sizes` (rows,); one per dominant operation.

    Groups of fewer than `smallest` rows are left out: a rank correlation of some dozen points is mostly noise.
    """
    n = len(benchmark.rows)
    found = {"all": np.ones(n, dtype=bool)}
    if sizes is not None:
        low, high = np.nanquantile(sizes, (1 / 3, 2 / 3))
        found["few parameters"] = sizes <= low
        found["medium"] = (sizes > low) & (sizes <= high)
        found["many parameters"] = sizes > high
    graphs = (benchmark.space.operation_graph(benchmark.rows.architecture(row)) for row in range(n))
    dominant = np.array([dominant_operation(graph) for graph in graphs])
    for label in sorted(set(dominant)):
        found[f"mostly {label}" if label not in ("mixed", "none") else label] = dominant == label
    return {name: mask for name, mask in found.items() if mask.sum() >= smallest}
