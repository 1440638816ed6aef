"""NAS-Bench-Graph: nine graph data sets, read from an ordinary dependency."""

from __future__ import annotations

from functools import cached_property, partial
from importlib.resources import files
from typing import cast

import numpy as np
from numpy.typing import NDArray

from po_nas import spaces
from po_nas.benchmarks.base import Benchmark, Feedback
from po_nas.benchmarks.unpickle import read_packaged
from po_nas.core.objective import Metric
from po_nas.errors import DataError
from po_nas.proxy_scores.packaged import packaged_table
from po_nas.proxy_scores.table import ScoreTable
from po_nas.spaces.base import Architecture
from po_nas.spaces.nasbench_graph import NASBenchGraphSpace

__all__ = ["load"]

_SIZES = {"proteins": 2_021}
_SIZE = 26_206
_OWN = "computed by our own engine on one made-up graph for all data sets, with networks of one generic width"


class _KeyRows:
    """Rows by published integer; the table holds one integer of each class of equal architectures."""

    def __init__(self, space: NASBenchGraphSpace, keys: list[int]) -> None:
        self._space, self._keys = space, keys
        self._rows = {key: row for row, key in enumerate(keys)}

    @cached_property
    def _classes(self) -> dict[str, int]:
        return {self._space.canonical(self.architecture(row)): row for row in range(len(self._keys))}

    def find(self, architecture: Architecture) -> int | None:
        """Row of the architecture's class."""
        if architecture.space != self._space.name:
            return None
        row = self._rows.get(self._space.hash_key(architecture))
        return self._classes.get(self._space.canonical(architecture)) if row is None else row

    def architecture(self, row: int) -> Architecture:
        """The architecture that the row's integer stands for."""
        return self._space.from_hash(self._keys[row])

    def __len__(self) -> int:
        return len(self._keys)


def load(task: str, feedback: str) -> Benchmark:
    """One of cora, citeseer, pubmed, cs, physics, photo, computers, arxiv, proteins; feedback `full` only."""
    resource = files("nas_bench_graph") / "light" / f"{task}.bench"
    content = read_packaged(resource, "nas-bench-graph")
    expected = _SIZES.get(task, _SIZE)
    if len(content) != expected:
        raise DataError(f"{resource}: {len(content)} records, expected {expected}; reinstall nas-bench-graph")
    space = cast(NASBenchGraphSpace, spaces.get("nasbench_graph_proteins" if task == "proteins" else "nasbench_graph"))

    def column(field: str, scale: float = 1.0) -> NDArray[np.float64]:
        return scale * np.fromiter((record[field] for record in content.values()), np.float64, len(content))

    keys, params = [int(key) for key in content], column("para")
    name, label = f"nasbench_graph/{task}", "ROC-AUC" if task == "proteins" else "accuracy"
    return Benchmark(
        name=name,
        space=space,
        rows=_KeyRows(space, keys),
        metric=Metric(f"validation {label}"),
        feedback=Feedback(feedback, task, "validation", "best epoch", "mean of 3 runs", "nas-bench-graph (Apache-2.0)"),
        validation=column("valid_perf", 100),
        test=column("perf", 100),
        extras={"params": params, "latency": column("latency", 1e3)},
        units={"params": "millions", "latency": "ms"},
        test_description=f"test {label} (%) of the same trainings, mean of 3 runs",
        pool_description=f"all {expected:,} architectures, one per class of equal ones",
        reference="Qin et al., NAS-Bench-Graph, NeurIPS 2022, arXiv 2206.09166",
        notes=(
            "latency: recorded without a unit, read here as seconds on the authors' GPU",
            "no training times were published with the light tables",
        ),
        scores={"own": partial(_own_scores, name, keys, params)},
    )


def _own_scores(name: str, keys: list[int], params: NDArray[np.float64]) -> ScoreTable:
    # Published integers mean the same in the space of all data sets and in that of proteins.
    whole = cast(NASBenchGraphSpace, spaces.get("nasbench_graph"))
    positions = np.fromiter((whole.index(whole.from_hash(key)) for key in keys), np.intp, len(keys))
    return packaged_table(name, positions, {"params": params}, _OWN)
