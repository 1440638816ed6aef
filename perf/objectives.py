"""Searches with several objectives: hypervolume after so many evaluations, and time of a proposal. Prints Markdown.

    python perf/objectives.py --seeds 3
    python perf/objectives.py --overhead
    python perf/objectives.py --limit --methods random regularized_evolution gp_bo po_nas --seeds 5

With --limit: simple regret (mean and half the width of its 95 % confidence interval over seeds) after so many evaluations
under a limit on the parameters that 5 % of the cells keep. "within" proposes nothing that breaks the limit; "rejecting" is
the same search without the limit, of which the best that keeps it is taken.

Hypervolumes are shares of that of the table's true front, with the reference point that `summary.json` states. Times are
seconds of the processor, of one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
import torch

from po_nas import benchmarks
from po_nas.compare.statistics import mean_interval
from po_nas.core.goals import Limit
from po_nas.core.objective import Objective
from po_nas.core.searcher import Domain, Searcher, SharedCache
from po_nas.core.trial import Trial
from po_nas.methods import registry
from po_nas.proxy_scores.goals import with_goals
from po_nas.runtime.front import front_measure_of, front_trials

METHODS = ("random", "nsga2", "mo_regularized_evolution", "gp_bo", "gp_proxies", "po_nas")
TASKS = ("nasbench201/cifar10", "nasbench201/cifar100", "nasbench201/imagenet16-120")
COSTS = ("params", "latency")
AT = (25, 50)
CACHE = SharedCache()


def searcher(objective: Objective, method: str, seed: int, budget: int) -> Searcher:
    domain = Domain(
        *(objective.space, objective.identity, objective.metric.maximize, budget, objective.distinct),
        proxies=objective.proxies,
        cache=CACHE,
        goals=objective.goals,
        known=objective.known,
    )
    return registry.get(method)(domain, seed=seed)


def shares(objective: Objective, method: str, seed: int, at: Sequence[int]) -> list[float]:
    """Hypervolumes after so many evaluations, of that of the true front."""
    front_measure, search = front_measure_of(objective), searcher(objective, method, seed, max(at))
    told, found = [], []
    for number in range(1, max(at) + 1):
        (trial,) = search.ask()
        outcome = objective.evaluate(trial.architecture, seed=trial.seed)
        search.tell(trial.number, outcome)
        told.append((trial, outcome))
        if number in at:
            _, losses = front_trials(told, objective.goals)
            found.append(front_measure.hypervolume(losses) / (front_measure.true_volume or 1.0))
    return found


def regrets(
    objective: Objective, method: str, seed: int, at: Sequence[int], limit: Limit, optimum: float
) -> list[float]:
    """Regrets after so many evaluations of the best that keeps the limit; of the worst value there is without one."""
    search, values = searcher(objective, method, seed, max(at)), []
    assert objective.validation is not None
    worst = float(np.nanmin(objective.validation))
    for _ in range(max(at)):
        (trial,) = search.ask()
        outcome = objective.evaluate(trial.architecture, seed=trial.seed)
        search.tell(trial.number, outcome)
        name = limit.metric.name
        known = float(objective.known([trial.architecture], [name])[name][0])
        values.append(outcome.validation if limit.holds[limit.comparison](known, limit.value) else worst)
    return [optimum - max(values[:count]) for count in at]


def limited(tasks: Sequence[str], methods: Sequence[str], seeds: int) -> None:
    """The table of --limit."""
    print("| task | limit | search |", *(f"{m} {n} |" for m in methods for n in AT))
    print("|---|---|---|" + "---:|" * len(methods) * len(AT))
    for task in tasks:
        given = benchmarks.get(task)
        assert given.recorded is not None
        # Few numbers of parameters are there, so the limit is the least that keeps 5 % of the cells.
        bound = float(np.quantile(given.recorded.columns["params"], 0.05, method="higher"))
        within = with_goals(given, {}, {"params": f"<= {bound!r}"})
        (limit,), best = within.goals.limits, within.optimum_validation
        assert best is not None
        for label, objective in (("within", within), ("rejecting", given)):
            cells = []
            for method in methods:
                found = [regrets(objective, method, seed, AT, limit, best[0]) for seed in range(seeds)]
                cells += [
                    "{:.2f} ± {:.2f} |".format(*mean_interval(np.array(column))) for column in zip(*found, strict=True)
                ]
            print(f"| {task} | {limit.text} | {label} |", *cells, flush=True)


def overhead(method: str, known: int = 100, repeats: int = 3) -> list[float]:
    """Seconds of one proposal with three objectives over 15,625 cells, `known` of which have been evaluated."""
    objectives = {"validation": "max", "params": "min", "latency": "min"}
    objective = with_goals(benchmarks.get(TASKS[0]), objectives, {})
    search, rng = searcher(objective, method, 0, known + repeats + 1), np.random.default_rng(0)
    for number in range(known):
        architecture = search.draw_unseen(rng)
        search.restore(Trial(number, architecture, "random", 0))
        search.tell(number, objective.evaluate(architecture, seed=0))
    seconds = []
    for _ in range(repeats + 1):
        began = time.process_time()
        (trial,) = search.ask()
        seconds.append(time.process_time() - began)
        search.tell(trial.number, objective.evaluate(trial.architecture, seed=0))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--costs", nargs="+", default=COSTS)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--overhead", action="store_true")
    parser.add_argument("--limit", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.overhead:
        print("| method | first proposal, s | later ones, s |\n|---|---:|---:|")
        for method in given.methods:
            first, *later = overhead(method)
            print(f"| {method} | {first:.2f} | {np.mean(later):.2f} |", flush=True)
        return
    if given.limit:
        limited(given.tasks, given.methods, given.seeds)
        return
    print("| task | cost |", *(f"{m} {n} |" for m in given.methods for n in AT))
    print("|---|---|" + "---:|" * len(given.methods) * len(AT))
    for task in given.tasks:
        for cost in given.costs:
            objective = with_goals(benchmarks.get(task), {"validation": "max", cost: "min"}, {})
            cells = []
            for method in given.methods:
                found = np.array([shares(objective, method, seed, AT) for seed in range(given.seeds)])
                cells += [f"{mean:.3f}" for mean in found.mean(axis=0)]
            print(f"| {task} | {cost} |", *(f"{cell} |" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
