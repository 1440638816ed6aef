"""A part of a space as a space."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from po_nas.errors import ConfigError, InvalidArchitectureError
from po_nas.spaces.base import Architecture
from po_nas.spaces.cell import NASBench201Space
from po_nas.spaces.nasbench101 import NASBench101Space
from po_nas.spaces.pool import PoolSpace
from po_nas.testing import SpaceConformance
from tests.errors import raised

BASE = NASBench101Space()


def sampled_pool(size: int = 400) -> PoolSpace:
    rng = np.random.default_rng(11)
    members = {BASE.canonical(a): a for a in (BASE.sample(rng) for _ in range(size))}
    return PoolSpace(BASE, list(members.values()))


class TestConformance(SpaceConformance):
    neighbours_are_edits = False
    crossover_stays_between = False
    test_edit_distance_is_the_shortest_path = None

    @pytest.fixture
    def space(self):
        return sampled_pool()

    def construct(self, space):
        strings = [space.to_string(member) for member in space.enumerate()]
        return (
            "from po_nas.spaces.nasbench101 import NASBench101Space\n"
            "from po_nas.spaces.pool import PoolSpace\n"
            f"base = NASBench101Space()\nspace = PoolSpace(base, [base.from_string(text) for text in {strings!r}])"
        )


def cells(*texts: str) -> list[Architecture]:
    return [Architecture("nasbench201", tuple(map(int, text))) for text in texts]


def test_members_in_order_under_the_name_of_their_space():
    members = cells("333333", "000000", "123401")
    pool = PoolSpace(NASBench201Space(), members, name="three")
    assert list(pool.enumerate()) == members
    assert (pool.name, pool.label, pool.size, pool.enumerable) == ("nasbench201", "three", 3, True)
    assert {pool.sample(np.random.default_rng(seed)) for seed in range(30)} == set(members)


def test_isomorphic_architectures_are_members():
    members = cells("012100", "333333")
    pool = PoolSpace(NASBench201Space(), members, name="pair")
    (twin,) = cells("014200")  # node 1 receives nothing, what leaves it does not matter; 0 → 3 does
    with raised(InvalidArchitectureError, space="pair", value=twin.code):
        pool.validate(twin)
    (twin,) = cells("013140")
    pool.validate(twin)
    assert pool.member(twin) == members[0]
    assert pool.neighbours(twin) == pool.neighbours(members[0])


def test_rejects_strings_and_codes_that_only_look_like_members():
    pool = PoolSpace(NASBench201Space(), cells("111111", "333333"))
    with raised(InvalidArchitectureError, "2", space=pool.label, value=(0,) * 6):
        pool.from_string("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    with pytest.raises(InvalidArchitectureError):
        pool.validate(Architecture("nasbench201", (True,) * 6))


def test_neighbours_lie_within_the_radius_of_the_encoding():
    pool = sampled_pool()
    vectors = np.array([BASE.encode_vector(member) for member in pool.enumerate()])
    squared = ((vectors[:, None] - vectors[None]) ** 2).sum(-1)
    np.fill_diagonal(squared, np.inf)
    members = list(pool.enumerate())
    near = [[members[k] for k in np.flatnonzero(row <= pool.radius)] for row in squared]
    assert [pool.neighbours(member) for member in members] == near
    # 95 % of the probes have four neighbours, and at the next smaller distance they would not
    probes = np.unique(np.linspace(0, pool.size - 1, 256).astype(int))
    enough = (np.sort(squared[probes], axis=1)[:, 3] <= pool.radius).mean()
    smaller = max(squared[squared < pool.radius])
    assert enough >= 0.95 > (np.sort(squared[probes], axis=1)[:, 3] <= smaller).mean()


def test_an_isolated_member_mutates_to_the_nearest():
    # a crowd one edit apart, and one cell far away, nearest to the third
    crowd = [f"{a}{b}0000" for a in range(5) for b in range(5)]
    pool = PoolSpace(NASBench201Space(), cells(*crowd, "444441"))
    far, *_ = cells("444441")
    assert pool.neighbours(far) == []
    assert {pool.mutate(far, np.random.default_rng(seed)) for seed in range(5)} == set(cells("440000"))


def test_crossover_returns_the_member_nearest_to_the_child():
    pool = PoolSpace(NASBench201Space(), cells("000000", "444444", "000444", "222222"))
    rng = np.random.default_rng(0)
    first, second = cells("000000", "444444")
    children = {pool.crossover(first, second, rng) for _ in range(100)}
    assert children == set(cells("000000", "444444", "000444"))


@pytest.mark.parametrize("members", [[], ["333333"], ["333333", "111111", "333333"]])
def test_refuses_pools_without_choice_or_with_repetitions(members):
    with pytest.raises(ConfigError):
        PoolSpace(NASBench201Space(), cells(*members))


def test_refuses_members_of_another_space():
    with pytest.raises(InvalidArchitectureError):
        PoolSpace(BASE, cells("111111", "333333"))


def test_survives_pickling():
    pool = PoolSpace(NASBench201Space(), cells("111111", "333333", "444444"))
    copy = pickle.loads(pickle.dumps(pool))
    assert list(copy.enumerate()) == list(pool.enumerate())
    assert copy.radius == pool.radius
