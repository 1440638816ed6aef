"""What a search spends its budget on: an objective, and the outcome of one evaluation."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from po_nas.core.fidelities import Fidelities
from po_nas.core.goals import Goals, Metric
from po_nas.core.proxy_source import ComputedProxySource, ProxySource, Watch
from po_nas.errors import IncompleteObjectiveError, UnknownNameError
from po_nas.spaces.base import Architecture, Space

__all__ = ["Metric", "Objective", "ObjectiveWrapper", "Outcome", "Recorded", "complete"]


_LONGEST = 2000
"""Characters of the reason of a failure that are kept."""


LARGEST = 1e100
"""The largest size of a search signal or objective: squares and volumes of what is beyond are no floats."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one evaluation: metrics and cost, or the reason of a failure.

    Use `Outcome.ok` and `Outcome.failed`, which check the numbers.

    Attributes:
        metrics: Values by name; ``"validation"`` is the search signal. It is the only number that a searcher acts on,
            unless the search has `Goals`: then all objectives and limited metrics are here, and it acts on them.
        cost_s: Seconds that the evaluation cost: recorded training time for tables, measured time for trainings.
        failure: Why there are no metrics; None for an evaluation that succeeded.

    Examples:
        >>> import po_nas
        >>> po_nas.Outcome.ok(93.1, cost_s=12.0, latency=3.5).metrics
        {'validation': 93.1, 'latency': 3.5}
        >>> po_nas.Outcome.ok(float("nan")).failure
        'the objective returned validation = nan'
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    cost_s: float = 0.0
    failure: str | None = None

    @classmethod
    def ok(cls, validation: float, cost_s: float = 0.0, **metrics: float) -> Outcome:
        """A finished evaluation.

        A search signal that is NaN, infinite or beyond ±1e100 makes it a failure, as does a cost that is NaN, infinite
        or below 0; other metrics that are not finite are left out, for a journal holds numbers.
        """
        if not (math.isfinite(cost_s) and cost_s >= 0):
            return cls.failed(f"the objective returned cost_s = {cost_s}")
        if not abs(validation) <= LARGEST:
            return cls.failed(f"the objective returned validation = {validation}", cost_s)
        kept = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
        return cls({"validation": float(validation), **kept}, float(cost_s))

    @classmethod
    def failed(cls, reason: str, cost_s: float = 0.0) -> Outcome:
        """A failed evaluation; it counts against the budget all the same. An impossible cost counts as none.

        Of a long reason the beginning is kept.
        """
        # A lone surrogate, which no file or terminal takes, is spelt out.
        text = str(reason).encode("utf-8", "backslashreplace").decode("utf-8")
        if len(text) > _LONGEST:
            # Whole, it is no longer than what is not cut.
            kept = _LONGEST - 50
            text = f"{text[:kept]} … ({len(text) - kept:,} more characters)"
        return cls({}, float(cost_s) if math.isfinite(cost_s) and cost_s >= 0 else 0.0, text)

    @property
    def validation(self) -> float | None:
        """The search signal, or None for a failure."""
        return self.metrics.get("validation")


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """What a table has on record.

    Attributes:
        columns: Values (rows,) by the name of the metric, the search signal included; NaN where there is none.
        architecture: The architecture of a row.
    """

    columns: Mapping[str, NDArray[np.float64]]
    architecture: Callable[[int], Architecture]


