"""Which offspring stay."""

from __future__ import annotations

import numpy as np
import pytest

from po_nas import spaces
from po_nas.errors import ScoreError
from po_nas.evolution import select_survivors

SPACE = spaces.get("nasbench201")
CELLS = [SPACE.at(position) for position in range(10)]


def predict(architectures):
    """Best is position 7, then 6 and 8; 3 is unknown."""
    positions = np.array([SPACE.index(a) for a in architectures])
    return np.where(positions == 3, np.nan, -np.abs(positions - 7.0))


def test_the_best_predicted_stay_and_ties_keep_their_order():
    assert select_survivors(CELLS, predict, 3) == [CELLS[7], CELLS[6], CELLS[8]]
    assert select_survivors([], predict, 3) == []
    assert select_survivors(CELLS, predict, 0) == select_survivors(CELLS, predict, -2) == []


def test_unknown_predictions_never_survive():
    found = select_survivors(CELLS, predict, 99)
    assert len(found) == 9
    assert CELLS[3] not in found


def test_there_must_be_one_prediction_for_each():
    with pytest.raises(ScoreError):
        select_survivors(CELLS, lambda architectures: np.zeros(3), 2)
