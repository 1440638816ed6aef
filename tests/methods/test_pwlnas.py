from __future__ import annotations

import numpy as np
import pytest

import po_nas
from losses import LossInputError
from po_nas import methods
from po_nas.core.settings import validated
from po_nas.errors import PoNasError
from po_nas.methods.rounds import fractions
from po_nas.reports.run import load_run
from tests.errors import raised

SMALL = {"initial": 8, "queries": 4, "candidates": 20, "steps": 60, "population": 8}


def test_rounds_follow_the_initial_design(tmp_path):
    result = po_nas.search(
        benchmark="nasbench201/cifar10", method={"name": "pwlnas", **SMALL}, budget=20, seed=1, out=tmp_path / "run"
    )
    origins = [trial.origin for trial in load_run(tmp_path / "run").told]
    assert origins == ["initial"] * 8 + ["predictor"] * 12
    told = [trial.validation for trial in load_run(tmp_path / "run").told]
    # Mutants that the predictor picks are better than what was drawn at random.
    assert np.median(told[8:]) > np.median(told[:8])
    assert result.validation == max(told)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"loss": "listmel"}, "listmle"),
        ({"predictor": "gnc"}, "gcn"),
        ({"loss_options": {"thresold": 3}}, "threshold"),
        ({"loss": "piecewise", "loss_options": {"warm": "hinge"}}, "hinge"),
    ],
)
def test_misspelt_names_cost_no_evaluation(options, named):
    with raised(PoNasError, named):
        validated(methods.registry.get("pwlnas").Options, options)


@pytest.mark.parametrize(
    "method",
    [
        {"name": "pwlnas", "loss_options": {"by": "budget"}},
        {"name": "po_nas", "predictor": {"loss": "piecewise", "loss_options": {"by": "budget"}}},
        {"name": "po_nas", "predictor": {"loss": "mape", "loss_options": {"lower_bound": 0.2}}},
    ],
    ids=str,
)
def test_what_a_loss_lacks_costs_no_evaluation(tmp_path, method):
    with raised(LossInputError):
        po_nas.search(
            benchmark="nasbench201/cifar10", method=method, budget={"max_cost_s": 20_000}, out=tmp_path / "run"
        )
    assert not (tmp_path / "run").exists()


def test_what_a_loss_says_of_the_evaluations_is_ours(tmp_path):
    """Only they tell that a bound is too high."""
    method = {"name": "pwlnas", **SMALL, "loss": "mape", "loss_options": {"lower_bound": 0.2}}
    with raised(LossInputError, "lower_bound=0.2", loss="mape"):
        po_nas.search(benchmark="nasbench201/cifar10", method=method, budget=20, out=tmp_path / "run")


def test_accuracies_becomefractions():
    assert fractions(np.array([10.0, 93.5])).tolist() == [0.1, 0.935]
    assert fractions(np.array([0.2, 0.7])).tolist() == [0.2, 0.7]
    assert fractions(np.array([-3.0, -2.0, -1.0])) == pytest.approx([0.1, 0.5, 0.9])
    assert fractions(np.array([-3.0, -3.0])).tolist() == [0.5, 0.5]
