"""What evaluations on other tasks teach about proxies: their order, how far to trust it, and hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from po_nas.core.proxy_source import ProxySource
from po_nas.core.trial import SourceTask
from po_nas.methods.candidates.proxy_features import ProxyFeatures
from po_nas.proxy_scores.transfer import PREFIX
from surrogates.candidate_kernels import Similarity
from surrogates.empirical_bayes import ImitatedSearch, fitted_to_searches
from surrogates.isolation import single_thread
from surrogates.labels import log_error_scale, standard_scale
from surrogates.marginalised_gp import Priors

__all__ = ["TransferredPrior", "transferred_prior"]

F64 = NDArray[np.float64]
_PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Evaluations that the order without other tasks is worth; one is chosen by leaving tasks out."""
_MOST = 300.0
"""Evaluations that one task is worth: more tell more of that task alone."""
_LABELS, _DRAWS = 12, 3
"""A search is imitated on another task by so many labels, drawn so often."""
_ROUNDS = 2


@dataclass(frozen=True, eq=False)
class TransferredPrior:
    """What was learned from other tasks.

    Attributes:
        weights: Of the normal scores of k proxies in the order before anything is observed (k,), of any sign.
        priors: Over the hyperparameters.
        nothing: The probability that the order is worth nothing.
    """

    weights: F64
    priors: Priors
    nothing: float


@dataclass(frozen=True, eq=False)
class _Told:
    """One other task: its name, the places of its architectures among the candidates (−1: none), the normal scores (n,
    k) of its architectures, and its targets (n,).
    """

    name: str
    places: NDArray[np.intp]
    z: F64
    targets: F64


@single_thread()
def transferred_prior(
    features: ProxyFeatures, source: ProxySource, tasks: Sequence[SourceTask], priors: Priors
) -> TransferredPrior:
    """The order of the proxies, how far to trust it, and hyperparameters, from evaluations on other tasks.

    The order is a weighted sum of the normal scores of the proxies *here* and of the mean of what is known of the other
    tasks (the columns ``transfer:…`` of the candidates). Weights are those that order each other task best, given the
    proxies and the tasks that are left: ridge regression of its targets (`surrogates.labels.log_error_scale`), of all
    tasks together, towards the weights that the order has without other tasks. How strong the pull is, is what predicts
    a left-out task best; with one other task, five folds of its evaluations. With one other task nothing tells how far
    to trust it: it counts as much as all proxies together.

    Trust and hyperparameters are fitted by empirical Bayes (`surrogates.empirical_bayes`) to imitated searches on the
    other tasks, a dozen labels each, half of them from the top of the order: the order there is one that was learned
    without that task, as the order here is learned without this one. Nothing of the task at hand but its proxies is
    read, so the same is learned whatever its values are.

    Args:
        features: The candidates; `names` say which columns are of other tasks.
        source: Of proxy scores, for evaluated architectures that are no candidates.
        tasks: The other tasks, one or more.
        priors: What the fit starts from.
    """
    names = features.candidates.names
    own = _own(names)
    told = [_told(features, source, task) for task in tasks]
    told = [task for task in told if len(task.targets) > 2 and np.ptp(task.targets) > 0]
    if not told:
        return TransferredPrior(features.prior, priors, 0.5)
    columns = np.array([f"{PREFIX}{task.name}" for task in told])
    regressors = [_regressors(task.z, names, own, [c for c in columns if c != f"{PREFIX}{task.name}"]) for task in told]
    start = _start(features.prior[own], len(told) > 1)
    penalty = _penalty(regressors, told, start)
    weights = _ridge(regressors, [task.targets for task in told], start, penalty)
    final = np.zeros(len(names))
    final[own] = weights[: own.sum()]
    others = np.isin(names, columns)
    if len(told) > 1:
        final[others] = weights[-1] / len(told)
    elif own.any():
        # One task tells the order of proxies, and no other is there to tell what it is worth itself.
        spread = float((features.z[:, own] @ final[own]).std()) or 1.0
        final[own] /= spread
        final[others] = 1.0
    else:
        final[others] = 1.0
    if not np.any(final):
        final = features.prior
    return TransferredPrior(final, *_trust(features, told, regressors, start, penalty, priors))


def _told(features: ProxyFeatures, source: ProxySource, task: SourceTask) -> _Told:
    candidates = features.candidates
    keys = [candidates.identity(architecture) for architecture in task.architectures]
    places = np.array([candidates.position.get(key, -1) for key in keys], dtype=np.intp)
    kept = np.arange(len(places))
    if task.table:
        kept = np.flatnonzero(places >= 0)
        z = features.z[places[kept]]
    else:
        z = features.normaliser.transform(source.values(task.architectures, candidates.names))
    scores = np.array(task.scores)[kept]
    targets = log_error_scale(scores).targets if len(scores) else scores
    return _Told(task.task, places[kept], z, targets)


