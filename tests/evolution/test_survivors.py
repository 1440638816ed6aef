"""Two-stage survival, and the count of what it measured."""

from __future__ import annotations

import numpy as np
import pytest

from po_nas import spaces
from po_nas.errors import BudgetError, ScoreError
from po_nas.evolution import MetricBudget, select_survivors

SPACE = spaces.get("nasbench201")
CELLS = [SPACE.at(position) for position in range(10)]


class Meter:
    """Two metrics; remembers what it was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, architectures):
        self.asked += architectures
        return np.array([[SPACE.index(a), np.nan] for a in architectures])


def predict(architectures):
    """Best is position 7, then 6 and 8; 3 is unknown."""
    positions = np.array([SPACE.index(a) for a in architectures])
    return np.where(positions == 3, np.nan, -np.abs(positions - 7.0))


def test_the_best_predicted_are_measured_and_carry_their_own_metrics():
    meter = Meter()
    budget = MetricBudget(meter)
    found = select_survivors(CELLS, predict, budget, keep=3)
    assert [SPACE.index(a) for a in found.architectures] == [7, 6, 8]
    assert found.predicted.tolist() == [0, -1, -1]
    assert found.metrics[:, 0].tolist() == [7, 6, 8]
    assert meter.asked == list(found.architectures)
    assert (budget.architectures, budget.values, budget.left) == (3, 6, None)


def test_unknown_predictions_never_survive():
    found = select_survivors(CELLS, predict, MetricBudget(Meter()), keep=99)
    assert len(found.architectures) == 9
    assert CELLS[3] not in found.architectures


def test_nothing_is_measured_twice():
    meter = Meter()
    budget = MetricBudget(meter)
    first = select_survivors(CELLS, predict, budget, keep=2)
    second = select_survivors(CELLS, predict, budget, keep=4)
    assert second.metrics[:2, 0].tolist() == first.metrics[:, 0].tolist()
    assert len(meter.asked) == budget.architectures == 4
    assert np.array_equal(budget.metrics([CELLS[7], CELLS[7]])[:, 0], [7, 7])
    assert budget.architectures == 4


def test_the_limit_holds():
    meter = Meter()
    budget = MetricBudget(meter, limit=3)
    select_survivors(CELLS, predict, budget, keep=2)
    # The two that were measured are free, one more is left.
    found = select_survivors(CELLS, predict, budget, keep=5)
    assert [SPACE.index(a) for a in found.architectures] == [7, 6, 8]
    assert (budget.left, len(meter.asked)) == (0, 3)
    with pytest.raises(BudgetError, match="0 left"):
        budget.metrics([CELLS[0]])
    nothing = select_survivors(CELLS[:3], predict, budget)
    assert (nothing.architectures, nothing.metrics.size) == ((), 0)


def test_no_offspring_no_survivors():
    found = select_survivors([], predict, MetricBudget(Meter()))
    assert found.architectures == ()


def test_what_cannot_be_used_is_refused():
    with pytest.raises(BudgetError, match="limit"):
        MetricBudget(Meter(), limit=-1)
    with pytest.raises(ScoreError, match="predictions have shape"):
        select_survivors(CELLS, lambda architectures: np.zeros(3), MetricBudget(Meter()))
    with pytest.raises(ScoreError, match="metrics of 2 architectures"):
        MetricBudget(lambda architectures: np.zeros(2)).metrics(CELLS[:2])
