"""Benchmarks: tasks that a budget is spent on; `objective`, `get`, `names`, `register`.

A benchmark's name is ``family/task``. The object behind it is a loader, ``load(task, feedback) -> Objective``; one that
trains architectures (`BenchmarkSpec.trained`) takes options too.
"""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from po_nas.errors import ConfigError, NotATableError, UnknownNameError
from po_nas.registry import Entry, Registry

if TYPE_CHECKING:
    from po_nas.benchmarks.base import Benchmark, Described
    from po_nas.core.objective import Objective
    from po_nas.proxy_scores.table import ScoreTable

__all__ = [
    "ORIGINS",
    "BenchmarkSpec",
    "Loader",
    "Origin",
    "get",
    "looked_up",
    "names",
    "objective",
    "objective_of",
    "register",
    "registry",
    "score_table",
    "scored",
    "spec_of",
    "trains",
]

Origin = Literal["own", "published"]
ORIGINS: tuple[Origin, ...] = get_args(Origin)
"""Who computed the proxy scores that a table may come with."""


@dataclass(frozen=True, slots=True)
class BenchmarkSpec:
    """What is known of a benchmark without loading it.

    Attributes:
        space: Name of its search space.
        feedbacks: The presets that it offers; the first is the default.
        dataset: The public data set that it needs; None: it comes with the installation.
        trained: There is no table: every evaluation is a training.
        surrogate: There is no table: evaluations are predictions, for any architecture of the space.
        scores: Which tables of proxy scores a table comes with: of po-nas itself (``own``), or ``published``.

    Examples:
        >>> import po_nas
        >>> po_nas.benchmarks.registry.entry("nasbench201/cifar10").spec.feedbacks
        ('full', 'robot', 'epochs12')
        >>> po_nas.BenchmarkSpec(space="darts").feedbacks
        ('full',)
    """

    space: str
    feedbacks: tuple[str, ...] = ("full",)
    dataset: str | None = None
    trained: bool = False
    surrogate: bool = False
    scores: tuple[Origin, ...] = ()


Loader = Callable[..., "Objective"]


class _Benchmarks(Registry[Loader]):
    """Also has ``train/SPACE/DATA`` for every space whose networks can be built and every data set."""

    def names(self, pattern: str = "*") -> list[str]:
        trained = fnmatch.filter(_trained().names(), pattern)
        return sorted({*super().names(pattern), *trained})

    def entry(self, name: str) -> Entry[Loader]:
        if super().__contains__(name) or name.count("/") != 2 or not name.startswith("train/"):
            return super().entry(name)
        found: Entry[Loader] = _trained().entry_of(name)
        return found

    def __contains__(self, name: object) -> bool:
        if super().__contains__(name):
            return True
        try:
            return isinstance(name, str) and name.count("/") == 2 and bool(self.entry(name))
        except UnknownNameError:
            return False


def _trained() -> Any:
    return importlib.import_module("po_nas.training.names")


registry: Registry[Loader] = _Benchmarks("benchmark", "po_nas.benchmarks")
register = registry.register
names = registry.names


def _declare(module: str, spec: BenchmarkSpec, summary: str, arxiv: str, family: str, *tasks: str) -> None:
    rows = ((f"{family}/{task}", module, summary.format(task=task), f"arXiv {arxiv}", (), spec) for task in tasks)
    registry.declare("po_nas", *rows)


_declare(
    "benchmarks.nasbench201:load",
    BenchmarkSpec("nasbench201", ("full", "robot", "epochs12"), scores=("own", "published")),
    "15,625 cells on {task}; test accuracies after `po-nas data get nasbench201`",
    "2001.00326",
    *("nasbench201", "cifar10", "cifar100", "imagenet16-120"),
)
for _tasks, _count, _space in (
    (("cora", "citeseer", "pubmed", "cs", "physics", "photo", "computers", "arxiv"), "26,206", "nasbench_graph"),
    (("proteins",), "2,021", "nasbench_graph_proteins"),
):
    _declare(
        "benchmarks.nasbench_graph:load",
        BenchmarkSpec(_space, scores=("own",)),
        _count + " graph neural networks on {task}",
        "2206.09166",
        *("nasbench_graph", *_tasks),
    )
