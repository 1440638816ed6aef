"""The study of fusion as figures."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from po_nas.compare.figures import DASHES, PALETTE, panels
from po_nas.research.fusion.design import MODELS, ORDERS
from po_nas.research.fusion.results import FusionResults
from po_nas.research.fusion.tables import group_title
from po_nas.runtime.escaping import legend_text

__all__ = ["CAPTIONS", "fusion_figures"]

CAPTIONS = {
    "ranking": (
        "After so many labels: regret of the best of the five candidates predicted highest, minus that of the model on "
        "the zero line (lower is better). Means over tasks, band: 95 % interval over the means of tasks."
    ),
    "search": (
        "Whole searches from one initial design: regret of the incumbent minus that of the model on the zero line "
        "(lower is better). Means over tasks, band: 95 % interval over the means of tasks."
    ),
    "ceiling": (
        "Rank of the candidate with the best search signal in the order by an oracle that knows 80 % of all labels "
        "(1 is best, logarithmic). Where even the order by encodings and proxies is far from 1, the optimum is luck."
    ),
}
_COLUMNS = 3


def fusion_figures(results: FusionResults) -> dict[str, Figure]:
    """Every figure that there are rows for, by name."""
    found = {kind: _differences(results, kind) for kind in ("ranking", "search") if len(results.models(kind)) > 1}
    return found | {"ceiling": _ceiling(results)}


def _differences(results: FusionResults, kind: str) -> Figure:
    baseline = results.config.baseline
    shown = [("all tasks", results.tasks)]
    if len(results.groups) > 1:
        shown += [(group_title(group), tasks) for group, tasks in results.groups.items()]
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = panels(rows, columns, 3.4 * columns + 0.4, 2.5 * rows + 1.2)
    numbers = results.numbers(kind)
    for panel, (title, tasks) in zip(axes.flat, shown, strict=False):
        levels = [results.level(kind, baseline, at, "regret", tasks) for at in numbers]
        for place, model in enumerate(m for m in results.models(kind) if m != baseline):
            _line(panel, results, kind, model, tasks, place)
        panel.axhline(0, color="#444444", lw=1.0)
        panel.set_xscale("log", base=2)
        panel.set_xticks(numbers, [str(at) for at in numbers])
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.tick_params(labelsize=8)
        first, last = (f"{np.mean(level):.2f}" if len(level) else "–" for level in (levels[0], levels[-1]))
        panel.set_title(f"{title} ({len(tasks)}); zero line: {first} to {last}", fontsize=9)
    for panel in axes.flat[len(shown) :]:
        panel.set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8.5, frameon=False, loc="outside upper center", ncols=3)
    figure.supxlabel("labels" if kind == "ranking" else "evaluations", fontsize=9.5)
    figure.supylabel(f"regret minus that of {baseline}\n(interquartile ranges)", fontsize=9.5)
    return figure


def _line(panel: Axes, results: FusionResults, kind: str, model: str, tasks: list[str], place: int) -> None:
    found = {at: results.difference(kind, model, at, "regret", tasks) for at in results.numbers(kind)}
    known = {at: difference for at, difference in found.items() if difference is not None}
    x = list(known)
    mean = np.array([difference.mean for difference in known.values()])
    half = np.nan_to_num([difference.half for difference in known.values()])
    colour, believed = PALETTE[place % len(PALETTE)], MODELS[model].believed or MODELS[model].first
    label = MODELS[model].title.replace("`", "")
    (line,) = panel.plot(x, mean, color=colour, lw=1.5, marker="o", ms=3, label=legend_text(label))
    if believed:
        line.set_dashes(DASHES[1])
    if len(tasks) > 2 and len(results.tasks) == len(tasks):
        panel.fill_between(x, mean - half, mean + half, color=colour, alpha=0.12, lw=0)


def _ceiling(results: FusionResults) -> Figure:
    tasks = results.tasks
    figure, axes = panels(1, 1, 7.6, 1.4 + 0.19 * len(tasks))
    (axis,) = axes.flat
    places = np.arange(len(tasks))[::-1]
    for name, marker, colour in (
        ("mean_rank", "x", "#999999"),
        ("function", "o", PALETTE[1]),
        ("encodings", "s", PALETTE[0]),
        ("everything", "D", PALETTE[2]),
    ):
        ranks = [results.figure_of(name, "rank of the optimum", task) for task in tasks]
        style = {"marker": marker, "color": colour, "ls": "", "ms": 4.5, "alpha": 0.85}
        axis.plot(ranks, places, label=ORDERS[name], **style)
    axis.set_xscale("log")
    axis.set_xlim(left=0.8)
    axis.set_yticks(places, tasks, fontsize=7.5)
    axis.tick_params(axis="x", labelsize=8)
    axis.set_xlabel("rank of the optimum", fontsize=9)
    figure.legend(*axis.get_legend_handles_labels(), fontsize=8, frameon=False, loc="outside upper center", ncols=2)
    return figure
