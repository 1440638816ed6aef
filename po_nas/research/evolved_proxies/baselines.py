"""What else may be learned from the rows that a formula is evolved on: baselines for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from po_nas.formula import Node, text
from po_nas.research.evolved_proxies.measures import ranks
from po_nas.research.evolved_proxies.symbolic import Problem, Settings, aggregate, evolve, leaves_of, scores
from po_nas.research.evolved_proxies.symbolic.fitness import space_means
from po_nas.research.evolved_proxies.symbolic.kendall import Kendall

__all__ = ["FITS", "Fitted", "fit", "rank_sum"]

F64: TypeAlias = NDArray[np.float64]

_LARGEST_SUM = 4
_PARTICLES, _ROUNDS = 20, 40
"""As in ECP's script."""
_TREES = 100


@dataclass(frozen=True)
class Fitted:
    """A baseline after learning: `score` gives (n,) values on a problem, `words` say what was learned."""

    score: Callable[[Problem], F64]
    words: str
    size: int


class _Data:
    """Ranks of the leaves on every problem, and the fitness that formulas are evolved for."""

    def __init__(self, problems: Sequence[Problem], settings: Settings) -> None:
        self.problems, self.settings = problems, settings
        self.leaves = leaves_of(problems, settings)
        self.ranks = [self.matrix(problem) for problem in problems]
        self.kendall = [Kendall(problem.accuracy) for problem in problems]

    def matrix(self, problem: Problem) -> F64:
        """Ranks (n, k)."""
        missing = np.full(len(problem), np.nan)
        return np.stack([ranks(problem.columns.get(leaf, missing)) for leaf in self.leaves], axis=1)

    def fitness(self, values: Sequence[F64]) -> F64:
        """Aggregates (m,) of m candidates, whose values (m, n) are given for each problem."""
        taus = np.stack([tau(v) for tau, v in zip(self.kendall, values, strict=True)], axis=1)
        if self.settings.by_space:
            taus = space_means(taus, [p.space for p in self.problems])
        return aggregate(taus, self.settings.aggregate, self.settings.sd_weight)


def fit(method: str, problems: Sequence[Problem], settings: Settings, rng: np.random.Generator) -> Fitted:
    """Learn on the problems' rows with the leaves and the fitness of `settings`; every draw is from `rng`."""
    return FITS[method](problems, settings, rng)


def _best_single(problems: Sequence[Problem], settings: Settings, rng: np.random.Generator) -> Fitted:
    """The one leaf with the highest fitness."""
    data = _Data(problems, settings)
    return _sum_of(data, [int(np.argmax(data.fitness([r.T for r in data.ranks])))])


def _best_sum(problems: Sequence[Problem], settings: Settings, rng: np.random.Generator) -> Fitted:
    """Up to four leaves, added one by one as long as the sum of their log ranks gets fitter."""
    data = _Data(problems, settings)
    logs = [np.log(r.T) for r in data.ranks]
    chosen: list[int] = []
    best = -np.inf
    while len(chosen) < _LARGEST_SUM:
        so_far = [log[chosen].sum(axis=0) for log in logs]
        found = data.fitness([log + base for log, base in zip(logs, so_far, strict=True)])
        found[chosen] = -np.inf
        if found.max() <= best:
            break
        best = float(found.max())
        chosen.append(int(np.argmax(found)))
    return _sum_of(data, chosen)


def _sum_of(data: _Data, chosen: Sequence[int]) -> Fitted:
    def score(problem: Problem) -> F64:
        return np.asarray(np.log(data.matrix(problem)[:, list(chosen)]).sum(axis=1))

    return Fitted(score, "+".join(sorted(data.leaves[place] for place in chosen)), len(chosen))


def _weighted_pso(problems: Sequence[Problem], settings: Settings, rng: np.random.Generator) -> Fitted:
    """Σ a_i log(rank_i), weights in [−1, 1] tuned by a particle swarm, after ECP (GECCO 2025)."""
    from pymoo.algorithms.soo.nonconvex.pso import PSO
    from pymoo.core.problem import Problem as Task
    from pymoo.optimize import minimize

    data = _Data(problems, settings)
    logs = [np.log(r.T) for r in data.ranks]

    class _Weights(Task):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_var=len(data.leaves), n_obj=1, xl=-1.0, xu=1.0)

        def _evaluate(self, x: F64, out: dict[str, F64], *args: object, **kwargs: object) -> None:
            out["F"] = -data.fitness([x @ log for log in logs])[:, None]

    found = minimize(
        _Weights(), PSO(pop_size=_PARTICLES), ("n_gen", _ROUNDS), seed=int(rng.integers(2**31)), verbose=False
    )
    weights = np.asarray(found.X, dtype=np.float64)

    def score(problem: Problem) -> F64:
        return np.asarray(np.log(data.matrix(problem)) @ weights)

    words = " ".join(f"{weight:+.2f} {leaf}" for weight, leaf in zip(weights, data.leaves, strict=True))
    return Fitted(score, words, len(weights))


def _random_search(problems: Sequence[Problem], settings: Settings, rng: np.random.Generator) -> Fitted:
    """The best of as many random trees as evolution tries formulas."""
    count = settings.population * (settings.generations + 1)
    found = evolve(problems, replace(settings, population=count, generations=0), rng).best
    return Fitted(lambda problem: scores(found.formula, problem, settings.normaliser), text(found.formula), found.size)


def _ridge(problems: Sequence[Problem], settings: Settings, rng: np.random.Generator) -> Fitted:
    """Ridge regression of the rank of accuracy on the ranks of the leaves."""
    from sklearn.linear_model import RidgeCV

    data = _Data(problems, settings)
    model = RidgeCV(alphas=np.logspace(-2, 3, 11)).fit(*_regression(data))
    return Fitted(lambda problem: np.asarray(model.predict(data.matrix(problem))), "ridge", len(data.leaves))


def _forest(problems: Sequence[Problem], settings: Settings, rng: np.random.Generator) -> Fitted:
    """A random forest on the same, the upper reference: GreenFactory (arXiv 2505.09344) in our columns."""
    from sklearn.ensemble import RandomForestRegressor

    data = _Data(problems, settings)
    model = RandomForestRegressor(
        _TREES, min_samples_leaf=5, max_features=0.5, n_jobs=1, random_state=int(rng.integers(2**31))
    ).fit(*_regression(data))
    return Fitted(lambda problem: np.asarray(model.predict(data.matrix(problem))), "forest", _TREES)


def _regression(data: _Data) -> tuple[F64, F64]:
    """Ranks of the leaves, and of the accuracies within each problem."""
    return np.concatenate(data.ranks), np.concatenate([ranks(p.accuracy) for p in data.problems])


Learner: TypeAlias = Callable[[Sequence[Problem], Settings, np.random.Generator], Fitted]
FITS: dict[str, Learner] = {
    "best_single": _best_single,
    "best_sum": _best_sum,
    "weighted_pso": _weighted_pso,
    "random_search": _random_search,
    "ridge": _ridge,
    "forest": _forest,
}


def rank_sum(formulas: Sequence[Node], problem: Problem, normaliser: str) -> F64:
    """An ensemble of formulas: the sum of the ranks that they give (n,)."""
    return np.asarray(np.sum([ranks(scores(formula, problem, normaliser)) for formula in formulas], axis=0))
