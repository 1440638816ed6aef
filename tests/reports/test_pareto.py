"""Fronts of validation against a cost."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import image

from po_nas import benchmarks, spaces
from po_nas.core.objective import Metric
from po_nas.errors import ScoreError, UnknownNameError
from po_nas.reports.pareto import draw_pareto, evaluated_in, pareto_front, pareto_table, write_pareto
from po_nas.reports.run import load_run
from tests.errors import raised
from tests.reports.conftest import OPTIMUM_GRAPH

SPACE = spaces.get("nasbench_graph")
# Rows 0 to 5: (cost, validation). The front is 0, 2, 4; row 5 was not recorded, row 3 equals row 2.
COST = np.array([1.0, 2.0, 2.0, 2.0, 4.0, 0.5])
VALUE = np.array([10.0, 15.0, 20.0, 20.0, 30.0, np.nan])


def table(maximize=True):
    return SimpleNamespace(
        name="toy/task", space=SPACE, metric=Metric("accuracy", "%", maximize),
        validation=VALUE if maximize else -VALUE, extras={"params": COST}, units={"params": "millions"},
        rows=SimpleNamespace(architecture=SPACE.at), row=SPACE.index,
    )  # fmt: skip


def test_the_fronts_by_hand():
    front = pareto_front(table(), "params", [SPACE.at(k) for k in (1, 3, 0, 5, 1)])
    assert front.values[front.true].tolist() == [[1, 10], [2, 20], [4, 30]]
    assert front.evaluated.tolist() == [0, 1, 3, 5]
    assert front.found.tolist() == [0, 3]
    assert front.found_true == 2, "row 3 is as good as row 2"
    # Scaled to 0 … 1: (0, 1), (⅓, ½), (1, 0); reference point 1.1.
    whole = 1.1 * 0.1 + (1.1 - 1 / 3) * 0.5 + 0.1 * 0.5
    assert front.hypervolume == pytest.approx((1.1 * 0.1 + (1.1 - 1 / 3) * 0.5) / whole)


def test_lower_may_be_better():
    found = [SPACE.at(k) for k in (1, 3, 0)]
    up, down = pareto_front(table(), "params", found), pareto_front(table(maximize=False), "params", found)
    assert down.true.tolist() == up.true.tolist()
    assert down.hypervolume == pytest.approx(up.hypervolume)


def test_everything_evaluated_is_the_true_front():
    front = pareto_front(table(), "params", [SPACE.at(k) for k in range(6)])
    assert front.hypervolume == 1
    assert front.found_true == len(front.true) == 3


def test_one_point_may_be_the_whole_front():
    one = table()
    one.extras = {"params": 31 - VALUE}
    front = pareto_front(one, "params", [SPACE.at(4), SPACE.at(0)])
    assert front.true.tolist() == front.found.tolist() == [4]
    assert front.hypervolume == 1


def test_nothing_useful_evaluated():
    front = pareto_front(table(), "params", [SPACE.at(5)])
    assert front.hypervolume is None
    assert "the true front" in pareto_table([front])


def test_an_unknown_cost_is_named():
    with raised(UnknownNameError, name="parms", suggestion="params"):
        pareto_front(table(), "parms")


def test_a_run_against_its_table(finished, tmp_path):
    run, recorded = load_run(finished), benchmarks.get(OPTIMUM_GRAPH)
    figure, page = write_pareto(recorded, tmp_path / "out", run)
    pixels = image.imread(figure)
    assert pixels.shape[:2] == (round(3.9 * 150), round(2 * 4.2 * 150)), "params and latency"
    assert 0.4 < (pixels[:, :, :3] > 0.99).all(axis=-1).mean() < 0.98
    text = page.read_text(encoding="utf-8")
    front = pareto_front(recorded, "latency", evaluated_in(run, recorded))
    assert len(front.evaluated) == 25
    assert 0 < front.hypervolume < 1
    summary = next(line for line in text.splitlines() if line.startswith("| latency (ms) | "))
    cells = [cell.strip() for cell in summary.strip("|").split("|")]
    assert cells[1:] == [
        str(n) for n in (len(front.true), 25, len(front.found), front.found_true, f"{front.hypervolume:.4f}")
    ]
    best = max(t.validation for t in run.told if t.validation is not None)
    last = text.strip().splitlines()[-1]
    assert f"| {best:.3f} |" in last, "the incumbent ends every front"


def test_the_table_alone(tmp_path):
    recorded = benchmarks.get(OPTIMUM_GRAPH)
    figure = draw_pareto([pareto_front(recorded, "params")])
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert len(labels) == 2, "the table and its front; nothing was found"
    _, page = write_pareto(recorded, tmp_path, costs=["latency"])
    text = page.read_text(encoding="utf-8")
    assert "params" not in text
    assert " no |" not in text


def test_what_does_not_fit_is_refused(finished, tmp_path):
    with raised(ScoreError, "nasbench_graph/proteins"):
        evaluated_in(load_run(finished), benchmarks.get("nasbench_graph/cora"))
    bare = table()
    bare.extras = {"energy": COST}
    with raised(ScoreError, "energy"):
        write_pareto(bare, tmp_path)
    assert not list(tmp_path.iterdir())
