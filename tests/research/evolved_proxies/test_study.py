"""The study of evolved proxies on made-up problems: what is learned from, what is judged, what is chosen by what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from po_nas.core.settings import validated
from po_nas.errors import ConfigError, StudyError, UnknownNameError
from po_nas.formula import Call, depth, parse, size, text
from po_nas.research.evolved_proxies import baselines, design, export, report, run, search, selection
from po_nas.research.evolved_proxies.design import EvolvedStudyConfig, load_evolved_study
from po_nas.research.evolved_proxies.figures import CAPTIONS
from po_nas.research.evolved_proxies.measures import judge, log_ranks, ranks
from po_nas.research.evolved_proxies.results import EvolvedResults
from po_nas.research.evolved_proxies.symbolic import Problem, Settings
from po_nas.research.evolved_proxies.tables import evolved_tables
from po_nas.research.evolved_proxies.tree import formula_figure
from proxies.evolved.functions import ARITIES
from tests.errors import raised

ROOT = Path(__file__).parents[3]
SPACES = ("alpha", "beta", "gamma")


def made_up(name, seed):
    """`good` and `fair` order the accuracies well, `noise` does not; `local` does so in the space alpha alone."""
    rng = np.random.default_rng(seed)
    accuracy = rng.normal(size=60)
    space = name.partition("/")[0]
    columns = {
        "good": accuracy + rng.normal(size=60),
        "fair": np.exp(accuracy + 1.5 * rng.normal(size=60)),
        "noise": rng.normal(size=60),
        "local": accuracy + 0.1 * rng.normal(size=60) if space == "alpha" else rng.normal(size=60),
    }
    columns["fair"][3] = np.nan
    return Problem(name, space, accuracy, columns, np.arange(60) // 2)


PROBLEMS = {name: made_up(name, seed) for seed, name in enumerate([*(f"{s}/one" for s in SPACES), "alpha/two"])}
SMALL = {
    "problems": ["alpha/one", "beta/one", "gamma/one"],
    "judged": ["alpha/two"],
    "seeds": 2,
    "fitted_seeds": 1,
    "train": 30,
    "train_unseen": 30,
    "engine": {"population": 12, "generations": 2, "max_size": 9},
    "variants": {
        "plain": {"settings": {"aggregate": "mean"}},
        "careful": {
            "settings": {"aggregate": "mean-sd", "by_space": True, "functions": ["add", "min"]},
            "shuffled": 0.3,
            "copies": 2,
            "shuffle": "space",
            "validate_on": "space",
        },
    },
    "fitted": ["best_single", "ridge"],
    "sums": {"both": ["good", "fair"]},
}


@pytest.fixture(scope="module")
def config():
    with pytest.MonkeyPatch.context() as patch:
        everything = _patched(patch)
        assert everything
        yield validated(EvolvedStudyConfig, SMALL)


def _patched(patch):
    real = design.expand
    made = set(PROBLEMS)
    patch.setattr(design, "expand", lambda names: list(names) if set(names) <= made else real(names))
    for module in (run, selection):
        patch.setattr(module, "problem", PROBLEMS.__getitem__)
    return True


@pytest.fixture(scope="module")
def done(config, tmp_path_factory):
    directory = tmp_path_factory.mktemp("study")
    told = []
    table = run.run_evolved_study(config, directory, progress=told.append)
    return directory, table, told


def test_judge_knows_a_perfect_and_a_reversed_order():
    accuracy = np.arange(200.0)
    perfect, reversed_ = judge(accuracy, accuracy), judge(-accuracy, accuracy)
    assert (perfect["tau"], perfect["loss@1"], perfect["regret@10"]) == (1.0, 0.0, 0.0)
    assert perfect["rank@10"] == pytest.approx(100 * 4.5 / 200)
    assert reversed_["tau"] == -1.0
    assert reversed_["regret@1"] == 199.0
    assert reversed_["loss@1%"] == pytest.approx(198 / (199 - 99.5))


def test_equal_scores_are_not_taken_in_the_order_of_the_table():
    accuracy = np.arange(100.0)[::-1].copy()
    assert judge(np.zeros(100), accuracy)["regret@1"] > 0


def test_ranks_average_ties_and_put_missing_scores_in_the_middle():
    assert ranks(np.array([2.0, np.nan, 1.0, 2.0])) == pytest.approx([2 / 3, 0.5, 1 / 6, 2 / 3])
    assert log_ranks([np.array([1.0, 2.0])]) == pytest.approx(np.log([0.25, 0.75]))


@pytest.mark.parametrize("method", sorted(baselines.FITS))
def test_baselines_find_what_orders_the_accuracies(method):
    train = [PROBLEMS["beta/one"], PROBLEMS["gamma/one"]]
    settings = Settings(population=20, generations=1, aggregate="mean-sd", by_space=True)
    found = baselines.fit(method, train, settings, np.random.default_rng(0))
    other = PROBLEMS["alpha/two"]
    assert judge(found.score(other), other.accuracy)["tau"] > 0.2
    again = baselines.fit(method, train, settings, np.random.default_rng(0))
    assert np.array_equal(found.score(other), again.score(other))


def test_baselines_and_figures_are_those_that_are_named():
    assert set(design.FITTED) == set(baselines.FITS)


def test_nothing_is_learned_from_the_space_held_out(config):
    cells = config.cells({name: p.space for name, p in PROBLEMS.items()})
    assert len({str(cell.key) for cell in cells}) == len(cells)
    for cell in cells:
        spaces = {PROBLEMS[name].space for name in cell.problems}
        assert cell.held_out not in spaces
        assert cell.validation not in spaces
        assert "alpha/two" not in cell.problems
    validations = {c.validation for c in cells if c.method == "careful" and c.held_out == "alpha"}
    assert validations == {"beta", "gamma"}


def test_rows_say_what_a_problem_was_to_a_formula(done):
    rows = done[1].to_pylist()
    for row in rows:
        if row["protocol"] == "unseen_space" and row["rule"] == "run":
            expected = {row["held_out"]: {"unseen"}, row["validation"]: {"validation"}}
            assert row["role"] in expected.get(row["space"], {"train", "held_out", "other_task"})
    held_out = [row for row in rows if row["protocol"] == "same_problem" and row["role"] == "held_out"]
    assert {row["problem"] for row in held_out} == {"alpha/one", "beta/one", "gamma/one"}


def test_a_finished_study_is_not_run_again(config, done, monkeypatch):
    directory, table, told = done
    assert told[-1].done == told[-1].total
    monkeypatch.setattr(run, "run_cell", lambda cell: pytest.fail("run again"))
    # As text, for NaN is not equal to itself.
    assert repr(run.run_evolved_study(config, directory).to_pylist()) == repr(table.to_pylist())


DIES = """
import os
from po_nas.research.evolved_proxies import run, search, selection
from tests.research.evolved_proxies.test_study import PROBLEMS
run.problem = selection.problem = PROBLEMS.__getitem__
real = run.run_cell

