"""Better or worse is what the test says that the p-value comes from: one pair far off turns the mean, not the ranks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from po_nas.compare.statistics import higher_or_lower, paired_p
from po_nas.research.evolved_losses.results import Evolved
from po_nas.research.fusion.design import FusionStudyConfig
from po_nas.research.fusion.results import FusionResults
from po_nas.research.fusion.tables import fusion_tables
from po_nas.research.loss_study.design import LossStudyConfig
from po_nas.research.loss_study.results import LossResults
from po_nas.research.loss_study.tables import loss_tables

TASK = "nasbench201/cifar10"
SEEDS = range(20)
GAINS = np.array([-50.0 if seed == 7 else 0.5 + seed / 40 for seed in SEEDS])
"""Better in 19 pairs of 20, worse in the mean."""


@given(st.lists(st.integers(-9, 9), min_size=5, max_size=20))
def test_the_side_is_that_of_the_one_sided_test(differences):
    first, second = np.array(differences, float), np.zeros(len(differences))
    side = higher_or_lower(first, second, paired_p(first, second))
    assert higher_or_lower(second, first, paired_p(first, second)) == -side
    if side:
        alternative = "greater" if side > 0 else "less"
        assert wilcoxon(first, alternative=alternative, zero_method="pratt").pvalue < 0.1


@pytest.mark.parametrize(("sign", "verdict"), [(1, "better"), (-1, "worse")])
def test_evolved_losses(sign, verdict):
    rows = []
    for seed in SEEDS:
        both = {"evolved": 60 + sign * GAINS[seed], "cross_entropy": 60.0}
        rows += [{"dataset": "d", "setting": "s", "loss": k, "seed": seed, "test": v} for k, v in both.items()]
    [test] = Evolved({"final": rows, "losses": [{"name": "evolved"}], "config": {}}).paired
    assert test.adjusted < 0.05
    assert test.gain * sign < 0
    assert test.verdict == verdict


def row_of(text: str, heading: str, first: str) -> list[str]:
    part = text.partition(f"### {heading}")[2].partition("\n### ")[0]
    return next(line.split("|") for line in part.splitlines() if line.startswith(f"| {first} "))


@pytest.mark.parametrize(("sign", "mark"), [(1, "*"), (-1, "°")])
def test_loss_study(sign, mark):
    """On the mean rank, the summary and the paired tests alike, for a figure of which lower is better."""
    config = LossStudyConfig.model_validate(
        {
            "runs": len(SEEDS),
            "tasks": [{"benchmark": TASK, "train": 156}],
            "losses": ["hr", "mape", "scheduled"],
            "sweep": [],
            "weighting_tasks": [],
            "predictor_tasks": [],
        }
    )
    rows = []
    for seed in SEEDS:
        for loss, rank in (("hr", 100), ("mape", 300), ("scheduled", 100 - sign * GAINS[seed])):
            figures = {"best_rank@10": rank, "precision@0.5%": 20.0, "precision@5%": 20.0, "kendall_b": 0.5}
            for metric, value in figures.items():
                for over in ("space", "held_out", "mutants"):
                    key = {"task": TASK, "train": 156, "predictor": "gcn", "loss": loss, "hyperparameters": "[]"}
                    rows.append(key | {"seed": seed, "set": over, "metric": metric, "value": float(value)})
    text = loss_tables(LossResults.of(pa.Table.from_pylist(rows)), config)
    assert row_of(text, "100 labels or more", "scheduled")[3].strip().endswith(mark)
    assert row_of(text, "Mean rank of the losses", "scheduled")[3].strip().endswith(mark)
    *_, better, worse, _ = row_of(text, "Paired tests", "best_rank@10")
    assert ["scheduled" in better, "scheduled" in worse] == [sign > 0, sign < 0]


@pytest.mark.parametrize(("sign", "counts", "mark"), [(1, (1, 0), "*"), (-1, (0, 1), "°")])
def test_fusion_study(sign, counts, mark):
    tasks = [f"task {number}" for number in SEEDS]
    rows = []
    for number, task in enumerate(tasks):
        # On the first task one seed is far off, on the fourth they all are.
        for seed in SEEDS:
            far = number == 3 or (number == 0 and seed == 7)
            gain = sign * (-50.0 if far else 0.5 + number / 40)
            for model, regret in (("gp_proxies", 60.0), ("po_nas", 60.0 - gain)):
                key = {"kind": "search", "model": model, "at": 25, "measure": "regret", "group": "g"}
                rows.append(key | {"task": task, "seed": seed, "value": regret})
    config = FusionStudyConfig.model_validate({"search_models": ["gp_proxies", "po_nas"]})
    first = FusionResults.of(pa.Table.from_pylist([r for r in rows if r["task"] == tasks[0]]), config)
    assert first.better_and_worse("search", "po_nas", 25) == counts
    assert first.difference("search", "po_nas", 25, "regret").mean * sign > 0
    table = next(
        t for t in fusion_tables(FusionResults.of(pa.Table.from_pylist(rows), config)) if t.name == "search_regret"
    )
    assert table.rows[-1][-1].endswith(mark)
