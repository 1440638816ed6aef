"""The study of evolved proxies as figures."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from po_nas.compare.figures import panels
from po_nas.research.evolved_proxies.design import EvolvedStudyConfig
from po_nas.research.evolved_proxies.results import EvolvedResults, short
from po_nas.research.evolved_proxies.selection import formula_of
from po_nas.research.evolved_proxies.tables import best_single
from po_nas.research.evolved_proxies.tree import formula_figure

__all__ = ["CAPTIONS", "evolved_figures"]

CAPTIONS = {
    "seeds": (
        "Kendall τ_b of every seed's best formula, problem by problem: above on other architectures of the problems "
        "that were learned from, below on spaces that nothing was learned from. Boxes: quartiles, whiskers: extremes."
    ),
    "spaces": "Kendall τ_b on the space of the column, which nothing was learned from; methods by their mean.",
    "formula": "The formula that ships, as a tree; leaves are ranks.",
    "size": (
        "Size and τ_b of the formulas of all seeds and variants, less the mean of all that have the same space "
        "held out: on the spaces they were evolved on and on the one held out."
    ),
}
_MARKS = (("D", "#D55E00"), ("v", "#009E73"), ("^", "#CC79A7"), ("s", "#E69F00"))
_BLUE = "#0072B2"


def evolved_figures(results: EvolvedResults, config: EvolvedStudyConfig) -> dict[str, Figure]:
    """All figures that the rows allow, by name."""
    found = {"seeds": _seeds(results, config), "spaces": _spaces(results), "size": _sizes(results)}
    label = config.shipped or results.variants[0]
    for protocol in ("final", "same_problem"):
        rows = [row for row in results.formulas(protocol, label) if row["rule"] in ("training", "validation")]
        if rows and "formula" not in found:
            found["formula"] = formula_figure(formula_of(rows[0]["formula"]), rows[0]["formula"])
    return {name: figure for name, figure in found.items() if figure is not None}


def _seeds(results: EvolvedResults, config: EvolvedStudyConfig) -> Figure | None:
    label = config.shipped or results.variants[0]
    plain = label if results.runs("same_problem", label, "held_out") else results.variants[0]
    shown = [
        (f"other architectures of the same problems ({plain})", results.runs("same_problem", plain, "held_out")),
        (f"unseen space ({label})", results.runs("unseen_space", label, "unseen")),
    ]
    shown = [(title, runs) for title, runs in shown if runs]
    if not shown:
        return None
    figure, axes = panels(len(shown), 1, 13, 3.6 * len(shown) + 1.4)
    single = best_single(results)
    hand = [*([single.label] if single is not None else []), *results.sums][: len(_MARKS)]
    for axis, (title, runs) in zip(axes[:, 0], shown, strict=True):
        names = [name for name in results.learned if name in runs]
        places = np.arange(len(names))
        style = {"color": _BLUE, "lw": 1.0}
        axis.boxplot(
            [runs[name] for name in names],
            positions=places,
            widths=0.5,
            whis=(0, 100),
            boxprops=style,
            whiskerprops=style,
            capprops=style,
            medianprops={"color": "black", "lw": 1.4},
        )
        for method, (marker, colour) in zip(hand, _MARKS, strict=False):
            known = results.untrained(method)
            heights = [known.get(name, np.nan) for name in names]
            axis.plot(places, heights, marker, color=colour, ms=5, label=method, zorder=3)
        axis.axhline(0, color="#999999", lw=0.8)
        axis.set_xticks(
            places, [] if axis is not axes[-1, 0] else [short(name) for name in names], rotation=40, ha="right"
        )
        axis.set_ylabel("Kendall τ_b")
        axis.set_title(title, fontsize=10, loc="left")
    axes[0, 0].legend(fontsize=8, ncols=4, frameon=False)
    return figure


def _spaces(results: EvolvedResults) -> Figure | None:
    entries = [entry for entry in results.unseen() if len(entry.by_space) == len(results.spaces)]
    singles = sorted((e for e in entries if e.kind == "single"), key=lambda e: -e.mean)[:8]
    entries = sorted([*singles, *(e for e in entries if e.kind != "single")], key=lambda e: -e.mean)
    if not entries:
        return None
    values = np.array([[*entry.means, entry.mean] for entry in entries])
    figure, ((axis,),) = panels(1, 1, 2.8 + 1.15 * values.shape[1], 1.4 + 0.29 * len(entries))
    axis.grid(False)
    axis.imshow(values, cmap="RdBu", vmin=-0.75, vmax=0.75, aspect="auto")
    axis.set_xticks(range(values.shape[1]), [*map(short, results.spaces), "mean"])
    axis.set_yticks(range(len(entries)), [entry.label for entry in entries], fontsize=8)
    for tick, entry in zip(axis.get_yticklabels(), entries, strict=True):
        tick.set_fontweight("bold" if entry.kind in ("run", "pick") else "normal")
    for (row, column), value in np.ndenumerate(values):
        light = abs(value) > 0.45
        axis.text(
            column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color="white" if light else "black"
        )
    axis.axvline(values.shape[1] - 1.5, color="white", lw=3)
    axis.tick_params(length=0)
    return figure


def _sizes(results: EvolvedResults) -> Figure | None:
    """τ by size, every formula that some run considered: on the training rows, and on the space held out."""
    points: dict[tuple[str, str], dict[str, list[float]]] = {}
    sizes: dict[tuple[str, str], int] = {}
    for row in results.rows:
        if row["protocol"] != "unseen_space" or row["method"] not in results.variants or row["rule"] != "run":
            continue
        if row["role"] in ("train", "unseen") and row["problem"] in results.learned:
            key = (row["held_out"], row["formula"])
            points.setdefault(key, {}).setdefault(row["role"], []).append(row["tau"])
            sizes[key] = row["size"]
    if not points:
        return None
    figure, axes = panels(1, 2, 10, 4.2)
    for axis, (role, title) in zip(
        axes[0], (("train", "spaces evolved on"), ("unseen", "the space held out")), strict=True
    ):
        keys = [key for key in points if role in points[key]]
        x = np.array([sizes[key] for key in keys], dtype=float)
        y = np.array([np.mean(points[key][role]) for key in keys])
        for space in {space for space, _ in keys}:
            # Spaces differ in how well anything orders them.
            same = np.array([key[0] == space for key in keys])
            y[same] -= y[same].mean()
        jitter = np.random.default_rng(0).uniform(-0.3, 0.3, len(x))
        axis.plot(x + jitter, y, ".", color=_BLUE, alpha=0.25, ms=4)
        levels = np.unique(x)
        medians = [np.median(y[x == level]) for level in levels]
        upper = [np.quantile(y[x == level], 0.9) for level in levels]
        axis.plot(levels, medians, color="black", lw=1.4, label="median of the size")
        axis.plot(levels, upper, color="#D55E00", lw=1.4, label="nine in ten are below")
        axis.set_xlabel("nodes")
        axis.set_title(title, fontsize=10, loc="left")
    axes[0, 0].set_ylabel("Kendall τ_b, less the mean of the same held-out space")
    axes[0, 1].legend(fontsize=8, frameon=False)
    return figure
