"""What surrogates change for themselves is put back."""

from __future__ import annotations

import pytest
import torch
from threadpoolctl import threadpool_info

from surrogates.isolation import seeded, single_thread


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def pools():
    return {(p["filepath"], p["num_threads"]) for p in threadpool_info()}


@pytest.mark.parametrize("fails", [False, True])
def test_one_thread_inside_as_many_as_before_outside(threads, fails):
    before = pools()
    try:
        with single_thread():
            assert torch.get_num_threads() == 1
            assert {n for _, n in pools()} == {1}
            with single_thread():
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 1
            if fails:
                raise RuntimeError("in the middle")
    except RuntimeError:
        assert fails
    assert torch.get_num_threads() == threads
    assert pools() == before


@pytest.mark.parametrize("fails", [False, True])
def test_seeds_are_repeatable_and_leave_no_trace(fails):
    torch.manual_seed(1)
    undisturbed = torch.rand(3)
    torch.manual_seed(1)
    drawn = []
    for seed in (7, 7, 8):
        try:
            with seeded(seed):
                drawn.append(torch.rand(3))
                if fails:
                    raise RuntimeError("in the middle")
        except RuntimeError:
            assert fails
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.rand(3), undisturbed)
