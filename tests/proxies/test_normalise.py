from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from po_nas.errors import ConfigError, ProxyValueError
from proxies.normalise import UNIT_SCALES, Logarithms, MinMax, NormalScores, Ranks
from tests.errors import raised

KINDS = (MinMax, Logarithms, Ranks, NormalScores)
finite = st.floats(-1e100, 1e100, allow_subnormal=False)
tables = arrays(float, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=finite)
quick = settings(max_examples=40, deadline=None)


@quick
@given(tables, st.sampled_from(KINDS))
def test_order_is_kept(table, kind):
    scale = kind(table)
    assert np.isfinite(scale.fitted).all()
    for before, after in zip(table.T, scale.fitted.T, strict=True):
        order = np.argsort(before, kind="stable")
        assert (np.diff(after[order]) >= 0).all()
    # A row does not depend on the rows beside it.
    np.testing.assert_allclose(scale.transform(table[:1]), scale.fitted[:1], atol=1e-12)


@quick
@given(tables, st.data(), st.sampled_from(KINDS))
def test_missing_scores_do_not_count(table, data, kind):
    mask = data.draw(arrays(bool, table.shape))
    mask[0] = False
    holes = np.where(mask, data.draw(st.sampled_from([np.nan, np.inf, -np.inf])), table)
    result = kind(holes).fitted
    assert (np.isnan(result) == mask).all()
    for k in range(table.shape[1]):
        known = table[~mask[:, k], k : k + 1]
        np.testing.assert_array_equal(result[~mask[:, k], k], kind(known).fitted[:, 0])


def test_min_max_keeps_what_is_missing_and_leaves_the_range():
    scale = MinMax([[1.0, 7.0], [3.0, 7.0], [np.nan, 7.0]])
    np.testing.assert_allclose(scale.fitted, [[0, 0.5], [1, 0.5], [np.nan, 0.5]])
    np.testing.assert_allclose(scale.transform(np.array([[5.0, 9.0], [2.0, np.nan]])), [[2, 0.5], [0.5, np.nan]])


def test_ranks_are_shares_of_the_known_values():
    scale = Ranks([[1.0, 5.0], [1e9, 5.0], [np.nan, 5.0], [2.0, 5.0]])
    np.testing.assert_allclose(scale.fitted, [[1 / 6, 0.5], [5 / 6, 0.5], [np.nan, 0.5], [0.5, 0.5]])
    np.testing.assert_allclose(scale.transform(np.array([[1e12, 4.0], [1.5, np.nan]])), [[1, 0], [1 / 3, np.nan]])


@pytest.mark.parametrize(("known", "worst", "middle"), [(20, True, False), (19, True, False), (10, False, True)])
def test_policies_for_missing_scores(known, worst, middle):
    """What hardly any architecture lacks has failed, what many lack is unknown."""
    column = np.where(np.arange(20) < known, np.arange(20.0), np.nan)[:, None]
    hole = np.array([[np.nan]])
    for kind, low in ((MinMax, 0.0), (Ranks, 0.0), (NormalScores, None)):
        assert np.isnan(kind(column).transform(hole)).all()
        assert kind(column, "middle").transform(hole)[0, 0] == kind.middle
        scale = kind(column, "failed")
        filled = scale.transform(hole)[0, 0]
        assert (filled == (scale.fitted.min() if low is None else low)) == worst
        assert (filled == kind.middle) == middle
        assert np.isfinite(scale.fitted).all()


def test_normal_scores_of_others_keep_the_order_beyond_the_range():
    values = np.stack([np.arange(20.0), np.where(np.arange(20) < 12, np.nan, np.arange(20.0))], axis=1)
    scale = NormalScores(values, "failed")
    z = scale.fitted
    rows = [[-1e6, 13.0], [0.0, np.nan], [9.5, 19.0], [19.0, 25.0], [20.0, 26.0], [1e9, 30.0]]
    found = scale.transform(np.array(rows))
    assert (np.diff(found[:, 0]) > 0).all()
    assert found[[1, 2, 3], 0] == pytest.approx([z[0, 0], 0, z[19, 0]], abs=1e-9)
    assert np.abs(found).max() < 12
    assert found[1, 1] == 0.0
    assert found[0, 1] == pytest.approx(z[13, 1])


def test_mistakes():
    with raised(ConfigError, value="last"):
        MinMax([[1.0]], "last")
    with pytest.raises(ProxyValueError):
        Ranks([1.0, 2.0])
    with raised(ProxyValueError, "3", "2"):
        Ranks(np.ones((4, 2))).transform(np.ones((4, 3)))


def test_logarithms_spread_a_long_tail():
    rng = np.random.default_rng(0)
    sample = np.exp(rng.normal(0, 12, size=(200, 1))) * rng.choice([-1, 1], size=(200, 1))
    plain, logs = MinMax(sample).fitted[:, 0], Logarithms(sample).fitted[:, 0]
    assert (np.diff(logs[np.argsort(sample[:, 0])]) >= 0).all()
    assert (logs.min(), logs.max()) == (0, 1)
    assert np.ptp(np.percentile(plain, [10, 90])) < 0.01 < 0.1 < np.ptp(np.percentile(logs, [10, 90]))
    # The unit does not matter, nor what is added to nothing: zeros stay between negative and positive scores.
    np.testing.assert_allclose(Logarithms(1e9 * sample).fitted[:, 0], logs)
    assert Logarithms([[-3.0], [0.0], [3.0]]).fitted[:, 0].tolist() == [0.0, 0.5, 1.0]
    assert Logarithms([[0.0], [0.0]]).fitted[:, 0].tolist() == [0.5, 0.5]


def test_unit_scales_go_from_0_to_1():
    sample = np.random.default_rng(1).normal(size=(30, 2)) ** 5
    for kind in UNIT_SCALES.values():
        assert 0 <= kind(sample).fitted.min() < 0.05 < 0.95 < kind(sample).fitted.max() <= 1
