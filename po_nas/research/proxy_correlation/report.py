"""Agreement of proxies with benchmarks, as heat maps, scatter plots and Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import rankdata

from po_nas.compare.figures import blank
from po_nas.research.proxy_correlation.run import Agreement, Compared, as_table
from po_nas.runtime.escaping import without_formulas

__all__ = [
    "agreement_table",
    "draw_heat_map",
    "draw_scatter",
    "fusion_table",
    "group_table",
    "plain_table",
    "write_correlation",
]

_TASKS = ("autoencoder", "room_layout", "class_object", "class_scene", "jigsaw", "normal", "segmentsemantic")
_BENCHMARKS = (
    *(f"nasbench201/{task}" for task in ("cifar10", "cifar100", "imagenet16-120")),
    *("nasbench101/cifar10", "nasbench301/cifar10"),
    *(f"transnas_micro/{task}" for task in _TASKS),
    *(f"transnas_macro/{task}" for task in _TASKS),
)
_PUBLISHED = {
    "AZ-NAS": (91, 90, 89, 54, 70, 31, 53, 58, 79, 41, 60, 72, 52, 65, 90, 82, 77, 85, 77),
    "LIBRA": (89, 90, 87, 77, 74, 45, 57, 61, 79, 60, 76, 87, 83, 64, 92, 91, 82, 85, 83),
}
"""Spearman's ρ in hundredths with validation accuracies of 1,000 networks of each of `_BENCHMARKS`: Casarin, Escalera
and Lanz, L-SWAG, CVPR 2025, arXiv 2505.07300, table 1, with proxies of their own computation."""


_FUSIONS = (
    "Spearman's ρ of fusions with the test accuracies (validation where there are none), over the architectures that "
    "have all members. `single best` and `LIBRA` are chosen by the validation accuracies of 50 random architectures: "
    "mean ± standard deviation over 20 draws of these. `LIBRA by all evaluations` is chosen by all of them, as the "
    "published figures are; those are with validation accuracies of 1,000 networks, from other proxies (L-SWAG among "
    "them), by Casarin et al., CVPR 2025, arXiv 2505.07300, table 1."
)


def _cells(found: Sequence[Agreement], columns: str) -> dict[tuple[str, str], Agreement]:
    return {(a.label, getattr(a, columns)): a for a in found}


def _ordered(found: Sequence[Agreement]) -> list[str]:
    """Scores by their mean |τ| over everything shown, strongest first."""
    names = list(dict.fromkeys(a.label for a in found))
    strength = {name: np.mean([abs(a.kendall) for a in found if a.label == name]) for name in names}
    return sorted(names, key=lambda name: -strength[name])


def draw_heat_map(found: Sequence[Agreement], columns: str = "benchmark") -> Figure:
    """Kendall τ_b: one row per score, one column per benchmark, or per group with ``columns="group"``."""
    shown = [a for a in found if columns == "group" or a.group == "all"]
    scores, places = _ordered(shown), list(dict.fromkeys(getattr(a, columns) for a in shown))
    cells = _cells(shown, columns)
    values = np.full((len(scores), len(places)), np.nan)
    for (score, place), agreement in cells.items():
        values[scores.index(score), places.index(place)] = agreement.kendall
    figure = blank(2.4 + 0.52 * len(places), 2.2 + 0.3 * len(scores))
    axis = figure.subplots()
    axis.set_facecolor("#DDDDDD")
    image = axis.imshow(values, vmin=-1, vmax=1, cmap="RdBu", aspect="auto")
    for row in range(len(scores)):
        for column in range(len(places)):
            if np.isfinite(values[row, column]):
                dark = abs(values[row, column]) > 0.6
                axis.text(
                    column,
                    row,
                    f"{values[row, column]:.2f}".replace("0.", "."),
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if dark else "black",
                )
    axis.set_xticks(range(len(places)), places, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axis.set_yticks(range(len(scores)), scores, fontsize=8)
    axis.spines[:].set_visible(False)
    figure.colorbar(image, label="Kendall τ_b", shrink=0.8)
    return figure


def draw_scatter(
    scores: Mapping[str, NDArray[np.float64]], truth: NDArray[np.float64], label: str, most: int = 3000
) -> Figure:
    """Rank of every score against accuracy, one panel per score; at most `most` architectures, drawn evenly."""
    columns = min(5, len(scores))
    rows = -(-len(scores) // columns)
    figure = blank(2.3 * columns + 0.4, 2.1 * rows + 0.3)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[len(scores) :]:
        axis.set_visible(False)
    for axis, (name, column) in zip(axes.flat, scores.items(), strict=False):
        known = np.flatnonzero(np.isfinite(column) & np.isfinite(truth))
        ranks = (rankdata(column[known]) - 1) / max(len(known) - 1, 1)
        drawn = np.linspace(0, len(known) - 1, min(most, len(known))).astype(int)
        axis.scatter(ranks[drawn], truth[known][drawn], s=2, alpha=0.25, linewidths=0, color="#0072B2", rasterized=True)
        low = np.nanquantile(truth, 0.05)
        axis.set_ylim(low, np.nanmax(truth) + 0.05 * (np.nanmax(truth) - low))
        axis.set_title(name, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("rank of the score, 0 to 1", fontsize=7)
    for axis in axes[:, 0]:
        axis.set_ylabel(label, fontsize=7)
    return figure


def write_correlation(compared: Sequence[Compared], directory: Path) -> list[Path]:
    """Figures as Parquet, a Markdown table and a heat map over benchmarks; of each benchmark a scatter plot of every
    score and fusion, and where there are groups a heat map over them."""
    directory.mkdir(parents=True, exist_ok=True)
    found = [a for one in compared for a in one.found]
    paths = [directory / "correlation.parquet", directory / "correlation.md", directory / "correlation.png"]
    pq.write_table(as_table(found), paths[0])
    text = [f"Kendall τ_b ± half of its 95 % bootstrap interval.\n\n{agreement_table(found)}\n"]
    without_formulas(draw_heat_map(found)).savefig(paths[2], dpi=120)
    for one in compared:
        stem, label = one.benchmark.replace("/", "-"), one.found[0].against
        paths.append(directory / f"{stem}-scatter.png")
        without_formulas(draw_scatter(one.columns, one.truth, label, most=1500)).savefig(paths[-1], dpi=70)
        if any(a.group != "all" for a in one.found):
            text.append(f"## {one.benchmark}, within groups\n\n{group_table(found, one.benchmark)}\n")
            paths.append(directory / f"{stem}.png")
            without_formulas(draw_heat_map(one.found, "group")).savefig(paths[-1], dpi=120)
    paths[1].write_text("\n".join(text), encoding="utf-8")
    if any(one.fused for one in compared):
        paths.append(directory / "fusions.md")
        paths[-1].write_text(f"{_FUSIONS}\n\n{fusion_table(compared)}\n", encoding="utf-8")
    return paths


def fusion_table(compared: Sequence[Compared]) -> str:
    """Markdown: Spearman's ρ of the fusions, one row for each benchmark and origin of its scores.

    Those that are chosen by 50 evaluations: mean ± standard deviation over draws of these. Published figures beside.
    """
    names = ("mean rank", "log rank (AZ-NAS)", "single best", "LIBRA", "LIBRA, all")
    published = {
        (method, name): value / 100
        for method, values in _PUBLISHED.items()
        for name, value in zip(_BENCHMARKS, values, strict=True)
    }
    rows = []
    for one in compared:
        for origin, found in one.fused.items():
            row = [one.benchmark, origin]
            for name in names:
                values = found.get(name)
                spread = f" ± {np.std(values, ddof=1):.2f}" if values is not None and len(values) > 1 else ""
                row.append("–" if values is None else f"{np.mean(values):.2f}{spread}")
            for method in _PUBLISHED:
                figure = published.get((method, one.benchmark))
                row.append("–" if figure is None else f"{figure:.2f}")
            rows.append(row)
    header = ["benchmark", "scores", *names[:-1], "LIBRA by all evaluations", *(f"{m}, published" for m in _PUBLISHED)]
    return plain_table(header, rows)


def agreement_table(found: Sequence[Agreement]) -> str:
    """Markdown: τ_b ± half of its 95 % interval, one row per score, one column per benchmark."""
    shown = [a for a in found if a.group == "all"]
    return _markdown(shown, "benchmark")


def group_table(found: Sequence[Agreement], benchmark: str) -> str:
    """Markdown: τ_b ± half of its 95 % interval of one benchmark, one column per group of architectures."""
    return _markdown([a for a in found if a.benchmark == benchmark], "group")


def _markdown(found: Sequence[Agreement], columns: str) -> str:
    scores, places = _ordered(found), list(dict.fromkeys(getattr(a, columns) for a in found))
    cells = _cells(found, columns)
    rows = []
    for score in scores:
        row = [score]
        for place in places:
            a = cells.get((score, place))
            half = (a.kendall_high - a.kendall_low) / 2 if a else 0.0
            partial = f" ({a.coverage:.0%})" if a and a.coverage < 0.995 else ""
            row.append(f"{a.kendall:.3f} ± {half:.3f}{partial}" if a else "–")
        rows.append(row)
    return plain_table(["score", *places], rows)


def plain_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
