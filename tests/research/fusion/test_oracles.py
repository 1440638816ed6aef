"""The oracles against slow references, and that none of them has seen the label that it predicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, pearsonr

from po_nas.research.fusion import oracles
from po_nas.research.fusion.oracles import FOLDS, architecture_weights, best_single, fold_numbers, forest, weighting
from surrogates.candidate_kernels import Similarity


@pytest.fixture(scope="module")
def made_up():
    """60 candidates: two proxies whose weights depend on what an architecture is like, one that says nothing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    z = rng.normal(size=(60, 3))
    y = np.tanh(2 * x[:, 0]) * z[:, 0] + 0.5 * z[:, 1] + 0.05 * rng.normal(size=60)
    folds = fold_numbers(np.arange(60), rng)
    return x, z, y, folds


def test_best_weighting_has_the_least_squared_error(made_up):
    _, z, y, _ = made_up
    centred = z - z.mean(axis=0)

    def error(weights):
        return sum((float(row @ weights) - target) ** 2 for row, target in zip(centred, y - y.mean(), strict=True))

    found = minimize(error, np.zeros(3), tol=1e-12)
    assert weighting(z, y) == pytest.approx(centred @ found.x, abs=1e-4)


def test_best_weighting_of_equal_proxies(made_up):
    """Proxies that are the same, or constant, are no reason to fail."""
    _, z, y, _ = made_up
    doubled = np.column_stack([z, z[:, 0], np.ones(60)])
    assert weighting(doubled, y) == pytest.approx(weighting(z, y))


def test_best_single(made_up):
    _, z, y, _ = made_up
    correlations = [pearsonr(column, y).statistic for column in z.T]
    best = int(np.argmax(np.abs(correlations)))
    assert best_single(z, y) == pytest.approx(z[:, best] * np.sign(correlations[best]))
    assert best_single(-z, y) == pytest.approx(best_single(z, y))
    assert best_single(np.ones((60, 2)), y).tolist() == [1.0] * 60


def test_folds_keep_isomorphic_ones_together():
    classes = np.random.default_rng(0).integers(40, size=300)
    classes = np.unique(classes, return_inverse=True)[1]
    folds = fold_numbers(classes, np.random.default_rng(1))
    assert all(len(set(folds[classes == number])) == 1 for number in range(classes.max() + 1))
    assert len(set(folds)) == FOLDS
    # A class is a fortieth of all, so that the largest fold has little more than a fifth.
    assert np.bincount(folds).max() < 0.3 * 300


@pytest.mark.parametrize("name", ["forest", "architecture_weights"])
def test_no_label_is_seen_by_its_own_prediction(made_up, name):
    """Other labels of a fold change no prediction in it, and change those of the others."""
    x, z, y, folds = made_up

    def predicted(labels):
        if name == "forest":
            return forest(z, labels, folds, 2, 0)
        return architecture_weights(z, Similarity(x), labels, folds, 0)

    for fold in (0, FOLDS - 1):
        changed = y.copy()
        changed[folds == fold] = np.random.default_rng(3).normal(size=(folds == fold).sum()) * 10
        before, after = predicted(y), predicted(changed)
        assert (before[folds == fold] == after[folds == fold]).all()
        assert (before[folds != fold] != after[folds != fold]).any()


def test_forest_predicts_each_fold_from_the_others(made_up):
    from sklearn.ensemble import ExtraTreesRegressor

    _, z, y, folds = made_up
    expected = np.empty(60)
    for fold in range(FOLDS):
        known = [place for place in range(60) if folds[place] != fold]
        model = ExtraTreesRegressor(3, min_samples_leaf=3, max_features=1, random_state=0).fit(z[known], y[known])
        for place in set(range(60)) - set(known):
            expected[place] = model.predict(z[place : place + 1])[0]
    assert forest(z, y, folds, 3, 0) == pytest.approx(expected)


def _reference(x, z, y, folds):
    """Weights per architecture by loops over entries, densities of scipy, and an inverse."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(len(x), size=(2, 2_000))
    apart = [np.linalg.norm(x[i] - x[j]) for i, j in zip(first, second, strict=True)]
    unit = np.median([d for d in apart if d > 0])
    norm = math.sqrt(np.mean([row @ row for row in z]))

    def kernel(i, j, length, share):
        d = math.sqrt(5) * np.linalg.norm(x[i] - x[j]) / unit / length
        near = (1 + d + d * d / 3) * math.exp(-d)
        return (z[i] @ z[j]) / norm**2 * ((1 - share) + share * near)

    predicted = np.empty(len(y))
    for fold in range(FOLDS):
        known, asked = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        centre = y[known].mean()
        best = (-np.inf, None, None)
        for length in oracles._LENGTHS:
            for share in oracles._VARYING:
                gram = np.array([[kernel(i, j, length, share) for j in known] for i in known])
                for noise in oracles._NOISES:
                    covariance = gram + noise * np.eye(len(known))
                    residual = y[known] - centre
                    scale = residual @ np.linalg.inv(covariance) @ residual / len(known)
                    density = multivariate_normal(None, scale * covariance).logpdf(residual)
                    if density > best[0] + 1e-9:
                        best = (density, (length, share), covariance)
        _, (length, share), covariance = best
        alpha = np.linalg.inv(covariance) @ (y[known] - centre)
        for i in asked:
            predicted[i] = centre + sum(kernel(i, j, length, share) * a for j, a in zip(known, alpha, strict=True))
    return predicted


def test_weights_per_architecture_against_a_slow_reference(made_up, monkeypatch):
    monkeypatch.setattr(oracles, "_LENGTHS", (0.4, 1.6))
    monkeypatch.setattr(oracles, "_VARYING", (0.5, 1.0))
    monkeypatch.setattr(oracles, "_NOISES", (0.03, 0.3))
    x, z, y, folds = (part[:40] for part in made_up)
    found = architecture_weights(z, Similarity(x), y, folds, 0)
    assert found == pytest.approx(_reference(x.astype(np.float32).astype(float), z, y, folds), abs=1e-3)


def test_weights_per_architecture_find_what_one_weighting_cannot(made_up):
    x, z, y, folds = made_up
    varying = architecture_weights(z, Similarity(x), y, folds, 0)
    assert pearsonr(varying, y).statistic > pearsonr(weighting(z, y), y).statistic + 0.2
