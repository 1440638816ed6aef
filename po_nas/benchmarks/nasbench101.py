"""NAS-Bench-101 on a public sample of its cells."""

from __future__ import annotations

from functools import partial

from po_nas import spaces
from po_nas.benchmarks.base import Benchmark, Feedback
from po_nas.benchmarks.data import table
from po_nas.benchmarks.rows import ListedRows
from po_nas.benchmarks.scores import published_table
from po_nas.core.objective import Metric
from po_nas.proxy_scores.table import ScoreTable
from po_nas.spaces.pool import PoolSpace

__all__ = ["load"]

_EPOCHS = {"full": 108, "epochs36": 36, "epochs12": 12, "epochs4": 4}


def load(task: str, feedback: str) -> Benchmark:
    """The task cifar10 on 30,001 cells.

    Feedback `full`: validation accuracy after 108 epochs; nothing is left to report, as no test accuracy was
    published. `epochs36`, `epochs12`, `epochs4`: validation accuracy of a shorter training; the report metric is then
    the validation accuracy after 108 epochs. Raises `MissingDataError` when the data set ``nasbench101_sample`` has
    not been fetched.
    """
    from po_nas.benchmarks.data.nasbench101 import unpack

    name = f"nasbench101/{task}"
    epochs = _EPOCHS[feedback]
    full = feedback == "full"
    columns = ["hash", "graph", "val_108", "train_time_108_s", "params"] + [f"val_{epochs}"] * (not full)
    read = table("nasbench101_sample", name).read(columns)
    architectures = [unpack(graph) for graph in read["graph"].tolist()]
    space = PoolSpace(spaces.get("nasbench101"), architectures)
    return Benchmark(
        name=name,
        space=space,
        rows=ListedRows(space, architectures, read["hash"].tolist()),
        metric=Metric("validation accuracy"),
        feedback=Feedback(
            feedback, "CIFAR-10", "validation, 10,000 images", str(epochs), "1 run", "nasbench-vis (ISC)"
        ),
        validation=read[f"val_{epochs}"],
        test=None if full else read["val_108"],
        cost_s=read["train_time_108_s"] * (epochs / 108),
        extras={"params": read["params"] / 1e6},
        units={"params": "millions"},
        test_description=(
            "unknown: no test accuracy was published"
            if full
            else "validation accuracy (%) after 108 epochs, 1 run; no test accuracy was published"
        ),
        cost_description="recorded training time of 108 epochs" + ("" if full else f", times {epochs}/108") + ", s",
        pool_description="30,001 of the 423,624 cells, chosen by hash: as good as random",
        reference="Ying et al., NAS-Bench-101, ICML 2019, arXiv 1902.09635",
        notes=(
            "the optimum is that of the sample, not of NAS-Bench-101",
            "one run per cell; runs of one cell differ by about 0.3 points after 108 epochs",
        ),
        scores={"published": partial(_published_scores, name)},
    )


def _published_scores(name: str) -> ScoreTable:
    columns = table("nasbench101_sample", f"the scores of {name}").read(["zen", "zen_s", "params"])
    columns["params"] = columns["params"] / 1e6
    notes = ("zen is known for 10,250 of the cells",)
    return published_table(name, {"zen": "zen", "params": "params"}, columns, "NASLib", notes)
