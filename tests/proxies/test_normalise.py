from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from po_nas.errors import ConfigError, ProxyValueError, UnknownNameError
from proxies.normalise import fit, from_state
from tests.errors import raised

KINDS = ("minmax", "z", "signed_log", "rank")
finite = st.floats(-1e300, 1e300, allow_subnormal=False)
tables = arrays(float, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=finite)
quick = settings(max_examples=40, deadline=None)


@quick
@given(tables, st.sampled_from(KINDS), st.sampled_from(["pool", "seen"]))
def test_order_is_kept_and_state_is_everything(table, kind, scope):
    normaliser = fit(kind, table, scope=scope)
    result = normaliser.transform(table)
    assert np.isfinite(result).all()
    for before, after in zip(table.T, result.T, strict=True):
        order = np.argsort(before, kind="stable")
        assert (np.diff(after[order]) >= 0).all()
    again = from_state(json.loads(json.dumps(normaliser.state())))
    assert again == normaliser
    assert again.scope == scope
    np.testing.assert_array_equal(again.transform(table), result)
    # A row does not depend on the rows beside it.
    np.testing.assert_array_equal(normaliser.transform(table[:1]), result[:1])


@quick
@given(tables)
def test_ranges(table):
    low_high = fit("minmax", table, scope="pool").transform(table)
    ranks = fit("rank", table, scope="pool").transform(table)
    scores = fit("z", table, scope="pool").transform(table)
    for k, column in enumerate(table.T):
        if np.ptp(column / 2) > 1e-9 * np.abs(column).max():
            assert (low_high[:, k].min(), low_high[:, k].max()) == pytest.approx((0, 1))
            assert scores[:, k].mean() == pytest.approx(0, abs=1e-6)
            assert scores[:, k].std() == pytest.approx(1, abs=1e-5)
        if (column == column[0]).all():
            assert set(low_high[:, k]) == set(ranks[:, k]) == {0.5}
            assert set(scores[:, k]) == {0.0}
    assert ranks.min() >= 0
    assert ranks.max() <= 1
    assert ranks.mean(0) == pytest.approx(0.5)


@quick
@given(tables, st.data())
def test_missing_values_do_not_count(table, data):
    mask = data.draw(arrays(bool, table.shape))
    mask[0] = False
    holes = np.where(mask, data.draw(st.sampled_from([np.nan, np.inf, -np.inf])), table)
    for kind in KINDS:
        normaliser = fit(kind, holes, scope="seen")
        result = normaliser.transform(holes)
        assert (np.isnan(result) == mask).all()
        for k in range(table.shape[1]):
            alone = fit(kind, table[~mask[:, k], k], scope="seen").transform(table[~mask[:, k], k])
            np.testing.assert_array_equal(result[~mask[:, k], k], alone)


def test_by_hand():
    values = [1.0, 2.0, 2.0, 5.0]
    assert fit("minmax", values, scope="pool").transform([0.0, 5.0, 9.0]).tolist() == [-0.25, 1.0, 2.0]
    assert fit("rank", values, scope="pool").transform([0.0, 1.0, 2.0, 3.0, 9.0]).tolist() == [0, 0.125, 0.5, 0.75, 1]
    assert fit("signed_log", values, scope="pool").transform([-np.e + 1, 0.0]).tolist() == pytest.approx([-1.0, 0.0])
    assert fit("z", values, scope="pool").transform([2.5]).tolist() == [0.0]


def test_mistakes():
    with raised(UnknownNameError, name="minimax", suggestion="minmax"):
        fit("minimax", [1.0], scope="pool")
    with raised(ConfigError, "'seen'", key="scope", value="all"):
        fit("z", [1.0], scope="all")
    with raised(ProxyValueError, "column 1"):
        fit("z", [[1.0, np.nan], [2.0, np.inf]], scope="pool")
    with raised(ProxyValueError, "3", "2"):
        fit("z", np.ones((4, 2)), scope="pool").transform(np.ones((4, 3)))
    with raised(ProxyValueError, "()"):
        fit("z", 3.0, scope="pool")
    with pytest.raises(UnknownNameError):
        from_state({"kind": "log", "columns": [], "scope": "pool"})
