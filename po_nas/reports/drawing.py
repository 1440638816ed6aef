"""An operation graph drawn as SVG: layers from input to output."""

from __future__ import annotations

from html import escape

from po_nas.spaces.base import OperationGraph

__all__ = ["draw_graph"]

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 118, 30, 56, 22, 12
# Dark enough for white text, and told apart by colour-blind readers.
_PALETTE = (
    *("#0072B2", "#9A5B00", "#00785A", "#A8447F", "#2F7399"),
    *("#B84C00", "#6B6300", "#5B4B8A", "#80483D", "#5F6B77"),
)
_ENDS = "#555555"


def draw_graph(graph: OperationGraph, title: str) -> str:
    """A self-contained ``<svg>`` element; equal operations have equal colours, screen readers read `title`."""
    layers = _layers(graph)
    places = _places(graph, layers)
    width = max(x for x, _ in places) + _WIDTH + _MARGIN
    height = max(y for _, y in places) + _HEIGHT + _MARGIN
    names = sorted({label for label in graph.labels if not _is_end(label)})
    colours = {name: _PALETTE[k % len(_PALETTE)] for k, name in enumerate(names)}
    parts = [
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(title, quote=True)}" xmlns="http://www.w3.org/2000/svg">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#888"/></marker></defs>',
    ]
    for i, j in graph.edges:
        (x1, y1), (x2, y2) = places[i], places[j]
        a, b, c, d = x1 + _WIDTH, y1 + _HEIGHT / 2, x2, y2 + _HEIGHT / 2
        bend = max(28.0, (c - a) / 2)
        # Edges that jump over layers bow outwards, so that they do not run through the boxes between.
        bow = 0.0 if layers[j] - layers[i] == 1 else (-1 if y1 + y2 <= height - 2 * _MARGIN else 1) * 26.0
        parts.append(
            f'<path d="M{a} {b} C{a + bend:.1f} {b + bow:.1f} {c - bend:.1f} {d + bow:.1f} {c} {d}" fill="none" '
            'stroke="#888" stroke-width="1.4" marker-end="url(#tip)"/>'
        )
    for (x, y), label in zip(places, graph.labels, strict=True):
        colour = colours.get(label, _ENDS)
        parts.append(
            f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="7" fill="{colour}"/>'
            f'<text x="{x + _WIDTH / 2}" y="{y + _HEIGHT / 2 + 4}" text-anchor="middle" fill="#fff" '
            f'font-family="system-ui,sans-serif" font-size="12">{escape(label)}</text>'
        )
    return "".join([*parts, "</svg>"])


def _is_end(label: str) -> bool:
    return label.startswith(("input", "output"))


def _layers(graph: OperationGraph) -> list[int]:
    """Longest path from the inputs; the output alone in the last layer."""
    layers = [0] * len(graph.labels)
    for i, j in sorted(graph.edges):
        layers[j] = max(layers[j], layers[i] + 1)
    last = max(layers, default=0)
    return [max(last, 1) if label == "output" else layer for layer, label in zip(layers, graph.labels, strict=True)]


def _places(graph: OperationGraph, layers: list[int]) -> list[tuple[float, float]]:
    """Top-left corners; a layer is ordered by the mean height of its sources and centred."""
    sources: list[list[int]] = [[] for _ in graph.labels]
    for i, j in graph.edges:
        sources[j].append(i)
    heights: dict[int, float] = {}
    rows = {layer: [v for v, at in enumerate(layers) if at == layer] for layer in sorted(set(layers))}
    tallest = max(len(row) for row in rows.values())
    places: dict[int, tuple[float, float]] = {}
    for layer, row in rows.items():
        row.sort(key=lambda v: (sum(heights[u] for u in sources[v]) / len(sources[v]) if sources[v] else 0.0, v))
        offset = (tallest - len(row)) / 2
        for position, v in enumerate(row):
            heights[v] = offset + position
            places[v] = (
                _MARGIN + layer * (_WIDTH + _GAP_X),
                _MARGIN + 14 + heights[v] * (_HEIGHT + _GAP_Y),
            )
    return [places[v] for v in range(len(graph.labels))]
