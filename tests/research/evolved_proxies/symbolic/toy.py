"""A made-up problem: accuracy follows two scores, which a formula can find."""

from __future__ import annotations

import numpy as np

from po_nas.formula import Node
from po_nas.research.evolved_proxies.symbolic import Problem
from po_nas.research.evolved_proxies.symbolic.grammar import Grammar, Tree, number


def toy_problem(name: str = "toy/one", n: int = 60, seed: int = 0, space: str = "toy") -> Problem:
    rng = np.random.default_rng(seed)
    a, b, c = rng.normal(size=(3, n))
    accuracy = a - np.abs(b) + 0.1 * rng.normal(size=n)
    gone = b.copy()
    gone[:3] = np.nan
    columns = {"nwot": a, "flops": np.exp(b), "snip": c, "jacov": gone, "zen": np.full(n, 2.0), "g_depth": np.round(a)}
    return Problem(name, space, accuracy, columns, np.arange(n) // 2, {"nwot": 1.0, "snip": 3.0}, "made up")


TOYS = {
    "toy/one": toy_problem(n=90),
    "toy/two": toy_problem("toy/two", n=90, seed=1),
    "toy/far": toy_problem("toy/far", seed=2, space="far"),
}
"""Two problems of one space, and one of another."""


def tree_of(grammar: Grammar, formula: Node) -> Tree:
    """The tree of a formula over the leaves of a grammar with constants."""
    if isinstance(formula, str):
        return Tree([next(leaf for leaf in grammar.leaves if leaf.value == formula)])
    arguments, name = list(formula.arguments), formula.function
    constants = [argument for argument in arguments if isinstance(argument, float)]
    if constants:
        name = {"mul": "weighted", "add": "shifted"}[name]
        arguments = [argument for argument in arguments if not isinstance(argument, float)]
    below = [node for argument in arguments for node in tree_of(grammar, argument)]
    return Tree([grammar.set.mapping[name], *map(number, constants), *below])
