"""Which training-free metrics a search came to trust: a heat map of weights, for the incumbent and for clusters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["draw_trust"]


def draw_trust(trust: Mapping[str, Any]) -> Figure:
    """Rows are the incumbent and clusters of alike architectures, columns metrics, colours signed weights.

    `trust` has ``metrics`` (k names) and ``rows``, each with ``label``, ``architectures`` (how many) and ``weights``
    (k), the change of the objective, in its standard deviations among what was evaluated, for one deviation of the
    metric.
    """
    names, rows = list(trust["metrics"]), list(trust["rows"])
    weights = np.array([row["weights"] for row in rows], dtype=np.float64)
    labels = [r["label"] if r["architectures"] == 1 else f"{r['label']} ({r['architectures']:,})" for r in rows]
    # A letter of a label is about 0.075 inches wide, and a number needs half an inch.
    width = 1.5 + 0.075 * max(map(len, labels)) + 0.5 * len(names)
    figure = Figure(figsize=(max(width, 4.5), 1.7 + 0.36 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    limit = float(np.abs(weights).max()) or 1.0
    image = axes.imshow(weights, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=9)
    axes.set_yticks(range(len(rows)), labels, fontsize=9)
    for (row, column), value in np.ndenumerate(weights):
        shade = "white" if abs(value) > 0.6 * limit else "#1b2733"
        axes.text(column, row, f"{value:+.2f}", ha="center", va="center", fontsize=7.5, color=shade)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    figure.colorbar(image, ax=axes, shrink=0.85, label="weight")
    return figure
