"""Figures of an evolution of losses: what they look like, what was thrown away, how fitness grew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import losses.classification as classification
from po_nas.compare.figures import PALETTE, blank
from po_nas.research.evolved_losses.results import Evolved

__all__ = ["CAPTIONS", "make_figures"]

CAPTIONS = {
    "phenotypes": "Left the loss of a sample of ten classes over the probability of the true one, the others sharing "
    "what is left, brought to 0 to 1; right the pull on the logit of the true class (minus the gradient), divided by "
    "its largest. Where the pull is negative, a prediction is too certain for the loss.",
    "funnel": "Share of all graphs that is left after each check.",
    "history": "Fitness (mean validation accuracy on the fitness surrogate) of every loss in the order of making, and "
    "the best so far. Failed trainings are left out.",
}
_CLASSES = 10
_KNOWN: dict[str, dict[str, Any]] = {
    "cross-entropy": {"name": "cross_entropy"},
    "cross-entropy + LS": {"name": "cross_entropy", "label_smoothing": 0.1},
}


def make_figures(evolved: Evolved) -> dict[str, Figure]:
    """Every figure by name."""
    return {"phenotypes": _phenotypes(evolved), "funnel": _funnel(evolved), "history": _history(evolved)}


def _tidy(panel: Axes) -> None:
    panel.grid(alpha=0.25, lw=0.5)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=8)


def _phenotypes(evolved: Evolved) -> Figure:
    figure = blank(8.6, 3.6)
    left, right = figure.subplots(1, 2)
    drawn: dict[str, tuple[Mapping[str, Any], dict[str, Any]]] = {
        name: (given, {"color": "#444444", "ls": style, "lw": 1.3})
        for (name, given), style in zip(_KNOWN.items(), ("-", "--"), strict=True)
    }
    for position, one in enumerate(evolved.result["losses"]):
        chosen = {"name": "formula", **{key: one[key] for key in ("formula", "sign", "scale")}}
        drawn[one["name"]] = (chosen, {"color": PALETTE[position % len(PALETTE)], "lw": 1.9})
    p = torch.linspace(0.01, 0.999, 500, dtype=torch.float64)
    for name, (given, style) in drawn.items():
        values, pulls = _curve(given, p)
        left.plot(p.numpy(), (values - values.min()) / np.ptp(values), label=name, **style)
        right.plot(p.numpy(), pulls / np.abs(pulls).max(), **style)
    left.set(xlabel="probability of the true class", ylabel="loss, from least to most", xlim=(0, 1))
    right.set(xlabel="probability of the true class", ylabel="pull on its logit, of the largest", xlim=(0, 1))
    right.axhline(0, color="#888888", lw=0.7)
    for panel in (left, right):
        _tidy(panel)
    left.legend(fontsize=8, frameon=False)
    return figure


def _curve(given: Mapping[str, Any], p: torch.Tensor) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Loss and minus its gradient by the true logit, over probabilities (n,) of the true one of ten classes."""
    options = dict(given)
    loss = classification.get(options.pop("name"), **options)
    others = ((1 - p) / (_CLASSES - 1)).unsqueeze(1).expand(-1, _CLASSES - 1)
    logits = torch.cat([p.unsqueeze(1), others], 1).log().requires_grad_()
    values = loss(logits, torch.zeros(len(p), dtype=torch.int64), reduction="none")
    (gradient,) = torch.autograd.grad(values.sum(), logits)
    return values.detach().numpy(), -gradient[:, 0].numpy()


def _funnel(evolved: Evolved) -> Figure:
    figure = blank(7.2, 3.4)
    panel = figure.subplots()
    for offset, (kind, colour) in enumerate((("random", PALETTE[0]), ("mutants", PALETTE[1]))):
        stages = evolved.result["funnel"][kind]["stages"]
        first = stages[0]["met"]
        if not first:
            continue
        shares = [100 * one["passed"] / first for one in stages]
        places = np.arange(len(stages)) + 0.38 * (offset - 0.5)
        label = f"{first:,} {'random graphs' if kind == 'random' else 'mutants'}"
        bars = panel.barh(places, shares, 0.36, color=colour, label=label)
        panel.bar_label(bars, [f"{share:.1f} %" for share in shares], fontsize=7.5, padding=3)
        panel.set_yticks(np.arange(len(stages)), [one["stage"] for one in stages], fontsize=8.5)
    panel.invert_yaxis()
    panel.set(xlim=(0, 112), xlabel="left after the check, % of all graphs")
    _tidy(panel)
    panel.grid(visible=False, axis="y")
    panel.legend(fontsize=8, frameon=False, loc="lower right")
    return figure


def _history(evolved: Evolved) -> Figure:
    figure = blank(7.2, 3.4)
    panel = figure.subplots()
    found = evolved.step("fitness")
    numbers, values = np.array(list(found)), np.array(list(found.values()))
    drawn = evolved.config["initial"]
    for chosen, label, colour in (
        (numbers < drawn, "random", "#888888"),
        (numbers >= drawn, "mutant", PALETTE[0]),
    ):
        panel.plot(numbers[chosen], values[chosen], "o", ms=3, alpha=0.6, color=colour, label=label)
    panel.step(numbers, np.maximum.accumulate(values), where="post", color=PALETTE[1], lw=1.6, label="best so far")
    reference = evolved.result["references"]
    for (name, label), style in zip(
        (("cross_entropy", "cross-entropy"), ("cross_entropy + LS", "cross-entropy + LS")), ("-", "--"), strict=True
    ):
        if reference[name][1] is not None:
            panel.axhline(reference[name][1], color="#444444", ls=style, lw=1.0, label=label)
    low = float(np.percentile(values, 10))
    panel.set(xlabel="losses made", ylabel="fitness, %", ylim=(low - 2, min(100.0, values.max() + 1.5)))
    _tidy(panel)
    panel.legend(fontsize=8, frameon=False, loc="lower left")
    return figure
