"""Orders of a task's candidates by those who know labels that no search has: what fusion could gain at most.

All but the best fixed weighting predict a candidate from the labels of the others only: the candidates are dealt to
five folds, isomorphic ones to the same, and each fold is predicted from the labels of the other four, 80 % of all.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from po_nas.research.fusion.task_pool import TaskPool
from surrogates.candidate_kernels import Linear, Similarity, VaryingCoefficients
from surrogates.isolation import single_thread
from surrogates.labels import standard_scale

__all__ = ["FOLDS", "architecture_weights", "best_single", "fold_numbers", "forest", "oracle_orders", "weighting"]

F64 = NDArray[np.float64]
FOLDS = 5
_TUNED = 400
"""Labels that the hyperparameters of weights per architecture are chosen by."""
_LARGEST = 2_000
"""Labels that a Gaussian process learns from."""
_TRIED = 32
"""Features that a split of a tree chooses among, at most; a third of all where there are fewer."""
_LENGTHS = (0.1, 0.2, 0.4, 0.8, 1.6)
_VARYING = (0.0, 0.5, 0.9, 1.0)
"""Shares of the prior variance of the weights that differ from architecture to architecture."""
_NOISES = (0.01, 0.03, 0.1, 0.3, 1.0)


@single_thread()
def oracle_orders(pool: TaskPool, trees: int, seed: int) -> dict[str, F64]:
    """Every order of `po_nas.research.fusion.design.ORDERS` by name: (m,), mean 0 and variance 1, higher is better.

    Args:
        pool: The candidates.
        trees: Of each forest.
        seed: Of folds and forests.
    """
    features, y = pool.features, pool.targets
    folds = fold_numbers(pool.classes, np.random.default_rng(seed))
    encodings = np.concatenate([features.vectors, features.sequences], axis=1)
    if features.sequences is features.vectors:
        encodings = features.vectors
    both = np.concatenate([encodings, features.z], axis=1)
    found = {
        "mean_rank": features.fused,
        "single": best_single(features.z, y),
        "weighting": weighting(features.z, y),
        "function": forest(features.z, y, folds, trees, seed),
        "architecture_weights": architecture_weights(features.z, features.alike, y, folds, seed),
        "encodings": forest(encodings, y, folds, trees, seed),
        "everything": forest(both, y, folds, trees, seed),
    }
    return {name: standard_scale(order).targets for name, order in found.items()}


def fold_numbers(classes: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """A fold (m,) for each candidate, drawn at random; members of one class (m,) are in the same."""
    number = int(classes.max()) + 1
    fold_of_class = np.empty(number, dtype=np.intp)
    fold_of_class[rng.permutation(number)] = np.arange(number) % FOLDS
    return fold_of_class[classes]


def best_single(z: F64, y: F64) -> F64:
    """The column of `z` (m, k) that is most correlated with `y` (m,), turned so that higher is better."""
    products = (z - z.mean(axis=0)).T @ (y - y.mean())
    spreads = z.std(axis=0)
    correlations = np.divide(products, spreads, out=np.zeros_like(products), where=spreads > 0)
    column = int(np.argmax(np.abs(correlations)))
    return np.asarray(z[:, column] * (np.sign(correlations[column]) or 1.0), dtype=np.float64)


def weighting(z: F64, y: F64) -> F64:
    """The weighted sum of the columns of `z` (m, k) with the least squared error to `y` (m,), fitted to all of it."""
    centred = z - z.mean(axis=0)
    weights = np.linalg.lstsq(centred, y - y.mean(), rcond=None)[0]
    return np.asarray(centred @ weights, dtype=np.float64)


def _out_of_fold(folds: NDArray[np.intp], fit: Callable[[NDArray[np.intp], NDArray[np.intp]], F64]) -> F64:
    """Predictions (m,): `fit` is given the places of the known and of those to predict, fold by fold."""
    predicted = np.zeros(len(folds))
    for fold in np.unique(folds):
        asked = np.flatnonzero(folds == fold)
        predicted[asked] = fit(np.flatnonzero(folds != fold), asked)
    return predicted


def forest(x: F64, y: F64, folds: NDArray[np.intp], trees: int, seed: int) -> F64:
    """Predictions (m,) of `y` (m,) from features `x` (m, d), each by extremely randomised trees on the other folds.

    Reference: Geurts, Ernst and Wehenkel, Extremely randomized trees, Machine Learning 63, 2006.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    def fit(known: NDArray[np.intp], asked: NDArray[np.intp]) -> F64:
        tried = min(max(1, x.shape[1] // 3), _TRIED)
        model = ExtraTreesRegressor(trees, min_samples_leaf=3, max_features=tried, n_jobs=1, random_state=seed)
        return np.asarray(model.fit(x[known], y[known]).predict(x[asked]), dtype=np.float64)

    return _out_of_fold(folds, fit)


@torch.no_grad()
def architecture_weights(z: F64, alike: Similarity, y: F64, folds: NDArray[np.intp], seed: int) -> F64:
    """Predictions (m,) of a model that is nothing but weights: y(A) = c + Σ_k w_k(A) z_k(A).

    Every weight is one number for all architectures plus a Gaussian process over operation sequences, as in `po_nas`.
    How much of each, its length scale and the noise are those of the highest marginal likelihood on a grid, over 400
    of the known labels; predictions are from up to 2,000 of them.

    Args:
        z: Normal scores of the proxies (m, k).
        alike: The kernel under which alike architectures have like weights.
        y: Labels (m,).
        folds: Of the candidates (m,).
        seed: Which of the known labels are used, where there are more.
    """
    linear = Linear(z)
    varying = VaryingCoefficients(linear, alike)
    settings = [(length, share) for share in _VARYING for length in (_LENGTHS if share else _LENGTHS[:1])]

    def fit(known: NDArray[np.intp], asked: NDArray[np.intp]) -> F64:
        known = np.random.default_rng(seed).permutation(known)[:_LARGEST]
        # Columns of the known ones, computed once; rows and columns of them for each kernel.
        inputs = varying.cross_covariance_inputs(known.tolist())

        def covariance(rows: NDArray[np.intp], columns: int, length: float, share: float) -> F64:
            prepared = tuple(part[torch.from_numpy(rows), :columns].double() for part in inputs)
            mixed = (1 - share) * linear.kernel(prepared[:1], 1.0) + share * varying.kernel(prepared, length)
            return np.asarray(mixed.numpy(), dtype=np.float64)

        tuned, centre = known[:_TUNED], float(y[known].mean())
        found = []
        for length, share in settings:
            evidence = _evidence(covariance(tuned, len(tuned), length, share), y[tuned] - centre)
            found += [(value, length, share, noise) for value, noise in zip(evidence, _NOISES, strict=True)]
        _, length, share, noise = max(found)
        gram = covariance(known, len(known), length, share) + noise * np.eye(len(known))
        weights = np.linalg.solve(gram, y[known] - centre)
        return np.asarray(centre + covariance(asked, len(known), length, share) @ weights, dtype=np.float64)

    return _out_of_fold(folds, fit)


def _evidence(gram: F64, y: F64) -> list[float]:
    """Log marginal likelihood, up to a constant, of `y` (n,) under s² (`gram` + noise) with the likeliest s².

    One for each of `_NOISES`.
    """
    values, vectors = np.linalg.eigh(gram)
    turned = (vectors.T @ y) ** 2
    found = []
    for noise in _NOISES:
        spectrum = np.maximum(values, 0.0) + noise
        found.append(float(-0.5 * len(y) * np.log(np.mean(turned / spectrum)) - 0.5 * np.log(spectrum).sum()))
    return found
