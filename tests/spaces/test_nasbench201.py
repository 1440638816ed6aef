"""NAS-Bench-201 cells: strings, and what counts as the same cell."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from po_nas import spaces
from po_nas.errors import InvalidArchitectureError
from po_nas.spaces.base import Architecture
from po_nas.spaces.cell import EDGES, NASBench201Space
from po_nas.testing import SpaceConformance

SPACE = NASBench201Space()
NONE, SKIP = 0, 1


def cell(*code: int) -> Architecture:
    return Architecture("nasbench201", code)


class TestConformance(SpaceConformance):
    space = NASBench201Space

    def isomorphic(self, architecture, rng):
        """Swap nodes 1 and 2 where no edge links them, or put random operations on edges out of an empty node 1."""
        e01, e02, e12, e03, e13, e23 = architecture.code
        if e12 == NONE:
            return cell(e02, e01, e12, e03, e23, e13)
        if e01 == NONE:
            return cell(e01, e02, int(rng.integers(5)), e03, int(rng.integers(5)), e23)
        return architecture


def test_is_registered():
    assert isinstance(spaces.get("nasbench201"), NASBench201Space)


def test_api_string_of_a_known_cell():
    # the cell with the best 200-epoch CIFAR-10 validation accuracy, API index 6111
    text = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    assert SPACE.from_string(text).code == (3, 3, 3, 1, 3, 3)
    assert SPACE.to_string(cell(3, 3, 3, 1, 3, 3)) == text


@pytest.mark.parametrize(
    "text",
    [
        "|nor_conv_3x3~0|+|none~0|none~1|",
        "|nor_conv_3x3~0|+|none~1|none~0|+|none~0|none~1|none~2|",
        "|nor_conv_5x5~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        "|none~0|none~1|+|none~0|none~1|+|none~0|none~1|none~2|",
    ],
)
def test_rejects_near_misses(text):
    with pytest.raises(InvalidArchitectureError):
        SPACE.from_string(text)


def published_rule(code: tuple[int, ...]) -> str:
    """The string rule printed with the benchmark: skip passes through, zeros stay among the sorted summands."""
    text = ["x"]
    for node in (1, 2, 3):
        terms = []
        for (source, target), operation in zip(EDGES, code, strict=True):
            if target == node:
                if operation == NONE or text[source] == "#":
                    terms.append("#")
                else:
                    terms.append(text[source] if operation == SKIP else f"({text[source]}@{operation})")
        text.append("+".join(sorted(terms)))
    return text[3]


def test_6466_cells_by_the_published_rule_and_4930_functions():
    every = list(SPACE.enumerate())
    published = {a: published_rule(a.code) for a in every}
    keys = {a: SPACE.canonical(a) for a in every}
    assert len(set(published.values())) == 6466
    assert len(set(keys.values())) == 4930
    # whatever the published rule merges, the function does as well
    assert len({(published[a], keys[a]) for a in every}) == 6466


def test_canonical_is_equality_of_the_computed_function():
    """Run every cell on numbers: two cells are one class exactly when they give the same output.

    Operations are fixed non-linear maps modulo a prime that send 0 to 0, so sums are exact and independent of order.
    """
    prime = 2**31 - 1
    rng = np.random.default_rng(201)
    a, b = rng.integers(1, prime, size=(2, 5, 1, 3))
    codes = np.array([architecture.code for architecture in SPACE.enumerate()])

    def apply(operation: int, x: np.ndarray) -> np.ndarray:
        if operation == NONE:
            return np.zeros_like(x)
        if operation == SKIP:
            return x
        cube = x * x % prime * x % prime
        return (a[operation] * cube % prime + b[operation] * x % prime) % prime

    values = [np.broadcast_to(rng.integers(1, prime, size=3), (len(codes), 3))]
    for node in (1, 2, 3):
        total = np.zeros((len(codes), 3), np.int64)
        for edge, (source, target) in enumerate(EDGES):
            if target == node:
                for operation in range(5):
                    rows = codes[:, edge] == operation
                    total[rows] += apply(operation, values[source][rows])
        values.append(total % prime)
    outputs = [tuple(row) for row in values[3].tolist()]
    keys = [SPACE.canonical(architecture) for architecture in SPACE.enumerate()]
    assert len(set(outputs)) == 4930
    assert len(set(zip(outputs, keys, strict=True))) == len(set(keys)) == 4930


def test_swapping_unconnected_nodes_keeps_the_key():
    for e01, e02, e03, e13, e23 in itertools.product((0, 1, 3, 4), repeat=5):
        assert SPACE.canonical(cell(e01, e02, NONE, e03, e13, e23)) == SPACE.canonical(
            cell(e02, e01, NONE, e03, e23, e13)
        )


def test_operation_graph_leaves_dead_edges_out():
    # node 2 is fed but its way on is none; 1 → 3 is fed by nothing
    graph = SPACE.operation_graph(cell(0, 3, 2, 1, 4, 0))
    assert graph.labels == ("input", "skip_connect", "output")
    assert graph.edges == ((0, 1), (1, 2))


def test_graph_encoding_of_a_known_cell():
    graph = SPACE.encode_graph(cell(3, 0, 1, 4, 2, 3))
    assert graph.nodes[0].tolist() == [0] * 10
    assert graph.nodes[3].tolist() == [1, 1, 1, 0, 1, 0, 0, 1, 1, 1]
    assert graph.edges[1, 2].tolist() == [0, 1, 0, 0, 0]
    assert graph.adjacency.sum() == 6


def test_index_and_at_are_inverse():
    for position, architecture in zip(range(0, 15625, 631), list(SPACE.enumerate())[::631], strict=True):
        assert SPACE.index(architecture) == position
        assert SPACE.at(position) == architecture
