"""The best architectures on the page, and what changed from one incumbent to the next."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

import po_nas
from po_nas import Categorical, Float, Int, spaces
from po_nas.reports.architectures import changes, changes_text, configuration, incumbent_changes
from po_nas.reports.page import render_page
from po_nas.reports.run import load_run
from po_nas.runtime.run_directory import traceback_file

SPACE = po_nas.declare(
    "shown",
    depth=Int(1, 3),
    width=Int(8, 64).each("depth"),
    act=Categorical(["relu", "gelu"]),
    lr=Float(0.01, 0.1),
)


def value(config):
    if config["depth"] == 3 and config["act"] == "gelu":
        raise MemoryError("no room")
    found = sum(config["width"]) + config["lr"]
    return {"validation": found, "test": found - 1.0}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    out = tmp_path_factory.mktemp("own") / "run"
    po_nas.search(space=SPACE, objective=value, method="random", budget=30, seed=2, out=out)
    return out


@pytest.mark.parametrize("name", [n for n in spaces.registry.names() if "hwgpt" not in n])
def test_changes_lead_from_one_architecture_to_the_other(name, finished):
    """No change without a difference, and none that is left out."""
    space = spaces.get(name)
    rng = np.random.default_rng(0)
    run = dataclasses.replace(load_run(finished), protocol={"space": name})
    for _ in range(5):
        first = space.sample(rng)
        second = space.neighbours(first)[0] if name == "nasbench201" else space.mutate(first, rng)
        one, two = (configuration(run, space.to_string(a)) for a in (first, second))
        assert changes(one, one) == []
        told = changes(one, two)
        assert bool(told) == (one != two)
        names = {key for key in {*one, *two} if one.get(key) != two.get(key)}
        assert {text.split(" ")[0].rstrip(":") for text in told} == {key.split(" ")[0] for key in names}


def test_changes_in_words():
    before = {"depth": 2, "width[0]": 8, "width[1]": 16, "edges": {(0, 1), (1, 2)}, "lr": 0.1}
    after = {"depth": 1, "width[0]": 8, "edges": {(0, 1), (0, 2)}, "lr": 0.012345678, "act": "relu"}
    told = changes(before, after)
    assert told == [
        "depth 2 → 1", "width[1] 16 gone",
        "edges: 1→2 removed", "edges: 0→2 added", "lr 0.1 → 0.012346", "act relu new",
    ]  # fmt: skip
    assert changes_text(told) == "; ".join(told)
    assert changes_text([*told, "x 1 → 2", "y 1 → 2"]).endswith("; and 2 more")


def test_every_incumbent_and_its_gain(own):
    run = load_run(own)
    found = incumbent_changes(run)
    values = [trial.validation for trial, _, _ in found]
    assert values == sorted({v for v in run.incumbents() if v is not None})
    assert [gain for _, gain, _ in found[1:]] == pytest.approx(np.diff(values))
    assert found[0][1:] == (None, None)
    assert all(told for _, _, told in found[1:])
    assert found[-1][0] == run.incumbent()


def test_the_page_has_seconds_tests_reasons_and_choices(own):
    run = load_run(own)
    page = render_page(run)
    failed = run.failures()["MemoryError: no room"]
    assert len(failed) > 1
    assert str(traceback_file(failed[0])) in page
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page.partition("<details>")[2].partition("</details>")[0])
    cells = [re.sub("<[^>]*>", "", row.replace("</td>", "\t")).split("\t") for row in rows[1:]]
    assert [int(row[0]) for row in cells] == list(range(1, 31)), "counted from 1, in the order of completion"
    for row, trial in zip(cells, run.told, strict=True):
        assert row[2] == ("" if trial.validation is None else f"{trial.validation - 1.0:.4f}")
    three = sorted((t.validation for t in run.told if t.validation is not None), reverse=True)[:3]
    heads = re.findall(r"evaluation \d+ · validation (\S+) ·", page)
    assert heads == [f"{v:.5g}" for v in three]
    assert all(f"<th scope='row'>{name}</th>" in page for name in ("depth", "width[0]", "lr"))


def test_seconds_are_shown_where_an_evaluation_takes_some(own):
    run = load_run(own)
    slow = dataclasses.replace(run, trials=tuple(dataclasses.replace(t, cost_s=2.5) for t in run.trials))
    assert "<th scope='col'>seconds</th>" not in render_page(run)
    assert "<td>2.50</td>" in render_page(slow)


def test_three_cells_are_drawn_each_with_tips_of_its_own(finished):
    page = render_page(load_run(finished))
    assert len(set(re.findall(r'<marker id="(.*?)"', page))) == 3
    assert len(re.findall(r'aria-label="evaluation \d+: the architecture as a graph"', page)) == 3


def test_test_values_that_an_evaluation_tells(own):
    run = load_run(own)
    assert run.summary["test"] == run.summary["validation"] - 1.0
    assert run.summary["best_test_queried"] == max(t.test for t in run.told if t.test is not None)
    assert run.winner()["test"] == run.summary["test"]
    assert run.winner()["evaluation"] == run.incumbent().evaluation == run.told.index(run.incumbent()) + 1


def test_test_values_of_a_table_are_attached_at_the_end(finished, running):
    table = po_nas.benchmarks.get("nasbench_graph/proteins")
    run = load_run(finished)
    for trial in run.told:
        assert trial.test == table.report(table.space.from_string(trial.architecture))["test"]
    assert all(trial.test is None for trial in load_run(running).told), "nobody sees them before"