def dies(cell):
    if cell.method == "ridge" and cell.held_out == "beta":
        os._exit(9)
    return real(cell)

def search_dies(searches):
    if searches.seed == 1:
        os._exit(9)
    return [{"seed": searches.seed}]

run.run_cell, search._run = dies, search_dies
"""


@pytest.mark.slow
def test_a_run_of_which_its_process_dies_stops_no_other(config, done, tmp_path):
    plugin = tmp_path / "evolved_study_dies.py"
    plugin.write_text(DIES)
    with pytest.raises(StudyError) as caught:
        run.run_evolved_study(config, tmp_path / "out", 2, plugins=[str(plugin)])
    (title,) = caught.value.failed
    assert all(name in title for name in ("ridge", "unseen_space", "beta", "seed 0"))
    told = []
    table = run.run_evolved_study(config, tmp_path / "out", progress=told.append)
    assert told[0].done == told[0].total - 1
    assert repr(table.to_pylist()) == repr(done[1].to_pylist())


@pytest.mark.slow
def test_a_search_of_which_its_process_dies_stops_no_other(config, tmp_path, monkeypatch):
    plugin = tmp_path / "evolved_search_dies.py"
    plugin.write_text(DIES)
    monkeypatch.setattr(search, "_loaded", lambda name: None)
    monkeypatch.setattr(search, "final_formula", lambda *_: "good")
    part = config.search.model_copy(update={"benchmarks": ("alpha/one",), "seeds": 3})
    wanted = config.model_copy(update={"search": part})
    with pytest.raises(StudyError) as caught:
        search.run_searches(wanted, None, tmp_path / "out", 2, plugins=[str(plugin)])
    (title,) = caught.value.failed
    assert title.endswith("alpha/one, seed 1")
    monkeypatch.setattr(search, "_run", lambda searches: [{"seed": 10 + searches.seed}])
    found = search.run_searches(wanted, None, tmp_path / "out")
    assert found["seed"].to_pylist() == [0, 11, 2]


def test_the_final_formula_is_chosen_without_the_space_held_out(done):
    """Whatever is unseen, the choice stays."""
    rows = [
        r for r in done[1].to_pylist() if r["method"] == "careful" and r["held_out"] == "alpha" and r["rule"] == "run"
    ]
    first = selection._chosen(rows)
    spoilt = [{**row, "tau": -row["tau"]} if row["role"] == "unseen" else row for row in rows]
    assert selection._chosen(spoilt) == first
    assert set(first) == {"validation", "ensemble_validation"}
    assert len(first["validation"]) == 1


def test_shuffled_leaves_say_nothing_but_keep_their_values():
    given = [PROBLEMS["alpha/one"], PROBLEMS["alpha/two"], PROBLEMS["beta/one"]]
    for shuffle in (run._shuffled_problems, run._shuffled_spaces):
        found = list(shuffle(given, 1.0 - 1e-12, 0, np.random.default_rng(0)))
        for before, after in zip(given, found, strict=True):
            assert after.name != before.name
            assert np.array_equal(np.sort(after.columns["good"]), np.sort(before.columns["good"]))
            taus = [judge(p.columns["good"], p.accuracy)["tau"] for p in (before, after)]
            assert abs(taus[1]) < 0.25 < taus[0]
        for before, after in zip(given, shuffle(given, 0.0, 0, np.random.default_rng(0)), strict=True):
            assert after.columns["good"] is before.columns["good"]


def test_a_score_is_worthless_on_a_whole_space():
    given = [PROBLEMS["alpha/one"], PROBLEMS["alpha/two"], PROBLEMS["beta/one"]]
    same = []
    for seed in range(12):
        found = list(run._shuffled_spaces(given, 0.5, 1, np.random.default_rng(seed)))
        kept = [after.columns["good"] is before.columns["good"] for before, after in zip(given, found, strict=True)]
        assert kept[0] == kept[1]
        same.append(kept[0] == kept[2])
        assert found[0].space == found[1].space != found[2].space
    assert len(set(same)) == 2


def test_tables_and_page_are_made_of_the_rows(config, done, tmp_path):
    directory, table, _ = done
    results = EvolvedResults.of(table, list(config.variants), config.learned)
    assert results.spaces == SPACES
    entries = {entry.label: entry for entry in results.unseen()}
    assert entries["good"].mean == pytest.approx(np.mean(list(results.untrained("good").values())))
    assert entries["local"].means[0] > entries["local"].means[1]
    assert len(entries["plain"].seeds) == 2
    names = {t.name for t in evolved_tables(results, config)}
    assert names == {"unseen", "top", "same", "problems", "formulas", "tasks"}
    page = tmp_path / "page.md"
    page.write_text(
        "# Mine\n\n<!-- tables: made by an earlier command -->\nstale text\n<!-- end of tables -->\n\nkept\n"
    )
    text_ = report.make_evolved_report(table, None, config, directory)
    report.write_evolved_page(text_, directory, page, "command")
    written = page.read_text()
    assert written.startswith("# Mine")
    assert written.endswith("kept\n")
    assert "stale" not in written
    for name in CAPTIONS:
        assert f"results/page/{name}.png" in written
        assert (tmp_path / "results" / "page" / f"{name}.png").stat().st_size > 2_000


def test_the_shipped_metric_is_the_final_formula(config, done, monkeypatch):
    monkeypatch.setattr(export, "problem", PROBLEMS.__getitem__)
    metric = export.shipped_proxy(config, done[1], "mine")
    (row,) = EvolvedResults.of(done[1], list(config.variants), config.learned).formulas("same_problem", "plain")[:1]
    assert text(metric.formula) == row["formula"]
    assert set(metric.references) <= set(SPACES)
    summed = export.shipped_proxy(config, done[1], "mine", "sum")
    assert isinstance(summed.formula, Call)
    assert metric.formula in summed.formula.arguments
    with pytest.raises(UnknownNameError):
        export.shipped_proxy(config, done[1], "mine", "validation")


def test_a_sum_of_formulas_is_flat():
    leaves = [f"x{i}" for i in range(31)]
    found = selection.summed(leaves)
    assert depth(found) == 5
    assert size(found) == 61


def test_a_tree_shows_every_node():
    formula = parse("min(nwot, sqrt_abs(flops)) + nwot", functions=ARITIES, variables=["nwot", "flops"])
    figure = formula_figure(formula, "title")
    words = [artist.get_text() for artist in figure.axes[0].texts]
    assert sorted(words) == sorted(["+", "min", "√|·|", "nwot", "flops", "nwot"])
    assert text(formula) == "min(nwot, sqrt_abs(flops)) + nwot"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs" / "studies").glob("evolved_proxies*.yaml")), ids=lambda p: p.stem
)
def test_shipped_studies_are_valid(path):
    config = load_evolved_study(path)
    assert config.learned


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("shipped=nothing", "shipped"),
        ("fitted=[magic]", "magic"),
        ("engine={populaton: 3}", "populaton"),
        ("engine.population=abc", "engine.population"),
        ("engine.population=1", "engine.population"),
        ("engine.parsimony=.nan", "engine.parsimony"),
    ],
)
def test_a_study_is_checked_before_it_runs(override, complaint):
    with raised(ConfigError, complaint):
        load_evolved_study(ROOT / "configs" / "studies" / "evolved_proxies_quick.yaml", [override])
