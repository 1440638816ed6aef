"""Searches with several objectives: hypervolume after so many evaluations, and time of a proposal. Prints Markdown.

    python perf/objectives.py --seeds 3
    python perf/objectives.py --overhead

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
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.overhead:
        print("| method | first proposal, s | later ones, s |\n|---|---:|---:|")
        for method in given.methods:
            first, *later = overhead(method)
            print(f"| {method} | {first:.2f} | {np.mean(later):.2f} |", flush=True)
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
