"""Speed of evolving proxies, on one core; writes docs/results/evolved_proxies_speed.md.

    python perf/evolved_proxies_speed.py [--write]

Trees are those that a run of genetic programming tries, in the order in which it tries them, generation by generation:
populations of 200 over one problem of 200 architectures, 12 leaves. "Evaluation" turns trees into their values;
subtrees that the run has computed before are not computed again, which is the point. "With τ" adds Kendall's τ-b with
200 accuracies. Trees of which no part is known are timed beside them: 4,000 random full ones of depth 3 in an empty store. The naive way
is recursion with NumPy over each tree and `scipy.stats.kendalltau`. A run is everything: drawing, crossover, duplicates,
values, τ. Problems are made up, so no download is needed; seconds are those of the processor, medians of three.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import _page
import numpy as np
from scipy.stats import kendalltau

from po_nas.research.evolved_proxies.symbolic import Problem, Settings, evolve, scores
from po_nas.research.evolved_proxies.symbolic.evolve import _Run, references_of
from po_nas.research.evolved_proxies.symbolic.grammar import Grammar, formula_of
from po_nas.research.evolved_proxies.symbolic.kendall import Kendall
from po_nas.research.evolved_proxies.symbolic.population import Population

LEAVES = [f"metric_{k}" for k in range(12)]


def made_up(seed: int, n: int = 200) -> Problem:
    """Correlated scores of unlike scale, and accuracies that depend on some."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(4, n))
    columns = {
        leaf: np.exp(k * (rng.normal(size=4) @ hidden + rng.normal(size=n)) / 4) for k, leaf in enumerate(LEAVES, 1)
    }
    accuracy = hidden[0] - np.abs(hidden[1]) + 0.5 * rng.normal(size=n)
    return Problem(f"made up {seed}", "made up", accuracy, columns, np.arange(n))


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    before = time.process_time()
    work()
    return time.process_time() - before


def generations() -> list[list]:
    """The populations of one run."""
    problem, found = made_up(0), []

    class Watched(_Run):
        def ranked(self, trees):
            found.append(list(trees))
            return super().ranked(trees)

    Watched([problem], Settings(), np.random.default_rng(0)).run(lambda _: None)
    return found


def empty() -> Population:
    problem = made_up(0)
    return Population([problem], [references_of([problem], LEAVES, Settings())[problem.name]], LEAVES)


def main() -> None:
    runs = generations()
    trees = [tree for one in runs for tree in one]
    rng = np.random.default_rng(1)
    grammar = Grammar(LEAVES)
    strangers = [grammar.draw(rng, 3, full=True) for _ in range(4_000)]

    def of(populations: list[list], with_tau: bool) -> float:
        store = empty()

        def work() -> None:
            for one in populations:
                numbers = [store.number(tree) for tree in one]
                (store.taus if with_tau else store.values)(numbers)

        return seconds(work)

    def median(work: Callable[[], float]) -> float:
        return statistics.median(work() for _ in range(3))

    def strange(with_tau: bool) -> float:
        return of([strangers[k : k + 200] for k in range(0, len(strangers), 200)], with_tau)

    problem = made_up(0)
    few = [formula_of(tree) for tree in trees[:: len(trees) // 300]]
    naive = seconds(lambda: [kendalltau(scores(f, problem), problem.accuracy) for f in few]) / len(few)
    kendall, block = Kendall(problem.accuracy), np.random.default_rng(0).normal(size=(200, 200))
    mean, other = (statistics.mean(map(len, some)) for some in (trees, strangers))
    fresh = f"random trees of {other:.1f} nodes, nothing known"
    rows = [
        ("trees of a run: evaluation", len(trees) / median(lambda: of(runs, False))),
        ("trees of a run: evaluation and τ", len(trees) / median(lambda: of(runs, True))),
        (f"{fresh}: evaluation", len(strangers) / median(lambda: strange(False))),
        (f"{fresh}: evaluation and τ", len(strangers) / median(lambda: strange(True))),
        ("τ alone", 20 * 200 / median(lambda: seconds(lambda: [kendall(block) for _ in range(20)]))),
        ("the naive way: evaluation and τ", 1 / naive),
    ]
    five = [made_up(k) for k in range(5)]
    whole = {}
    for label, settings in (
        ("fitness τ", Settings()),
        ("NSGA-II", Settings(objectives="nsga2")),
        ("fitness τ with constants", Settings(constants=True)),
    ):
        whole[label] = median(lambda s=settings: seconds(lambda: evolve(five, s, np.random.default_rng(0))))
    lines = [
        "# Speed of evolving proxies",
        "",
        f"Made by `python perf/evolved_proxies_speed.py --write` (one core, {_page.machine('numpy')}); how it is measured is said there. One problem of",
        f"200 architectures, 12 leaves; {len(trees):,} trees of one run (population 200, 30 generations), {mean:.1f} nodes on average.",
        "Target: 20,000 trees per second.",
        "",
        *_page.table(("what", "trees per second"), [(label, f"{round(rate, -2):,.0f}") for label, rate in rows]),
        "",
        "A whole run, population 200, 30 generations, five problems of 200 architectures each (target: 60 s):",
        "",
        *_page.table(("selection", "seconds"), [(label, f"{value:.2f}") for label, value in whole.items()]),
    ]
    _page.publish("evolved_proxies_speed", lines, "--write" in sys.argv)


if __name__ == "__main__":
    main()
