from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from po_nas.formula import depth, parse, size, text
from po_nas.research.evolved_proxies.symbolic.fitness import tau
from po_nas.research.evolved_proxies.symbolic.grammar import Constant, Grammar, formula_of
from po_nas.research.evolved_proxies.symbolic.population import Population
from po_nas.research.evolved_proxies.symbolic.variation import (
    crossover,
    hoist,
    perturb,
    point_mutation,
    subtree_mutation,
)
from proxies.evolved.functions import ARITIES, FUNCTIONS, LIMIT, bounded, evaluate
from proxies.evolved.reference import fit

from .toy import toy_problem, tree_of

LEAVES = ("nwot", "flops", "jacov")
WITH = Grammar(LEAVES, constants=True, max_depth=4, max_size=15)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(FUNCTIONS)), st.lists(st.floats(allow_nan=False), min_size=4, max_size=4))
def test_functions_are_total_and_bounded(name, numbers):
    values = bounded(np.array(numbers).reshape(2, 2))
    found = FUNCTIONS[name].apply(*values[: FUNCTIONS[name].arity])
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= LIMIT
    if FUNCTIONS[name].commutative:
        np.testing.assert_array_equal(found, FUNCTIONS[name].apply(*values[::-1]))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_trees_stay_typed_bounded_and_readable(seed):
    rng = np.random.default_rng(seed)
    tree, other = WITH.draw(rng, 4), WITH.draw(rng, 3, full=True)
    children = [crossover(tree, other, rng), subtree_mutation(tree, WITH, rng), point_mutation(tree, WITH, rng)]
    children += [hoist(tree, WITH, rng), perturb(tree, rng, 0.3)]
    assert WITH.fits(tree)
    assert len(children[3]) <= len(tree)
    for child in (tree, *children):
        formula = formula_of(child)
        assert (size(formula), depth(formula)) == (len(child), child.height)
        again = parse(text(formula), functions=ARITIES, variables=LEAVES)
        assert text(again) == text(formula)
        assert text(formula_of(tree_of(WITH, formula))) == text(formula) or "add" in str(child) or "mul" in str(child)
        for node in child:
            if node.arity == 2 and Constant in node.args:
                assert node.args[0] is Constant
        values = evaluate(formula, {leaf: rng.normal(size=5) for leaf in LEAVES})
        assert values.shape == (5,)
        assert np.isfinite(values).all()


def test_drawing_leaves_the_global_generators_alone():
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    rng = np.random.default_rng(0)
    trees = [WITH.draw(rng, 3) for _ in range(20)]
    crossover(trees[0], trees[1], rng)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002
    again = np.random.default_rng(0)
    assert [str(WITH.draw(again, 3)) for _ in range(20)] == [str(tree) for tree in trees]


def test_a_population_gives_what_each_formula_gives():
    problems = [toy_problem(n=40), toy_problem("toy/two", n=30, seed=1)]
    references = [fit("rank", {leaf: p.columns[leaf] for leaf in LEAVES}) for p in problems]
    rng = np.random.default_rng(3)
    trees = [WITH.draw(rng, 4) for _ in range(80)]
    population = Population(problems, references, LEAVES)
    population._capacity = 150  # so that it forgets in between
    for part in (trees[:40], trees[40:], trees):
        numbers = [population.number(tree) for tree in part]
        found = population.taus(numbers)
        population._taus.clear()
        for tree, row in zip(part, found, strict=True):
            expected = [tau(formula_of(tree), p, r) for p, r in zip(problems, references, strict=True)]
            np.testing.assert_allclose(row, expected, atol=1e-9)


def test_order_of_arguments_makes_no_new_formula():
    population = Population([toy_problem()], [fit("raw", {leaf: [0.0, 1.0] for leaf in LEAVES})], LEAVES)

    def number(formula: str) -> int:
        return population.number(tree_of(WITH, parse(formula, functions=ARITIES, variables=LEAVES)))

    assert number("nwot * max(flops, jacov)") == number("max(jacov, flops) * nwot")
    assert number("nwot - flops") != number("flops - nwot")
    assert number("aq(nwot, flops) * 0.5") == number("0.5 * aq(nwot, flops)")
    assert text(population.formula(number("max(nwot, jacov) - square(flops)"))) == "max(nwot, jacov) - square(flops)"