for _level, _count in (("micro", "4,096 cells"), ("macro", "3,256 networks")):
    _declare(
        f"benchmarks.transnas:load_{_level}",
        BenchmarkSpec(f"transnas_{_level}", ("full", "robot"), "transnasbench101", scores=("published",)),
        _count + " on the Taskonomy task {task}",
        "2105.11871",
        *(f"transnas_{_level}", "class_scene", "class_object", "room_layout", "jigsaw"),
        *("segmentsemantic", "normal", "autoencoder"),
    )
_declare(
    "benchmarks.samples:load_nasbench101",
    BenchmarkSpec(
        "nasbench101", ("full", "epochs36", "epochs12", "epochs4"), "nasbench101_sample", scores=("published",)
    ),
    "a sample of 30,001 of the 423,624 cells on {task}",
    "1902.09635",
    *("nasbench101", "cifar10"),
)
_declare(
    "benchmarks.samples:load_nasbench301",
    BenchmarkSpec("darts", dataset="nasbench301_sample", scores=("published",)),
    "1,218 DARTS cells with surrogate predictions on {task}",
    "2008.09777",
    *("nasbench301", "cifar10"),
)
_declare(
    "benchmarks.darts_linear:load",
    BenchmarkSpec("darts", dataset="nasbench301_sample", surrogate=True),
    "all of DARTS, predicted by a linear model: {task}",
    "2008.09777",
    *("darts_linear", "cifar10"),
)
for _suite, _space in (
    ("nasbench201", "nasbench201"),
    ("nasbench301", "darts"),
    ("transbench101_micro", "transnas_micro"),
):
    _declare(
        "benchmarks.samples:load_suite_zero",
        BenchmarkSpec(_space, dataset="suite_zero", scores=("published",)),
        "NAS-Bench-Suite-Zero, about 200 architectures: {task}",
        "2210.03230",
        *("suite_zero", *(f"{_suite}-{data}" for data in ("ninapro", "svhn", "scifar100"))),
    )
_declare(
    "benchmarks.nasbench_mr:load",
    BenchmarkSpec("nasbench_mr", dataset="nasbench_mr", scores=("published",)),
    "2,507 multi-resolution networks on the task {task}",
    "2103.13253",
    *("nasbench_mr", "cls-50-1000", "cls-50-100", "cls-10-1000", "cls-10c", "seg", "seg-4x", "video", "video-p"),
)
for _scale, _loader, _most in (("s", "small", "191 M"), ("m", "medium", "506 M"), ("l", "large", "1.07 G")):
    _declare(
        f"benchmarks.hwgpt:load_{_loader}",
        BenchmarkSpec(f"hwgpt_{_scale}", dataset="hwgpt", surrogate=True),
        f"GPTs of up to {_most} parameters, predicted perplexity on {{task}}",
        "2405.10299",
        *(f"hwgpt_{_scale}", "openwebtext"),
    )
for _pool, _kind in (("autoformer", "AutoFormer's"), ("autoformer_2", "AutoFormer's"), ("pit", "PiT's")):
    _declare(
        "benchmarks.vit_bench:load",
        BenchmarkSpec("vit_pit" if _pool == "pit" else "vit_autoformer", dataset="vit_bench", scores=("own",)),
        f"100 vision transformers of {_kind} kind, test accuracy: {{task}}",
        "2312.09059",
        *("vit_bench", *(f"{_pool}-{_data}_kd" for _data in ("c100", "flower", "chaoyang"))),
        *(f"{_pool}-{_data}_base" for _data in ("c100", "flower", "chaoyang") if _pool != "autoformer_2"),
    )
