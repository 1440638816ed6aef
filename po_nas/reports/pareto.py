"""Validation against a cost (parameters, FLOPs, latency of a device): the front that was found and the true one.

The quality of a front is its hypervolume relative to the true front's. Both costs and accuracies are scaled such that
the true front spans 0 to 1, the reference point is 1.1 in both: Ishibuchi, Imada, Setoguchi and Nojima, How to specify
a reference point in hypervolume calculation for fair performance comparison, Evolutionary Computation 26(3), 2018.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pymoo.indicators.hv import Hypervolume
from pymoo.util.nds.non_dominated_sorting import find_non_dominated

from po_nas.benchmarks.base import Benchmark
from po_nas.errors import ScoreError, UnknownNameError
from po_nas.reports.figures import COLOURS
from po_nas.reports.run import RunData
from po_nas.runtime.escaping import markdown_text, without_formulas
from po_nas.spaces.base import Architecture

__all__ = ["ParetoFront", "draw_pareto", "evaluated_in", "pareto_front", "pareto_table", "write_pareto"]

_USUAL = ("params", "flops", "latency")
_REFERENCE = 1.1
_DOTS = 20_000
"""Most architectures that are drawn behind the fronts."""


@dataclass(frozen=True)
class ParetoFront:
    """One cost of one table, and what of it was evaluated.

    `values` (n, 2) are (cost, validation) of every row, NaN where not recorded; lower cost is better. `true` and
    `found` are the rows of the table's front and of the front of the rows in `evaluated`, by ascending cost, one row
    for each point. `found` is empty and `hypervolume` (relative to the true front's, 0 to 1) None when nothing was
    evaluated.
    """

    table: Benchmark
    cost: str
    values: NDArray[np.float64]
    evaluated: NDArray[np.intp]
    true: NDArray[np.intp]
    found: NDArray[np.intp]
    hypervolume: float | None

    @property
    def label(self) -> str:
        """The cost with its unit."""
        return _with_unit(self.cost, self.table.units.get(self.cost, ""))

    @property
    def found_true(self) -> int:
        """How many points of the true front were found."""
        return sum(self.is_true(self.found))

    def is_true(self, rows: NDArray[np.intp]) -> list[bool]:
        """Whether each of the rows is a point of the true front, itself or by equal values."""
        points = {tuple(point) for point in self.values[self.true].tolist()}
        return [tuple(point) in points for point in self.values[rows].tolist()]


def evaluated_in(run: RunData, table: Benchmark) -> list[Architecture]:
    """The architectures whose evaluation succeeded in a run on `table`, in the order of completion.

    Raises `ScoreError` when the run was on another benchmark.
    """
    if run.config["benchmark"] != table.name:
        raise ScoreError(f"{run.directory} is a run on {run.config['benchmark']}, the table is {table.name}")
    full = (trial for trial in run.told if trial.validation is not None and trial.fidelity is None)
    return [table.space.from_string(trial.architecture) for trial in full]


def pareto_front(table: Benchmark, cost: str, evaluated: Sequence[Architecture] = ()) -> ParetoFront:
    """The front of validation against the extra `cost` in a table, and that of the architectures in `evaluated`.

    Raises `UnknownNameError` when the table has no such extra.
    """
    if cost not in table.extras:
        raise UnknownNameError("cost", cost, table.extras)
    values = np.stack([table.extras[cost], table.validation], axis=1)
    losses = values * (1.0, -1.0 if table.metric.maximize else 1.0)
    rows = np.unique(np.array([table.row(architecture) for architecture in evaluated], dtype=np.intp))
    true, found = _front(losses, np.arange(len(losses))), _front(losses, rows)
    hypervolume = None
    if len(found):
        ideal, nadir = losses[true].min(axis=0), losses[true].max(axis=0)
        scale = np.where(nadir > ideal, nadir - ideal, 1.0)
        indicator = Hypervolume(ref_point=np.full(2, _REFERENCE), norm_ref_point=False)
        volumes = [float(indicator((losses[front] - ideal) / scale)) for front in (found, true)]
        hypervolume = volumes[0] / volumes[1]
    return ParetoFront(table, cost, values, rows, true, found, hypervolume)


def _front(losses: NDArray[np.float64], rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Those of the rows that no other one dominates, by ascending cost, one for each point."""
    known = rows[np.isfinite(losses[rows]).all(axis=1)]
    best = known[find_non_dominated(losses[known])]
    _, first = np.unique(losses[best], axis=0, return_index=True)
    front: NDArray[np.intp] = best[first]
    return front


def draw_pareto(fronts: Sequence[ParetoFront]) -> Figure:
    """One panel per cost: the table as dots, what was evaluated, the true front and the front that was found."""
    figure = Figure(figsize=(4.2 * len(fronts), 3.9), layout="constrained")
    panels = figure.subplots(1, len(fronts), squeeze=False)[0]
    for axis, front in zip(panels, fronts, strict=True):
        _draw_panel(axis, front)
    metric = fronts[0].table.metric
    panels[0].set_ylabel(_with_unit(metric.name, metric.unit))
    figure.legend(
        *panels[0].get_legend_handles_labels(), fontsize=8, frameon=False, loc="outside lower center", ncols=4
    )
    figure.suptitle(fronts[0].table.name, fontsize=10)
    return figure


def _draw_panel(axis: Axes, front: ParetoFront) -> None:
    known = np.flatnonzero(np.isfinite(front.values).all(axis=1))
    drawn = known[np.linspace(0, len(known) - 1, min(_DOTS, len(known))).astype(int)]
    for name, rows, colour, size in (
        ("in the table", drawn, "#CCCCCC", 2),
        ("evaluated", front.evaluated, COLOURS["initial"], 12),
    ):
        if len(rows):
            x, y = front.values[rows].T
            axis.scatter(x, y, s=size, color=colour, linewidths=0, rasterized=True, zorder=2, label=name)
    for name, rows, colour, style in (
        ("true front", front.true, COLOURS["optimum"], "--"),
        ("front found", front.found, COLOURS["best"], "-o"),
    ):
        if len(rows):
            x, y = front.values[rows].T
            axis.plot(x, y, style, color=colour, ms=3, lw=1.2, drawstyle="steps-post", zorder=3, label=name)
    # The costly end holds the differences; failures and untrainable ones would squeeze them to nothing.
    shown = front.values[known, 1]
    low, high = np.quantile(shown, (0.1, 1.0) if front.table.metric.maximize else (0.0, 0.9))
    pad = 0.06 * (high - low or abs(high) or 1.0)
    axis.set_ylim(low - pad, high + pad)
    hidden = int(np.sum((shown < low - pad) | (shown > high + pad)))
    if hidden:
        axis.set_title(f"{hidden:,} worse ones outside", loc="right", fontsize=7, color="#5B6875")
    costs = front.values[known, 0]
    if costs.min() > 0 and costs.max() > 20 * costs.min():
        axis.set_xscale("log")
    axis.set_xlabel(front.label)
    axis.grid(alpha=0.25, lw=0.5)
    axis.spines[["top", "right"]].set_visible(False)


def pareto_table(fronts: Sequence[ParetoFront]) -> str:
    """Markdown: a summary, one row per cost, then the front of every cost: what was found, or else the true one."""
    table = fronts[0].table
    header = ("cost", "points of the true front", "evaluated", "front found", "of these on the true front")
    lines = [f"# {markdown_text(f'{table.name}: {_with_unit(table.metric.name, table.metric.unit)}')} against cost", ""]
    lines += [_row((*header, "relative hypervolume")), "|---|" + "---:|" * len(header)]
    for front in fronts:
        found: tuple[object, ...] = ("", "", "", "")
        if front.hypervolume is not None:
            found = (len(front.evaluated), len(front.found), front.found_true, f"{front.hypervolume:.4f}")
        lines.append(_row((front.label, len(front.true), *found)))
    for front in fronts:
        kind, rows = ("true", front.true) if front.hypervolume is None else ("found", front.found)
        lines += ["", f"## {markdown_text(front.label)}: the {kind} front", ""]
        lines += [
            _row((front.label, _with_unit(table.metric.name, table.metric.unit), "on the true front", "architecture"))
        ]
        lines += ["|---:|---:|---|---|"]
        for row, on in zip(rows.tolist(), front.is_true(rows), strict=True):
            cost, value = front.values[row].tolist()
            text = table.space.to_string(table.rows.architecture(row))
            lines.append(_row((f"{cost:.4g}", f"{value:.3f}", "yes" if on else "no", f"`{text}`")))
    return "\n".join(lines) + "\n"


def write_pareto(
    table: Benchmark, directory: Path, run: RunData | None = None, costs: Sequence[str] | None = None
) -> list[Path]:
    """Write ``pareto.png`` and ``pareto.md`` of a table, with the front that a run on it found if one is given.

    `costs` name extras of the table; by default those of params, flops and latency that it has. Raises
    `UnknownNameError` for one that it lacks, `ScoreError` when it has none of the three or the run is of another table.
    """
    chosen = [name for name in _USUAL if name in table.extras] if costs is None else list(costs)
    if not chosen:
        known = ", ".join(table.extras) or "none"
        raise ScoreError(f"{table.name} records none of {', '.join(_USUAL)}; name a cost (recorded: {known})")
    evaluated = () if run is None else evaluated_in(run, table)
    fronts = [pareto_front(table, cost, evaluated) for cost in chosen]
    paths = [directory / "pareto.png", directory / "pareto.md"]
    directory.mkdir(parents=True, exist_ok=True)
    without_formulas(draw_pareto(fronts)).savefig(paths[0], dpi=150)
    paths[1].write_text(pareto_table(fronts), encoding="utf-8")
    return paths


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(markdown_text, cells)) + " |"


def _with_unit(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit else name