def _own(names: Sequence[str]) -> NDArray[np.bool_]:
    """Which of the names (k,) are of proxies, and not of other tasks."""
    return np.array([not name.startswith(PREFIX) for name in names])


def _regressors(z: F64, names: Sequence[str], own: NDArray[np.bool_], others: Sequence[str]) -> F64:
    """Proxies (n, k), and where there are other tasks the mean of what is known of them as the last column."""
    found = z[:, own]
    if not others:
        return found
    return np.column_stack([found, z[:, np.isin(names, others)].mean(axis=1)])


def _start(prior: F64, with_tasks: bool) -> F64:
    """The weights without any learning: half of the targets' spread by the proxies' order and by the other tasks."""
    total = prior.sum()
    own = prior / total if total > 0 else prior
    return np.concatenate([0.5 * own, [0.5]]) if with_tasks else own


def _ridge(regressors: Sequence[F64], targets: Sequence[F64], start: F64, penalty: float) -> F64:
    """Weights that minimise the squared errors, a task counting as `_MOST` evaluations at most, and the distance from
    `start` with a weight of `penalty`; the mean of each task is its own.
    """
    gram, product = penalty * np.eye(len(start)), penalty * start
    for x, y in zip(regressors, targets, strict=True):
        share = min(1.0, _MOST / len(y))
        centred = x - x.mean(axis=0)
        gram = gram + share * centred.T @ centred
        product = product + share * centred.T @ (y - y.mean())
    return np.asarray(np.linalg.solve(gram, product), dtype=np.float64)


def _penalty(regressors: Sequence[F64], told: Sequence[_Told], start: F64) -> float:
    """The penalty under which left-out tasks, or folds of a single one, are predicted best."""
    if len(told) > 1:
        parts = [([x], [t.targets]) for x, t in zip(regressors, told, strict=True)]
        pairs = [
            (
                [x for j, x in enumerate(regressors) if j != i],
                [t.targets for j, t in enumerate(told) if j != i],
                *parts[i],
            )
            for i in range(len(told))
        ]
    else:
        [x], y = regressors, told[0].targets
        folds = np.arange(len(y)) % min(5, len(y))
        pairs = [([x[folds != f]], [y[folds != f]], [x[folds == f]], [y[folds == f]]) for f in np.unique(folds)]
    errors = []
    for penalty in _PENALTIES:
        lost = 0.0
        for known_x, known_y, asked_x, asked_y in pairs:
            weights = _ridge(known_x, known_y, start, penalty)
            for x, y in zip(asked_x, asked_y, strict=True):
                residual = (y - y.mean()) - (x - x.mean(axis=0)) @ weights
                lost += float(residual.mean() ** 2 + residual.var())
        errors.append(lost)
    return _PENALTIES[int(np.argmin(errors))]


def _trust(
    features: ProxyFeatures,
    told: Sequence[_Told],
    regressors: Sequence[F64],
    start: F64,
    penalty: float,
    priors: Priors,
) -> tuple[Priors, float]:
    """Priors and the probability that the order is worth nothing, by searches imitated on the other tasks."""
    rng = np.random.default_rng(0)
    names = features.candidates.names
    own = _own(names)
    searches = []
    for number, task in enumerate(told):
        inside = np.flatnonzero(task.places >= 0)
        if len(inside) < 4:
            continue
        left = [i for i in range(len(told)) if i != number]
        columns = [c for c in names if c.startswith(PREFIX) and c != f"{PREFIX}{task.name}"]
        weights = start
        if left:
            weights = _ridge([regressors[i] for i in left], [told[i].targets for i in left], start, penalty)
        order = _regressors(features.z, names, own, columns if left else [])[:, : len(weights)] @ weights
        order = standard_scale(order).targets
        kept = np.array([name != f"{PREFIX}{task.name}" for name in names])
        if not kept.any():
            continue
        parts = (*features.similarities[:-1], Similarity(features.z[:, kept]))
        draws = _DRAWS if len(inside) > 2 * _LABELS else 1
        for _ in range(draws):
            # Draws from one task are no further tasks.
            rows = _drawn(inside, order[task.places[inside]], rng)
            observed = task.places[rows].tolist()
            searches.append(ImitatedSearch(parts, order, observed, task.targets[rows], 1.0 / draws))
    return fitted_to_searches(searches, priors, rng, _ROUNDS) if searches else (priors, 0.5)


def _drawn(inside: NDArray[np.intp], order: F64, rng: np.random.Generator) -> NDArray[np.intp]:
    """Up to a dozen of the rows `inside`, half of them from the tenth that `order` puts on top."""
    if len(inside) <= 2 * _LABELS:
        return inside
    top = np.argsort(-order, kind="stable")[: max(_LABELS // 2, len(inside) // 10)]
    picked = rng.choice(top, _LABELS // 2, replace=False)
    rest = np.setdiff1d(np.arange(len(inside)), picked)
    rows = np.concatenate([picked, rng.choice(rest, _LABELS - len(picked), replace=False)])
    return np.asarray(inside[rows], dtype=np.intp)