class Objective(ABC):
    """A benchmark task, a training, or a function of the user's: the one thing that knows accuracies.

    A subclass has `name`, `space`, `metric` and `evaluate`; everything else has a default. Each attribute may be a
    constant of the class, an attribute of its instances or a property.

    Attributes:
        name: ``family/task``, as printed.
        space: What searchers propose from; for a benchmark that covers a part of a space, that part.
        metric: What is optimised.
        metrics: Further metrics of every architecture, by name (default: none). A search may have them as objectives
            and limits. Those that are `Metric.known` are told by `known`, the others by `evaluate`.
        more_metrics: Whether outcomes may have metrics that `metrics` does not list (default: no), as those of a
            function of the user's have.
        goals: What the search is for; default: the search signal alone. A search with objectives and limits sets it.
        proxies: Where proxy scores of the architectures come from; None (default) where there are none.
        costs_known: Whether `Outcome.cost_s` means anything (default: yes). Where it does not, a budget in seconds of
            cost is refused.
        fidelities: What `evaluate` can be asked for, see `Fidelities`; a plain sequence of ascending values will do.
            None at all (default) where there are full evaluations only.
        distinct: Number of distinct identities; None (default) when there is no end of them.
        validation: Search signals (rows,) of a table, NaN for a failure; None (default) where nothing is recorded.
        recorded: All that a table has on record, by which true fronts are found; None (default) where there is none.
        optimum_validation: Best search signal there is and an architecture that has it; None (default) where unknown.
        optimum_test: Best report metric there is and an architecture that has it; None (default) where unknown.

    Examples:
        >>> import po_nas
        >>> class Convolutions(po_nas.Objective):
        ...     name = "nasbench201/convolutions"
        ...     space = po_nas.spaces.get("nasbench201")
        ...     metric = po_nas.Metric("edges with a convolution", "")
        ...
        ...     def evaluate(self, architecture, *, seed, fidelity=None):
        ...         return po_nas.Outcome.ok(sum(code in (2, 3) for code in architecture.code))
        >>> po_nas.search(benchmark=Convolutions(), method="random", budget=4, out="runs/convolutions").evaluations
        4
    """

    if TYPE_CHECKING:
        # Read-only for whoever uses an objective, so that a subclass is free in how it provides them.
        @property
        @abstractmethod
        def name(self) -> str: ...
        @property
        @abstractmethod
        def space(self) -> Space: ...
        @property
        @abstractmethod
        def metric(self) -> Metric: ...
        @property
        def metrics(self) -> Mapping[str, Metric]:
            return {}

        @property
        def more_metrics(self) -> bool:
            return False

        @property
        def goals(self) -> Goals:
            return Goals()

        @property
        def proxies(self) -> ProxySource | None:
            return None

        @property
        def recorded(self) -> Recorded | None:
            return None

        @property
        def costs_known(self) -> bool:
            return True

        @property
        def fidelities(self) -> Fidelities:
            return Fidelities()

        @property
        def distinct(self) -> int | None:
            return None

        @property
        def validation(self) -> NDArray[np.float64] | None:
            return None

        @property
        def optimum_validation(self) -> tuple[float, Architecture] | None:
            return None

        @property
        def optimum_test(self) -> tuple[float, Architecture] | None:
            return None
    else:
        proxies = distinct = validation = recorded = optimum_validation = optimum_test = None
        metrics: Mapping[str, Metric] = {}
        goals = Goals()
        more_metrics = False
        costs_known = True
        fidelities = Fidelities()

    @abstractmethod
    def evaluate(self, architecture: Architecture, *, seed: int, fidelity: float | None = None) -> Outcome:
        """Evaluate one architecture. `seed` seeds a training; tables that average runs ignore it.

        `fidelity` is one of `fidelities`, None for a full evaluation.
        """

    def goes_on(self, architecture: Architecture, *, seed: int, fidelity: float) -> bool:
        """Whether what an evaluation at this fidelity has left is still there; one at a higher fidelity asks first.

        Asked only where `Fidelities.resumes`. Where it is gone, the evaluation begins again, and its outcome says so.
        """
        return True

    def report(self, architecture: Architecture) -> Mapping[str, float | None]:
        """Numbers for the reader alone, such as ``{"test": 94.37}``; None where unknown.

        Called by the run loop after the search has chosen, never by a method.
        """
        return {"test": None}

    def known(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        """Values (n,) by name of metrics that are `Metric.known`, of n architectures; NaN where there is none."""
        if names:
            raise UnknownNameError("metric that is known without an evaluation", names[0], ())
        return {}

    def watch(self, watch: Watch) -> None:
        """From now on, say what is computed without an evaluation: proxy scores, and metrics that are known."""
        if isinstance(self.proxies, ComputedProxySource):
            self.proxies.watch(watch)

    def completed(self, architecture: Architecture, outcome: Outcome) -> Outcome:
        """An outcome of this architecture with the metrics that `goals` asks for and that are known.

        A failure where one that had to be measured is missing.
        """
        return outcome

    def identity(self, architecture: Architecture) -> Hashable:
        """What one evaluation is of; searchers never spend two evaluations on one identity.

        By default the canonical form. A table returns its row, because cells of one function may have been trained,
        and recorded, separately.
        """
        return self.space.canonical(architecture)

    def protocol(self) -> Mapping[str, Any]:
        """What must be printed with every number: feedback, split, epochs, runs averaged, pool."""
        return {}

    def example_inputs(self, samples: int = 16) -> tuple[Mapping[str, Any], Any]:
        """What proxies are computed on: options of the space's networks, and a batch (`proxies.Batch`).

        By default what the networks of the space bring, made-up inputs of the right shape, `samples` of them. Raises
        `UnknownNameError` for a space without networks.
        """
        return self.space.example_inputs(samples)


class ObjectiveWrapper(Objective):
    """Another objective with something changed: subclasses override what differs, the rest is forwarded."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    @property
    def name(self) -> str:
        return self.objective.name

    @property
    def space(self) -> Space:
        return self.objective.space

    @property
    def metric(self) -> Metric:
        return self.objective.metric

    def evaluate(self, architecture: Architecture, *, seed: int, fidelity: float | None = None) -> Outcome:
        return self.objective.evaluate(architecture, seed=seed, fidelity=fidelity)

    def goes_on(self, architecture: Architecture, *, seed: int, fidelity: float) -> bool:
        return self.objective.goes_on(architecture, seed=seed, fidelity=fidelity)

    def report(self, architecture: Architecture) -> Mapping[str, float | None]:
        return self.objective.report(architecture)

    def known(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        return self.objective.known(architectures, names)

    def watch(self, watch: Watch) -> None:
        self.objective.watch(watch)
        if self.proxies is not self.objective.proxies and isinstance(self.proxies, ComputedProxySource):
            self.proxies.watch(watch)

    def completed(self, architecture: Architecture, outcome: Outcome) -> Outcome:
        return self.objective.completed(architecture, outcome)

    def identity(self, architecture: Architecture) -> Hashable:
        return self.objective.identity(architecture)

    def protocol(self) -> Mapping[str, Any]:
        return self.objective.protocol()

    def example_inputs(self, samples: int = 16) -> tuple[Mapping[str, Any], Any]:
        return self.objective.example_inputs(samples)


for _name in (
    *("metrics", "more_metrics", "goals", "proxies", "costs_known", "fidelities", "distinct", "validation", "recorded"),
    *("optimum_validation", "optimum_test"),
):
    # Their types are those of `Objective`.
    setattr(ObjectiveWrapper, _name, property(attrgetter(f"objective.{_name}")))


class _Older(ObjectiveWrapper):
    """An object that is no subclass of `Objective` and knows nothing of several metrics, as in version 0.1."""

    metrics: Mapping[str, Metric] = {}
    more_metrics = False
    goals = Goals()
    recorded = None
    known = Objective.known
    completed = Objective.completed
    goes_on = Objective.goes_on
    watch = Objective.watch


_REQUIRED = ("name", "space", "metric", "evaluate")
_NEWER = tuple(name for name in vars(_Older) if not name.startswith("_"))
_OPTIONAL = tuple(
    name for name in vars(ObjectiveWrapper) if not name.startswith("_") and name not in _REQUIRED + _NEWER
)


def complete(objective: Objective) -> Objective:
    """The same objective; one that is no subclass of `Objective` will do if it has all that one had in version 0.1.

    Raises `IncompleteObjectiveError`, which names what is missing.
    """
    needed = _REQUIRED if isinstance(objective, Objective) else _REQUIRED + _OPTIONAL
    for name in needed:
        if not hasattr(objective, name):
            raise IncompleteObjectiveError(type(objective).__name__, name)
    older = not isinstance(objective, Objective) and not all(hasattr(objective, name) for name in _NEWER)
    return _Older(objective) if older else objective
