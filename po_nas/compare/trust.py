"""Which proxies the searches of a comparison came to trust, found again from their evaluations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from po_nas import methods
from po_nas.compare.cell import SHARED, load_objective
from po_nas.compare.design import Cell, ComparisonConfig
from po_nas.core.objective import Outcome
from po_nas.core.searcher import Searcher
from po_nas.runtime.setup import make_searcher
from po_nas.switches import default_switches

__all__ = ["TRUST", "Trust", "explained", "incumbent_rows", "trust_key", "trust_of", "trust_rows"]

_SEEDS = 5
"""Searches of a method on a benchmark that are explained: a fit costs seconds, and the mean of five settles."""

TRUST = pa.schema(
    [
        ("benchmark", pa.string()),
        ("method", pa.string()),
        ("seed", pa.int64()),
        ("proxy", pa.string()),
        ("weight", pa.float64()),
    ]
)
"""The incumbent's weight of each proxy at the end of a search; one row without a proxy where there is none."""


@dataclass(frozen=True)
class Trust:
    """Weights (seeds, k) of k proxies for the incumbents of a method's searches on a benchmark."""

    benchmark: str
    method: str
    proxies: tuple[str, ...]
    weights: NDArray[np.float64]


def explained(cell: Cell, config: ComparisonConfig) -> bool:
    """Whether the method of a cell says what it has learned, and this is one of the seeds that are asked.

    With further objectives and limits it is not asked: what it was told is not kept.
    """
    kind = methods.registry.get(cell.search.method.name)
    if cell.search.objectives or cell.search.constraints:
        return False
    return kind.explain is not Searcher.explain and cell.search.seed in config.seeds[:_SEEDS]


def trust_key(cell: Cell) -> dict[str, Any]:
    """What the trust of a cell depends on, beside its `Cell.key`."""
    return {**cell.key, "of": "trust"}


def trust_rows(cell: Cell, evaluations: pa.Table) -> list[dict[str, Any]]:
    """Tell a fresh searcher what the search of a cell was told, and ask what it has learned; rows of `TRUST`."""
    objective = load_objective(cell.search.benchmark, cell.search.feedback, cell.search.proxies)
    searcher = make_searcher(cell.search, objective, cache=SHARED)
    columns = (evaluations[name].to_pylist() for name in ("architecture", "validation", "cost_s", "fidelity"))
    for number, (text, validation, cost_s, fidelity) in enumerate(zip(*columns, strict=True)):
        searcher.restore(searcher.trial(number, objective.space.from_string(text), "told", fidelity))
        failed = math.isnan(validation)
        outcome = Outcome.failed("it had failed", cost_s) if failed else Outcome.ok(validation, cost_s)
        searcher.tell(number, outcome)
    with default_switches():
        explanation = searcher.explain()
    return incumbent_rows(cell.search.benchmark, cell.label, cell.search.seed, explanation)


def incumbent_rows(
    benchmark: str, method: str, seed: int, explanation: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """The incumbent's weights in an explanation as rows of `TRUST`."""
    trust = (explanation or {}).get("trust") or {}
    own = next((row for row in trust.get("rows", ()) if row["label"] == "incumbent"), None)
    of = {"benchmark": benchmark, "method": method, "seed": seed}
    if own is None:
        return [{**of, "proxy": "", "weight": math.nan}]
    # Methods written for version 0.1 call them metrics.
    pairs = zip(trust.get("proxies") or trust["metrics"], own["weights"], strict=True)
    return [{**of, "proxy": str(proxy), "weight": float(weight)} for proxy, weight in pairs]


def trust_of(table: pa.Table) -> tuple[Trust, ...]:
    """The weights by method and benchmark, in the order of the table; NaN where a seed had no such proxy."""
    found: dict[tuple[str, str], dict[int, dict[str, float]]] = {}
    names = ["proxy" if name == "metric" else name for name in table.column_names]  # that of version 0.1
    for row in table.rename_columns(names).to_pylist():
        if row["proxy"]:
            seeds = found.setdefault((row["method"], row["benchmark"]), {})
            seeds.setdefault(row["seed"], {})[row["proxy"]] = row["weight"]
    trusts = []
    for (method, benchmark), seeds in found.items():
        proxies = tuple(dict.fromkeys(proxy for weights in seeds.values() for proxy in weights))
        weights = [[by_proxy.get(proxy, math.nan) for proxy in proxies] for by_proxy in seeds.values()]
        trusts.append(Trust(benchmark, method, proxies, np.array(weights, dtype=np.float64)))
    return tuple(trusts)
