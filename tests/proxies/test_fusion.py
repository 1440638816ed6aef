from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from po_nas.errors import ConfigError, ProxyValueError
from proxies.fusion import information_gain, libra, log_rank, mean_rank, oriented, ranks, redundant, single_best
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


@pytest.mark.parametrize("bad", [[[1.0, 2.0], [3.0]], [["a", "b"]], [[1.0, None], [object(), 2.0]], [1.0, [2.0, 3.0]]])
def test_what_are_no_numbers_in_rows_is_refused(bad):
    good = np.arange(6.0).reshape(3, 2)
    for function in (ranks, mean_rank, log_rank, lambda t: single_best(t, [1.0, 2.0]), single_best(good, [1, 2, 3])):
        with pytest.raises(ProxyValueError):
            function(bad)
    for function in (
        lambda: single_best(good, bad),
        lambda: libra(good, bad, [1.0, 2.0, 3.0]),
        lambda: libra(good, [1.0, 2.0, 3.0], bad),
        lambda: oriented({"synflow": [1.0, 2.0], "nwot": bad}),
        lambda: redundant({"synflow": [1.0, 2.0], "nwot": bad}),
        lambda: information_gain([1.0, 2.0], [1.0, 2.0], bad),
    ):
        with pytest.raises(ProxyValueError):
            function()


def test_columns_of_other_lengths_are_refused():
    columns = {"synflow": [1.0, 2.0, 3.0], "nwot": [1.0, 2.0]}
    for function in (oriented, redundant, lambda c: information_gain([1.0, 2.0, 3.0], *c.values())):
        with pytest.raises(ProxyValueError):
            function(columns)
    assert redundant({}) == []


def slow_rank(values):
    return [sum(v < w for v in values) + (sum(v == w for v in values) + 1) / 2 for w in values]


def slow_rho(first, second):
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a == a and b == b]
    if len({a for a, _ in pairs}) < 2 or len({b for _, b in pairs}) < 2:
        return None
    return float(np.corrcoef(slow_rank([a for a, _ in pairs]), slow_rank([b for _, b in pairs]))[0, 1])


def slow_gain(y, first, second):
    """By conditional entropies, bin by bin."""
    rows = [row for row in zip(y, first, second, strict=True) if not any(np.isnan(row))]
    if not rows:
        return 0.0
    count = max(1, round(len(rows) ** (1 / 3)))
    binned = [[int((r - 0.5) * count // len(rows)) for r in slow_rank(c)] for c in zip(*rows, strict=True)]
    binned = list(zip(*binned, strict=True))

    def conditional(given):
        total = 0.0
        for key in {given(row) for row in binned}:
            inside = [row[0] for row in binned if given(row) == key]
            shares = [inside.count(label) / len(inside) for label in set(inside)]
            total -= len(inside) / len(binned) * sum(p * np.log2(p) for p in shares)
        return total

    return conditional(lambda row: row[1]) - conditional(lambda row: row[1:])


def slow_libra(table, y, sizes):
    rhos = {k: rho for k, column in enumerate(table.T) if (rho := slow_rho(column, y)) is not None}
    if not rhos:
        return None
    first = max(rhos, key=lambda k: (round(abs(rhos[k]), 9), -k))
    # A column that falls is turned before it is put into bins, for a middle row belongs to the upper one.
    turned = [column if rhos.get(k, 0) >= 0 else -column for k, column in enumerate(table.T)]
    near = [k for k in rhos if k != first and abs(rhos[k]) > abs(rhos[first]) - 0.1]
    chosen = [first]
    if near:
        gains = {k: slow_gain(y, turned[first], turned[k]) for k in near}
        chosen.append(min(near, key=lambda k: (round(gains[k], 9), k)))
    bias = slow_rho(sizes, y)
    gaps = {}
    for k in near:
        rho = slow_rho(turned[k], sizes)
        if k not in chosen and rho is not None and bias is not None:
            gaps[k] = abs(rho - bias)
    if gaps:
        chosen.append(min(gaps, key=lambda k: (round(gaps[k], 9), k)))
    return tuple(chosen)


@quick
@given(st.integers(0, 10_000), st.integers(5, 40), st.integers(1, 6))
def test_libra_is_the_algorithm(seed, n, k):
    rng = np.random.default_rng(seed)
    y, sizes = rng.normal(size=n), rng.normal(size=n)
    table = y[:, None] * rng.choice([-1, 1], k) + rng.normal(size=(n, k)) * rng.uniform(0, 1.5, k)
    table[rng.random((n, k)) < 0.1] = np.nan
    found = libra(table, y, sizes)
    assert found.columns == slow_libra(table, y, sizes)
    assert 1 <= len(found.columns) <= 3
    for first, second in ((table[:, 0], table[:, -1]),):
        assert information_gain(y, first, second) == pytest.approx(slow_gain(y, first, second), abs=1e-12)
    turned = np.stack([sign * table[:, c] for c, sign in zip(found.columns, found.signs, strict=True)], axis=1)
    np.testing.assert_allclose(np.exp(found(table)), naive(turned, "last").prod(1))
    if min(map(abs, found.rhos)) < 1e-9:
        return
    # Increasing transformations change nothing, and where a column falls its sign is learned.
    other = libra(-np.exp(table), y, sizes)
    assert other.columns == found.columns
    np.testing.assert_allclose(other(-np.exp(table)), found(table))


def test_libra_takes_what_goes_with_the_best():
    rng = np.random.default_rng(0)
    y = rng.normal(size=400)
    first = y + 0.5 * rng.normal(size=400)
    twin = first + 0.01 * rng.normal(size=400)
    other, weak = y + 0.55 * rng.normal(size=400), y + 3 * rng.normal(size=400)
    found = libra(np.stack([weak, other, first, twin], 1), y, y)
    assert set(found.columns[:2]) == {2, 3}
    assert found.columns[2] == 1
    assert libra(np.stack([weak, first], 1), y, y).columns == (1,)


def test_libra_refuses():
    with pytest.raises(ProxyValueError):
        libra(np.zeros((4, 2)), np.arange(4.0), np.arange(4.0))
    with raised(ProxyValueError, "sizes"):
        libra(np.eye(4), np.arange(4.0), [1.0, 2.0, np.nan, 3.0])
    with raised(ProxyValueError, "targets"):
        libra(np.eye(4), np.arange(3.0), np.arange(4.0))


def test_redundant_pairs_are_named_with_their_correlation():
    rng = np.random.default_rng(0)
    first, other = rng.normal(size=200), rng.normal(size=200)
    scores = {"a": first, "b": -np.exp(first), "c": other, "d": first + 0.2 * other, "e": np.full(200, 1.0)}
    scores["f"] = np.where(np.arange(200) < 150, first, np.nan)
    found = redundant(scores)
    assert found[0][:2] == ("a", "b")
    assert {(a, b): round(rho) for a, b, rho in found} == {
        ("a", "b"): -1, ("a", "d"): 1, ("a", "f"): 1, ("b", "d"): -1, ("b", "f"): -1, ("d", "f"): 1,
    }  # fmt: skip
    for a, b, rho in found:
        assert rho == pytest.approx(slow_rho(scores[a], scores[b]))
    assert {pair[:2] for pair in redundant(scores, 0.9999)} == {("a", "b"), ("a", "f"), ("b", "f")}
