"""NAS-Bench-BERT: 491 encoders of text, pre-trained and scored on GLUE."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from po_nas import spaces
from po_nas.benchmarks.base import Benchmark, Feedback
from po_nas.benchmarks.data import table
from po_nas.benchmarks.data.nasbench_bert import PARTS, SCORES
from po_nas.benchmarks.rows import ListedRows, published_table
from po_nas.core.objective import Metric
from po_nas.proxy_scores.table import ScoreTable
from po_nas.spaces.pool import PoolSpace

__all__ = ["load"]

_NOTES = (
    "the split is not stated, and no test value was published: search and report see the same number",
    "nine encoders were trained twice and count with their mean; two trainings of one differ with a standard deviation "
    "of 0.6 points, and the five best lie within 0.62",
    "more layers are better: their number alone orders the encoders with a rank correlation of 0.83",
    "one of the encoders has rte = 0, a task that failed, which lowers its glue by about 7 points",
    "data by A. Serianni and J. Kalita under CC-BY-4.0; encoders trained twice were averaged here",
)
_SCORED = (
    "scores and scored_params are of networks of width 256 and feed-forward width 1,024, whatever the architecture: "
    "they cannot tell widths apart"
)


def load(task: str, feedback: str) -> Benchmark:
    """The task glue; feedback `full` only.

    Raises `MissingDataError` when the data set ``nasbench_bert`` has not been fetched.
    """
    name = f"nasbench_bert/{task}"
    read = table("nasbench_bert", name).read(["arch", task, *PARTS, "seconds"])
    base = spaces.get("nasbench_bert")
    texts, belongs = np.unique(read.pop("arch").astype(str), return_inverse=True)
    # Distinct encoders in the order in which they were published first.
    order = np.argsort([int(np.argmax(belongs == k)) for k in range(len(texts))])
    rows = np.argsort(order)[belongs]
    architectures = [base.from_string(str(texts[k])) for k in order]
    columns = {column: _means(values, rows) for column, values in read.items()}
    space = PoolSpace(base, architectures)
    return Benchmark(
        name=name,
        space=space,
        rows=ListedRows(space, architectures),
        metric=Metric("mean of eight GLUE tasks", ""),
        feedback=Feedback(
            feedback,
            "GLUE",
            "not stated",
            "100,000 steps",
            "1 run, 2 of nine encoders",
            "training-free-nas (CC-BY-4.0)",
        ),
        validation=columns[task],
        cost_s=columns["seconds"],
        measured={part: columns[part] for part in PARTS},
        test_description="none: search and report see the same number",
        cost_description="recorded time of a training, s",
        pool_description="491 encoders of the 10,621,440, drawn by the authors",
        reference=base.reference,
        notes=_NOTES,
        scores={"published": partial(_scores, name, rows)},
    )


def _means(values: NDArray[np.float64], rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Means over the trainings of each encoder."""
    found: NDArray[np.float64] = np.bincount(rows, values) / np.bincount(rows)
    return found


def _scores(name: str, rows: NDArray[np.intp]) -> ScoreTable:
    chosen = {score: score for score in (*SCORES, "scored_params")}
    columns = table("nasbench_bert", f"the scores of {name}").read(list(chosen))
    # An encoder that was trained twice was scored twice as well.
    found = {score: _means(values, rows) for score, values in columns.items()}
    return published_table(name, chosen, found, "Serianni and Kalita, ACL 2023", (_SCORED,))
