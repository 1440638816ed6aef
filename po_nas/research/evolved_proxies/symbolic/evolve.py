"""Genetic programming of proxies: formulas over other proxies whose order agrees with accuracies.

References: Phan and Luong, From Hand-Crafted Metrics to Evolved Training-Free Performance Predictors for Neural
Architecture Search via Genetic Programming, arXiv 2505.15832 (the idea; its settings are not published, ours are our
own); Koza, Genetic Programming, MIT Press 1992; Deb et al., NSGA-II, IEEE TEVC 2002.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from po_nas.errors import ProblemError
from po_nas.formula import Node, leaves, size
from po_nas.registry import matching
from po_nas.research.evolved_proxies.symbolic.fitness import F64, aggregate, seconds_of, space_means
from po_nas.research.evolved_proxies.symbolic.front import Front, Ranked, survivors
from po_nas.research.evolved_proxies.symbolic.grammar import Grammar, Tree
from po_nas.research.evolved_proxies.symbolic.population import Population
from po_nas.research.evolved_proxies.symbolic.problem import Problem, constant_columns
from po_nas.research.evolved_proxies.symbolic.settings import Settings
from po_nas.research.evolved_proxies.symbolic.variation import (
    crossover,
    hoist,
    perturb,
    point_mutation,
    subtree_mutation,
)
from proxies.evolved.reference import Reference, fit

__all__ = ["Evolved", "Found", "Generation", "evolve", "leaves_of", "references_of"]

_TRIES = 20
"""How often a child that is too large or known already is drawn again."""
_TUNING = (12, 32)
"""Rounds of tuning constants, and formulas in each."""


@dataclass(frozen=True)
class Found:
    """A formula with what it achieved on the problems it was evolved on.

    `fitness` is the aggregate of `taus` (by problem) less parsimony; `size` counts nodes; `seconds` is what its
    proxies take for one architecture together, as far as that is known.
    """

    formula: Node
    fitness: float
    aggregate: float
    taus: Mapping[str, float]
    size: int
    seconds: float


@dataclass(frozen=True)
class Generation:
    """The state after a generation, 0 being the random one: the best so far, and how many formulas were tried."""

    number: int
    of: int
    best: Found
    mean: float
    evaluated: int


@dataclass(frozen=True)
class Evolved:
    """The result of a run: the best formula, the Pareto front of τ, size and seconds over all formulas that were tried
    (the best τ first), the generations, the leaves that could be used, and the references that normalised them."""

    best: Found
    front: tuple[Found, ...]
    history: tuple[Generation, ...]
    leaves: tuple[str, ...]
    references: Mapping[str, Reference]
    evaluated: int


def leaves_of(problems: Sequence[Problem], settings: Settings) -> tuple[str, ...]:
    """The columns that may be leaves, in alphabetical order.

    A column that tells nobody apart on a problem counts as missing there. Raises `UnknownNameError` for a wanted leaf
    that no problem has, and `ProblemError` where none is left.
    """
    if not problems:
        raise ProblemError("there is no problem to evolve a proxy on")
    useless = {p.name: set(constant_columns(p)) for p in problems}
    every = sorted({name for p in problems for name in p.columns})
    wanted = every if settings.leaves is None else matching("column of the problems", settings.leaves, every)
    found = []
    for name in sorted(wanted):
        if name.startswith("g_") and not (settings.graph_features or name in (settings.leaves or ())):
            continue
        usable = [
            name in p.columns and name not in useless[p.name] and np.isfinite(p.columns[name]).mean() >= 0.5
            for p in problems
        ]
        if any(usable) and np.mean(usable) >= settings.coverage:
            found.append(name)
    if not found:
        raise ProblemError(
            f"no column is there, and varies, on {settings.coverage:.0%} of the problems "
            f"({', '.join(p.name for p in problems)}); lower `coverage` or choose other leaves or problems"
        )
    return tuple(found)


def references_of(problems: Sequence[Problem], chosen: Sequence[str], settings: Settings) -> dict[str, Reference]:
    """A reference for each problem, fitted on its architectures' scores."""
    found = {}
    for problem in problems:
        missing = np.full(len(problem), np.nan)
        columns = {leaf: problem.columns.get(leaf, missing) for leaf in chosen}
        # In a run every point counts: nothing is thinned out.
        found[problem.name] = fit(
            settings.normaliser, columns, source=problem.name, missing=settings.missing, points=len(problem)
        )
    return found


def evolve(
    problems: Sequence[Problem],
    settings: Settings,
    rng: np.random.Generator,
    progress: Callable[[Generation], None] | None = None,
) -> Evolved:
    """One run. Every draw is from `rng`; the same problems, settings and generator give the same result.

    Raises `ProblemError` and `UnknownNameError` where the problems have no leaf to offer.
    """
    return _Run(problems, settings, rng).run(progress or (lambda _: None))


