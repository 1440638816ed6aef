"""What tasks of other spaces teach about proxies: their order, how far to trust it, and hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from po_nas.methods.candidates.proxy_features import TRUSTED, ProxyFeatures
from po_nas.methods.proxy_bo import log_error
from po_nas.research.fusion.design import Task
from po_nas.research.fusion.task_pool import TaskPool
from surrogates.empirical_bayes import ImitatedSearch, fitted_to_searches
from surrogates.isolation import single_thread
from surrogates.labels import standard_scale
from surrogates.marginalised_gp import Priors

__all__ = ["SpacePrior", "prior_of_other_spaces"]

F64 = NDArray[np.float64]
_PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, np.inf)
"""Spaces that the pull towards equal weights is worth; the last one leaves them equal."""
_LABELS, _DRAWS, _FIRST_SEED, _ROUNDS = 12, 3, 7000, 3
_HALF = 0.5
"""The sum of equal weights: proxies that agree then explain half of the standard deviation of the targets."""


@dataclass(frozen=True, eq=False)
class SpacePrior:
    """What was learned from tasks of other spaces.

    Attributes:
        added: To the weight that all trusted proxies have alike, by name of the proxy.
        priors: Over the hyperparameters.
        nothing: The probability that the proxies are worth nothing.
    """

    added: Mapping[str, float]
    priors: Priors
    nothing: float

    def weights(self, features: ProxyFeatures) -> F64:
        """Weights (k,) of the proxies before anything is observed."""
        names = features.candidates.names
        trusted = features.prior > 0
        return np.asarray(
            _HALF * trusted / trusted.sum()
            + np.array([self.added.get(name, 0.0) * on for name, on in zip(names, trusted, strict=True)]),
            dtype=np.float64,
        )


@dataclass(frozen=True, eq=False)
class _Known:
    """A task: its candidates, the normal scores of the proxies of `TRUSTED` (m, t), 0 where there is none, which there
    are (t,), and targets (m,) of about unit variance.
    """

    pool: TaskPool
    z: F64
    there: F64
    targets: F64


@lru_cache(maxsize=2)
def prior_of_other_spaces(tasks: tuple[Task, ...], priors: Priors) -> SpacePrior:
    """The order of the trusted proxies, trust and hyperparameters, from whole tables of other spaces.

    A space counts as much as any other, however many tasks it has. Weights are those of ridge regression of the targets
    towards equal ones; how strong the pull is, is what predicts a left-out space best. Trust and hyperparameters are
    fitted by empirical Bayes (`surrogates.empirical_bayes`) to imitated searches, a dozen labels each, in an order that
    was learned without that space.

    Args:
        tasks: Of other spaces.
        priors: What the fit starts from.
    """
    with single_thread():
        known = [_known(TaskPool.load(task)) for task in tasks]
        spaces = [one.pool.group for one in known]
        shares = np.array([1.0 / spaces.count(space) for space in spaces])
        penalty = _penalty(known, spaces, shares)
        added = _ridge(known, shares, penalty)
        fitted, nothing = _trust(known, spaces, shares, penalty, priors)
    return SpacePrior(dict(zip(TRUSTED, added.tolist(), strict=True)), fitted, nothing)


def _known(pool: TaskPool) -> _Known:
    features = pool.features
    columns = {name: place for place, name in enumerate(features.candidates.names)}
    z = np.zeros((len(pool), len(TRUSTED)))
    there = np.array([float(name in columns) for name in TRUSTED])
    for place, name in enumerate(TRUSTED):
        if name in columns:
            z[:, place] = features.z[:, columns[name]]
    return _Known(pool, z, there, standard_scale(pool.targets).targets)


def _equal(one: _Known) -> F64:
    return np.asarray(_HALF * one.there / max(1.0, one.there.sum()), dtype=np.float64)


def _ridge(known: Sequence[_Known], shares: F64, penalty: float) -> F64:
    """What is added to equal weights (t,)."""
    gram, product = np.zeros((len(TRUSTED),) * 2), np.zeros(len(TRUSTED))
    if np.isinf(penalty) or not known:
        return product
    for one, share in zip(known, shares, strict=True):
        centred = one.z - one.z.mean(axis=0)
        gram += share * centred.T @ centred / len(centred)
        product += share * centred.T @ (one.targets - centred @ _equal(one)) / len(centred)
    return np.asarray(np.linalg.solve(gram + penalty * np.eye(len(gram)), product), dtype=np.float64)


def _without(known: Sequence[_Known], spaces: Sequence[str], shares: F64, space: str) -> tuple[list[_Known], F64]:
    kept = [i for i, other in enumerate(spaces) if other != space]
    return [known[i] for i in kept], shares[kept]


def _penalty(known: Sequence[_Known], spaces: Sequence[str], shares: F64) -> float:
    """The penalty under which spaces that are left out are predicted best; infinite where there is one space alone."""
    if len(set(spaces)) < 2:
        return np.inf
    errors = []
    for penalty in _PENALTIES:
        added = {space: _ridge(*_without(known, spaces, shares, space), penalty) for space in set(spaces)}
        lost = [
            np.var(one.targets - (one.z @ (_equal(one) + added[space] * one.there)))
            for one, space in zip(known, spaces, strict=True)
        ]
        errors.append(float(shares @ np.array(lost)))
    return _PENALTIES[int(np.argmin(errors))]


def _trust(
    known: Sequence[_Known], spaces: Sequence[str], shares: F64, penalty: float, priors: Priors
) -> tuple[Priors, float]:
    """Priors and the probability that the order is worth nothing, by imitated searches."""
    searches = []
    for one, space, share in zip(known, spaces, shares, strict=True):
        added = _ridge(*_without(known, spaces, shares, space), penalty)
        order = standard_scale(one.z @ (_equal(one) + added * one.there)).targets
        if not one.there.any():
            order = one.pool.features.fused
        for draw in range(_DRAWS):
            rows = one.pool.labels(_LABELS, _FIRST_SEED + draw)
            values = log_error(one.pool.truth[rows])
            # As many problems as there are tasks, and each space as many of them.
            weight = share * len(known) / len(set(spaces)) / _DRAWS
            searches.append(ImitatedSearch(one.pool.features.similarities, order, rows.tolist(), values, weight))
    return fitted_to_searches(searches, priors, np.random.default_rng(0), _ROUNDS)
