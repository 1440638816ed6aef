"""The acquisition function of several objectives, against the definition."""

from __future__ import annotations

import numpy as np
import pytest

from po_nas.evolution.front import hypervolume
from surrogates.hypervolume import log_hypervolume_improvement, normal_draws, promising
from surrogates.labels import log_error_scale, standard_scale


@pytest.mark.parametrize("k", [2, 3])
def test_it_is_the_mean_of_what_samples_add(k):
    rng = np.random.default_rng(k)
    baseline, candidates = rng.normal(size=(4, 6, k)), rng.normal(size=(4, 9, k))
    reference = np.full(k, -1.5)
    found = np.exp(log_hypervolume_improvement(baseline, candidates, reference))
    for place in range(9):
        added = [
            hypervolume(-np.vstack([base, more[place]]), -reference) - hypervolume(-base, -reference)
            for base, more in zip(baseline, candidates, strict=True)
        ]
        assert found[place] == pytest.approx(np.mean(added), abs=1e-9)


def test_the_promising_are_those_that_add_most():
    rng = np.random.default_rng(0)
    points, front = rng.normal(size=(200, 2)), np.array([[0.0, 1.0], [1.0, 0.0]])
    reference = np.array([-1.0, -1.0])
    before = hypervolume(-front, -reference)
    added = np.array([hypervolume(-np.vstack([front, p]), -reference) - before for p in points])
    chosen = promising([points], np.ones(200), front, reference, 20)
    assert sorted(chosen) == sorted(np.argsort(-added, kind="stable")[:20])
    half = np.where(np.arange(200) < 100, 1.0, 0.0)
    assert promising([points], half, front, reference, 20).max() < 100
    assert promising([points[:5]], np.ones(5), front, reference, 20).tolist() == [0, 1, 2, 3, 4]


def test_draws_are_normal_and_a_function_of_the_seed():
    drawn = normal_draws(256, 3, 7)
    assert np.abs(drawn.mean(axis=0)).max() < 0.05
    assert np.abs(drawn.std(axis=0) - 1).max() < 0.05
    np.testing.assert_array_equal(drawn, normal_draws(256, 3, 7))


@pytest.mark.parametrize("make", [log_error_scale, standard_scale])
def test_scales_lead_back_and_keep_the_order(make):
    values = np.array([3.0, 90.0, 91.0, 88.0, 90.5, 89.0])
    scale = make(values)
    kept = scale.targets > -2.5
    np.testing.assert_allclose(scale.inverse(scale.targets)[kept], values[kept])
    assert (np.argsort(scale.targets, kind="stable") == np.argsort(values, kind="stable")).all()
    for value, target in zip(values, scale.targets, strict=True):
        assert scale.forward(value) == pytest.approx(target)
    assert scale.forward(1e6) > scale.targets.max()
    assert make(np.ones(3)).targets.tolist() == pytest.approx([0.0] * 3, abs=9)
