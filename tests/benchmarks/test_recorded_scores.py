"""Searching with the scores that one chooses: of po-nas, published, or of a file."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

import po_nas
from po_nas import benchmarks, spaces
from po_nas.benchmarks.recorded_scores import chosen_proxies
from po_nas.compare.design import ComparisonConfig
from po_nas.errors import ConfigError, DataError
from po_nas.proxy_scores.packaged import OwnScores
from po_nas.proxy_scores.table import ScoreTable
from po_nas.research.proxy_correlation.run import correlate_tables
from tests.errors import raised

TASK = "nasbench_graph/cora"


@pytest.fixture(scope="module")
def table():
    return benchmarks.get(TASK)


def file_of(path, space, tasks, architectures=None, benchmark=None, directions=None):
    """A file as tabulate writes it; `tasks` are columns by name by task."""
    length = len(next(iter(next(iter(tasks.values())).values())))
    names = {name for columns in tasks.values() for name in columns}
    origin = {
        "recipe": {"space": space, "benchmark": benchmark},
        "po_nas": "0",
        "directions": {name: (directions or {}).get(name) for name in names},
    }
    if architectures is not None:
        origin["architectures"] = [spaces.get(space).to_string(one) for one in architectures]
    OwnScores(space, np.arange(length), tasks, json.dumps(origin)).write(path)
    return str(path)


def listed(table, rows):
    return [table.rows.architecture(int(row)) for row in rows]


def test_own_scores_are_the_default(table):
    own, some = chosen_proxies(table, "own"), listed(table, range(40))
    assert own.names == table.proxies.names
    for name, column in own.raw(some, own.names).items():
        usual = table.proxies.raw(some, [name])[name]
        np.testing.assert_array_equal(column[np.isfinite(usual)], usual[np.isfinite(usual)])


def test_isomorphic_ones_share_what_is_known():
    cells = benchmarks.get("nasbench201/cifar10")
    rng = np.random.default_rng(0)
    values = rng.normal(size=(len(cells.rows), 2))
    values[rng.random(len(values)) < 0.6, 0] = np.nan
    values[:, 1] = np.nan
    given = ScoreTable(cells.name, ("jacov", "grasp"), values, np.full_like(values, np.nan), "made up", ())
    source = chosen_proxies(replace(cells, scores={"published": lambda: given}), "published")
    kin = defaultdict(list)
    every = listed(cells, range(len(values)))
    for row, cell in enumerate(every):
        kin[cells.space.canonical(cell)].append(row)
    found = source.raw(every, ("jacov", "grasp"))
    assert np.isnan(found["grasp"]).all()
    for rows in kin.values():
        known = [values[row, 0] for row in rows if np.isfinite(values[row, 0])]
        for row in rows:
            if np.isfinite(values[row, 0]):
                assert found["jacov"][row] == values[row, 0]
            elif known:
                assert found["jacov"][row] == pytest.approx(sum(known) / len(known))
            else:
                assert np.isnan(found["jacov"][row])
    assert 0 < np.isnan(found["jacov"]).mean() < 0.4
    # The table itself is as it was.
    assert np.isnan(given.values).any()


def test_a_file_of_a_sample(table, tmp_path):
    rows = np.random.default_rng(1).permutation(len(table.rows))[:60]
    scores = np.arange(60.0)
    path = file_of(
        tmp_path / "s.npz", table.space.name, {"any": {"ntk": scores}}, listed(table, rows), None, {"ntk": -1}
    )
    source = chosen_proxies(table, path)
    assert source.names[:1] == ("ntk",)
    assert source.directions["ntk"] == -1
    np.testing.assert_array_equal(source.raw(listed(table, rows), ["ntk"])["ntk"], scores)
    others = [row for row in range(500) if row not in set(rows)]
    kin = {table.space.canonical(one) for one in listed(table, rows)}
    for row, value in zip(others, source.raw(listed(table, others), ["ntk"])["ntk"], strict=True):
        assert np.isnan(value) == (table.space.canonical(table.rows.architecture(row)) not in kin)


def test_a_search_takes_the_scores_of_a_file(table, tmp_path):
    wanted = 4_321
    scores = np.random.default_rng(3).normal(size=len(table.rows))
    scores[wanted] = -99
    every = listed(table, range(len(scores)))
    path = file_of(tmp_path / "s.npz", table.space.name, {"any": {"ntk": scores}}, every, directions={"ntk": -1})
    chosen = {"scores": path}
    result = po_nas.search(benchmark=TASK, method="zero_cost", budget=1, out=tmp_path / "run", proxies=chosen)
    # The sign that tabulate wrote holds: lower is better.
    assert table.rows.find(table.space.from_string(result.incumbent)) == wanted


def test_a_file_of_a_benchmark_and_of_its_space(table, tmp_path):
    order = np.arange(float(table.space.size))
    path = file_of(
        tmp_path / "b.npz", table.space.name, {"cora": {"nwot": order}, "cs": {"nwot": -order}}, benchmark=TASK
    )
    some = [table.space.at(k) for k in (5, 700, 59_000)]
    firsts = [table.rows.find(one) for one in some]
    found = chosen_proxies(table, path).raw(some, ["nwot"])["nwot"]
    assert [table.rows.find(table.space.at(int(k))) for k in found] == firsts
    # Of several tasks the one of the same name counts; pubmed has none.
    with raised(ConfigError, key="proxies.scores", value=path):
        chosen_proxies(benchmarks.get("nasbench_graph/pubmed"), path)
    short = file_of(tmp_path / "d.npz", table.space.name, {"cora": {"nwot": order[:99]}}, benchmark=TASK)
    with raised(DataError, "99"):
        chosen_proxies(table, short)
    cells = file_of(tmp_path / "c.npz", "nasbench201", {"any": {"nwot": np.arange(15_625.0)}})
    found = chosen_proxies(benchmarks.get("nasbench201/cifar100"), cells)
    assert found.raw([spaces.get("nasbench201").at(41)], ["nwot"])["nwot"].tolist() == [41.0]
    with raised(ConfigError, key="proxies.scores", value=cells):
        chosen_proxies(table, cells)


def test_what_has_no_such_scores(table, tmp_path):
    with raised(ConfigError, "own", key="proxies.scores", value="published"):
        chosen_proxies(table, "published")
    with raised(ConfigError, key="proxies.scores", value="own"):
        chosen_proxies(benchmarks.objective("train/darts/digits"), "own")
    (tmp_path / "no.npz").write_bytes(b"nothing")
    for name in ("no.npz", "absent.npz"):
        with raised(DataError, name):
            chosen_proxies(table, str(tmp_path / name))
    for wrong in ("theirs", 3, ["own"]):
        with raised(ConfigError, key="proxies.scores"):
            po_nas.search(benchmark=TASK, method="random", budget=1, out=tmp_path / "run", proxies={"scores": wrong})


def test_a_comparison_knows_a_file_by_its_content(table, tmp_path):
    def key(**proxies):
        study = ComparisonConfig.model_validate(
            {"benchmarks": TASK, "methods": "random", "seeds": 1, "budget": 2, "proxies": proxies}
        )
        return study.cells([TASK])[0].key

    columns = {"any": {"nwot": np.arange(float(len(table.rows)))}}
    first = key(scores=file_of(tmp_path / "a.npz", table.space.name, columns, benchmark=TASK))
    same = key(scores=file_of(tmp_path / "b.npz", table.space.name, columns, benchmark=TASK))
    other = key(scores=file_of(tmp_path / "c.npz", table.space.name, columns, benchmark=TASK, directions={"nwot": -1}))
    assert first == same != other
    # Without a choice the key is what it was before there was one.
    assert "scores" not in key()["proxies"]
    assert key(scores="own")["proxies"]["scores"] == "own"


def test_correlations_of_files(table, tmp_path):
    rows = np.random.default_rng(2).permutation(len(table.rows))[:80]
    values = {"nwot": table.validation[rows], "swap": -table.validation[rows]}
    sample = OwnScores.read(file_of(tmp_path / "s.npz", table.space.name, {"any": values}, listed(table, rows)))
    compared, missing = correlate_tables([sample], ["nasbench_graph/co*"], against="validation", resamples=3)
    assert not missing
    taus = {(one.benchmark, a.label): a for one in compared for a in one.found}
    assert taus[TASK, "nwot (own)"].kendall == pytest.approx(1)
    assert taus[TASK, "swap (own)"].kendall == pytest.approx(-1)
    assert taus[TASK, "nwot (own)"].rows == 80
    assert abs(taus["nasbench_graph/computers", "nwot (own)"].kendall) < 0.9
    few = OwnScores.read(
        file_of(tmp_path / "f.npz", table.space.name, {"any": {"nwot": np.arange(5.0)}}, listed(table, rows[:5]))
    )
    assert correlate_tables([few], [TASK]) == ([], [])
    with pytest.raises(po_nas.errors.UnknownNameError):
        correlate_tables([sample], ["nasbench201/*"])
