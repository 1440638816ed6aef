"""The figures of a comparison: anytime curves, critical differences, wins and losses."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from po_nas.compare.captions import RECORDED
from po_nas.compare.curves import Band, by_evaluations, by_seconds, plotted_measure, timed
from po_nas.compare.measures import MEASURES
from po_nas.compare.results import Study
from po_nas.compare.significance import Ranking, rank_methods, wins
from po_nas.reports.figures import draw_trusts
from po_nas.runtime.escaping import legend_text, without_formulas

__all__ = ["DASHES", "PALETTE", "blank", "make_figures", "panels", "png"]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D00", "#444444")
"""Okabe and Ito's colours, yellow and black darkened or lightened so that lines of them can be seen."""
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (1.5, 1.5), (6, 2, 1.5, 2))
"""Further methods have the same colours, dashed."""
_COLUMNS = 3


def make_figures(study: Study) -> dict[str, Figure]:
    """Every figure that there are results for, by name."""
    found: dict[str, Figure] = {}
    if (figure := _anytime(study, by_evaluations, study.counted)) is not None:
        found["anytime_evaluations"] = figure
    if timed(study):
        executor = study.config["executor"]["name"]
        workers = 1 if executor == "inline" else study.config["batch"]
        hours = "hours of evaluation, as recorded" if executor in RECORDED else "real hours"
        label = f"{hours}, {workers} worker{'s' if workers > 1 else ''}"
        if (figure := _anytime(study, by_seconds, label)) is not None:
            found["anytime_seconds"] = figure
    ranking = rank_methods(study, study.reported[-1])
    if ranking is not None:
        found["critical_difference"] = _critical_difference(ranking)
    if len(study.methods) > 1 and (figure := _win_tie_loss(study)) is not None:
        found["win_tie_loss"] = figure
    if study.trust:
        found["trust"] = _trust(study)
    return found


def _trust(study: Study) -> Figure:
    means: dict[str, dict[str, dict[str, float]]] = {}
    order = {name: place for place, name in enumerate(study.benchmarks)}
    for trust in sorted(study.trust, key=lambda trust: order.get(trust.benchmark, len(order))):
        weights = dict(zip(trust.proxies, np.nanmean(trust.weights, axis=0).tolist(), strict=True))
        means.setdefault(trust.method, {})[trust.benchmark] = weights
    return draw_trusts({method: means[method] for method in study.methods if method in means})


def blank(width: float, height: float) -> Figure:
    """An empty figure of `width` by `height` inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure, dpi: int = 120) -> bytes:
    """A figure as a PNG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    without_formulas(figure).savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, NDArray[Any]]:
    """A figure of `width` by `height` inches and its axes (rows, columns), with a light grid."""
    figure = blank(width, height)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.grid(alpha=0.25, lw=0.5)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _anytime(study: Study, bands: Callable[[Study, str, str], Band | None], label: str) -> Figure | None:
    shown = [b for b in study.benchmarks if any(bands(study, b, m) is not None for m in study.methods)]
    if not shown:
        return None
    # Four panels make a square, not a row of three and a lonely one.
    columns = 2 if len(shown) == 4 else min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = panels(rows, columns, max(3.7 * columns, 5.2), 2.7 * rows + 0.7)
    for panel, benchmark in zip(axes.flat, shown, strict=False):
        found = {m: band for m in study.methods if (band := bands(study, benchmark, m)) is not None}
        for position, method in enumerate(study.methods):
            if method not in found:
                continue
            band, colour = found[method], PALETTE[position % len(PALETTE)]
            x = band.x / 3600 if bands is by_seconds else band.x
            dashes = DASHES[position // len(PALETTE) % len(DASHES)]
            style = {"color": colour, "label": legend_text(method), "lw": 2.0 if method == study.baseline else 1.3}
            (line,) = panel.plot(x, band.median, drawstyle="steps-post", **style)
            if dashes:
                line.set_dashes(dashes)
            panel.fill_between(x, band.low, band.high, step="post", color=colour, alpha=0.14, lw=0)
        _focus(panel, list(found.values()), study, benchmark)
        panel.set_title(benchmark, fontsize=9.5)
        panel.tick_params(labelsize=8)
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=bands is not by_seconds))
    for panel in axes.flat[len(shown) :]:
        panel.set_visible(False)
    handles: dict[str, Any] = {}
    for panel in axes.flat[: len(shown)]:
        handles |= {text: handle for handle, text in zip(*panel.get_legend_handles_labels(), strict=True)}
    ordered = [m for m in study.methods if m in handles]
    figure.legend(
        [handles[m] for m in ordered], ordered, fontsize=8.5, frameon=False, loc="outside upper center", ncols=5
    )
    figure.supxlabel(label, fontsize=9.5)
    measures = {plotted_measure(study, b) for b in shown}
    of = MEASURES[measures.pop() if len(measures) == 1 else "validation"].title
    figure.supylabel(f"{of}\n(median, quartiles over seeds)", fontsize=9.5)
    return figure


