"""Searches with an evolved proxy as tables."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa

from po_nas.compare.statistics import mean_interval, paired_p
from po_nas.compare.table import Table

__all__ = ["search_tables"]


def search_tables(rows: pa.Table) -> list[Table]:
    """One table of searches for a proxy, one of Bayesian optimisation with and without it."""
    found: dict[tuple[str, str], dict[str, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(dict))
    benchmarks, optima, evaluations = [], {}, {}
    for row in rows.to_pylist():
        benchmarks.append(row["benchmark"])
        optima[row["benchmark"]] = row["optimum"]
        evaluations[row["method"]] = row["evaluations"]
        cell = found[row["method"], row["signal"]][row["benchmark"]]
        cell.setdefault("validation", []).append(row["validation"])
        cell.setdefault("test", []).append(row["test"])
    names = list(dict.fromkeys(benchmarks))
    tables = []
    for bayesian in (False, True):
        body, values = [], []
        for (method, signal), cells in found.items():
            if (method == "po_nas") != bayesian:
                continue
            body.append([method, signal])
            values.append([float(np.mean(cells[name]["validation"])) for name in names])
            for name in names:
                mean, half = mean_interval(np.array(cells[name]["validation"]))
                tested = np.mean(cells[name]["test"])
                body[-1].append(f"{mean:.2f} ± {half:.2f}" + ("" if np.isnan(tested) else f" / {tested:.2f}"))
        for column in range(len(names)):
            best = max((row[column] for row in values), default=0.0)
            for line, row in zip(body, values, strict=True):
                if row[column] == best:
                    line[2 + column] = f"**{line[2 + column]}**"
        if not body:
            continue
        optimum = ", ".join(f"{name} {optima[name]:.2f}" for name in names)
        seeds = max(len(cell["validation"]) for cells in found.values() for cell in cells.values())
        note = f"Validation accuracy (mean ± half the 95 % interval) / test accuracy, %. Optima: {optimum}. "
        if bayesian:
            note += f"{evaluations['po_nas']} evaluations; {_paired(found, names)}"
            header = ["method", "proxy", *names]
            tables.append(Table("po_nas", "One more proxy for PO-NAS", header, body, note, labels=2))
        else:
            budget = max(evaluations[m] for m in evaluations if m != "po_nas")
            note += (
                f"{seeds} seeds, {budget:,} evaluations of the proxy, none of accuracy; the cell with the highest "
                "score. `evolved` was evolved and chosen without NAS-Bench-201."
            )
            title = "The proxy as the only goal of a search"
            tables.append(Table("search", title, ["search", "goal", *names], body, note, labels=2))
    return tables


def _paired(found: dict[tuple[str, str], dict[str, dict[str, list[float]]]], names: list[str]) -> str:
    words = []
    for name in names:
        pair = [np.array(found["po_nas", signal][name]["validation"]) for signal in ("with", "without")]
        words.append(f"{name} p {paired_p(*pair):.2g} over {len(pair[0])} seeds")
    return "Wilcoxon, with against without: " + ", ".join(words) + "."
