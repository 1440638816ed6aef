"""Recorded seconds until the incumbent is within so many points of the optimum, with and without lower fidelities.

    python perf/fidelities.py --seeds 20 --write

Incumbents are full evaluations, by validation; what evaluations at lower fidelities cost is counted. Evaluations are made
one after the other. A search ends when it has come there, or has spent as many seconds as `--most` evaluations of mean
cost. Seeds are paired. Needs: po-nas data get nasbench201 nasbench101_sample
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from _page import machine, publish, table
from scipy.stats import wilcoxon

from po_nas import benchmarks
from po_nas.benchmarks.base import Benchmark
from po_nas.core.searcher import Domain, SharedCache
from po_nas.core.settings import validated
from po_nas.core.trial import SourceTask
from po_nas.methods import registry
from po_nas.proxy_scores.transfer import TransferProxies

TASKS = {
    "nasbench201/cifar10": 0.3,
    "nasbench201/cifar100": 0.3,
    "nasbench201/imagenet16-120": 0.3,
    "nasbench101/cifar10": 0.2,
}
"""Points from the optimum that are the target."""
METHODS = {
    "random": ("random", {}),
    "hyperband": ("hyperband", {}),
    "hyperband, eta = 16": ("hyperband", {"eta": 16}),
    "asha": ("asha", {}),
    "asha, eta = 16": ("asha", {"eta": 16}),
    "gp_bo": ("gp_bo", {}),
    "po_nas": ("po_nas", {}),
    "po_nas, fidelities": ("po_nas", {"fidelities": True}),
    "po_nas, told all after 12 epochs": ("po_nas", {"transfer": "equal"}),
}
"""The last one is a ceiling: the values of all cells after 12 epochs are one more proxy, and cost nothing."""
CACHE = SharedCache()


class Reached(NamedTuple):
    """What was spent up to the target; infinite where the search did not come there."""

    seconds: float
    full_evaluations: float
    evaluations: float


@cache
def after_12_epochs(name: str) -> tuple[tuple[SourceTask, ...], TransferProxies]:
    """What all cells of a table reach in 12 epochs, and the table's proxies with that as one more."""
    task, table = benchmarks.get(name), benchmarks.get(name, "epochs12")
    cells = tuple(table.rows.architecture(row) for row in range(len(table.rows)))
    told = (SourceTask("epochs12", cells, tuple(table.validation.tolist()), table=True),)
    return told, TransferProxies(task.proxies, task.space, told)


def run(task: Benchmark, label: str, seed: int, target: float, most: int) -> Reached:
    """One search."""
    name, options = METHODS[label]
    kind = registry.get(name)
    told, proxies = after_12_epochs(task.name) if "told" in label else ((), task.proxies)
    domain = Domain(
        *(task.space, task.identity, task.metric.maximize, None, task.distinct, proxies, told),
        cache=CACHE,
        fidelities=task.fidelities,
    )
    searcher = kind(domain, seed=seed, options=validated(kind.Options, options))
    assert task.cost_s is not None
    limit, spent, full = most * float(np.nanmean(task.cost_s)), 0.0, 0.0
    best = task.optimum_validation[0]
    while spent < limit:
        (trial,) = searcher.ask()
        outcome = task.evaluate(trial.architecture, seed=trial.seed, fidelity=trial.fidelity)
        searcher.tell(trial.number, outcome)
        spent, full = spent + outcome.cost_s, full + searcher.cost(trial)
        if trial.fidelity is None and outcome.validation is not None and outcome.validation >= best - target:
            return Reached(spent, full, searcher.asked)
    return Reached(math.inf, math.inf, math.inf)


def rows(found: dict[str, list[Reached]], reference: str) -> list[list[object]]:
    """For each method: how many came there, medians, and the paired ratio of seconds to those of `reference`."""
    told = []
    for label, reached in found.items():
        values = np.array(reached)
        medians = np.median(values, axis=0)
        cells = ["not reached" if math.isinf(m) else f"{m:,.0f}" if m >= 100 else f"{m:.1f}" for m in medians]
        told.append([label, f"{int(np.isfinite(values[:, 0]).sum())} of {len(values)}", *cells])
        told[-1] += paired(values[:, 0], np.array(found[reference])[:, 0]) if label != reference else ["1", ""]
    return told


def paired(seconds: np.ndarray, others: np.ndarray) -> list[str]:
    """The median of the ratios, and Wilcoxon's signed-rank test of their logarithms; neither came there: a tie."""
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log(seconds) - np.log(others)
    # What never came there is worse than all that did.
    logs = np.clip(np.where(np.isnan(logs), 0.0, logs), -50.0, 50.0)
    ratio = math.exp(float(np.median(logs)))
    p = wilcoxon(logs).pvalue if np.any(logs) else 1.0
    return ["not reached" if ratio > 1e9 else f"{ratio:.2f}", f"{p:.2g}"]


def page(given: argparse.Namespace) -> list[str]:
    lines = [
        "# Seconds to the target, with and without lower fidelities",
        "",
        f"`python perf/fidelities.py --seeds {given.seeds} --most {given.most} --write`: recorded seconds until the "
        "incumbent was within so many points of the best validation accuracy of the table. "
        f"{given.seeds} paired seeds (0 to {given.seeds - 1}); a search ends after the seconds of {given.most} evaluations "
        "of mean cost. NAS-Bench-201: validation after 200 epochs, mean of the recorded runs; lower fidelity: 12 epochs, 6 % "
        "of the seconds. NAS-Bench-101, the sample of 30,001 cells: 108 epochs, one run; 4, 12 and 36 epochs are lower "
        "fidelities. The last method is told what all cells reach in 12 epochs, at no cost: a ceiling. Medians over seeds; "
        "the ratio is the median of the paired ratios to `po_nas`, p that of Wilcoxon's signed-rank test.",
        "",
    ]
    for name in given.tasks:
        task = benchmarks.get(name)
        found: dict[str, list[Reached]] = {}
        for label in given.methods:
            began = time.process_time()
            found[label] = [run(task, label, seed, TASKS[name], given.most) for seed in range(given.seeds)]
            print(f"{name} {label}: {time.process_time() - began:.0f} s of the processor", flush=True)
        header = ("method", "reached", "seconds", "full evaluations", "evaluations", "ratio", "p")
        lines += [f"## {name}, within {TASKS[name]:g} points", "", *table(header, rows(found, "po_nas")), ""]
    return [*lines, f"Measured on: {machine('po-nas', 'torch', 'botorch')}."]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--most", type=int, default=100, help="evaluations of mean cost after which a search ends")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--write", action="store_true", help="to docs/results/fidelities.md")
    given = parser.parse_args(arguments)
    publish("fidelities", page(given), given.write)


if __name__ == "__main__":
    main()