def _focus(panel: Axes, bands: Sequence[Band], study: Study, benchmark: str) -> None:
    """Leave the first evaluations, which are luck, out of the picture, so that differences can be seen."""
    measure, places = plotted_measure(study, benchmark), [min(len(b.x) - 1, max(3, len(b.x) // 10)) for b in bands]
    worst = [band.low if measure == "hypervolume" else band.high for band in bands]
    known = [value for band, place in zip(worst, places, strict=True) if np.isfinite(value := band[place])]
    if measure == "regret" and known and max(known) > 0:
        panel.set_ylim(0, 1.25 * max(known))
    elif measure == "hypervolume" and known and min(known) < 1:
        panel.set_ylim(min(known) - 0.25 * (1 - min(known)))
    panel.set_xlim(left=0)


def _critical_difference(ranking: Ranking) -> Figure:
    """Mean ranks on a line; methods joined by a bar do not differ significantly (Demšar, JMLR 2006)."""
    order = np.argsort(ranking.ranks, kind="stable")
    ranks, names = [ranking.ranks[i] for i in order], [ranking.methods[i] for i in order]
    k, bars = len(names), ranking.alike()
    half = -(-k // 2)
    figure = blank(7.6, 1.25 + 0.24 * half + 0.16 * len(bars))
    axis = figure.subplots()
    low, high = 1.0, float(k)
    axis.set_xlim(low - 0.62 * (high - low), high + 0.62 * (high - low))
    bottom = 0.7 + 0.3 * len(bars) + 0.5 * half
    axis.set_ylim(bottom, -1.25)
    axis.axis("off")
    axis.plot([low, high], [0, 0], color="black", lw=1)
    for tick in range(1, k + 1):
        axis.plot([tick, tick], [0, -0.14], color="black", lw=1)
        axis.text(tick, -0.24, str(tick), ha="center", va="bottom", fontsize=8.5)
    width = min(ranking.critical_difference, high - low)
    axis.plot([low, low + width], [-0.95, -0.95], color="#5B6875", lw=1.6)
    for end in (low, low + width):
        axis.plot([end, end], [-1.03, -0.87], color="#5B6875", lw=1.6)
    beyond = " (wider than the scale)" if ranking.critical_difference > high - low else ""
    axis.text(
        low + width + 0.02 * (high - low),
        -0.95,
        f"critical difference {ranking.critical_difference:.2f}{beyond}",
        va="center",
        fontsize=8.5,
        color="#5B6875",
    )
    for number, (first, last) in enumerate(bars):
        y = 0.25 + 0.3 * number
        axis.plot([ranks[first] - 0.02, ranks[last] + 0.02], [y, y], color="black", lw=3.2, solid_capstyle="round")
    for place, (name, rank) in enumerate(zip(names, ranks, strict=True)):
        left = place < half
        step = place if left else k - 1 - place
        y = 0.65 + 0.3 * len(bars) + 0.5 * step
        edge = low - 0.06 * (high - low) if left else high + 0.06 * (high - low)
        axis.plot([rank, rank, edge], [0, y, y], color="#5B6875", lw=0.9)
        text = f"{name}  {rank:.2f}" if left else f"{rank:.2f}  {name}"
        gap = -0.01 if left else 0.01
        axis.text(edge + gap * (high - low), y, text, ha="right" if left else "left", va="center", fontsize=9)
    return figure


def _win_tie_loss(study: Study) -> Figure | None:
    counts, blocks = wins(study, study.reported[-1])
    if not blocks:
        return None
    k = len(study.methods)
    balance = 100 * (counts - counts.T) / blocks
    figure = blank(max(4.2, 1.7 + 0.95 * k), max(2.6, 1.2 + 0.55 * k))
    axis = figure.subplots()
    shown = np.ma.masked_array(balance, mask=np.eye(k, dtype=bool))
    image = axis.imshow(shown, cmap="RdBu", vmin=-100, vmax=100, aspect="auto")
    for i in range(k):
        for j in range(k):
            if i != j:
                won, lost = int(counts[i, j]), int(counts[j, i])
                colour = "white" if abs(balance[i, j]) > 62 else "black"
                text = f"{won} / {blocks - won - lost} / {lost}"
                axis.text(j, i, text, ha="center", va="center", fontsize=8, color=colour)
    axis.set_xticks(range(k), study.methods, rotation=30, ha="right", fontsize=8.5, rotation_mode="anchor")
    axis.set_yticks(range(k), study.methods, fontsize=8.5)
    axis.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axis, shrink=0.9)
    bar.set_label("wins − losses, %", fontsize=8.5)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    return figure
