"""Operation paths and the crossover along them, on every space."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from po_nas import spaces
from po_nas.errors import EditPathError
from po_nas.evolution import edit_path, path_crossover
from po_nas.spaces.base import Architecture
from po_nas.spaces.darts import DARTSSpace
from po_nas.spaces.declared import DeclaredSpace
from po_nas.spaces.pool import PoolSpace
from tests.errors import raised

every_space = pytest.mark.parametrize("name", spaces.names())
few = settings(max_examples=5, deadline=None, derandomize=True, database=None)
seeds = given(seed=st.integers(0, 2**32 - 1))


@every_space
@few
@seeds
def test_a_path_is_valid_and_as_short_as_the_distance(name, seed):
    space, rng = spaces.get(name), np.random.default_rng(seed)
    start, end = space.sample(rng), space.sample(rng)
    for path in (edit_path(space, start, end), edit_path(space, start, end, rng)):
        assert path[0] == start
        assert path[-1] == end
        # Where the values of one choice decide which others exist, one step may change several.
        one_by_one = not isinstance(space, DeclaredSpace)
        distance = space.edit_distance(start, end)
        assert len(path) == 1 + distance if one_by_one else len(path) <= 1 + distance
        for before, after in pairwise(path):
            space.validate(after)
            assert space.edit_distance(after, end) < space.edit_distance(before, end)
            if one_by_one:
                assert space.edit_distance(before, after) == 1
                assert after in space.neighbours(before)


@every_space
@few
@seeds
def test_the_child_lies_half_way_on_a_shortest_path(name, seed):
    space, rng = spaces.get(name), np.random.default_rng(seed)
    first, second = space.sample(rng), space.sample(rng)
    child = path_crossover(space, first, second, rng)
    space.validate(child)
    distance = space.edit_distance(first, second)
    if isinstance(space, DeclaredSpace):
        assert space.edit_distance(child, second) <= distance
        return
    assert space.edit_distance(first, child) == distance // 2
    assert space.edit_distance(child, second) == distance - distance // 2


def node(space, *pairs):
    """A DARTS architecture that differs from the others made here in normal node 2 alone."""
    cell = (((0, 0), (1, 0)),) * 4
    return Architecture(space.name, ((*cell[:2], pairs, cell[3]), cell))


@pytest.mark.parametrize(
    ("start", "end", "edits"),
    [
        (((0, 3), (1, 3)), ((0, 3), (1, 3)), 0),
        # Slots 330 to 303, one move; the authors' code counts 4.
        (((0, 3), (1, 3)), ((0, 3), (2, 3)), 1),
        (((0, 3), (1, 4)), ((0, 4), (1, 3)), 1),
        # The crossed matching: one move and one swap beat two replacements and a move, or move both.
        (((0, 3), (1, 4)), ((0, 4), (2, 3)), 2),
        (((0, 3), (1, 4)), ((2, 3), (3, 4)), 2),
        (((0, 3), (1, 4)), ((2, 5), (3, 6)), 4),
    ],
)
def test_the_cost_of_a_darts_node_is_minimal(start, end, edits):
    space = spaces.get("darts")
    assert len(edit_path(space, node(space, *start), node(space, *end))) == 1 + edits


def test_the_darts_path_is_the_true_shortest_one():
    """Breadth-first search over all states of one node, independent of the closed form of the distance."""
    space = spaces.get("darts")
    start, end = node(space, (0, 3), (1, 4)), node(space, (0, 4), (3, 3))
    level, distance, seen = {start}, 0, {start}
    while end not in level:
        level = {
            near
            for one in level
            for near in space.neighbours(one)
            if near.code[1] == start.code[1] and all(near.code[0][k] == start.code[0][k] for k in (0, 1, 3))
        } - seen
        seen |= level
        distance += 1
    assert len(edit_path(space, start, end)) == 1 + distance


def test_which_half_of_the_edits_is_applied_is_random():
    space = spaces.get("nasbench201")
    first, second = space.at(0), Architecture(space.name, (1, 1, 1, 1, 1, 1))
    children = [path_crossover(space, first, second, np.random.default_rng(seed)) for seed in range(200)]
    halves = {child.code for child in children}
    assert all(sum(code) == 3 for code in halves)
    assert len(halves) == 20, "all 6 over 3 subsets of the edits"
    assert children == [path_crossover(space, first, second, np.random.default_rng(seed)) for seed in range(200)]


def test_a_path_can_stop_early():
    space, rng = spaces.get("nasbench_graph"), np.random.default_rng(0)
    start, end = space.at(0), space.at(space.size - 1)
    assert len(edit_path(space, start, end, rng, steps=2)) == 3
    assert edit_path(space, start, end, steps=99)[-1] == end
    assert edit_path(space, start, start) == [start]


def test_a_pool_gives_a_member_near_the_middle():
    base, rng = spaces.get("darts"), np.random.default_rng(0)
    pool = PoolSpace(base, [base.sample(rng) for _ in range(40)])
    first, second = list(pool.enumerate())[:2]
    assert edit_path(pool, first, second)[-1] == second
    assert path_crossover(pool, first, second, rng) in set(pool.enumerate())
    # The middle itself is the answer where it is a member.
    middle = path_crossover(base, first, second, np.random.default_rng(1))
    whole = PoolSpace(base, [first, second, middle])
    assert path_crossover(whole, first, second, np.random.default_rng(1)) == middle


def test_a_space_that_contradicts_itself_is_named():
    class Wrong(DARTSSpace):
        def edit_distance(self, first, second):
            return 2 * super().edit_distance(first, second)

    space, rng = Wrong(), np.random.default_rng(0)
    with raised(EditPathError, "po_nas.testing.SpaceConformance", space=space.name):
        edit_path(space, space.sample(rng), space.sample(rng))