class _Run:
    def __init__(self, problems: Sequence[Problem], settings: Settings, rng: np.random.Generator) -> None:
        self.problems, self.settings, self.rng = list(problems), settings, rng
        names = [p.name for p in problems]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ProblemError(f"{twice[0]} is among the problems twice; leave one of them out")
        self.leaves = leaves_of(self.problems, settings)
        self.references = references_of(self.problems, self.leaves, settings)
        self.values = Population(self.problems, [self.references[p.name] for p in self.problems], self.leaves)
        self.seconds = seconds_of(self.problems)
        self.grammar = Grammar(
            self.leaves,
            functions=settings.functions,
            constants=settings.constants,
            max_depth=settings.max_depth,
            max_size=settings.max_size,
        )
        self.front = Front()
        self.best: Ranked | None = None

    def run(self, progress: Callable[[Generation], None]) -> Evolved:
        history: list[Generation] = []

        def tell(number: int, members: Sequence[Ranked]) -> None:
            assert self.best is not None
            mean = float(np.mean([m.fitness for m in members]))
            history.append(
                Generation(number, self.settings.generations, self.found(self.best), mean, self.values.evaluated)
            )
            progress(history[-1])

        members = self.ranked(self.beginning())
        tell(0, members)
        for number in range(1, self.settings.generations + 1):
            members = self.next(members)
            tell(number, members)
        if self.settings.constants:
            self.tune()
        assert self.best is not None
        return Evolved(
            self.found(self.best),
            tuple(self.found(member) for member in self.front.members),
            tuple(history),
            self.leaves,
            self.references,
            self.values.evaluated,
        )

    def beginning(self) -> list[Tree]:
        """Ramped half and half: depths 1 to 4 in turn, every other tree full; no formula twice if that can be."""
        trees: list[Tree] = []
        known: set[int] = set()
        deepest = min(4, self.settings.max_depth)
        while len(trees) < self.settings.population:
            for _ in range(_TRIES):
                depth = 1 + len(trees) // 2 % deepest
                tree = self.grammar.draw(self.rng, depth, full=len(trees) % 2 == 0)
                if (number := self.values.number(tree)) not in known:
                    break
            known.add(number)
            trees.append(tree)
        return trees

    def ranked(self, trees: Sequence[Tree]) -> list[Ranked]:
        """Trees with their fitness; the best and the front are kept up to date."""
        numbers = [self.values.number(tree) for tree in trees]
        taus = self.values.taus(numbers)
        totals = aggregate(self.grouped(taus), self.settings.aggregate, self.settings.sd_weight)
        found = []
        for tree, number, tau, total in zip(trees, numbers, taus, totals, strict=True):
            used = {node.value for node in tree if node.arity == 0 and isinstance(node.value, str)}
            seconds = sum(self.seconds.get(leaf, 0.0) for leaf in sorted(used))
            fitness = float(total) - self.settings.parsimony * len(tree)
            member = Ranked(tree, number, tau, float(total), fitness, len(tree), seconds)
            found.append(member)
            self.front.offer(member)
            if self.best is None or member.fitness > self.best.fitness:
                self.best = member
        return found

    def grouped(self, taus: F64) -> F64:
        """What is aggregated: τ (m, p) as they are, or their means over the problems of each space."""
        return space_means(taus, [p.space for p in self.problems]) if self.settings.by_space else taus

    def next(self, members: list[Ranked]) -> list[Ranked]:
        settings = self.settings
        if settings.objectives == "nsga2":
            children = self.ranked(self.children(members, settings.population, set()))
            return survivors([*members, *children], settings.population)
        elite = sorted(members, key=lambda m: -m.fitness)[: settings.elite]
        taken = {m.number for m in elite}
        return [*elite, *self.ranked(self.children(members, settings.population - len(elite), taken))]

    def children(self, members: Sequence[Ranked], count: int, taken: set[int]) -> list[Tree]:
        known = taken | ({m.number for m in members} if self.settings.objectives == "nsga2" else set())
        found: list[Tree] = []
        while len(found) < count:
            for _ in range(_TRIES):
                tree = self.child(members)
                if self.grammar.fits(tree) and (number := self.values.number(tree)) not in known:
                    break
            else:
                tree = self.grammar.draw(self.rng, 2)
                number = self.values.number(tree)
            known.add(number)
            found.append(tree)
        return found

    def child(self, members: Sequence[Ranked]) -> Tree:
        parent = self.winner(members)
        if self.rng.random() < self.settings.crossover:
            return crossover(parent.tree, self.winner(members).tree, self.rng)
        subtree, point, _ = self.settings.mutation
        draw = self.rng.random()
        if draw < subtree:
            return subtree_mutation(parent.tree, self.grammar, self.rng)
        if draw < subtree + point:
            return point_mutation(parent.tree, self.grammar, self.rng)
        return hoist(parent.tree, self.grammar, self.rng)

    def winner(self, members: Sequence[Ranked]) -> Ranked:
        """The winner of a tournament: by fitness, or of two by Pareto rank and then crowding."""
        nsga2 = self.settings.objectives == "nsga2"
        size = 2 if nsga2 else self.settings.tournament
        drawn = [members[int(place)] for place in self.rng.integers(len(members), size=size)]
        return min(drawn, key=(lambda m: (m.rank, -m.crowding)) if nsga2 else (lambda m: -m.fitness))

    def tune(self) -> None:
        """Random perturbation of the best formula's constants, smaller after every round without a gain."""
        deviation = 0.5
        rounds, count = _TUNING
        for _ in range(rounds):
            assert self.best is not None
            before = self.best
            if not any(node.arity == 0 and isinstance(node.value, float) for node in before.tree):
                return
            self.ranked([perturb(before.tree, self.rng, deviation) for _ in range(count)])
            if self.best is before:
                deviation /= 2

    def found(self, member: Ranked) -> Found:
        formula = self.values.formula(member.number)
        taus = {p.name: float(t) for p, t in zip(self.problems, member.taus, strict=True)}
        assert set(leaves(formula)) <= set(self.leaves)
        return Found(formula, member.fitness, member.total, taus, size(formula), member.seconds)
