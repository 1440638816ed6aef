"""TransNAS-Bench-101, cells and networks."""

from __future__ import annotations

import itertools
from collections import deque
from functools import cache

import numpy as np
import pytest

from po_nas.errors import InvalidArchitectureError
from po_nas.spaces.base import Architecture
from po_nas.spaces.cell import EDGES, TransNASMicroSpace
from po_nas.spaces.transnas_macro import TransNASMacroSpace
from po_nas.testing import SpaceConformance

MICRO = TransNASMicroSpace()
MACRO = TransNASMacroSpace()


def micro(*code: int) -> Architecture:
    return Architecture("transnas_micro", code)


def macro(*code: int) -> Architecture:
    return Architecture("transnas_macro", code)


class TestMicroConformance(SpaceConformance):
    space = TransNASMicroSpace

    def isomorphic(self, architecture, rng):
        e01, e02, e12, e03, e13, e23 = architecture.code
        return micro(e02, e01, e12, e03, e23, e13) if e12 == 0 else architecture


class TestMacroConformance(SpaceConformance):
    space = TransNASMacroSpace


def test_micro_strings_of_the_api():
    # API indices 3257 and 5000
    assert MICRO.from_string("64-41414-0_00_001").code == (0, 0, 0, 0, 0, 1)
    assert MICRO.from_string("64-41414-1_23_100").code == (1, 2, 3, 1, 0, 0)
    assert MICRO.to_string(micro(1, 0, 2, 3, 3, 3)) == "64-41414-1_02_333"


@pytest.mark.parametrize("text", ["64-41414-1_02_334", "64-41414-102333", "64-41414-1_02_33", "64-4111-basic", "٣"])
def test_micro_rejects_near_misses(text):
    with pytest.raises(InvalidArchitectureError):
        MICRO.from_string(text)


def reference_cell(code: tuple[int, ...]) -> tuple[int, ...]:
    """Dead edges set to none, then the smaller of the two numberings where nodes 1 and 2 are not linked."""
    present = {edge: operation for edge, operation in zip(EDGES, code, strict=True) if operation}
    paths = [(0, 3), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3)]
    live = {e for p in paths if all(e in present for e in itertools.pairwise(p)) for e in itertools.pairwise(p)}
    e01, e02, e12, e03, e13, e23 = (present[e] if e in live else 0 for e in EDGES)
    pruned = (e01, e02, e12, e03, e13, e23)
    return min(pruned, (e02, e01, e12, e03, e23, e13)) if e12 == 0 else pruned


def test_micro_has_1948_classes():
    pairs = {(MICRO.canonical(a), reference_cell(a.code)) for a in MICRO.enumerate()}
    assert len(pairs) == len({key for key, _ in pairs}) == len({cell for _, cell in pairs}) == 1948


def test_micro_keeps_skips_as_operations():
    # 0 → 3 by a skip is another network than 0 → 1 → 3 by two skips: the cell may change the resolution
    assert MICRO.canonical(micro(0, 0, 0, 1, 0, 0)) != MICRO.canonical(micro(1, 0, 0, 0, 1, 0))


def test_micro_has_169_disconnected_cells_in_one_class():
    empty = [a for a in MICRO.enumerate() if len(MICRO.operation_graph(a).labels) == 2]
    assert len(empty) == 169
    assert len({MICRO.canonical(a) for a in empty}) == 1


def test_macro_rule_gives_3256_networks():
    lengths = [len(a.code) for a in MACRO.enumerate()]
    assert [lengths.count(length) for length in (4, 5, 6)] == [210, 750, 2296]


def test_macro_strings_of_the_api():
    # API indices 0, 100 and 3255
    for text, code in (
        ("64-4111-basic", (4, 1, 1, 1)),
        ("64-2314-basic", (2, 3, 1, 4)),
        ("64-113444-basic", (1, 1, 3, 4, 4, 4)),
    ):
        assert MACRO.from_string(text) == macro(*code)
        assert MACRO.to_string(macro(*code)) == text


@pytest.mark.parametrize(
    "code",
    [(1, 1, 1, 1), (1, 1, 1, 2), (1, 1, 3, 3), (2, 3, 1), (2, 3, 1, 1, 1, 1, 1), (2, 2, 2, 2, 3), (3, 3, 3, 3, 4, 1)],
    ids=str,
)
def test_macro_rejects_wrong_numbers_of_changes(code):
    with pytest.raises(InvalidArchitectureError):
        MACRO.validate(macro(*code))


def test_macro_flags_double_channels_and_halve_resolution():
    graph = MACRO.encode_graph(macro(1, 2, 3, 4))
    assert [graph.edges[k, k + 1].tolist() for k in range(6)] == [
        [1, 0, 0],
        [1, 1, 0],
        [1, 0, 1],
        [1, 1, 1],
        [0, 0, 0],
        [0, 0, 0],
    ]
    assert graph.mask.tolist() == [True] * 5 + [False] * 2
    np.testing.assert_allclose(graph.nodes[4], [1, 4 / 6, 0, 0, 0, 1], rtol=1e-6)


@cache
def levenshtein(first, second):
    """Smallest number of replacements, insertions and deletions, by its recursive definition."""
    if not first or not second:
        return len(first) + len(second)
    replaced = levenshtein(first[1:], second[1:]) + (first[0] != second[0])
    return min(replaced, levenshtein(first[1:], second) + 1, levenshtein(first, second[1:]) + 1)


def test_macro_neighbours_are_the_valid_sequences_at_levenshtein_distance_one():
    for code in ((4, 1, 1, 1), (2, 1, 3, 1, 2), (1, 1, 3, 4, 4, 4)):
        expected = {a for a in MACRO.enumerate() if levenshtein(a.code, code) == 1}
        assert set(MACRO.neighbours(macro(*code))) == expected


@pytest.mark.parametrize("start", [(1, 2, 1, 3), (2, 1, 4, 4), (4, 4, 4, 3, 1, 1)], ids=str)
def test_macro_edit_distance_is_breadth_first_distance(start):
    found = {macro(*start): 0}
    queue = deque(found)
    while queue:
        here = queue.popleft()
        for near in MACRO.neighbours(here):
            if near not in found:
                found[near] = found[here] + 1
                queue.append(near)
    assert len(found) == 3256
    assert [MACRO.edit_distance(macro(*start), a) for a in MACRO.enumerate()] == [found[a] for a in MACRO.enumerate()]


def test_macro_edit_distance_exceeds_levenshtein_where_every_short_way_leaves_the_space():
    assert levenshtein((1, 2, 1, 3), (1, 3, 1, 2)) == 2
    assert MACRO.edit_distance(macro(1, 2, 1, 3), macro(1, 3, 1, 2)) == 3


def test_macro_crossover_joins_a_head_and_a_tail():
    rng = np.random.default_rng(0)
    mixed = 0
    for _ in range(200):
        a, b = MACRO.sample(rng), MACRO.sample(rng)
        child = MACRO.crossover(a, b, rng).code
        cuts = {x.code[:i] + y.code[j:] for x, y in ((a, b), (b, a)) for i in range(7) for j in range(7)}
        assert child in cuts
        mixed += child not in (a.code, b.code)
    assert mixed > 150
