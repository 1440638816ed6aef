"""The loss study as figures, after Figures 2–6 of arXiv 2506.05869."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter

from po_nas.compare.figures import panels
from po_nas.compare.statistics import mean_interval
from po_nas.research.loss_study.design import Case, LossChoice, LossStudyConfig, TaskChoice
from po_nas.research.loss_study.results import LossResults, higher_is_better, unique
from po_nas.research.loss_study.run import BEST_AT, PERCENTS

__all__ = ["loss_figures"]

_TITLES = {
    "precision@0.5%": "Precision@0.5 %",
    "precision@5%": "Precision@5 %",
    "best_rank@10": "N@10 (median)",
    "kendall_b": "Kendall τ_b",
}
_CATEGORIES = {"mse": 0, "mse_sr": 0, "hr": 1, "lr": 1, "listmle": 1, "ew": 2, "mape": 2, "warp": 2}
_MAIN = (
    ("precision", "space", "precision@0.5%"),
    ("best_rank", "space", "best_rank@10"),
    ("kendall", "space", "kendall_b"),
    ("mutants", "mutants", "precision@5%"),
)
_COLUMNS = 5
_COLOURS = ("#999999", "#0072B2", "#D55E00", "#009E73")
_KINDS = ("regression", "ranking", "weighted", "beyond the paper")


def loss_figures(results: LossResults, config: LossStudyConfig) -> dict[str, Figure]:
    """Every figure that the configuration has results for, by name."""
    groups = config.groups()
    figures: dict[str, Figure] = {}
    if groups["main"]:
        for name, over, metric in _MAIN:
            figures[name] = _bars(results, groups["main"], over, metric)
        figures["levels"] = _levels(results, groups["main"])
    if groups["sweep"]:
        figures["training_size"] = _sizes(results, groups["sweep"])
    if groups["weightings"]:
        figures["weights"] = _bars(results, groups["weightings"], "space", "precision@0.5%")
    if groups["predictors"]:
        figures["predictors"] = _by_predictor(results, groups["predictors"])
    return figures


def _centre(
    results: LossResults, task: TaskChoice, predictor: str, loss: LossChoice, over: str, metric: str
) -> tuple[float, float]:
    values = results.runs(task, predictor, loss, over, metric)
    if not len(values):
        return float("nan"), 0.0
    return mean_interval(values) if higher_is_better(metric) else (float(np.median(values)), 0.0)


def _name(task: TaskChoice) -> str:
    return f"{task.benchmark}\nn = {task.train}"


def _bars(results: LossResults, cases: Sequence[Case], over: str, metric: str) -> Figure:
    """One panel per task: the losses as bars with confidence intervals, the noise ceiling dotted."""
    tasks, (predictor, *_), chosen = unique(cases)
    columns = min(len(tasks), _COLUMNS)
    rows = -(-len(tasks) // columns)
    figure, axes = panels(rows, columns, 1.3 + 2.2 * columns, rows * (0.8 + 0.16 * len(chosen)))
    for axis in axes.flat[len(tasks) :]:
        axis.set_visible(False)
    colours = [_COLOURS[_CATEGORIES.get(loss.name, 3)] for loss in chosen]
    places = np.arange(len(chosen))[::-1]
    for number, (axis, task) in enumerate(zip(axes.flat, tasks, strict=False)):
        found = [_centre(results, task, predictor, loss, over, metric) for loss in chosen]
        widths, halves = np.array(found).T
        axis.barh(places, widths, xerr=np.nan_to_num(halves), color=colours, height=0.74, error_kw={"lw": 0.8})
        ceiling = results.ceiling(task, over, metric)
        if metric.startswith("best_rank"):
            axis.set_xscale("log")
            axis.xaxis.set_minor_formatter(NullFormatter())
        elif np.isfinite(ceiling):
            # A ceiling far away would squeeze what is compared.
            highest = float(np.nanmax(widths + np.nan_to_num(halves)))
            axis.set_xlim(0, max(highest, min(ceiling, 1.6 * highest)) * 1.05 or 1.0)
        if np.isfinite(ceiling) and ceiling <= axis.get_xlim()[1]:
            axis.axvline(ceiling, color="black", lw=1.0, ls=":")
        axis.set_yticks(places, [loss.title for loss in chosen] if number % columns == 0 else [], fontsize=7)
        axis.tick_params(axis="x", labelsize=7)
        axis.set_title(f"{task.benchmark}, n = {task.train}", fontsize=7)
    kinds = [Patch(color=colour, label=kind) for colour, kind in zip(_COLOURS, _KINDS, strict=True)]
    figure.legend(handles=kinds, loc="outside lower right", ncols=4, fontsize=8, frameon=False)
    figure.supxlabel(f"{_TITLES[metric]}; dotted: the validation labels themselves", fontsize=8)
    return figure


def _colours(chosen: Sequence[LossChoice]) -> list[tuple[float, ...]]:
    palette = colormaps["tab20"]
    return [palette(i % 20) for i in range(len(chosen))]


def _sizes(results: LossResults, cases: Sequence[Case]) -> Figure:
    tasks, (predictor, *_), chosen = unique(cases)
    benchmarks = list(dict.fromkeys(task.benchmark for task in tasks))
    metrics = ("precision@0.5%", "best_rank@10", "kendall_b")
    figure, axes = panels(len(benchmarks), 3, 12, 3.4 * len(benchmarks) + 0.8)
    for row, benchmark in enumerate(benchmarks):
        sizes = [task for task in tasks if task.benchmark == benchmark]
        for axis, metric in zip(axes[row], metrics, strict=True):
            for loss, colour in zip(chosen, _colours(chosen), strict=True):
                values = [_centre(results, task, predictor, loss, "space", metric)[0] for task in sizes]
                ours = loss.name not in _CATEGORIES
                style = {"ls": "--" if ours else "-", "marker": "o", "ms": 3, "lw": 1.2, "color": colour}
                axis.plot([task.train for task in sizes], values, label=loss.title, **style)
            axis.set_xscale("log")
            axis.set_xticks([task.train for task in sizes], [str(task.train) for task in sizes])
            axis.minorticks_off()
            if metric.startswith("best_rank"):
                axis.set_yscale("log")
            axis.set_title(f"{benchmark}: {_TITLES[metric]}", fontsize=9, loc="left")
            axis.set_xlabel("training architectures", fontsize=8)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    return figure


def _levels(results: LossResults, cases: Sequence[Case]) -> Figure:
    tasks, (predictor, *_), chosen = unique(cases)
    shown = list({task.benchmark.partition("/")[0]: task for task in tasks}.values())
    figure, axes = panels(2, len(shown), 0.6 + 2.6 * len(shown), 6.4)
    for column, task in enumerate(shown):
        for loss, colour in zip(chosen, _colours(chosen), strict=True):
            style = {"ls": "-" if loss.name in _CATEGORIES else "--", "marker": "o", "ms": 3, "lw": 1, "color": colour}
            at = [_centre(results, task, predictor, loss, "space", f"precision@{t:g}%")[0] for t in PERCENTS]
            axes[0, column].plot(PERCENTS, at, label=loss.title, **style)
            best = [_centre(results, task, predictor, loss, "space", f"best_rank@{k}")[0] for k in BEST_AT]
            axes[1, column].plot(BEST_AT, best, **style)
        axes[0, column].set_title(_name(task), fontsize=8)
        axes[0, column].set_xlabel("T (%)", fontsize=8)
        axes[1, column].set_xlabel("K", fontsize=8)
        axes[0, column].set_xscale("log")
        axes[1, column].set_xscale("log")
        axes[1, column].set_yscale("log")
    axes[0, 0].set_ylabel("Precision@T (%)", fontsize=8)
    axes[1, 0].set_ylabel("N@K (median)", fontsize=8)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    return figure


def _by_predictor(results: LossResults, cases: Sequence[Case]) -> Figure:
    tasks, predictors, chosen = unique(cases)
    metrics = ("precision@0.5%", "best_rank@10", "kendall_b")
    figure, axes = panels(len(tasks), 3, 12, 3.2 * len(tasks) + 0.6)
    width = 0.8 / len(chosen)
    for row, task in enumerate(tasks):
        for axis, metric in zip(axes[row], metrics, strict=True):
            for i, (loss, colour) in enumerate(zip(chosen, _colours(chosen), strict=True)):
                found = [_centre(results, task, predictor, loss, "space", metric) for predictor in predictors]
                heights, halves = np.array(found).T
                places = np.arange(len(predictors)) + (i - (len(chosen) - 1) / 2) * width
                axis.bar(
                    places,
                    heights,
                    width,
                    yerr=np.nan_to_num(halves),
                    color=colour,
                    label=loss.title,
                    error_kw={"lw": 0.8},
                )
            axis.set_xticks(range(len(predictors)), predictors)
            if metric.startswith("best_rank"):
                axis.set_yscale("log")
            axis.set_title(f"{task.benchmark} ({task.train}): {_TITLES[metric]}", fontsize=9, loc="left")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=7, fontsize=8, frameon=False)
    return figure
