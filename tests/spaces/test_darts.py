"""The DARTS space: uniform sampling, minimal edit distances, genotype strings, isomorphic cells."""

from __future__ import annotations

import itertools
from collections import Counter, deque

import networkx as nx
import numpy as np
import pytest

from po_nas.errors import InvalidArchitectureError
from po_nas.spaces.base import Architecture
from po_nas.spaces.darts import DARTSSpace, node_distance, node_neighbours
from po_nas.testing import SpaceConformance

SPACE = DARTSSpace()


def relabelled(cell, rng):
    """The cell with its intermediate nodes in another order in which inputs come first."""
    while True:
        order = [2, 3, 4, 5]
        rng.shuffle(order)
        new = {0: 0, 1: 1, **{old: k for k, old in enumerate(order, 2)}}
        nodes = [tuple(sorted((new[source], operation) for source, operation in cell[old - 2])) for old in order]
        if all(source < k for k, node in enumerate(nodes, 2) for source, _ in node):
            return tuple(nodes)


class TestConformance(SpaceConformance):
    space = DARTSSpace

    def isomorphic(self, architecture, rng):
        return Architecture("darts", tuple(relabelled(cell, rng) for cell in architecture.code))


def test_size():
    assert SPACE.size == (1 * 3 * 6 * 10 * 7**8) ** 2


# the CIFAR-10 genotype published with DARTS (second order)
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)


def test_published_genotype():
    architecture = SPACE.from_string(DARTS_V2)
    assert architecture.code == (
        (((0, 3), (1, 3)), ((0, 3), (1, 3)), ((0, 2), (1, 3)), ((0, 2), (2, 5))),
        (((0, 0), (1, 0)), ((1, 0), (2, 2)), ((0, 0), (2, 2)), ((1, 0), (2, 2))),
    )
    text = SPACE.to_string(architecture)
    assert text.startswith("Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0)")
    assert text.endswith("reduce_concat=[2, 3, 4, 5])")
    assert SPACE.from_string(DARTS_V2.replace("[2, 3, 4, 5]", "range(2, 6)")) == architecture


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Genotype", "dict"),
        ("reduce_concat=[2, 3, 4, 5]", "reduce_concat=[2, 3, 4]"),
        ("reduce_concat=[2, 3, 4, 5]", "reduce_concat=range(2, 10**12)"),
        ("reduce_concat", "concat"),
        ("reduce=", "normal="),
        ("('sep_conv_3x3', 1), ('skip_connect', 0)", "('sep_conv_3x3', 1), ('none', 0)"),
        ("('sep_conv_3x3', 1), ('skip_connect', 0)", "('sep_conv_3x3', 0), ('skip_connect', 0)"),
        ("('sep_conv_3x3', 1), ('skip_connect', 0)", "('sep_conv_3x3', 4), ('skip_connect', 0)"),
        ("('sep_conv_3x3', 1), ('skip_connect', 0), ", ""),
        ("('skip_connect', 0)", "('skip_connect', __import__('os').getpid())"),
        ("('skip_connect', 0)", "('skip_connect', True)"),
        ("('skip_connect', 0)", "(" * 500 + "'skip_connect', 0" + ")" * 500),
    ],
)
def test_rejects_near_misses(old, new):
    assert old in DARTS_V2
    with pytest.raises(InvalidArchitectureError):
        SPACE.from_string(DARTS_V2.replace(old, new))


def test_from_naslib():
    # first record of the NAS-Bench-301 sample of NAS-Bench-Suite-Zero
    normal = [(0, 0), (1, 5), (1, 1), (0, 1), (1, 3), (0, 3), (1, 3), (3, 2)]
    reduce = [(1, 0), (0, 2), (1, 3), (0, 3), (3, 0), (0, 1), (2, 0), (3, 6)]
    assert SPACE.from_naslib(normal, reduce).code == (
        (((0, 0), (1, 5)), ((0, 1), (1, 1)), ((0, 3), (1, 3)), ((1, 3), (3, 2))),
        (((0, 2), (1, 0)), ((0, 3), (1, 3)), ((0, 1), (3, 0)), ((2, 0), (3, 6))),
    )
    with pytest.raises(InvalidArchitectureError):
        SPACE.from_naslib(normal[:-1], reduce)
    with pytest.raises(InvalidArchitectureError):
        SPACE.from_naslib([(0, 7), *normal[1:]], reduce)


def chi_square(counts: list[int]) -> float:
    expected = sum(counts) / len(counts)
    return sum((count - expected) ** 2 / expected for count in counts)


def test_every_operation_and_every_wiring_is_equally_likely():
    rng = np.random.default_rng(3)
    nodes = [[cell[k] for _ in range(1500) for cell in SPACE.sample(rng).code] for k in range(4)]
    operations = Counter(operation for column in nodes for node in column for _, operation in node)
    assert sorted(operations) == list(range(7))
    assert chi_square(list(operations.values())) < 22.5  # 6 degrees of freedom, p = 0.001
    for column, wirings, bound in zip(nodes[1:], (3, 6, 10), (13.8, 20.5, 27.9), strict=True):
        pairs = Counter((node[0][0], node[1][0]) for node in column)
        assert len(pairs) == wirings
        assert chi_square(list(pairs.values())) < bound  # wirings - 1 degrees of freedom, p = 0.001
    slots = Counter(node[slot][1] * 2 + slot for node in nodes[0] for slot in (0, 1))
    assert chi_square(list(slots.values())) < 34.5  # 13 degrees of freedom, p = 0.001


def slot_states(inputs: int, operations: int):
    """All states of a node as a vector over its inputs: 0 for an unused one, else the operation plus one."""
    return [state for state in itertools.product(range(operations + 1), repeat=inputs) if inputs - state.count(0) == 2]


