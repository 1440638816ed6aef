"""Benchmarks: tasks whose evaluations are recorded; `get`, `names`, `register`.

A benchmark's name is ``family/task``. The object behind it is a loader, ``load(task, feedback) -> Objective``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from po_nas.errors import UnknownNameError
from po_nas.registry import Entry, Registry

if TYPE_CHECKING:
    from po_nas.benchmarks.base import Benchmark

__all__ = ["BenchmarkSpec", "Loader", "get", "names", "register", "registry"]


@dataclass(frozen=True, slots=True)
class BenchmarkSpec:
    """What is known of a benchmark without loading it.

    `space` names its search space, `feedbacks` the presets it offers (the first is the default), `dataset` the public
    data set that it needs (None: it comes with the installation).
    """

    space: str
    feedbacks: tuple[str, ...] = ("full",)
    dataset: str | None = None


Loader = Callable[[str, str], "Benchmark"]

registry: Registry[Loader] = Registry("benchmark", "po_nas.benchmarks")
register = registry.register
names = registry.names


def _declare(family: str, tasks: tuple[str, ...], module: str, spec: BenchmarkSpec, summary: str, arxiv: str) -> None:
    for task in tasks:
        registry.add(
            Entry(
                f"{family}/{task}",
                summary.format(task=task),
                f"po_nas.benchmarks.{module}",
                f"arXiv {arxiv}",
                spec=spec,
            )
        )


_TRANSNAS_TASKS = (
    "class_scene",
    "class_object",
    "room_layout",
    "jigsaw",
    "segmentsemantic",
    "normal",
    "autoencoder",
)
_declare(
    "nasbench201",
    ("cifar10", "cifar100", "imagenet16-120"),
    "nasbench201:load",
    BenchmarkSpec("nasbench201", ("full", "robot", "epochs12")),
    "15,625 cells on {task}; test accuracies after `po-nas data get nasbench201`",
    "2001.00326",
)
_declare(
    "nasbench_graph",
    ("cora", "citeseer", "pubmed", "cs", "physics", "photo", "computers", "arxiv"),
    "nasbench_graph:load",
    BenchmarkSpec("nasbench_graph"),
    "26,206 graph neural networks on {task}",
    "2206.09166",
)
_declare(
    "nasbench_graph",
    ("proteins",),
    "nasbench_graph:load",
    BenchmarkSpec("nasbench_graph_proteins"),
    "2,021 graph neural networks on {task}",
    "2206.09166",
)
for _level, _count in (("micro", "4,096 cells"), ("macro", "3,256 networks")):
    _declare(
        f"transnas_{_level}",
        _TRANSNAS_TASKS,
        f"transnas:load_{_level}",
        BenchmarkSpec(f"transnas_{_level}", ("full", "robot"), "transnasbench101"),
        _count + " on the Taskonomy task {task}",
        "2105.11871",
    )
_declare(
    "nasbench101",
    ("cifar10",),
    "nasbench101:load",
    BenchmarkSpec("nasbench101", ("full", "epochs36", "epochs12", "epochs4"), "nasbench101_sample"),
    "a sample of 30,001 of the 423,624 cells on {task}",
    "1902.09635",
)
_declare(
    "nasbench301",
    ("cifar10",),
    "nasbench301:load",
    BenchmarkSpec("darts", dataset="nasbench301_sample"),
    "1,218 DARTS cells with surrogate predictions on {task}",
    "2008.09777",
)
for _suite_space, _space in (
    ("nasbench201", "nasbench201"),
    ("nasbench301", "darts"),
    ("transbench101_micro", "transnas_micro"),
):
    _declare(
        "suite_zero",
        tuple(f"{_suite_space}-{data}" for data in ("ninapro", "svhn", "scifar100")),
        "suite_zero:load",
        BenchmarkSpec(_space, dataset="suite_zero"),
        "NAS-Bench-Suite-Zero, about 200 architectures: {task}",
        "2210.03230",
    )


def get(name: str, feedback: str | None = None) -> Benchmark:
    """Load the benchmark `name` under a feedback preset (default: its first).

    Raises `UnknownNameError` for an unknown benchmark or feedback and `MissingDataError`, which carries the command to
    run, when the public data have not been fetched.
    """
    entry = registry.entry(name)
    feedbacks = entry.spec.feedbacks if isinstance(entry.spec, BenchmarkSpec) else ("full",)
    if feedback is not None and feedback not in feedbacks:
        raise UnknownNameError(f"feedback of {name}", feedback, feedbacks)
    return registry.get(name)(name.partition("/")[2] or name, feedback or feedbacks[0])
