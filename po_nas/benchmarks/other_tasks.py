"""What the tables of a benchmark's other tasks say of the architectures of one task."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from po_nas import benchmarks
from po_nas.benchmarks.base import Benchmark
from po_nas.core.trial import SourceTask

__all__ = ["other_tasks"]


def other_tasks(name: str, protocol: Mapping[str, Any]) -> tuple[SourceTask, ...]:
    """The tables of the other tasks of a benchmark, under the same feedback; none where there are none.

    They are those of the same family and space. A table whose search signal comes from the data set of the task at hand
    is left out, for it would tell the labels that a search is to find: another training of the same data (``seg`` and
    ``seg-4x``), and all tables under a feedback that tells every task the same (``robot`` of NAS-Bench-201).

    Args:
        name: The task at hand, ``family/task``.
        protocol: Of its objective; ``feedback_name`` and ``dataset`` are read.

    Raises `MissingDataError` where a table is not here, for with fewer of them another search would come out.
    """
    if name not in benchmarks.registry or "feedback_name" not in protocol:
        return ()
    family, spec = name.partition("/")[0], benchmarks.spec_of(benchmarks.registry.entry(name))
    if spec.trained or spec.surrogate or not spec.space:
        return ()
    found = []
    for other in benchmarks.names(f"{family}/*"):
        theirs = benchmarks.spec_of(benchmarks.registry.entry(other))
        if other == name or theirs.space != spec.space or theirs.trained or theirs.surrogate:
            continue
        if protocol["feedback_name"] not in theirs.feedbacks:
            continue
        task, dataset = _table(other, protocol["feedback_name"])
        if dataset != protocol["dataset"]:
            found.append(task)
    return tuple(found)


@lru_cache(maxsize=32)
def _table(name: str, feedback: str) -> tuple[SourceTask, str]:
    """A table as evaluations of another task, and the data set that its search signal is from."""
    table: Benchmark = benchmarks.get(name, feedback)
    signal = table.validation if table.metric.maximize else -table.validation
    rows = np.flatnonzero(np.isfinite(signal))
    listed = tuple(table.rows.architecture(int(row)) for row in rows)
    return SourceTask(name, listed, tuple(signal[rows].tolist()), table=True), table.feedback.dataset
