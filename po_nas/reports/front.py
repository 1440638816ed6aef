"""The front of a run with several objectives: its picture, and the choice of one trial from it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from po_nas.errors import ConfigError, UnknownNameError
from po_nas.reports.figures import COLOURS
from po_nas.reports.run import RunData, TrialData

__all__ = ["draw_front", "hypervolume_text", "preferred"]


def draw_front(run: RunData) -> Figure:
    """The first objective against each other one, and the hypervolume over evaluations.

    What was evaluated, the front of it, and the table's true front where it is known. With more than two objectives
    fronts are drawn as points, for they are no line in two of them.
    """
    objectives, front = run.front_measure.goals.objectives, run.front()
    figure = Figure(figsize=(4.0 * len(objectives), 3.9), layout="constrained")
    panels = figure.subplots(1, len(objectives), squeeze=False)[0]
    for place, axis in enumerate(panels[:-1], 1):
        _draw_panel(axis, run, front, place)
    handles, labels = panels[0].get_legend_handles_labels()
    _draw_hypervolume(panels[-1], run)
    figure.legend(handles, labels, fontsize=8, frameon=False, loc="outside lower center", ncols=4)
    for axis in panels:
        axis.grid(alpha=0.25, lw=0.5)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_panel(axis: Axes, run: RunData, front: list[TrialData], place: int) -> None:
    objectives = run.front_measure.goals.objectives
    first, other = objectives[0], objectives[place]
    told = [trial for trial in run.told if trial.validation is not None and trial.fidelity is None]
    for label, chosen, colour, mark in (
        ("evaluated", [t for t in told if t.feasible], COLOURS["initial"], "o"),
        ("beyond a limit", [t for t in told if not t.feasible], COLOURS["trial"], "x"),
    ):
        if chosen:
            x, y = ([t.metrics[m.name] for t in chosen] for m in (other, first))
            axis.scatter(x, y, s=12, color=colour, marker=mark, lw=0.8, zorder=2, label=label)
    line = len(objectives) == 2
    # Between two points of a front nothing is known to be reached but what one of them reaches.
    steps = "steps-pre" if other.maximize else "steps-post"
    points = np.array([[t.metrics[other.name], t.metrics[first.name]] for t in front]).reshape(-1, 2)
    if run.front_measure.true is not None:
        true = run.front_measure.true[:, [place, 0]] * (other.sign, first.sign)
        true = true[np.argsort(true[:, 0], kind="stable")]
        mark = "--" if line else "."
        axis.plot(*true.T, mark, color=COLOURS["optimum"], ms=3, lw=1.2, zorder=3, label="true front", drawstyle=steps)
    if len(points):
        points = points[np.argsort(points[:, 0], kind="stable")]
        mark = "-o" if line else "o"
        axis.plot(
            *points.T, mark, color=COLOURS["best"], ms=3.5, lw=1.2, zorder=4, label="front found", drawstyle=steps
        )
    _focus(axis, run, front, place)
    axis.set_xlabel(other.label)
    if place == 1:
        axis.set_ylabel(first.label)


def _focus(axis: Axes, run: RunData, front: list[TrialData], place: int) -> None:
    """Show what is around the fronts: evaluations far from them would squeeze them to nothing."""
    losses = run.losses(front)
    if run.front_measure.true is not None:
        losses = np.concatenate([losses, run.front_measure.true])
    if not len(losses):
        return
    objectives = run.front_measure.goals.objectives
    for which, limits in ((place, axis.set_xlim), (0, axis.set_ylim)):
        shown = losses[:, which] * objectives[which].sign
        low, high = float(shown.min()), float(shown.max())
        pad = 0.15 * (high - low or abs(high) or 1.0)
        limits(low - pad, high + pad)


def _draw_hypervolume(axis: Axes, run: RunData) -> None:
    curve, true = run.hypervolumes(), run.front_measure.true_volume
    shown = [volume / true for volume in curve] if true else curve
    axis.step(run.spent(), shown, where="post", color=COLOURS["line"])
    if true:
        axis.axhline(1.0, color=COLOURS["optimum"], ls="--", lw=1)
    axis.set_xlabel("full evaluations" if run.fidelities else "evaluations")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylabel("hypervolume, of that of the true front" if true else "hypervolume")


def hypervolume_text(run: RunData) -> str:
    """The hypervolume of a run, its reference point, and the share of that of the true front, in words."""
    front_measure, volume = run.front_measure, (run.hypervolumes() or [0.0])[-1]
    kept = [trial for trial in run.told if trial.succeeded]
    if not kept:
        return "hypervolume 0, nothing keeps the limits yet"
    point = front_measure.by_name(front_measure.reference_of(run.losses(kept)))
    said = ", ".join(f"{name} {value:.5g}" for name, value in point.items())
    text = f"hypervolume {volume:.5g} (reference point {said})"
    return (
        f"{text}, {volume / front_measure.true_volume:.4f} of that of the true front"
        if front_measure.true_volume
        else text
    )


def preferred(run: RunData, index: int | None, weights: Mapping[str, float]) -> TrialData:
    """One trial of the front: the one at `index`, from 1, or the one that fits weights of objectives best.

    How well a trial does by each objective among the front, from 0 to 1, is divided by the sum over all; the trial for
    which that is nearest to the weights, divided by their sum, is chosen. One weight alone is the best by that one.

    Raises:
        ConfigError: Where there is no front, no such index, or weights that are none.
        UnknownNameError: For what is no objective.

    Source: pseudo-weights, Deb, Multi-Objective Optimization Using Evolutionary Algorithms, Wiley 2001.
    """
    front, names = run.front(), run.front_measure.goals.names
    if not front:
        key, value = ("index", index) if index is not None else ("prefer", ", ".join(weights))
        raise ConfigError(key, value, "is of a front; this run has one objective, or nothing on its front yet")
    if index is not None:
        if weights:
            raise ConfigError("prefer", ", ".join(weights), "chooses another trial than index; give one of the two")
        if not 1 <= index <= len(front):
            raise ConfigError("index", index, f"the front has {len(front)} trials, 1 to {len(front)}")
        return front[index - 1]
    for name, weight in weights.items():
        if name not in names:
            raise UnknownNameError("objective of the run", name, names)
        if not (np.isfinite(weight) and weight >= 0):
            raise ConfigError(f"prefer.{name}", weight, "expected a weight of 0 or more")
    total = sum(weights.values())
    if not total > 0:
        raise ConfigError("prefer", dict(weights), "expected a weight above 0")
    losses = run.losses(front)
    if len(weights) == 1:
        return front[int(np.argmin(losses[:, names.index(next(iter(weights)))]))]
    # Where an objective is the same for all it chooses nothing.
    differing = np.flatnonzero(np.ptp(losses, axis=0) > 0)
    if len(differing) < 2:
        return front[0]
    wanted = np.array([weights.get(names[place], 0.0) / total for place in differing])
    chosen = losses[:, differing]
    # pymoo's needs a module that SciPy is about to drop.
    shares = (chosen.max(axis=0) - chosen) / np.ptp(chosen, axis=0)
    shares = shares / shares.sum(axis=1, keepdims=True)
    return front[int(np.abs(shares - wanted).sum(axis=1).argmin())]
