"""A formula drawn as a tree."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from po_nas.compare.figures import blank
from po_nas.formula import Call, Node, depth, text

__all__ = ["draw_formula", "formula_figure"]

_WORDS = {"add": "+", "sub": "−", "mul": "×", "neg": "−", "sqrt_abs": "√|·|", "log_abs": "log|·|", "square": "(·)²"}
_WORDS |= {"abs": "|·|", "aq": "a/√(1+b²)"}
_FUNCTION, _LEAF = "#D7E8F4", "#FBE3C8"


def draw_formula(axes: Axes, formula: Node) -> None:
    """Draw the tree into axes: functions in boxes, leaves below them in the order of the formula."""
    places: dict[int, tuple[float, float]] = {}
    edges: list[tuple[int, int]] = []
    words: list[tuple[str, bool]] = []
    next_leaf = 0.0

    def place(node: Node, level: int) -> int:
        nonlocal next_leaf
        number = len(words)
        words.append((_word(node), isinstance(node, Call)))
        if isinstance(node, Call):
            below = [place(argument, level + 1) for argument in node.arguments]
            edges.extend((number, child) for child in below)
            x = sum(places[child][0] for child in below) / len(below)
        else:
            x, next_leaf = next_leaf, next_leaf + 1.0
        places[number] = (x, -float(level))
        return number

    place(formula, 0)
    for parent, child in edges:
        (x0, y0), (x1, y1) = places[parent], places[child]
        axes.plot([x0, x1], [y0, y1], color="#8A8A8A", lw=1.2, zorder=1)
    for number, (word, inner) in enumerate(words):
        style = {"boxstyle": "round,pad=0.35", "fc": _FUNCTION if inner else _LEAF, "ec": "#555555", "lw": 0.8}
        axes.text(*places[number], word, ha="center", va="center", fontsize=10, bbox=style, zorder=2)
    axes.set_xlim(-0.8, max(next_leaf, 1.0) - 0.2)
    axes.set_ylim(-depth(formula) - 0.6, 0.6)
    axes.axis("off")


def _word(node: Node) -> str:
    return _WORDS.get(node.function, node.function) if isinstance(node, Call) else text(node)


def formula_figure(formula: Node, title: str) -> Figure:
    """A figure of its own, as large as the tree needs."""
    from po_nas.formula import walk

    count = sum(not isinstance(node, Call) for node in walk(formula))
    figure = blank(max(4.0, 1.35 * count), 1.2 + 0.85 * (depth(formula) + 1))
    axes = figure.subplots()
    draw_formula(axes, formula)
    axes.set_title(title, fontsize=10, loc="left")
    return figure
