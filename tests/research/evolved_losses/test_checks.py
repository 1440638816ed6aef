"""Graphs and the checks that they pass before any training."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from losses.classification import BINARY, UNARY, Program, latex, parse
from po_nas.formula import leaves, text
from po_nas.research.evolved_losses import curves
from po_nas.research.evolved_losses.archive import Archive
from po_nas.research.evolved_losses.checks import STAGES, IntegrityCheck
from po_nas.research.evolved_losses.graph import LEAVES, ROOT, Graph, Vertex, mutate, sample
from po_nas.research.evolved_losses.probe import GAIN, gain, gradients, probe

KNOWN = {
    "cross-entropy": ("-(y * log(p))", 1.0),
    "squared error": ("square(y - p)", 1.0),
    "focal": ("-(square(1 - p) * (y * log(p)))", 1.0),
    "label smoothing": ("-((0.9 * y + 0.05) * log(p))", 0.95),
    "Baikal": ("div(y, p) - log(p)", 0.707),
    "NGL": ("exp(2.4092 - p * (1 + y)) - sin(1.570796327 - sin(1.570796327 - sin(p)))", 0.566),
}


def graphs(count=300, seed=0):
    rng = np.random.default_rng(seed)
    return [sample(rng) for _ in range(count)], rng


def check_structure(graph):
    assert len(graph.vertices) == 5
    for number, vertex in enumerate(graph.vertices, len(LEAVES)):
        assert vertex.operator in (UNARY if len(vertex.arguments) == 1 else BINARY)
        assert len(set(vertex.arguments)) == len(vertex.arguments)
        # Arguments come first: there is no cycle.
        assert all(argument < number for argument in vertex.arguments)
    assert min(graph.vertices[-1].arguments) >= len(LEAVES)
    assert graph.whole
    assert set(leaves(graph.formula)) == {"y", "p"}


def test_graphs_are_acyclic_and_reach_both_probabilities():
    found, rng = graphs()
    for graph in found:
        check_structure(graph)
        assert text(parse(graph.text)) == graph.text
        assert latex(graph.formula)
    assert len({graph.text for graph in found}) > 200
    binary = np.mean([len(graph.vertices[-1].arguments) == 2 for graph in found])
    assert 0.7 < binary < 0.9
    used = {vertex.operator for graph in found for vertex in graph.vertices}
    assert used == {*UNARY, *BINARY}
    assert rng.random() < 1


def test_mutants_differ_in_one_vertex_and_stay_in_the_space():
    found, rng = graphs(60, 1)
    kinds = set()
    for graph in found:
        child = mutate(graph, rng)
        check_structure(child)
        assert child.text != graph.text
        before, after = (sorted(v.operator for v in g.vertices) for g in (graph, child))
        kinds.add(
            (
                before == after,
                sum(len(v.arguments) for v in child.vertices) - sum(len(v.arguments) for v in graph.vertices),
            )
        )
    assert {(False, 0), (True, 0)} <= kinds
    assert {1, -1} & {change for _, change in kinds}


def test_only_what_the_root_reaches_counts():
    vertices = (
        Vertex("exp", (0,)),
        Vertex("log", (1,)),
        Vertex("mul", (0, 5)),
        Vertex("erf", (4,)),
        Vertex("neg", (6,)),
    )
    graph = Graph(vertices)
    assert graph.text == "-(y * log(p))"
    assert graph.active == (5, 6, ROOT)
    assert not Graph((*vertices[:4], Vertex("neg", (4,)))).whole


def judged(formula):
    reason, sign = curves.judge(curves.curve(Program(formula))[None])
    return curves.REASONS[reason[0]], int(sign[0])


@pytest.mark.parametrize("name", KNOWN)
def test_known_losses_pass(name):
    formula, optimum = KNOWN[name]
    assert judged(formula) == ("", 1)
    assert judged(f"-({formula})") == ("", -1)
    at = 1 - np.argmin(curves.curve(Program(formula))) / (curves.POINTS - 1)
    assert at == pytest.approx(optimum, abs=2e-3)
    reason, probed = probe(Program(formula), 1)
    assert (reason, probed is not None) == ("", True)
    assert gain(Program(formula), 1) > 0.9


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        ("y - y * p * 0", "constant"),
        ("inv(y - p - 0.5)", "extremum at one half"),
        ("log10(y - y) + inv(p - 0.99999999) * 0", "constant"),
        ("square(y - p) * square(y + p - 1)", "extremum at one half"),
        ("square(y - p) + square(sin(9 * (y - p)))", "oscillates"),
        ("max0(abs(y - p) - 0.7)", "plateau"),
        ("exp(exp(exp(exp(y + p)))) - exp(exp(exp(exp(1 + y))))", "not finite"),
    ],
)
def test_bad_curves_are_named(formula, reason):
    assert judged(formula)[0] == reason


def test_a_loss_of_the_wrong_class_is_seen_where_the_published_rules_let_it_pass():
    # One turning point, minimum at p = .3: fine by the rules of arXiv 2403.08793.
    formula = "y * square(p - 0.3)"
    assert judged(formula)[0] == "rewards the wrong class"


def test_gradients_are_those_of_the_logits():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((5, 10))
    y = np.eye(10)[rng.integers(10, size=5)]

    def loss(z):
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        return Program("square(y - p) - y * log(p)").values(y, p).sum()

    found = gradients(Program("square(y - p) - y * log(p)"), y, np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    for row, column in ((0, 0), (3, 7), (4, 2)):
        step = np.zeros_like(logits)
        step[row, column] = 1e-5
        assert found[row, column] == pytest.approx(
            (loss(logits + step) - loss(logits - step)) / 2e-5, rel=1e-4, abs=1e-8
        )


def test_the_scale_makes_gradients_those_of_cross_entropy():
    _, probed = probe(Program("0.01 * square(y - p)"), 1)
    (uniform, *_), scale = probed.gradients, probed.scale
    assert uniform[0] * scale == pytest.approx(-0.9, rel=1e-6)
    assert probe(Program("0.0000001 * square(y - p)"), 1)[0] == "flat or steep"


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        ("y - p - y", "prefers the wrong class"),
        ("y * sqrt(p) + p - y", "prefers the wrong class"),
    ],
)
def test_ten_classes_see_more_than_two(formula, reason):
    assert probe(Program(formula), 1)[0] == reason


def test_predictions_under_a_loss_of_nothing_stay_wrong():
    assert gain(Program("y * p * 0 + p * 0"), 1) < GAIN
    assert gain(Program("y * log(p)"), 1) < GAIN


def test_the_archive_knows_what_is_near():
    rng = np.random.default_rng(0)
    archive = Archive(50)
    vectors = rng.random((700, 50))
    for vector in vectors:
        assert not archive.near(vector)
        archive.add(vector)
    assert len(archive) == 700
    direction = rng.standard_normal(50)
    direction /= np.linalg.norm(direction)
    for vector in vectors[::70]:
        assert archive.near(vector + 0.0099 * direction)
        assert not archive.near(vector + 0.0101 * direction)
    gradient = rng.standard_normal((6, 10))
    assert not archive.same_gradients(gradient)
    assert archive.same_gradients(gradient * 1.00001)
    assert not archive.same_gradients(gradient * 1.5)


def test_nothing_is_accepted_twice_and_everything_is_counted():
    found, _ = graphs(400, 3)
    check = IntegrityCheck()
    accepted = check.accept(found)
    assert accepted
    assert check.accept(found) == []
    rows = check.funnel.rows()
    assert [row["stage"] for row in rows] == list(STAGES)
    assert rows[0]["met"] == 800
    for first, second in itertools.pairwise(rows):
        assert second["met"] == first["passed"]
    lost = sum(row["met"] - row["passed"] for row in rows)
    assert lost == sum(check.funnel.reasons.values()) == 800 - len(accepted)
    for candidate in accepted:
        scaled = (
            candidate.sign * candidate.scale * gradients(Program(candidate.text), np.eye(1, 10), np.full((1, 10), 0.1))
        )
        assert scaled[0, 0] == pytest.approx(-0.9, rel=1e-3)


def test_a_loss_written_otherwise_is_the_same_loss():
    check = IntegrityCheck()
    other = (Vertex("log", (1,)), Vertex("mul", (0, 4)), Vertex("exp", (5,)), Vertex("erf", (6,)), Vertex("neg", (5,)))
    assert len(check.accept([Graph(other)])) == 1
    same = dataclasses.replace(Graph(other), vertices=(*other[:4], Vertex("abs", (5,))))
    assert check.accept([same]) == []
    assert check.funnel.reasons == {"phenotype: seen": 1}
