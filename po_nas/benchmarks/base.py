"""Benchmarks that train nothing: tables, tasks whose every answer has been recorded, and what describes them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.core.fidelities import Fidelities
from po_nas.core.goals import SIGNAL
from po_nas.core.objective import Metric, Objective, Outcome, Recorded
from po_nas.core.proxy_source import ProxySource
from po_nas.errors import DataError, InvalidArchitectureError, UnknownNameError
from po_nas.proxy_scores.table import RecordedProxies, Rows, ScoreTable
from po_nas.spaces.base import Architecture, Space

__all__ = ["Benchmark", "Described", "Description", "Feedback", "Shorter", "spearman"]


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a searcher is told: whose validation accuracy, after which training, averaged over how many runs.

    Attributes:
        name: The preset: ``"full"``, ``"robot"``, …
        dataset: Data set that networks were trained on.
        split: Which samples the search signal is measured on.
        epochs: Length of the trainings, a number or ``"best epoch"``.
        runs: How many trainings the number averages.
        source: The data it was read from.

    Examples:
        >>> import po_nas
        >>> feedback = po_nas.benchmarks.get("nasbench_graph/proteins").feedback
        >>> feedback.name, feedback.split
        ('full', 'validation')
    """

    name: str
    dataset: str
    split: str
    epochs: str
    runs: str
    source: str

    def protocol(self) -> dict[str, str]:
        """All of it as parts of a protocol; the name is ``feedback_name`` there."""
        return {f"feedback_{k}" if k == "name" else k: v for k, v in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Description:
    """Everything ``po-nas benchmarks describe`` prints about a task; None where unknown.

    Optima are (value, architecture string). `ceiling_test` is the test value of the validation optimum: where a
    perfect search that sees validation alone ends. Rank correlations are Spearman's rho over all architectures that
    have both numbers, and over the tenth that is best by validation.
    """

    name: str
    space: str
    metric: Metric
    feedback: Feedback
    report: str
    architectures: int
    pool: str
    optimum_validation: tuple[float, str] | None
    optimum_test: tuple[float, str] | None
    ceiling_test: float | None
    ceiling_test_rank: int | None
    spearman: float | None
    spearman_top_tenth: float | None
    cost: str
    reference: str
    notes: tuple[str, ...] = ()
    extras: tuple[tuple[str, str], ...] = ()
    """Names and units of what else is recorded of every architecture; `Benchmark.report` looks it up."""
    fidelities: str = ""
    """Those that evaluations may be asked for, in words, and how well the lower ones rank; empty without any."""


class Described(Objective):
    """A task whose every answer is on record or predicted: an evaluation trains nothing, and there is a description."""

    @abstractmethod
    def describe(self) -> Description:
        """Everything there is to say about the task."""


@dataclass(frozen=True, eq=False)
class Shorter:
    """What a table has on record of shorter trainings: a fidelity below the full one.

    Attributes:
        validation: The search signal (rows,), NaN for an architecture that is known to fail.
        share: What such a training costs, as a share of a full one; in seconds, of the recorded ones of the row.
    """

    validation: NDArray[np.float64]
    share: float


@dataclass(frozen=True, eq=False)
class Benchmark(Described):
    """A table of one task under one feedback.

    Columns are (n,) float64 arrays, one row for each architecture.

    Attributes:
        name: ``family/task``, as printed.
        space: What a searcher proposes from: the whole space, or a `PoolSpace` where the table covers a part of it.
        rows: Finds the row of an architecture, such as `EnumerationRows`.
        metric: What is optimised: name, unit, direction.
        feedback: Where the search signal comes from.
        validation: The search signal; NaN for an architecture that is known to fail.
        test: The report metric, or None.
        cost_s: Seconds of each evaluation, or None.
        extras: Further metrics that are known without an evaluation: parameters in millions, latency in ms, …
        measured: Other results of the same evaluations, such as another accuracy; only an evaluation tells them.
        shorter: Trainings of fewer epochs that were recorded, by their number of epochs, ascending.
        epochs: Of a full training.
        units: Units of `extras` and `measured`, by name.
        test_description: What the report metric is.
        cost_description: What the seconds are.
        pool_description: Which part of the space is covered.
        reference: Publication, with its arXiv id.
        notes: Further sentences of the description.
        proxies: Recorded proxy scores (`RecordedProxies`), or any other source of them.
        scores: Tables of proxy scores that are read when first asked for: ``own`` by po-nas, ``published`` by others;
            the first of them is the default of `proxies`.
        inputs: How networks and images of the task differ from the usual ones of the space (`Space.example_inputs`).

    Examples:
        >>> import po_nas
        >>> table = po_nas.benchmarks.get("nasbench_graph/proteins")
        >>> len(table.validation), table.metric.name
        (2021, 'validation ROC-AUC')
        >>> best = table.rows.architecture(int(table.validation.argmax()))
        >>> table.evaluate(best, seed=0).validation == table.optimum_validation[0]
        True
    """

    name: str
    space: Space
    rows: Rows
    metric: Metric
    feedback: Feedback
    validation: NDArray[np.float64]
    test: NDArray[np.float64] | None = None
    cost_s: NDArray[np.float64] | None = None
    extras: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    measured: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    test_description: str = "unknown"
    cost_description: str = "unknown"
    pool_description: str = "the whole space"
    reference: str = ""
    notes: tuple[str, ...] = ()
    proxies: ProxySource | None = None
    scores: Mapping[str, Callable[[], ScoreTable]] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    shorter: Mapping[int, Shorter] = field(default_factory=dict)
    epochs: int | None = None

    def __post_init__(self) -> None:
        if self.proxies is None and self.scores:
            object.__setattr__(self, "proxies", RecordedProxies(self.rows, next(iter(self.scores.values()))))
        columns = {"validation": self.validation, "test": self.test, "cost_s": self.cost_s}
        columns |= {f"validation after {epochs} epochs": one.validation for epochs, one in self.shorter.items()}
        for name, column in {**columns, **self.extras, **self.measured}.items():
            if column is None:
                continue
            if column.shape != (len(self.rows),):
                raise DataError(f"{self.name}: column {name!r} has shape {column.shape}, expected ({len(self.rows)},)")
            column.setflags(write=False)

    def row(self, architecture: Architecture) -> int:
        """Row of the columns that holds `architecture`; `InvalidArchitectureError` when there is none."""
        row = self.rows.find(architecture)
        if row is None:
            self.space.validate(architecture)
            raise InvalidArchitectureError(self.name, architecture.code, "the table does not hold it")
        return row

    def evaluate(self, architecture: Architecture, *, seed: int = 0, fidelity: float | None = None) -> Outcome:
        """Look the search signal up. The table averages runs, so `seed` is not used.

        `fidelity` is a number of epochs, one of `fidelities`; `ConfigError` for any other.
        """
        epochs, row = self.fidelities.checked(fidelity), self.row(architecture)
        cost = 0.0 if self.cost_s is None else float(self.cost_s[row])
        cost = 0.0 if np.isnan(cost) else cost
        if epochs is not None:
            shorter = self.shorter[int(epochs)]
            return Outcome.ok(float(shorter.validation[row]), shorter.share * cost)
        others = {name: float(column[row]) for name, column in self.measured.items()}
        return Outcome.ok(float(self.validation[row]), cost, **others)

    @cached_property
    def fidelities(self) -> Fidelities:
        """Numbers of epochs; none goes on from another, for each was trained under a schedule of its own."""
        if not self.shorter or self.epochs is None:
            return Fidelities()
        costs = (*(one.share for one in self.shorter.values()), 1.0)
        return Fidelities((*self.shorter, self.epochs), "epochs", costs)

    @property
    def costs_known(self) -> bool:
        return self.cost_s is not None

    def score_table(self, origin: str) -> ScoreTable:
        """The recorded scores of one origin as they are; `UnknownNameError` where there are none."""
        if origin not in self.scores:
            raise UnknownNameError(f"origin of scores of {self.name}", origin, self.scores)
        return self.scores[origin]()

    def example_inputs(self, samples: int = 16) -> tuple[Mapping[str, Any], Any]:
        return self.space.example_inputs(samples, **self.inputs)

    def report(self, architecture: Architecture) -> Mapping[str, float | None]:
        row = self.row(architecture)
        found = {"test": None if self.test is None else _number(self.test[row])}
        return found | {name: _number(column[row]) for name, column in {**self.extras, **self.measured}.items()}

    def identity(self, architecture: Architecture) -> Hashable:
        """What one evaluation is of: the row. Architectures that share a row need not be evaluated twice."""
        return self.row(architecture)

    @property
    def distinct(self) -> int | None:
        return len(self.validation)

    @cached_property
    def metrics(self) -> Mapping[str, Metric]:
        """What is recorded beside the search signal.

        `extras` are known without an evaluation, and less of them is better. `measured` are as the search signal is.
        """
        found = {name: Metric(name, self.units.get(name, ""), maximize=False, known=True) for name in self.extras}
        better = self.metric.maximize
        return found | {name: Metric(name, self.units.get(name, ""), better) for name in self.measured}

    def known(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        for name in names:
            if name not in self.extras:
                raise UnknownNameError(f"metric of {self.name}", name, self.extras)
        rows = np.array([self.row(architecture) for architecture in architectures], dtype=np.intp)
        return {name: self.extras[name][rows] for name in names}

    @property
    def recorded(self) -> Recorded:
        return Recorded({SIGNAL: self.validation, **self.extras, **self.measured}, self.rows.architecture)

    @cached_property
    def _best_first(self) -> NDArray[np.intp]:
        """Rows from best to worst by the search signal; unknown ones last."""
        return np.argsort(-self._oriented(self.validation), kind="stable")

    def _oriented(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        oriented = values if self.metric.maximize else -values
        return np.where(np.isnan(oriented), -np.inf, oriented)

    @property
    def optimum_validation(self) -> tuple[float, Architecture]:
        row = int(self._best_first[0])
        return float(self.validation[row]), self.rows.architecture(row)

    @property
    def optimum_test(self) -> tuple[float, Architecture] | None:
        if self.test is None:
            return None
        row = int(np.argmax(self._oriented(self.test)))
        return float(self.test[row]), self.rows.architecture(row)

    def protocol(self) -> dict[str, Any]:
        return {
            "benchmark": self.name,
            **self.feedback.protocol(),
            "metric": self.metric.name,
            "unit": self.metric.unit,
            "direction": "maximize" if self.metric.maximize else "minimize",
            "report": self.test_description,
            "pool": self.pool_description,
            "pool_size": len(self.validation),
        }

    def describe(self) -> Description:
        """Everything there is to say about the task, computed from the table."""
        best, best_architecture = self.optimum_validation
        test_of_best = test_rank = rho = rho_top = None
        optimum_test = self.optimum_test
        if self.test is not None:
            row = int(self._best_first[0])
            test_of_best = _number(self.test[row])
            oriented = self._oriented(self.test)
            test_rank = 1 + int(np.sum(oriented > oriented[row]))
            rho = spearman(self.validation, self.test)
            top = self._best_first[: max(2, len(self.validation) // 10)]
            rho_top = spearman(self.validation[top], self.test[top])
        return Description(
            name=self.name,
            space=self.space.name,
            metric=self.metric,
            feedback=self.feedback,
            report=self.test_description,
            architectures=len(self.validation),
            pool=self.pool_description,
            optimum_validation=(best, self.space.to_string(best_architecture)),
            optimum_test=optimum_test and (optimum_test[0], self.space.to_string(optimum_test[1])),
            ceiling_test=test_of_best,
            ceiling_test_rank=test_rank,
            spearman=rho,
            spearman_top_tenth=rho_top,
            cost=self.cost_description,
            reference=self.reference,
            notes=self.notes,
            extras=tuple((name, self.units.get(name, "")) for name in (*self.extras, *self.measured)),
            fidelities=self._described_fidelities(),
        )

    def _described_fidelities(self) -> str:
        told = [
            f"{epochs} epochs ({100 * one.share:.3g} % of the cost, rank correlation with the full one "
            f"{spearman(one.validation, self.validation):.3f})"
            for epochs, one in self.shorter.items()
        ]
        return ", ".join([*told, f"{self.epochs} epochs (full)"]) if told else ""


def spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Spearman's rank correlation of two (n,) arrays over the entries where both are finite, ties averaged."""
    both = np.isfinite(first) & np.isfinite(second)
    ranks = [_average_ranks(values[both]) for values in (first, second)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _average_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    # Not SciPy's: its import takes longer than all else that a description of a benchmark does.
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + 1 + last) / 2)[inverse]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
