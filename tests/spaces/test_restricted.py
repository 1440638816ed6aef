"""The part of a space that keeps limits: listed, drawn, and walked to where it is small."""

from __future__ import annotations

import numpy as np
import pytest

from po_nas import spaces
from po_nas.errors import InvalidArchitectureError, NotEnumerableError
from po_nas.spaces.declared.errors import InfeasibleError
from po_nas.spaces.restricted import RestrictedSpace

BASE = spaces.get("transnas_micro")


def size(architecture):
    """Weighted count of choices, 0 to 63."""
    return float(np.dot(architecture.code, np.arange(1, 7)))


def at_most(limit):
    return lambda architectures: np.array([max(size(a) - limit, 0.0) for a in architectures])


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("limit", [20, 2])
def test_all_that_comes_out_of_it_keeps_the_limits(listed, limit):
    space, rng = RestrictedSpace(BASE, at_most(limit), "small", listed=listed), np.random.default_rng(0)
    architecture = space.sample(rng)
    for _ in range(20):
        other = space.sample(rng)
        for found in (architecture, other, space.crossover(architecture, other, rng), *space.neighbours(architecture)):
            assert size(found) <= limit
            space.validate(found)
        architecture = space.mutate(architecture, rng)
        assert size(architecture) <= limit
        assert space.from_string(space.to_string(architecture)) == architecture


def test_a_listed_part_is_counted_and_enumerated():
    space = RestrictedSpace(BASE, at_most(3), "small", listed=True)
    members = list(space.enumerate())
    assert members == [a for a in BASE.enumerate() if size(a) <= 3]
    assert (space.size, space.enumerable) == (len(members), True)
    rng = np.random.default_rng(1)
    assert {space.sample(rng) for _ in range(300)} == set(members)


def test_one_in_four_thousand_is_found_without_a_list():
    space = RestrictedSpace(BASE, at_most(0), "smallest")
    assert size(space.sample(np.random.default_rng(3))) == 0
    assert (space.size, space.enumerable) == (None, False)
    with pytest.raises(NotEnumerableError):
        space.enumerate()


@pytest.mark.parametrize("listed", [True, False])
def test_an_empty_part_is_said_at_once(listed):
    with pytest.raises(InfeasibleError) as caught:
        RestrictedSpace(BASE, at_most(-1), "impossible", listed=listed)
    assert (caught.value.passed, caught.value.counted) == (0, listed)
    assert caught.value.constraints == ("impossible",)


def test_what_was_found_once_is_found_again():
    """One in 4,096, no step towards it: what a walk does not reach leads on from what is known."""
    target = next(BASE.enumerate())

    def violations(architectures):
        return np.array([0.0 if a == target else 1.0 for a in architectures])

    space, rng = RestrictedSpace.__new__(RestrictedSpace), np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BASE, "sample", lambda rng: target)
        space.__init__(BASE, violations, "one")
    assert {space.sample(rng) for _ in range(3)} == {target}
    assert space.mutate(target, rng) == target


def test_what_is_beyond_the_limits_is_refused():
    space = RestrictedSpace(BASE, at_most(3), "small", listed=True)
    outside = next(a for a in BASE.enumerate() if size(a) > 3)
    with pytest.raises(InvalidArchitectureError):
        space.validate(outside)


def test_what_is_asked_of_one_architecture_is_asked_once():
    asked = []

    def violations(architectures):
        asked.extend(architectures)
        return np.zeros(len(architectures))

    space, rng = RestrictedSpace(BASE, violations, "none"), np.random.default_rng(0)
    for _ in range(50):
        space.neighbours(space.sample(rng))
    assert len(asked) == len(set(asked))
