from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from po_nas.errors import ConfigError, ProxyValueError
from proxies.fusion import log_rank, mean_rank, oriented, ranks, single_best
from tests.errors import raised

values = st.one_of(st.integers(-3, 3).map(float), st.just(np.nan))
tables = arrays(float, st.tuples(st.integers(1, 9), st.integers(1, 3)), elements=values)
quick = settings(max_examples=50, deadline=None)


def naive(table, missing):
    """Ranks by counting."""
    result = np.empty(table.shape)
    for k, column in enumerate(table.T):
        known = column[~np.isnan(column)] if missing == "middle" else np.nan_to_num(column, nan=-99)
        for n, value in enumerate(column):
            if np.isnan(value) and missing == "middle":
                result[n, k] = 0.5
                continue
            value = -99 if np.isnan(value) else value
            result[n, k] = ((known < value).sum() + ((known == value).sum() + 1) / 2) / len(known)
    return result


@quick
@given(tables, st.sampled_from(["last", "middle"]))
def test_ranks_are_counts(table, missing):
    found = ranks(table, missing=missing)
    np.testing.assert_allclose(found, naive(table, missing))
    assert found.min() > 0
    assert found.max() <= 1
    np.testing.assert_allclose(mean_rank(table, missing=missing), naive(table, missing).mean(1))
    np.testing.assert_allclose(np.exp(log_rank(table, missing=missing)), naive(table, missing).prod(1))


@quick
@given(tables, tables, st.sampled_from(["last", "middle"]))
def test_rank_against_a_reference_is_the_rank_among_it(table, reference, missing):
    """Each row by itself, put into the reference sample."""
    if reference.shape[1] != table.shape[1]:
        with raised(ProxyValueError, reference.shape[1], table.shape[1]):
            ranks(table, reference=reference)
        return
    found = ranks(table, missing=missing, reference=reference)
    for row, expected in zip(table, found, strict=True):
        np.testing.assert_allclose(naive(np.vstack([reference, row]), missing)[-1], expected)


@quick
@given(tables)
def test_increasing_transformations_change_nothing(table):
    np.testing.assert_array_equal(log_rank(table), log_rank(np.exp(table)))


def test_directions_come_from_the_records():
    columns = oriented({"synflow": [1.0, 2.0], "ntk": [5.0, np.nan]})
    np.testing.assert_array_equal(columns, [[1.0, -5.0], [2.0, np.nan]])
    with raised(ConfigError, "'plain'", key="direction", value=None):
        oriented({"plain": [1.0]})


def test_single_best():
    target = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    table = np.array([[1, 5, 0], [3, 4, 0], [2, 3, 0], [4, 2, 0], [5, np.nan, 0]], dtype=float)
    best = single_best(table, target)
    assert (best.column, best.sign, best.tau) == (1, -1, pytest.approx(-1.0))
    assert best(table).tolist() == [-5, -4, -3, -2, -np.inf]
    assert best(table, missing="middle")[-1] == -3.5
    assert single_best(table[:, [0, 2]], target).column == 0
    with pytest.raises(ProxyValueError):
        single_best(table[:, 2:], target)
    with raised(ProxyValueError, "5", "(3,)"):
        single_best(table, target[:3])


def test_mistakes():
    table = np.array([[1.0, np.nan], [2.0, 3.0]])
    with raised(ProxyValueError, "1 scores", "row 0, column 1"):
        mean_rank(table, missing="raise")
    with raised(ConfigError, "'middle'", key="missing", value="skip"):
        log_rank(table, missing="skip")
    with raised(ProxyValueError, "(2,)"):
        log_rank([1.0, 2.0])
