"""NAS-Bench-101: the published hash, the published number of cells, and edits that stay valid."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from po_nas.errors import InvalidArchitectureError
from po_nas.spaces.base import Architecture
from po_nas.spaces.nasbench101 import NASBench101Space
from po_nas.spaces.nasbench101_graph import EDGES, edge_distance, is_valid, live_rows, module_hash
from po_nas.testing import SpaceConformance
from tests.spaces.nasbench101_count import count_unique_cells

SPACE = NASBench101Space()
C3, C1, MP = "conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"

# (hash, edges of the pruned graph, operations of the inner vertices), published records
RECORDS = [
    ("043721b9c7fe8c5fad811d47d83132ec", "01", []),
    ("09fc2d10bdd6225e167a6f81a22a3f06", "01 02 12", [C1]),
    ("001a6fcc8b38cbc515be788a86bdc804", "01 02 12 23", [MP, MP]),
    ("001ea832563f8d635ef7d0af25926274", "01 02 03 04 12 13 14 23 34", [MP, C3, C3]),
    ("00040b38293651f17fb665401c671bbb", "01 03 04 12 15 23 34 35 45", [C3, C3, MP, C3]),
    ("00005c142e6f48ac74fdcf73e3439874", "01 04 05 12 23 26 35 45 56", [C3, MP, C3, C3, C1]),
    ("0000718c96730a92ea6d5242f8ce77e2", "01 12 23 34 35 36 45 56", [C1, C1, C3, C1, C3]),
]


def mask(edges: str) -> int:
    return sum(1 << EDGES.index((int(edge[0]), int(edge[1]))) for edge in edges.split())


def matrix(edges: str, vertices: int) -> list[list[int]]:
    present = edges.split()
    return [[int(f"{i}{j}" in present) for j in range(vertices)] for i in range(vertices)]


class TestConformance(SpaceConformance):
    space = NASBench101Space

    def isomorphic(self, architecture, rng):
        """Other operations on dead vertices, and the live cell with its inner vertices in another valid order."""
        adjacency, operations = SPACE.to_matrix(architecture)
        inner = len(operations) - 2
        orders = [
            (0, *order, inner + 1)
            for order in itertools.permutations(range(1, inner + 1))
            if all(
                not adjacency[i][j] for a, j in enumerate((0, *order, inner + 1)) for i in (0, *order, inner + 1)[a:]
            )
        ]
        order = orders[int(rng.integers(len(orders)))]
        twin = SPACE.from_matrix([[adjacency[i][j] for j in order] for i in order], [operations[i] for i in order])
        bits, codes = twin.code
        return Architecture("nasbench101", (bits, (*codes[:inner], *rng.integers(3, size=5 - inner).tolist())))


@pytest.mark.parametrize(("digest", "edges", "inner"), RECORDS, ids=[record[0][:8] for record in RECORDS])
def test_published_hashes(digest, edges, inner):
    adjacency, operations = matrix(edges, len(inner) + 2), ["input", *inner, "output"]
    architecture = SPACE.from_matrix(adjacency, operations)
    assert SPACE.canonical(architecture) == digest
    assert SPACE.to_matrix(architecture) == (adjacency, operations)


def test_dead_vertices_and_their_operations_do_not_count():
    # vertex 2 leads nowhere, vertex 3 comes from nowhere
    adjacency = matrix("01 12 14 34", 5)
    keys = {
        SPACE.canonical(SPACE.from_matrix(adjacency, ["input", C3, a, b, "output"])) for a in (C1, MP) for b in (C3, MP)
    }
    assert keys == {SPACE.canonical(SPACE.from_matrix(matrix("01 12", 3), ["input", C3, "output"]))}


def test_string_form():
    text = f"0-1,0-6,1-2,2-6|{C3},{MP},{C3},{C3},{C3}"
    architecture = SPACE.from_string(text)
    assert SPACE.to_string(architecture) == text
    assert SPACE.to_matrix(architecture) == (matrix("01 03 12 23", 4), ["input", C3, MP, "output"])


@pytest.mark.parametrize(
    "text",
    [
        f"0-1|{C3},{C3},{C3},{C3},{C3}",  # no path
        f"0-1,0-1,1-6|{C3},{C3},{C3},{C3},{C3}",
        f"0-1,6-1|{C3},{C3},{C3},{C3},{C3}",
        f"0-6|{C3},{C3},{C3},{C3}",
        "0-6|a,b,c,d,e",
        "0-1,0-2,0-3,0-4,0-5,1-6,2-6,3-6,4-6,5-6|" + ",".join([C3] * 5),  # ten edges
    ],
)
def test_rejects_near_misses(text):
    with pytest.raises(InvalidArchitectureError):
        SPACE.from_string(text)


@pytest.mark.parametrize(
    ("adjacency", "operations"),
    [
        ([[0, 1], [0]], ["input", "output"]),
        ([[0, 1], [1, 0]], ["input", "output"]),
        ([[0, 2], [0, 0]], ["input", "output"]),
        ([[0, 0], [0, 0]], ["input", "output"]),
        ([[0, 1], [0, 0]], ["output", "input"]),
        ([[0]], ["input"]),
        ([[0] * 8] * 8, ["input", *[C3] * 6, "output"]),
        ([[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["input", "conv5x5", "output"]),
    ],
    ids=str,
)
def test_from_matrix_rejects_what_is_no_cell(adjacency, operations):
    with pytest.raises(InvalidArchitectureError):
        SPACE.from_matrix(adjacency, operations)


def test_size_counts_the_valid_codes():
    masks = np.arange(1 << 21)
    edge = {pair: (masks >> k & 1).astype(bool) for k, pair in enumerate(EDGES)}
    reached = [np.ones(len(masks), bool)]
    for j in range(1, 7):
        reached.append(np.logical_or.reduce([reached[i] & edge[i, j] for i in range(j)]))
    useful = {6: np.ones(len(masks), bool)}
    for i in range(5, -1, -1):
        useful[i] = np.logical_or.reduce([useful[j] & edge[i, j] for j in range(i + 1, 7)])
    on_a_path = sum((edge[i, j] & reached[i] & useful[j]).astype(np.int8) for i, j in EDGES)
    valid = reached[6] & (on_a_path <= 9)
    assert valid.sum() * 3**5 == SPACE.size
    for code in range(0, 1 << 21, 1999):
        assert is_valid(code) == valid[code]


def brute_force_distances(start: int) -> dict[int, int]:
    """Breadth-first distances from one graph to all valid ones."""
    found, level = {start: 0}, [start]
    while level:
        level = [e ^ 1 << k for e in level for k in range(21) if is_valid(e ^ 1 << k)]
        level = [e for e in dict.fromkeys(level) if e not in found]
        found.update(dict.fromkeys(level, max(found.values(), default=0) + 1 if level else 0))
    return found


def test_edge_distance_exceeds_hamming_where_every_short_way_is_invalid():
    # moving the only edge out of the input: without it nothing is left, with both there are ten edges
    first, second = mask("01 12 13 14 23 24 34 26 46"), mask("02 12 13 14 23 24 34 26 46")
    assert (first ^ second).bit_count() == 2
    assert not is_valid(first | second)
    assert not is_valid(first & second)
    assert edge_distance(first, second) == edge_distance(second, first) == 4


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_edge_distance_is_breadth_first_distance():
    first = mask("01 12 13 14 23 24 34 26 46")
    found = brute_force_distances(first)
    for second in list(found)[::997]:
        assert edge_distance(first, second) == found[second]
    assert found[mask("02 12 13 14 23 24 34 26 46")] == 4


def hashed_cells(vertices: int) -> set[str]:
    """Hashes of every labelled graph of that many vertices, found without any symmetry argument."""
    found = set()
    pairs = list(itertools.combinations(range(vertices), 2))
    for bits in itertools.product((0, 1), repeat=len(pairs)):
        present = [pair for pair, bit in zip(pairs, bits, strict=True) if bit]
        if (
            len(present) <= 9
            and {i for i, _ in present} >= set(range(vertices - 1))
            and {j for _, j in present} >= set(range(1, vertices))
        ):
            adjacency = [[int((i, j) in present) for j in range(vertices)] for i in range(vertices)]
            for labels in itertools.product(range(3), repeat=vertices - 2):
                found.add(module_hash(adjacency, (-1, *labels, -2)))
    return found


def test_number_of_unique_cells():
    assert [count_unique_cells(n) for n in range(2, 8)] == [1, 7, 91, 2532, 64542, 423624]


def test_number_of_unique_cells_up_to_five_vertices_by_hashing():
    counts = [len(hashed_cells(vertices)) for vertices in range(2, 6)]
    assert counts == [1, 6, 84, 2441]
    assert sum(counts) == count_unique_cells(5)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("vertices", "count"), [(6, 62010), (7, 359082)])
def test_number_of_unique_cells_by_hashing(vertices, count):
    assert len(hashed_cells(vertices)) == count == count_unique_cells(vertices) - count_unique_cells(vertices - 1)


def test_live_rows_drops_dead_vertices():
    assert live_rows(mask("01 16 12 34 36 05")) == [0b10, 1 << 6, 0, 0, 0, 0]
    assert live_rows(mask("01 12 36")) is None


def test_sampling_is_uniform_over_operations_and_covers_the_cell_sizes():
    rng = np.random.default_rng(101)
    samples = [SPACE.sample(rng) for _ in range(3000)]
    counts = np.bincount([operation for a in samples for operation in a.code[1]], minlength=3)
    assert np.sum((counts - 5000) ** 2 / 5000) < 13.8  # chi-square, 2 degrees of freedom, p = 0.001
    sizes = {len(SPACE.to_matrix(a)[1]) for a in samples}
    assert sizes == {2, 3, 4, 5, 6, 7}
