"""NAS-Bench-301: surrogate predictions for a published sample of DARTS cells."""

from __future__ import annotations

from functools import partial
from typing import cast

from po_nas import spaces
from po_nas.benchmarks.base import Benchmark, Feedback
from po_nas.benchmarks.data import table
from po_nas.benchmarks.data.text_files import integers
from po_nas.benchmarks.rows import ListedRows
from po_nas.benchmarks.scores import SUITE, published_table, with_seconds
from po_nas.core.objective import Metric
from po_nas.proxy_scores.table import ScoreTable
from po_nas.spaces.darts import DARTSSpace
from po_nas.spaces.pool import PoolSpace

__all__ = ["load"]


def load(task: str, feedback: str) -> Benchmark:
    """The task cifar10 on 1,218 DARTS cells; feedback `full` only: predictions of NAS-Bench-301's surrogate.

    Raises `MissingDataError` when the data set ``nasbench301_sample`` has not been fetched.
    """
    name = f"nasbench301/{task}"
    read = table("nasbench301_sample", name).read(["arch", "surrogate_val", "params_m", "flops_m"])
    darts = cast(DARTSSpace, spaces.get("darts"))
    architectures = [darts.from_naslib(*integers(text)) for text in read["arch"]]
    space = PoolSpace(darts, architectures)
    return Benchmark(
        name=name,
        space=space,
        rows=ListedRows(space, architectures),
        metric=Metric("predicted validation accuracy"),
        feedback=Feedback(
            feedback, "CIFAR-10", "validation", "98 (predicted)", "a surrogate's prediction", "NASLib (Apache-2.0)"
        ),
        validation=read["surrogate_val"],
        extras={"params": read["params_m"], "flops": read["flops_m"]},
        units={"params": "millions", "flops": "millions"},
        test_description="unknown: the surrogate predicts validation accuracy only",
        pool_description="1,218 DARTS cells, drawn at random by NASLib",
        reference="Zela et al., NAS-Bench-301, ICLR 2022, arXiv 2008.09777",
        notes=("predictions, not trainings: their noise has a standard deviation of about 0.06 points",),
        scores={"published": partial(_published_scores, name)},
    )


def _published_scores(name: str) -> ScoreTable:
    content = table("nasbench301_sample", f"the scores of {name}")
    chosen = {proxy: f"{proxy}_725" for proxy in SUITE}
    chosen |= {f"{proxy}_500": f"{proxy}_500" for proxy in SUITE if f"{proxy}_500" in content}
    chosen |= {"params": "params_m", "flops": "flops_m"}
    columns = content.read(with_seconds(chosen.values(), content))
    note = "scores of 725 cells; with the suffix _500, of 500 others from a different run: do not pool them unchecked"
    return published_table(name, chosen, columns, "NAS-Bench-Suite-Zero", (note,))
