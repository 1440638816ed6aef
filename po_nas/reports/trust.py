"""Which proxies a search came to trust: a heat map of weights, for the incumbent and for clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

__all__ = ["draw_trust", "draw_trusts"]


def draw_trust(trust: Mapping[str, Any]) -> Figure:
    """Rows are the incumbent and clusters of alike architectures, columns proxies, colours signed weights.

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
    figure.colorbar(image, ax=axes, shrink=0.85, label="weight")
    return figure


def draw_trusts(trusts: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Figure:
    """A panel for each method: rows are benchmarks, columns proxies, colours weights; blank where there is none.

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
        panel.set_title(method, fontsize=9.5)
    figure.colorbar(image, ax=list(panels), shrink=0.85 / len(trusts), label="weight")
    return figure


def _figure(labels: Sequence[str], names: Sequence[str], rows: int) -> Figure:
    # A letter of a label is about 0.075 inches wide, and a number needs half an inch.
    width = 1.5 + 0.075 * max(map(len, labels)) + 0.5 * len(names)
    return Figure(figsize=(max(width, 4.5), 1.7 + 0.36 * rows), layout="constrained")


def _heat(
    axes: Axes, weights: NDArray[np.float64], labels: Sequence[str], names: Sequence[str], limit: float
) -> AxesImage:
    image = axes.imshow(weights, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=9)
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    for (row, column), value in np.ndenumerate(weights):
        if np.isfinite(value):
            shade = "white" if abs(value) > 0.6 * limit else "#1b2733"
            axes.text(column, row, f"{value:+.2f}", ha="center", va="center", fontsize=7.5, color=shade)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return image
