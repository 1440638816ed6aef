"""An evolved proxy as a picture: its tree, and its τ beside those of proxies that were not evolved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from po_nas.formula import Call, Node, depth, text
from po_nas.research.evolved_proxies.proxy_evolution import Judged, Outcome
from po_nas.runtime.escaping import without_formulas

__all__ = ["draw_evolution", "draw_tree", "summary_rows", "write_evolution"]

_COLOURS = ("#1F5FA8", "#D97B29", "#7A7A7A")
_SIGNS = {
    "add": "+",
    "sub": "−",
    "mul": "×",
    "neg": "−",
    "aq": "a/√(1+b²)",
    "log_abs": "log|·|",
    "sqrt_abs": "√|·|",
    "square": "(·)²",
    "abs": "|·|",
}


def summary_rows(outcome: Outcome) -> list[tuple[str, ...]]:
    """One row per problem and role that was judged, and the mean of each role: τ of the formula and the baselines."""
    columns = [outcome.judged(), *(baseline.judged for baseline in outcome.baselines)]
    rows: list[tuple[str, ...]] = []
    for role in ("train", "held-out", "unseen"):
        taus = [[j.tau for j in column if j.role == role] for column in columns]
        if not taus[0]:
            continue
        problems = [j.problem for j in columns[0] if j.role == role]
        rows += [(name, role, *(f"{column[place]:+.3f}" for column in taus)) for place, name in enumerate(problems)]
        rows.append(("mean", role, *(f"{np.mean(column):+.3f}" for column in taus)))
    return rows


def draw_evolution(outcome: Outcome) -> Figure:
    """The tree above; below, bars of τ by problem beside the distribution of the mean τ over seeds."""
    shown = [j for j in outcome.judged() if j.role != "train"]
    levels = depth(outcome.proxy.formula) + 1
    tree_height = 0.4 + 0.55 * levels
    figure = Figure(figsize=(max(9.0, 3.2 + 0.55 * len(shown)), tree_height + 4.4))
    FigureCanvasAgg(figure)
    widths = max(2.0, 0.2 * len(shown)), 1.0
    grid = figure.add_gridspec(2, 2, height_ratios=(tree_height, 4.4), width_ratios=widths, wspace=0.25)
    draw_tree(figure.add_subplot(grid[0, :]), outcome.proxy.formula)
    _bars(figure.add_subplot(grid[1, 0]), outcome, shown)
    _seeds(figure.add_subplot(grid[1, 1]), outcome)
    return figure


def draw_tree(axis: Axes, formula: Node) -> None:
    """A formula as a tree: leaves from left to right, parents above the middle of their arguments."""
    column = 0

    def place(node: Node, depth: int) -> tuple[float, float]:
        nonlocal column
        if isinstance(node, Call):
            below = [place(argument, depth + 1) for argument in node.arguments]
            x = sum(point[0] for point in below) / len(below)
            for point in below:
                axis.plot([x, point[0]], [-depth, point[1]], color="#AAAAAA", linewidth=1, zorder=1)
            label, colour = _SIGNS.get(node.function, node.function), "#E8EEF6"
        else:
            x, column = float(column), column + 1
            label, colour = node if isinstance(node, str) else text(node), "#F6EEDD"
        box = {"boxstyle": "round,pad=0.3", "facecolor": colour, "edgecolor": "#888888"}
        axis.text(x, -depth, label, ha="center", va="center", fontsize=9, bbox=box, zorder=2)
        return x, -float(depth)

    place(formula, 0)
    axis.margins(0.12, 0.2)
    axis.set_axis_off()


def _bars(axis: Axes, outcome: Outcome, shown: list[Judged]) -> None:
    series = [("evolved", shown)]
    series += [(b.name, [j for j in b.judged if j.role != "train"]) for b in outcome.baselines]
    width = 0.8 / len(series)
    for place, ((label, judged), colour) in enumerate(zip(series, _COLOURS, strict=False)):
        at = np.arange(len(judged)) + (place - (len(series) - 1) / 2) * width
        axis.bar(at, [j.tau for j in judged], width, label=label, color=colour)
    names = [f"{j.problem}{'' if j.role == 'unseen' else ' *'}" for j in shown]
    axis.set_xticks(range(len(shown)), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=7)
    axis.axhline(0, color="black", linewidth=0.6)
    axis.set_ylabel("Kendall τ_b (* rows held out)")
    axis.legend(fontsize=7, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)


def _seeds(axis: Axes, outcome: Outcome) -> None:
    found = {role: outcome.means(role) for role in ("train", "held-out", "unseen")}
    found = {role: means for role, means in found.items() if means}
    axis.boxplot(list(found.values()), showfliers=False, medianprops={"color": _COLOURS[0]})
    for place, means in enumerate(found.values(), 1):
        axis.plot(np.full(len(means), place), means, "o", markersize=3, alpha=0.5, color=_COLOURS[0])
    axis.set_xticks(range(1, len(found) + 1), list(found), fontsize=8)
    axis.set_ylabel(f"mean τ_b, {len(next(iter(found.values())))} seeds")
    axis.spines[["top", "right"]].set_visible(False)


def write_evolution(outcome: Outcome, path: Path) -> None:
    """Write the picture as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    without_formulas(draw_evolution(outcome)).savefig(path, dpi=130, bbox_inches="tight")