_declare(
    "benchmarks.nasbench_bert:load",
    BenchmarkSpec("nasbench_bert", dataset="nasbench_bert", scores=("published",)),
    "491 encoders of text, pre-trained, mean of the tasks of {task}",
    "2306.00288",
    *("nasbench_bert", "glue"),
)
for _data, *_feedbacks in (
    ("digits", "digits"),
    ("fashion-mnist", "ponas", "pwlnas"),
    ("cifar10", "ponas", "pwlnas"),
    ("cifar100", "ponas", "pwlnas"),
    ("imagenet", "ponas_imagenet"),
):
    _declare(
        "training.objective:load",
        BenchmarkSpec("darts", tuple(_feedbacks), trained=True),
        f"DARTS cells, really trained on {_data}",
        "1806.09055",
        *("train", f"darts/{_data}"),
    )


def trains(name: str) -> bool:
    """Whether the architectures of a benchmark are trained; `UnknownNameError` for one that there is not."""
    return spec_of(registry.entry(name)).trained


def spec_of(entry: Entry[Loader]) -> BenchmarkSpec:
    """What is known of a benchmark; of one that does not say, that it is a table with one preset, ``full``."""
    return entry.spec if isinstance(entry.spec, BenchmarkSpec) else BenchmarkSpec("")


def objective(name: str, feedback: str | None = None, options: Mapping[str, Any] | None = None) -> Objective:
    """The objective `name` under a feedback preset (default: its first): a table, or one that trains.

    `options` are those of the trainings (`TrainingOptions`). Raises `UnknownNameError` for an unknown benchmark or
    feedback, `MissingDataError`, which carries the command to run, when public data have not been fetched, and
    `ConfigError` for options given to a table.
    """
    return objective_of(registry.entry(name), feedback, options)


def objective_of(
    entry: Entry[Loader], feedback: str | None = None, options: Mapping[str, Any] | None = None
) -> Objective:
    """What `objective` gives for the name of a registry's entry; raises the same, but for an unknown benchmark."""
    name, spec = entry.name, spec_of(entry)
    if options and not spec.trained:
        raise ConfigError("training", dict(options), f"{name} is a table and trains nothing; leave it out")
    if feedback is not None and feedback not in spec.feedbacks:
        raise UnknownNameError(f"feedback of {name}", feedback, spec.feedbacks)
    task = name.partition("/")[2] or name
    return registry.load(entry)(task, feedback or spec.feedbacks[0], *((options,) if spec.trained else ()))


def get(name: str, feedback: str | None = None) -> Benchmark:
    """Load the table `name` under a feedback preset (default: its first).

    Raises what `objective` raises, and `NotATableError` for a benchmark that trains or predicts.
    """
    if spec_of(registry.entry(name)).surrogate:
        raise NotATableError(name, "predicts its values")
    return cast("Benchmark", looked_up(name, feedback))


def looked_up(name: str, feedback: str | None = None) -> Described:
    """Load the benchmark `name`, a table or a surrogate, under a feedback preset (default: its first).

    Raises what `objective` raises, and `NotATableError` for a benchmark that trains.
    """
    if trains(name):
        raise NotATableError(name)
    return cast("Described", objective(name, feedback))


def scored(origin: Origin) -> list[str]:
    """The tables that come with proxy scores of that origin."""
    specs = {entry.name: entry.spec for entry in registry.entries()}
    return [n for n, spec in specs.items() if isinstance(spec, BenchmarkSpec) and origin in spec.scores]


def score_table(name: str, origin: Origin) -> ScoreTable:
    """The proxy scores of a table as they were recorded, higher or lower better.

    Raises `UnknownNameError` for a table without scores of that origin and `MissingDataError` where it, or its scores,
    have not been fetched.
    """
    if name not in (known := scored(origin)):
        raise UnknownNameError(f"benchmark with {origin} scores", name, known)
    return get(name).score_table(origin)