def slot_edits(state, operations: int):
    """Change a used slot's operation, move it into an empty slot, or swap two used slots."""
    used = [k for k, value in enumerate(state) if value]
    for k in used:
        for value in range(1, operations + 1):
            yield (*state[:k], value, *state[k + 1 :])
        for empty in set(range(len(state))) - set(used):
            moved = list(state)
            moved[k], moved[empty] = 0, state[k]
            yield tuple(moved)
    swapped = list(state)
    swapped[used[0]], swapped[used[1]] = state[used[1]], state[used[0]]
    yield tuple(swapped)


def as_node(state):
    return tuple((k, value - 1) for k, value in enumerate(state) if value)


@pytest.mark.parametrize(("inputs", "operations"), [(2, 7), (3, 5), (4, 4), (5, 4)])
def test_node_distance_is_breadth_first_distance(inputs, operations):
    states = slot_states(inputs, operations)
    for start in states:
        found, queue = {start: 0}, deque([start])
        while queue:
            here = queue.popleft()
            for near in slot_edits(here, operations):
                if near not in found:
                    found[near] = found[here] + 1
                    queue.append(near)
        assert len(found) == len(states)
        assert {end: node_distance(as_node(start), as_node(end)) for end in states} == found
        expected = {as_node(end) for end, distance in found.items() if distance == 1}
        near = node_neighbours(as_node(start), inputs, operations)
        assert set(near) == expected
        assert len(near) == len(expected)


def test_node_distance_where_the_published_cost_is_not_minimal():
    assert node_distance(((0, 3), (1, 3)), ((0, 3), (1, 3))) == 0  # charged 2 there
    assert node_distance(((0, 3), (1, 3)), ((0, 3), (2, 3))) == 1  # charged 4 there


def test_an_architecture_has_up_to_128_neighbours():
    differing = tuple(((0, 0), (1, 1)) for _ in range(4))
    equal = tuple(((0, 2), (1, 2)) for _ in range(4))
    assert len(SPACE.neighbours(Architecture("darts", (differing, differing)))) == 128
    assert len(SPACE.neighbours(Architecture("darts", (differing, equal)))) == 124


def as_networkx(cell):
    graph = nx.DiGraph()
    graph.add_nodes_from([(0, {"kind": 0}), (1, {"kind": 1}), *((k, {"kind": 2}) for k in range(2, 6))])
    for target, node in enumerate(cell, 2):
        graph.add_edges_from((source, target, {"operation": operation}) for source, operation in node)
    return graph


def test_canonical_is_graph_isomorphism():
    rng = np.random.default_rng(4)
    found = Counter()
    for _ in range(200):
        # few operations, so that cells that were not relabelled are isomorphic now and then
        cells = [tuple(tuple((s, o % 2) for s, o in node) for node in SPACE.sample(rng).code[0]) for _ in range(2)]
        for other in (cells[1], relabelled(cells[0], rng), relabelled(SPACE.mutate(pair(cells[0]), rng).code[0], rng)):
            same = nx.is_isomorphic(
                as_networkx(cells[0]),
                as_networkx(other),
                node_match=lambda a, b: a["kind"] == b["kind"],
                edge_match=lambda a, b: a["operation"] == b["operation"],
            )
            assert (SPACE.canonical(pair(cells[0])) == SPACE.canonical(pair(other))) == same
            found[same] += 1
    assert found[True] > 150
    assert found[False] > 150


def pair(cell):
    return Architecture("darts", (cell, cell))


def test_canonical_keeps_the_inputs_and_the_two_cells_apart():
    a = (((0, 0), (1, 1)), ((0, 0), (1, 1)), ((0, 0), (1, 1)), ((0, 0), (1, 1)))
    b = tuple(((0, 1), (1, 0)) for _ in range(4))
    assert SPACE.canonical(pair(a)) != SPACE.canonical(pair(b))
    assert SPACE.canonical(Architecture("darts", (a, b))) != SPACE.canonical(Architecture("darts", (b, a)))


def test_crossover_takes_whole_nodes():
    rng = np.random.default_rng(5)
    first, second = SPACE.sample(rng), SPACE.sample(rng)
    child = SPACE.crossover(first, second, rng)
    for cells in zip(child.code, first.code, second.code, strict=True):
        for node, a, b in zip(*cells, strict=True):
            assert node in (a, b)


def test_graph_encoding_is_block_diagonal():
    graph = SPACE.encode_graph(SPACE.from_string(DARTS_V2))
    assert not graph.adjacency[:6, 6:].any()
    assert graph.adjacency[:6, :6].sum() == graph.adjacency[6:, 6:].sum() == 8
    # reduction node 1: nodes 0 to 2 precede it, it is step 1 of 0 to 3, max pooling and a skip come in
    assert graph.nodes[9, :9].tolist() == [1, 0, 0, 1, 1, 1, 0, 0, 0]
    np.testing.assert_allclose(graph.nodes[9, 9:], [1 / 3, 1, 0, 1, 0, 0, 0, 0], rtol=1e-6)
    assert graph.edges[6 + 2, 9].tolist() == [0, 0, 1, 0, 0, 0, 0]


def test_operation_graph_of_a_known_genotype():
    graph = SPACE.operation_graph(SPACE.from_string(DARTS_V2))
    assert len(graph.labels) == 2 + 16 + 1
    assert graph.labels[:4] == ("input", "input_1", "normal.sep_conv_3x3", "normal.sep_conv_3x3")
    # the last normal pair takes intermediate node 2, which sums the first two operations
    assert {i for i, j in graph.edges if j == 9} == {2, 3}
    assert {i for i, j in graph.edges if j == 18} == set(range(2, 18))
