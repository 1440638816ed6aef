"""A benchmark as a pool that predictors are trained on and scored against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from po_nas import benchmarks
from po_nas.benchmarks.base import Benchmark
from po_nas.errors import DataError
from po_nas.spaces.base import Architecture
from surrogates.encodings import Encodings

__all__ = ["Pool"]


@dataclass(frozen=True, eq=False)
class Pool:
    """All rows of a benchmark: graphs, labels to learn from and values to be judged by.

    `labels` (n,) is the validation metric as a fraction, higher = better (percent are divided by 100); NaN where the
    architecture fails. `truth` (n,) is the test metric, higher = better, or the validation metric where the benchmark
    records no test (`judged_by` says which); NaN ranks last.
    """

    benchmark: Benchmark
    labels: NDArray[np.float64]
    truth: NDArray[np.float64]
    judged_by: str

    @classmethod
    def load(cls, name: str, feedback: str | None = None) -> Pool:
        """The pool of a registered benchmark; `MissingDataError` when its data have not been fetched."""
        return cls.of(benchmarks.get(name, feedback))

    @classmethod
    def of(cls, benchmark: Benchmark) -> Pool:
        """The pool of a benchmark; `DataError` when its metric cannot be read as a fraction in [0, 1]."""
        sign = 1.0 if benchmark.metric.maximize else -1.0
        labels = sign * benchmark.validation / (100.0 if benchmark.metric.unit == "%" else 1.0)
        known = labels[np.isfinite(labels)]
        if not len(known) or known.min() < 0 or known.max() > 1:
            raise DataError(
                f"{benchmark.name}: {benchmark.metric.name} spans [{known.min():.3g}, {known.max():.3g}], which is no "
                "fraction; predictor losses that weigh accuracies need a task measured by one, in [0, 1]"
            )
        judged = benchmark.validation if benchmark.test is None else benchmark.test
        name = "validation" if benchmark.test is None else "test"
        return cls(benchmark, labels, sign * judged, name)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def architectures(self) -> list[Architecture]:
        """One architecture of every row."""
        return [self.benchmark.rows.architecture(row) for row in range(len(self))]

    @cached_property
    def encodings(self) -> Encodings:
        """Graphs of all rows."""
        return Encodings.stack(self.benchmark.space.encode_graph(a) for a in self.architectures)

    @cached_property
    def classes(self) -> NDArray[np.int64]:
        """(n,) number of the isomorphism class of each row."""
        keys = [self.benchmark.space.canonical(a) for a in self.architectures]
        found: NDArray[np.int64] = np.unique(np.array(keys), return_inverse=True)[1].astype(np.int64)
        return found

    @cached_property
    def trainable(self) -> NDArray[np.int64]:
        """Rows whose label is known."""
        return np.flatnonzero(np.isfinite(self.labels))

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """`count` different rows with known labels, uniformly; from equal generators a smaller draw is a prefix."""
        if not 2 <= count <= len(self.trainable):
            raise DataError(f"{self.benchmark.name}: cannot draw {count} of {len(self.trainable)} trainable rows")
        return rng.permutation(self.trainable)[:count]

    def held_out(self, training: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows that are isomorphic to no training row."""
        return np.flatnonzero(~np.isin(self.classes, self.classes[training]))

    def mutants(self, rng: np.random.Generator, sample: int = 50, parents: int = 10, count: int = 200) -> Sequence[int]:
        """Rows one edit away from good architectures: the hard test set of a search in progress.

        `sample` random rows, the `parents` best of them by validation, `count` different neighbours of these drawn
        uniformly (all of them when there are fewer). Source: arXiv 2506.05869, Fig. 4.
        """
        drawn = self.draw(min(sample, len(self.trainable)), rng)
        best = drawn[np.argsort(-self.labels[drawn], kind="stable")[:parents]]
        space, rows = self.benchmark.space, self.benchmark.rows
        found = {rows.find(n) for row in best for n in space.neighbours(self.architectures[row])}
        near = np.array(sorted(row for row in found if row is not None))
        return [int(row) for row in rng.choice(near, size=min(count, len(near)), replace=False)]
