"""Children of trees: crossover and mutations, typed, drawn from a generator. A child may exceed the bounds; ask."""

from __future__ import annotations

from typing import Any

import numpy as np

from po_nas.research.evolved_proxies.symbolic.grammar import Constant, Grammar, Tree, number

__all__ = ["crossover", "hoist", "perturb", "point_mutation", "subtree_mutation"]

_INNER = 0.9
"""How often crossover cuts at a function rather than at a leaf (Koza's choice)."""


def crossover(first: Tree, second: Tree, rng: np.random.Generator) -> Tree:
    """`first` with one of its subtrees replaced by one of `second` of the same type."""
    at = _place(first, rng)
    kind = first[at].ret
    there = [place for place, node in enumerate(second) if node.ret is kind]
    if not there:
        return Tree(first)
    inner = [place for place in there if second[place].arity]
    chosen = inner if inner and rng.random() < _INNER else there
    return _replaced(first, at, second[second.searchSubtree(chosen[int(rng.integers(len(chosen)))])])


def subtree_mutation(tree: Tree, grammar: Grammar, rng: np.random.Generator, depth: int = 2) -> Tree:
    """The tree with a random subtree of at most that depth in the place of one of its own."""
    at = int(rng.integers(len(tree)))
    new = [grammar.constant(rng)] if tree[at].ret is Constant else list(grammar.draw(rng, depth))
    return _replaced(tree, at, new)


def point_mutation(tree: Tree, grammar: Grammar, rng: np.random.Generator) -> Tree:
    """The tree with one node exchanged for another of the same types; a constant is changed a little."""
    at = int(rng.integers(len(tree)))
    node = tree[at]
    if node.ret is Constant:
        new = _shaken(node, rng, 0.3)
    elif node.arity:
        new = grammar.function(rng, like=node)
    else:
        new = grammar.leaf(rng)
    child = list(tree)
    child[at] = new
    return Tree(child)


def hoist(tree: Tree, grammar: Grammar, rng: np.random.Generator) -> Tree:
    """The tree with one of its subtrees in the place of that one's parent: never larger."""
    inner = [place for place, node in enumerate(tree) if node.arity]
    if not inner:
        return Tree(tree)
    cut = tree.searchSubtree(inner[int(rng.integers(len(inner)))])
    below = [place for place in range(cut.start + 1, cut.stop) if tree[place].ret is not Constant]
    chosen = tree[tree.searchSubtree(below[int(rng.integers(len(below)))])]
    return _replaced(tree, cut.start, chosen)


def perturb(tree: Tree, rng: np.random.Generator, deviation: float) -> Tree:
    """The tree with all its constants changed by normal noise; `deviation` is relative above 1, absolute below."""
    return Tree([_shaken(node, rng, deviation) if node.ret is Constant else node for node in tree])


def _shaken(node: Any, rng: np.random.Generator, deviation: float) -> Any:
    value = float(node.value)
    return number(round(value + deviation * max(1.0, abs(value)) * float(rng.normal()), 4))


def _place(tree: Tree, rng: np.random.Generator) -> int:
    inner = [place for place, node in enumerate(tree) if node.arity]
    if inner and rng.random() < _INNER:
        return inner[int(rng.integers(len(inner)))]
    return int(rng.integers(len(tree)))


def _replaced(tree: Tree, at: int, new: Any) -> Tree:
    cut = tree.searchSubtree(at)
    return Tree([*tree[: cut.start], *new, *tree[cut.stop :]])
