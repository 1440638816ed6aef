"""An operation graph drawn as SVG: columns from input to output, edges that never run through a box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from po_nas.runtime.escaping import html_text
from po_nas.spaces.base import OperationGraph

__all__ = ["cells", "draw_cells", "draw_graph"]

_HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 30.0, 52.0, 16.0, 12.0
_CHARACTER, _PADDING, _NARROWEST = 7.2, 22.0, 64.0
"""Width of a letter of the labels, and what a box adds to it, px."""
_SWEEPS = 4
# Dark enough for white text, and told apart by colour-blind readers.
_PALETTE = (
    *("#0072B2", "#9A5B00", "#00785A", "#A8447F", "#2F7399"),
    *("#B84C00", "#6B6300", "#5B4B8A", "#80483D", "#5F6B77"),
)
_ENDS = "#555555"

Item = tuple[str, int, int]
"""What stands in a column: ``("box", node, column)`` or ``("lane", target, column)``, room for edges passing by."""


def cells(graph: OperationGraph) -> list[tuple[str, OperationGraph]]:
    """The cells of a graph whose labels say which one a node belongs to (``normal.skip_connect``), each with its name.

    A graph of one cell comes back whole, under the empty name.
    """
    of = [label.rpartition(".")[0] for label in graph.labels]
    names = [name for name in dict.fromkeys(of) if name]
    if len(names) < 2:
        return [("", graph)]
    found = []
    for name in names:
        kept = [node for node, cell in enumerate(of) if cell in {"", name}]
        at = {node: position for position, node in enumerate(kept)}
        edges = tuple((at[i], at[j]) for i, j in graph.edges if i in at and j in at)
        found.append((name, OperationGraph(tuple(graph.labels[node] for node in kept), edges)))
    return found


def draw_cells(graph: OperationGraph, about: str, operations: Sequence[str], marker: str) -> str:
    """HTML of every cell of an architecture, drawn under its name.

    Args:
        graph: Of the architecture.
        about: What the titles of the drawings begin with.
        operations: As for `draw_graph`.
        marker: What the ids of the tips of arrows begin with; another one for each architecture of a page.
    """
    text = ""
    for part, (name, cell) in enumerate(cells(graph)):
        title = f"the {name} cell as a graph" if name else "the architecture as a graph"
        heading = f"<p class='dim'>{html_text(name)} cell</p>" if name else ""
        drawing = draw_graph(cell, f"{about}: {title}", operations, f"{marker}-{part}")
        text += f'{heading}<div class="wide" tabindex="0">{drawing}</div>'
    return text


def draw_graph(graph: OperationGraph, title: str, operations: Sequence[str] = (), marker: str = "tip") -> str:
    """A self-contained ``<svg>`` element; screen readers read `title`.

    An operation has the colour of its place in `operations`, so that drawings of one space agree. `marker` is the id of
    the tips of arrows, which must differ between the drawings of one page.
    """
    columns = _columns(graph)
    routes = [_route(i, j, columns) for i, j in graph.edges]
    rows = _ordered(columns, routes)
    widths = {
        c: max((_box_width(graph.labels[k]) for kind, k, _ in row if kind == "box"), default=0.0)
        for c, row in rows.items()
    }
    lefts: dict[int, float] = {}
    right = _MARGIN - _GAP_X
    for column in sorted(rows):
        lefts[column] = right + _GAP_X
        right = lefts[column] + widths[column]
    middles = _middles(rows)
    width, height = right + _MARGIN, max(map(_height, rows.values())) + 2 * _MARGIN
    others = sorted({_operation(label) for label in graph.labels if not _is_end(label)} - set(operations))
    names = [*operations, *others]
    colours = {name: _PALETTE[k % len(_PALETTE)] for k, name in enumerate(names)}
    parts = [
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        # Shrinks a little before it has to be scrolled.
        f'style="max-width:100%;min-width:{0.7 * width:.0f}px;height:auto" '
        f'aria-label="{html_text(title)}" xmlns="http://www.w3.org/2000/svg">',
        f'<defs><marker id="{marker}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#888"/></marker></defs>',
    ]
    # Edges to one node share a lane; what they share is drawn once.
    drawn: dict[str, None] = {}
    for route in routes:
        for a, b in pairwise(route):
            x1, y1, x2, y2 = lefts[a[2]] + widths[a[2]], middles[a], lefts[b[2]], middles[b]
            bend = (x2 - x1) / 2
            curve = f"M{x1:g} {y1:g} C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"
            onward = f" H{x2 + widths[b[2]]:g}" if b[0] == "lane" else ""
            tip = f' marker-end="url(#{marker})"' if b[0] == "box" else ""
            drawn[f'<path d="{curve}{onward}" fill="none" stroke="#888" stroke-width="1.4"{tip}/>'] = None
    parts += drawn
    for node, label in enumerate(graph.labels):
        x, y, wide = lefts[columns[node]], middles["box", node, columns[node]], widths[columns[node]]
        colour = _ENDS if _is_end(label) else colours[_operation(label)]
        parts.append(
            f'<rect x="{x:g}" y="{y - _HEIGHT / 2:g}" width="{wide:g}" height="{_HEIGHT:g}" rx="7" fill="{colour}"/>'
            f'<text x="{x + wide / 2:g}" y="{y + 4:g}" text-anchor="middle" fill="#fff" '
            f'font-family="system-ui,sans-serif" font-size="12">{html_text(label)}</text>'
        )
    return "".join([*parts, "</svg>"])


def _is_end(label: str) -> bool:
    return label.startswith(("input", "output"))


def _operation(label: str) -> str:
    """The operation of ``normal.sep_conv_3x3``: it is the same in both cells."""
    return label.rpartition(".")[2]


def _box_width(label: str) -> float:
    return max(_NARROWEST, round(_CHARACTER * len(label)) + _PADDING)


def _columns(graph: OperationGraph) -> list[int]:
    """Longest path from the inputs; the output alone in the last column."""
    columns = [0] * len(graph.labels)
    for i, j in sorted(graph.edges):
        columns[j] = max(columns[j], columns[i] + 1)
    last = max(columns, default=0)
    return [max(last, 1) if label == "output" else c for c, label in zip(columns, graph.labels, strict=True)]


def _route(i: int, j: int, columns: list[int]) -> list[Item]:
    """The items along an edge: its two boxes, and a lane in every column between."""
    lanes: list[Item] = [("lane", j, column) for column in range(columns[i] + 1, columns[j])]
    return [("box", i, columns[i]), *lanes, ("box", j, columns[j])]


def _ordered(columns: list[int], routes: list[list[Item]]) -> dict[int, list[Item]]:
    """The items of every column from top to bottom, near what they are connected to."""
    before: dict[Item, set[Item]] = {("box", node, column): set() for node, column in enumerate(columns)}
    after: dict[Item, set[Item]] = {item: set() for item in before}
    for route in routes:
        for a, b in pairwise(route):
            before.setdefault(b, set()).add(a)
            after.setdefault(a, set()).add(b)
            before.setdefault(a, set())
            after.setdefault(b, set())
    rows: dict[int, list[Item]] = {}
    for item in before:
        rows.setdefault(item[2], []).append(item)
    for sweep in range(_SWEEPS):
        near = before if sweep % 2 == 0 else after
        for column in sorted(rows, reverse=sweep % 2 == 1):
            places = _middles(rows)
            means = {
                item: sum(places[n] for n in near[item]) / len(near[item]) if near[item] else places[item]
                for item in rows[column]
            }
            # Ties by number: the same graph gives the same picture.
            rows[column].sort(key=lambda item: (means[item], item))
    return rows


def _middles(rows: Mapping[int, list[Item]]) -> dict[Item, float]:
    """Vertical centre of every item; columns are centred on each other."""
    centre = max(map(_height, rows.values())) / 2 + _MARGIN
    middles = {}
    for row in rows.values():
        top = centre - _height(row) / 2
        for item in row:
            middles[item] = top + _size(item) / 2
            top += _size(item) + _GAP_Y
    return middles


def _height(row: list[Item]) -> float:
    return sum(_size(item) + _GAP_Y for item in row) - _GAP_Y


def _size(item: Item) -> float:
    return _HEIGHT if item[0] == "box" else 0.0
