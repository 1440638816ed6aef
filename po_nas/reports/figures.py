"""Figures of a run: what the search had found against what it had spent, and which proxies it came to trust."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator, StrMethodFormatter, SymmetricalLogLocator
from numpy.typing import NDArray

from po_nas.reports.run import RunData
from po_nas.runtime.escaping import without_formulas

__all__ = ["COLOURS", "draw_regret", "draw_trust", "draw_trusts", "save_figure"]

_EQUAL = "all weights are equal"

COLOURS = {"line": "#0072B2", "trial": "#999999", "initial": "#56B4E9", "best": "#D55E00", "optimum": "#009E73"}
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""


def draw_regret(run: RunData) -> Figure:
    """Validation of every trial and of the incumbent over evaluations; the regret below on a log axis, if known.

    Values at lower fidelities are left out, what they cost is counted.
    """
    told, curve = run.told, run.incumbents()
    known = run.regret(curve[-1]) if curve else None
    figure = Figure(figsize=(7.2, 5.4 if known is not None else 3.4), layout="constrained")
    axes = figure.subplots(2 if known is not None else 1, 1, sharex=True, squeeze=False)[:, 0]
    steps = run.spent()

    top = axes[0]
    for label, colour, chosen in (
        ("initial and random", COLOURS["initial"], _RANDOM),
        ("chosen by the method", COLOURS["trial"], None),
    ):
        points = [
            (s, t.validation)
            for s, t in zip(steps, told, strict=True)
            if t.validation is not None
            and t.fidelity is None
            and ((t.origin in chosen) if chosen else t.origin not in _RANDOM)
        ]
        if points:
            top.scatter(*zip(*points, strict=True), s=16, color=colour, label=label, zorder=2, linewidths=0)
    found = [(s, v) for s, v in zip(steps, curve, strict=True) if v is not None]
    if found:
        top.step(*zip(*found, strict=True), where="post", color=COLOURS["line"], label="incumbent", zorder=3)
        full = [t.validation for t in told if t.validation is not None and t.fidelity is None]
        _focus(top, [v for _, v in found], full, run)
    elif told:
        top.set_yticks([])
        top.text(0.5, 0.5, "no evaluation succeeded", ha="center", transform=top.transAxes, color=COLOURS["trial"])
    if run.optimum.get("validation") is not None:
        top.axhline(run.optimum["validation"], color=COLOURS["optimum"], ls="--", lw=1, label="optimum of the task")
    top.set_ylabel(f"{run.protocol.get('metric', 'validation')} ({run.unit})" if run.unit else "validation")
    failed = [s for s, t in zip(steps, told, strict=True) if t.reason is not None]
    if failed:
        at_the_bottom = top.get_xaxis_transform()
        top.plot(
            failed,
            [0] * len(failed),
            "x",
            color=COLOURS["best"],
            ms=5,
            label="failed",
            transform=at_the_bottom,
            clip_on=False,
        )
    if top.get_legend_handles_labels()[0]:
        # Outside, for wherever it is put inside there may be something to see.
        figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=5)
    config = run.config
    top.set_title(
        f"{config['method']['name']} on {config['benchmark']}, seed {config['seed']}", fontsize=10, loc="left"
    )

    if known is not None:
        bottom = axes[1]
        regrets = [run.regret(v) for v in curve]
        pairs = [(s, r) for s, r in zip(steps, regrets, strict=True) if r is not None]
        # A regret of exactly zero has no place on a log axis; a symmetric one is linear near zero.
        positive = [r for _, r in pairs if r > 0]
        threshold = max(min(positive, default=1.0) / 2, 1e-4)
        bottom.set_yscale("symlog", linthresh=threshold)
        bottom.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=threshold, subs=(1, 2, 5)))
        bottom.step(*zip(*pairs, strict=True), where="post", color=COLOURS["line"])
        unit = "points" if run.unit == "%" else run.unit
        bottom.set_ylabel(f"simple regret ({unit})" if unit else "simple regret")
        bottom.set_ylim(0, 1.15 * max(positive, default=1.0))
        bottom.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes[-1].set_xlabel("full evaluations" if run.fidelities else "evaluations")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[-1].set_xlim(0.5, max([1.0, *steps]) + 0.5)
    for axis in axes:
        axis.grid(alpha=0.25, lw=0.5)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


_RANDOM = {"initial", "random", "restart"}


def _focus(axis: Axes, incumbents: list[float], values: list[float], run: RunData) -> None:
    """Let bad outliers run out of the picture, so that the differences that matter can be seen."""
    edge = run.optimum.get("validation")
    best = [*incumbents, *([edge] if edge is not None else [])]
    ordered = sorted(values, reverse=not run.maximize)
    worst = ordered[len(ordered) // 5]
    low, high = min(*best, worst), max(*best, worst)
    pad = 0.06 * (high - low or abs(high) or 1.0)
    axis.set_ylim(low - pad, high + pad)
    hidden = sum(not low - pad <= value <= high + pad for value in values)
    if hidden:
        ones = "one" if hidden == 1 else "ones"
        axis.set_title(f"{hidden} worse {ones} outside the picture", loc="right", fontsize=8, color="#5B6875")


def save_figure(run: RunData, path: Path) -> None:
    """Write the figure as a PNG of 150 dots per inch."""
    without_formulas(draw_regret(run)).savefig(path, dpi=150)


def draw_trust(trust: Mapping[str, Any]) -> Figure:
    """Rows are the incumbent and clusters of alike architectures, columns proxies, colours signed weights.

    Where all weights are equal, as printed, there is no colour, and the figure says so.

    `trust` has ``proxies`` (k names) and ``rows``, each with ``label``, ``architectures`` (how many) and ``weights``
    (k), the change of the objective, in its standard deviations among what was evaluated, for one deviation of the
    proxy.
    """
    names, rows = list(trust["proxies"]), list(trust["rows"])
    weights = np.array([row["weights"] for row in rows], dtype=np.float64)
    labels = [r["label"] if r["architectures"] == 1 else f"{r['label']} ({r['architectures']:,})" for r in rows]
    figure = _figure(labels, names, len(rows))
    axes = figure.subplots()
    limit = float(np.abs(weights).max()) or 1.0
    image = _heat(axes, weights, labels, names, limit)
    if _equal(weights):
        axes.set_title(_EQUAL, fontsize=9.5)
    else:
        figure.colorbar(image, ax=axes, shrink=0.85, label="weight")
    return figure


def draw_trusts(trusts: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Figure:
    """A panel for each method: rows are benchmarks, columns proxies, colours weights; blank where there is none.

    A panel whose weights are all equal, as printed, has no colour and says so.

    `trusts` has the weights by method, benchmark and proxy.
    """
    labels = list(dict.fromkeys(benchmark for rows in trusts.values() for benchmark in rows))
    names = list(dict.fromkeys(proxy for rows in trusts.values() for row in rows.values() for proxy in row))
    weights = {
        method: np.array([[rows.get(label, {}).get(name, np.nan) for name in names] for label in labels])
        for method, rows in trusts.items()
    }
    figure = _figure(labels, names, (len(labels) + 2) * len(trusts))
    panels = figure.subplots(len(trusts), 1, squeeze=False).ravel()
    limit = float(np.nanmax(np.abs(list(weights.values())))) or 1.0
    for panel, (method, values) in zip(panels, weights.items(), strict=True):
        image = _heat(panel, values, labels, names, limit)
        panel.set_title(f"{method}\n{_EQUAL}" if _equal(values) else method, fontsize=9.5)
    if not all(map(_equal, weights.values())):
        figure.colorbar(image, ax=list(panels), shrink=0.85 / len(trusts), label="weight")
    return figure


def _equal(weights: NDArray[np.float64]) -> bool:
    """Whether all weights that there are look the same in print."""
    known = weights[np.isfinite(weights)].round(2)
    return known.size > 1 and bool(np.ptp(known) == 0)


def _figure(labels: Sequence[str], names: Sequence[str], rows: int) -> Figure:
    # A letter of a label is about 0.075 inches wide, and a number needs half an inch.
    width = 1.5 + 0.075 * max(map(len, labels)) + 0.5 * len(names)
    return Figure(figsize=(max(width, 4.5), 1.7 + 0.36 * rows), layout="constrained")


def _heat(
    axes: Axes, weights: NDArray[np.float64], labels: Sequence[str], names: Sequence[str], limit: float
) -> AxesImage:
    equal = _equal(weights)
    shown = np.where(np.isfinite(weights), 0.0, np.nan) if equal else weights
    image = axes.imshow(shown, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=9)
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    for (row, column), value in np.ndenumerate(weights):
        if np.isfinite(value):
            shade = "white" if abs(value) > 0.6 * limit and not equal else "#1b2733"
            axes.text(column, row, f"{value:+.2f}", ha="center", va="center", fontsize=7.5, color=shade)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return image
