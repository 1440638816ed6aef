from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from po_nas.research.evolved_proxies.symbolic.kendall import Kendall


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.floats(-1e9, 1e9)), min_size=3, max_size=40),
    st.booleans(),
)
def test_it_is_scipys(pairs, coarse):
    y = np.array([p[0] for p in pairs], dtype=float) if coarse else np.array([p[1] for p in pairs])
    x = np.stack([[p[1] for p in pairs], [float(p[0]) for p in pairs], np.round([p[1] / 1e9 for p in pairs])])
    expected = np.nan_to_num([kendalltau(row, y).statistic for row in x])
    np.testing.assert_allclose(Kendall(y)(x), expected, atol=1e-12)


@pytest.mark.parametrize("n", [10, 256, 257, 600, 2_001])
def test_sizes_around_the_limits_of_bytes_and_blocks(n):
    rng = np.random.default_rng(n)
    y = np.round(rng.normal(size=n), 2)
    x = np.concatenate([rng.normal(size=(2, n)), rng.integers(0, 9, (2, n))])
    expected = [kendalltau(row, y).statistic for row in x]
    np.testing.assert_allclose(Kendall(y)(x), expected, atol=1e-12)


def test_constants_are_zero_and_nan_is_nan():
    y = np.arange(12.0)
    x = np.stack([np.ones(12), y, -y, np.where(y == 3, np.nan, y)])
    np.testing.assert_allclose(Kendall(y)(x), [0, 1, -1, np.nan], atol=1e-12)
    assert Kendall(np.r_[np.zeros(2_100), 1.0])(np.ones(2_101))[0] == 0


def test_more_vectors_than_are_compared_at_once():
    rng = np.random.default_rng(1)
    y, x = rng.normal(size=15), rng.normal(size=(600, 15))
    found = Kendall(y)(x)
    assert found.shape == (600,)
    assert found[555] == pytest.approx(kendalltau(x[555], y).statistic)
