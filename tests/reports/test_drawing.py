"""Architectures as pictures."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from po_nas import spaces
from po_nas.reports.architecture_svg import cells, draw_graph
from po_nas.spaces.base import OperationGraph

SVG = "{http://www.w3.org/2000/svg}"


def boxes(svg):
    """(left, top, right, bottom) of every box, and its label."""
    root = ElementTree.fromstring(svg)
    rects = [tuple(float(r.get(k)) for k in ("x", "y", "width", "height")) for r in root.iter(f"{SVG}rect")]
    return [(x, y, x + w, y + h) for x, y, w, h in rects], [t.text for t in root.iter(f"{SVG}text")]


def check(graph: OperationGraph) -> None:
    svg = draw_graph(graph, "a <title> & more")
    root = ElementTree.fromstring(svg)
    _, _, width, height = map(float, root.get("viewBox").split())
    assert root.get("aria-label") == "a <title> & more"
    places, labels = boxes(svg)
    assert labels == list(graph.labels)
    for left, top, right, bottom in places:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
    for a, b in itertools.combinations(places, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], "boxes overlap"
    for (left, _, right, _), label in zip(places, labels, strict=True):
        assert right - left >= 6.5 * len(label), "the label needs more room"
    ends = set()
    for path in root.iter(f"{SVG}path"):
        points = curve(path.get("d"))
        assert (points >= -0.01).all()
        assert (points <= np.array([width, height]) + 0.01).all()
        for left, top, right, bottom in places:
            inside = (
                (points[:, 0] > left + 1)
                & (points[:, 0] < right - 1)
                & (points[:, 1] > top + 1)
                & (points[:, 1] < bottom - 1)
            )
            assert path.get("fill") != "none" or not inside.any(), "an edge runs through a box"
        if path.get("marker-end"):
            ends.add(tuple(points[-1].round(3)))
    arrows = {
        (place[0], (place[1] + place[3]) / 2)
        for node, place in enumerate(places)
        if node in {j for _, j in graph.edges}
    }
    assert ends == {tuple(np.round(point, 3)) for point in arrows}, "an arrow points at every box that has a source"


def curve(d: str) -> np.ndarray:
    """Points along ``M x y C … [H x]``; other paths (the arrow's tip) as their corners."""
    numbers = np.array([float(n) for n in re.findall(r"-?[\d.]+(?:e-?\d+)?", d.split("H")[0])]).reshape(-1, 2)
    if "C" not in d:
        return numbers
    t = np.linspace(0, 1, 60)[:, None]
    a, b, c, e = numbers
    points = (1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * e
    if "H" in d:
        along = np.linspace(e[0], float(d.split("H")[1]), 20)
        points = np.vstack([points, np.column_stack([along, np.full(20, e[1])])])
    return points


@pytest.mark.parametrize("name", spaces.names())
def test_every_space_can_be_drawn(name):
    space, rng = spaces.get(name), np.random.default_rng(0)
    for _ in range(25):
        check(space.operation_graph(space.sample(rng)))


def test_the_densest_cells_can_be_drawn():
    space = spaces.get("nasbench201")
    check(
        space.operation_graph(
            space.from_string(
                "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
            )
        )
    )
    labels = ("input", *"abcde", "output")
    check(OperationGraph(labels, tuple(itertools.combinations(range(7), 2))))


def test_graphs_with_next_to_nothing_in_them():
    space = spaces.get("nasbench201")
    dead = space.operation_graph(space.from_string("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"))
    assert dead.labels == ("input", "output")
    check(dead)
    check(OperationGraph(("input", "output"), ((0, 1),)))


def test_equal_operations_have_equal_colours():
    graph = OperationGraph(("input", "normal.a", "reduction.a", "b", "output"), ((0, 1), (1, 2), (2, 3), (3, 4)))
    fills = re.findall(r'<rect [^>]*fill="([^"]+)"', draw_graph(graph, "x"))
    assert fills[1] == fills[2] != fills[3]
    assert fills[0] == fills[4] not in fills[1:4]


def test_labels_are_escaped_and_pictures_repeat():
    graph = OperationGraph(("input", "<b>&\"x'", "output"), ((0, 1), (1, 2)))
    check(graph)
    assert draw_graph(graph, "x") == draw_graph(graph, "x")


def test_two_cells_are_two_graphs():
    """DARTS: each cell with its own inputs and output, and every operation in one of them."""
    space = spaces.get("darts")
    graph = space.operation_graph(space.sample(np.random.default_rng(0)))
    found = cells(graph)
    assert [name for name, _ in found] == ["normal", "reduction"]
    inner = [label for _, cell in found for label in cell.labels if "." in label]
    assert sorted(inner) == sorted(label for label in graph.labels if "." in label)
    for name, cell in found:
        assert cell.labels[-1] == "output"
        assert all(label.startswith((name, "input", "output")) for label in cell.labels)
        check(cell)
    whole = spaces.get("nasbench201").operation_graph(spaces.get("nasbench201").at(9_999))
    assert cells(whole) == [("", whole)]


def test_colours_belong_to_the_space():
    """The same operation has the same colour in every drawing, whatever else is in it."""
    space = spaces.get("nasbench201")

    def colour(text):
        svg = draw_graph(space.operation_graph(space.from_string(text)), "x", space.operations)
        return re.search(r'<rect [^>]*fill="([^"]+)"[^>]*/><text[^>]*>nor_conv_3x3', svg)[1]

    alone = colour("|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|")
    assert colour("|avg_pool_3x3~0|+|none~0|skip_connect~1|+|nor_conv_3x3~0|none~1|nor_conv_1x1~2|") == alone
