"""The problems there are: public tables of scores and accuracies, aligned with the search spaces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from po_nas import benchmarks, spaces
from po_nas.benchmarks.data import table
from po_nas.benchmarks.data.nasbench201_rows import row_of_tuple
from po_nas.benchmarks.samples import decode
from po_nas.errors import MissingDataError, UnknownNameError
from po_nas.proxy_scores.packaged import sample_scores
from po_nas.proxy_scores.table import ScoreTable
from po_nas.registry import matching
from po_nas.research.evolved_proxies.symbolic.problem import Problem
from po_nas.spaces.base import Architecture
from po_nas.spaces.graph_leaves import graph_leaves

__all__ = ["expand", "names", "problem", "suite_architectures"]

F64: TypeAlias = NDArray[np.float64]

_PROXIES = (
    *("epe_nas", "fisher", "flops", "grad_norm", "grasp", "jacov", "l2_norm", "nwot", "params", "plain", "snip"),
    *("synflow", "zen"),
)
_DATA201 = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16-120": "ImageNet16-120"}
_LABELS = {"darts": "nasbench301"}
"""What problems of a space are called where that is not its name."""


def names() -> list[str]:
    """All problems: benchmarks of these families."""
    return [name for name in benchmarks.names() if name.partition("/")[0] in _LOADERS]


def expand(wanted: str | Iterable[str]) -> list[str]:
    """Problems that names, families (``transnas_macro``), wildcards and comma-separated lists of them stand for.

    Raises `UnknownNameError`, with the nearest name, for one that nothing matches.
    """
    texts = [wanted] if isinstance(wanted, str) else wanted
    patterns = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    return matching("problem", [f"{part}/*" if part in _LOADERS else part for part in patterns], names())


@cache
def problem(name: str) -> Problem:
    """The problem `name`, with the scores of NAS-Bench-Suite-Zero and the graph features of `graph_leaves`.

    Accuracies are those that a search would see: validation accuracies (of NAS-Bench-201 the mean of the recorded
    runs, of NAS-Bench-301 a surrogate's predictions, of NAS-Bench-101 the mean of the queried runs of a cell). One
    row per architecture, about 200 of ``suite_zero``, 292 of ``nasbench101`` and 660 to 725 of the others. Scores that
    were computed for a whole space fill columns that the sample lacks (zen, and synflow, epe_nas and fisher on
    TransNAS-Bench-101), and so do scores of our own engine (az_*, meco, swap; on NAS-Bench-101 nwot and zen).

    Raises `UnknownNameError` and, with the command that fetches it, `MissingDataError`.
    """
    if name not in names():
        raise UnknownNameError("problem", name, names())
    family, _, task = name.partition("/")
    return _LOADERS[family](name, task)


class _Rows:
    """The rows of one problem and source in the table of NAS-Bench-Suite-Zero."""

    def __init__(self, what: str, key: str, source: str) -> None:
        content = table("suite_zero", what)
        timed = [f"{p}_s" for p in _PROXIES if f"{p}_s" in content]
        read: Mapping[str, NDArray[Any]] = content.read(["problem", "source", "arch", "accuracy", *_PROXIES, *timed])
        rows = np.flatnonzero((read["problem"] == key) & (read["source"] == source))
        rows = rows[np.isfinite(read["accuracy"][rows])]
        self.texts = [str(text) for text in read["arch"][rows]]
        self.accuracy: F64 = read["accuracy"][rows]
        found = {p: np.asarray(read[p][rows], np.float64) for p in _PROXIES}
        self.columns = {p: column for p, column in found.items() if np.isfinite(column).any()}
        medians = {t.removesuffix("_s"): read[t][rows] for t in timed}
        self.seconds = {
            p: float(np.median(s[np.isfinite(s)]))
            for p, s in medians.items()
            if p in self.columns and np.isfinite(s).any()
        }


def _made(
    name: str, space: str, rows: _Rows, architectures: Sequence[Architecture], accuracy: F64, source: str
) -> Problem:
    own = spaces.get(architectures[0].space)
    keys = [own.canonical(architecture) for architecture in architectures]
    _, classes = np.unique(np.array(keys), return_inverse=True)
    computed = {c: v for c, v in sample_scores(architectures).items() if c not in rows.columns}
    columns = rows.columns | computed | graph_leaves(own, architectures)
    return Problem(name, space, accuracy, columns, classes.astype(np.int64), rows.seconds, source)


def _fill(rows: _Rows, given: ScoreTable, positions: NDArray[np.intp], only: Sequence[str] | None = None) -> None:
    """Add columns of a whole space that the sample lacks (all, or `only` some)."""
    for place, column in enumerate(given.names):
        if only is not None and column not in only:
            continue
        values = given.values[positions, place]
        if column not in rows.columns and np.isfinite(values).mean() >= 0.5:
            rows.columns[column] = values
            seconds = given.seconds[positions, place]
            if np.isfinite(seconds).any():
                rows.seconds[column] = float(np.nanmedian(seconds))


def _nasbench201(name: str, task: str) -> Problem:
    rows = _Rows(name, f"nasbench201-{_DATA201[task]}", "725")
    found = benchmarks.get(name)
    positions = np.array([row_of_tuple(text) for text in rows.texts], dtype=np.intp)
    _fill(rows, found.score_table("own"), positions)
    if task == "cifar100":
        # Forward passes do not see how many classes there are.
        others = benchmarks.score_table("nasbench201/cifar10", "own")
        _fill(rows, others, positions, ("swap", "az_expressivity", "az_progressivity"))
    # The sample can do without what a second data set knows.
    with suppress(MissingDataError):
        _fill(rows, found.score_table("published"), positions, ("zen",))
    architectures = [found.rows.architecture(int(row)) for row in positions]
    source = "scores NAS-Bench-Suite-Zero (725 cells) and po-nas, accuracies NAS-Bench-201 (validation, mean of runs)"
    return _made(name, "nasbench201", rows, architectures, found.validation[positions], source)


def _nasbench101(name: str, task: str) -> Problem:
    rows = _Rows(name, "nasbench101-cifar10", "500")
    space = spaces.get("nasbench101")
    architectures = [decode("nasbench101", text) for text in rows.texts]
    # A cell was queried several times, each time one of its three runs and a network of its own.
    _, first, inverse = np.unique(
        np.array([space.canonical(a) for a in architectures]), return_index=True, return_inverse=True
    )
    counts = np.bincount(inverse)
    accuracy = np.bincount(inverse, rows.accuracy) / counts
    rows.columns = {c: _class_means(values, inverse) for c, values in rows.columns.items()}
    source = "NAS-Bench-Suite-Zero, 500 queries of NAS-Bench-101, means over queries of one cell"
    return _made(name, "nasbench101", rows, [architectures[row] for row in first], accuracy, source)


def _class_means(values: F64, inverse: NDArray[np.intp]) -> F64:
    known = np.isfinite(values)
    count = np.bincount(inverse, known)
    return np.where(count > 0, np.bincount(inverse, np.where(known, values, 0.0)) / np.maximum(count, 1), np.nan)


def _nasbench301(name: str, task: str) -> Problem:
    rows = _Rows(name, "nasbench301-cifar10", "725")
    source = "NAS-Bench-Suite-Zero (725 cells), accuracies predicted by NAS-Bench-301's surrogate"
    return _made(name, "nasbench301", rows, [decode("darts", text) for text in rows.texts], rows.accuracy, source)


def _transnas(name: str, task: str) -> Problem:
    family = name.partition("/")[0]
    rows = _Rows(name, f"transbench101_{family.removeprefix('transnas_')}-{task}", "725")
    architectures = [decode(family, text) for text in rows.texts]
    found = benchmarks.get(name)
    positions = [found.rows.find(architecture) for architecture in architectures]
    if all(position is not None for position in positions):
        _fill(rows, found.score_table("published"), np.array(positions, dtype=np.intp))
    source = "scores and best-epoch validation metrics by NAS-Bench-Suite-Zero"
    return _made(name, family, rows, architectures, rows.accuracy, source)


def _suite_zero(name: str, task: str) -> Problem:
    rows = _Rows(name, task, "9tasks")
    space = benchmarks.registry.entry(name).spec.space  # type: ignore[attr-defined]
    architectures = [decode(space, text) for text in rows.texts]
    source = "NAS-Bench-Suite-Zero (about 200 architectures)"
    return _made(name, _LABELS.get(space, space), rows, architectures, rows.accuracy, source)


def suite_architectures(space: str) -> list[Architecture]:
    """All architectures of a search space that the main tables of NAS-Bench-Suite-Zero sampled, twins included.

    Raises `UnknownNameError` for a space without such a table and `MissingDataError`.
    """
    samples = {
        "nasbench101": ("nasbench101-cifar10", "500"),
        "darts": ("nasbench301-cifar10", "725"),
        "transnas_micro": ("transbench101_micro-*", "725"),
        "transnas_macro": ("transbench101_macro-*", "725"),
    }
    if space not in samples:
        raise UnknownNameError("space of a sample", space, samples)
    pattern, source = samples[space]
    read = table("suite_zero", f"the sample of {space}").read(["problem", "source", "arch"])
    keys = zip(read["problem"], read["source"], read["arch"], strict=True)
    texts = sorted({str(arch) for key, where, arch in keys if where == source and fnmatchcase(str(key), pattern)})
    return [decode(space, text) for text in texts]


_LOADERS: Mapping[str, Callable[[str, str], Problem]] = {
    "nasbench201": _nasbench201,
    "nasbench101": _nasbench101,
    "nasbench301": _nasbench301,
    "transnas_micro": _transnas,
    "transnas_macro": _transnas,
    "suite_zero": _suite_zero,
}
