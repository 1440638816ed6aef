"""Searches with several objectives and under limits, beside other packages; with --write, docs/results/objectives.md.

    po-nas data get nasbench201 nasbench201_hardware
    python perf/objectives.py --seeds 20 --minutes 60 [--parts front limit overhead] [--tasks …] [--costs …] [--methods …]
    python perf/objectives.py --seeds 0 --write

Every search is a line of docs/results/objectives.jsonl as soon as it is done: part, task, what, method, seed, values. Those
that are there are not run again, so the command goes on where it stopped. Seeds come one after the other, so what is there
is paired.

front: accuracy and one cost of NAS-Bench-201, 50 evaluations. The hypervolume as a share of that of the table's true front;
the reference point is a tenth of that front's extent beyond it.

limit: the best accuracy under a limit on the parameters that 5 % of the cells keep, 50 evaluations. "within" proposes nothing
that breaks the limit; "rejecting" is the same search without it, of which the best that keeps it is taken.

overhead: seconds of the processor for a proposal with three objectives after 100 evaluations, over all 15,625 cells.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _page
import numpy as np
import torch

from po_nas import benchmarks
from po_nas.compare.statistics import holm, mean_interval, paired_p
from po_nas.core.goals import Limit
from po_nas.core.objective import Objective
from po_nas.core.searcher import Domain, Searcher, SharedCache
from po_nas.core.trial import Trial
from po_nas.methods import registry
from po_nas.proxy_scores.goals import with_goals
from po_nas.runtime.front import front_measure_of
from po_nas.spaces.base import Architecture

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "objectives.jsonl"
TASKS = ("nasbench201/cifar10", "nasbench201/cifar100", "nasbench201/imagenet16-120")
COSTS = ("raspi4_latency", "pixel3_latency", "edgegpu_latency", "fpga_latency", "params")
OTHERS = ("optuna_tpe", "optuna_gp")
METHODS = {
    "front": ("random", "nsga2", "mo_regularized_evolution", *OTHERS, "gp_bo", "po_nas"),
    "limit": ("random", "regularized_evolution", "gp_bo", "po_nas"),
    "overhead": ("gp_bo", "gp_proxies", "po_nas"),
}
OPTIONS = {"po_nas": {"learned_weights": 0.5}}
"""As the results were made; the default is 0.2."""
AT = (10, 25, 50)
FEWEST = 5
"""Seeds from which there are tests."""

CACHE = SharedCache()


# -- searches ----------------------------------------------------------------------------------------------------------


def searcher(objective: Objective, method: str, seed: int, budget: int) -> Searcher:
    domain = Domain(
        *(objective.space, objective.identity, objective.metric.maximize, budget, objective.distinct),
        proxies=objective.proxies,
        cache=CACHE,
        goals=objective.goals,
        known=objective.known,
    )
    kind = registry.get(method)
    return kind(domain, seed=seed, options=kind.Options.model_validate(OPTIONS.get(method, {})))


def ours(objective: Objective, method: str, seed: int) -> Iterator[tuple[Architecture, dict[str, float]]]:
    """Architectures in the order of evaluation, with what was told of them."""
    search = searcher(objective, method, seed, AT[-1])
    for _ in range(AT[-1]):
        (trial,) = search.ask()
        outcome = objective.evaluate(trial.architecture, seed=trial.seed)
        search.tell(trial.number, outcome)
        yield trial.architecture, dict(outcome.metrics)


def optuna(objective: Objective, method: str, seed: int) -> Iterator[tuple[Architecture, dict[str, float]]]:
    """The same by a sampler of Optuna with its defaults: a choice of five operations for each of the six edges."""
    from optuna import create_study, logging, samplers

    logging.set_verbosity(logging.ERROR)
    kind = {"optuna_tpe": samplers.TPESampler, "optuna_gp": samplers.GPSampler}[method]
    study = create_study(directions=["minimize"] * len(objective.goals.names), sampler=kind(seed=seed))
    operations = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
    for _ in range(AT[-1]):
        trial = study.ask()
        nodes = (
            "|".join(f"{trial.suggest_categorical(f'{to}-{k}', operations)}~{k}" for k in range(to)) for to in (1, 2, 3)
        )
        architecture = objective.space.from_string("+".join(f"|{node}|" for node in nodes))
        metrics = dict(objective.evaluate(architecture, seed=seed).metrics)
        study.tell(trial, objective.goals.losses([metrics])[0].tolist())
        yield architecture, metrics


def volumes(task: str, cost: str, method: str, seed: int) -> list[float]:
    """Hypervolumes after `AT` evaluations, as shares of that of the true front."""
    objective = with_goals(benchmarks.get(task), {"validation": "max", cost: "min"}, {})
    measure = front_measure_of(objective)
    run = optuna if method in OTHERS else ours
    losses = objective.goals.losses([metrics for _, metrics in run(objective, method, seed)])
    return [measure.hypervolume(losses[:count]) / (measure.true_volume or 1.0) for count in AT]


def regrets(task: str, way: str, method: str, seed: int) -> list[float]:
    """Regrets after `AT` evaluations of the best that keeps the limit; of the worst value there is without one."""
    given = benchmarks.get(task)
    within, limit = under_limit(given)
    best, column = within.optimum_validation, given.validation
    assert best is not None
    assert column is not None
    worst, values = float(np.nanmin(column)), []
    for architecture, metrics in ours(within if way == "within" else given, method, seed):
        known = float(given.known([architecture], [limit.metric.name])[limit.metric.name][0])
        kept = limit.holds[limit.comparison](known, limit.value)
        values.append(metrics["validation"] if kept else worst)
    return [best[0] - max(values[:count]) for count in AT]


def under_limit(given: Any) -> tuple[Objective, Limit]:
    """The task under a limit on the parameters that 5 % of the cells keep, or a few more: they share few numbers."""
    bound = float(np.quantile(given.recorded.columns["params"], 0.05, method="higher"))
    within = with_goals(given, {}, {"params": f"<= {bound!r}"})
    return within, within.goals.limits[0]


def overhead(task: str, _: str, method: str, seed: int, known: int = 100, repeats: int = 3) -> list[float]:
    """Seconds of proposals with three objectives, `known` cells having been evaluated; the first one comes first."""
    objective = with_goals(benchmarks.get(task), {"validation": "max", "params": "min", "latency": "min"}, {})
    search, rng = searcher(objective, method, seed, known + repeats + 1), np.random.default_rng(seed)
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


PARTS: dict[str, Callable[[str, str, str, int], list[float]]] = {
    "front": volumes,
    "limit": regrets,
    "overhead": overhead,
}


# -- the page ----------------------------------------------------------------------------------------------------------

Found = dict[tuple[str, str, str, str, int], list[float]]


def paired(found: Found, part: str, task: str, what: tuple[str, str], methods: tuple[str, str]) -> np.ndarray:
    """(2, seeds, len(AT)) values of the seeds that both have."""
    keys = [(part, task, w, m) for w, m in zip(what, methods, strict=True)]
    seeds = sorted({key[4] for key in found if key[:4] == keys[0]} & {key[4] for key in found if key[:4] == keys[1]})
    return np.array([[found[*key, seed] for seed in seeds] for key in keys]).reshape(2, -1, len(AT))


def cell(values: np.ndarray, digits: int) -> str:
    mean, half = mean_interval(values)
    return f"{mean:.{digits}f} ± {half:.{digits}f}" if len(values) > 1 else f"{mean:.{digits}f}"


def fronts(found: Found) -> list[str]:
    tasks = [(t, c) for t in TASKS for c in COSTS if any(key[:3] == ("front", t, c) for key in found)]
    rows, tests, better = [], [], []
    for at in range(len(AT)):
        for task, cost in tasks:
            by_method = {
                m: np.array([v for k, v in found.items() if k[:4] == ("front", task, cost, m)])
                for m in METHODS["front"]
            }
            seeds = max(map(len, by_method.values()))
            cells = [cell(v[:, at], 3) if len(v) else "–" for v in by_method.values()]
            rows.append((task.partition("/")[2], cost, seeds, AT[at], *cells))
    rivals = [m for m in METHODS["front"] if m != "po_nas"]
    for (task, cost), rival in itertools.product(tasks, rivals):
        mine, theirs = paired(found, "front", task, (cost, cost), ("po_nas", rival))[:, :, -1]
        better.append((int((mine > theirs).sum()), len(mine)) if len(mine) >= FEWEST else None)
        tests += [paired_p(mine, theirs)] if len(mine) >= FEWEST else []
    adjusted = iter(holm(tests))
    texts = ["–" if b is None else f"{b[0]} of {b[1]}, p = {next(adjusted):.2g}" for b in better]
    compared = [
        (task.partition("/")[2], cost, *texts[k * len(rivals) : (k + 1) * len(rivals)])
        for k, (task, cost) in enumerate(tasks)
    ]
    return [
        "## Accuracy and one cost",
        "",
        "Hypervolume as a share of that of the table's true front, mean ± 95 % confidence interval over seeds.",
        "",
        *_page.table(("data set", "cost", "seeds", "evaluations", *METHODS["front"]), rows, left=2),
        "",
        f"Seeds of which `po_nas` has the larger one after {AT[-1]} evaluations, and p of Wilcoxon's signed-rank test after",
        "Holm's correction over this table:",
        "",
        *_page.table(("data set", "cost", *rivals), compared, left=2),
        "",
    ]


def limits(found: Found) -> list[str]:
    rows = []
    for task, at in itertools.product([t for t in TASKS if any(k[:2] == ("limit", t) for k in found)], range(len(AT))):
        for method in METHODS["limit"]:
            both = paired(found, "limit", task, ("within", "rejecting"), (method, method))
            if both.size:
                within, rejecting = both[:, :, at]
                p = f"{paired_p(within, rejecting):.2g}" if len(within) >= FEWEST else ""
                name = task.partition("/")[2]
                rows.append((name, f"`{method}`", AT[at], len(within), cell(within, 2), cell(rejecting, 2), p))
    header = ("data set", "method", "evaluations", "seeds", "within the limit", "rejecting afterwards", "p")
    return [
        "## Under a limit that 5 % of the cells keep",
        "",
        "Simple regret in points of validation accuracy, against the best cell within the limit on `params`, mean ± 95 %",
        "confidence interval over seeds; a search that has found no such cell counts with the worst accuracy of the table.",
        "p of Wilcoxon's signed-rank test of the two ways, not corrected.",
        "",
        *_page.table(header, rows, left=2),
        "",
    ]


def seconds(found: Found) -> list[str]:
    rows = []
    for method in METHODS["overhead"]:
        values = np.array([v for key, v in found.items() if key[0] == "overhead" and key[3] == method])
        if len(values):
            rows.append((f"`{method}`", f"{values[:, 0].mean():.2f}", f"{values[:, 1:].mean():.2f}"))
    return [
        "## Seconds of a proposal",
        "",
        "Three objectives, 100 evaluations, 15,625 cells, one thread; seconds of the processor.",
        "",
        *_page.table(("method", "first proposal, s", "later ones, s"), rows),
    ]


def page(found: Found) -> list[str]:
    return [
        "# Several objectives, and limits",
        "",
        "Regenerate with `po-nas data get nasbench201 nasbench201_hardware && python perf/objectives.py --write`. "
        f"{_page.machine('po-nas', 'torch', 'botorch', 'pymoo', 'optuna')}.",
        "",
        "NAS-Bench-201: validation accuracy after 200 epochs, and a cost that is known before the evaluation: latencies of",
        "HW-NAS-Bench, or parameters. Seeds are paired, 0 and up. All methods with their defaults; `optuna_tpe` and",
        "`optuna_gp` are Optuna's samplers with several objectives, which do not know the cost beforehand and may repeat an",
        "evaluation. What is there is what has been run so far.",
        "",
        *fronts(found),
        *limits(found),
        *seconds(found),
    ]


# -- the command -------------------------------------------------------------------------------------------------------


def read() -> Found:
    if not RESULTS.exists():
        return {}
    lines = map(json.loads, RESULTS.read_text(encoding="utf-8").splitlines())
    return {(part, task, what, method, seed): values for part, task, what, method, seed, values in lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=600.0, help="no search begins later than that")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--costs", nargs="+", default=COSTS)
    parser.add_argument("--methods", nargs="+", help="default: those of each part")
    parser.add_argument("--write", action="store_true", help="write docs/results/objectives.md")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    until, found = time.monotonic() + 60 * given.minutes, read()
    for seed, part, task in itertools.product(range(given.seeds), given.parts, given.tasks):
        whats = {"front": given.costs, "limit": ("within", "rejecting"), "overhead": ("three objectives",)}[part]
        if part == "overhead" and (task != TASKS[0] or seed > 0):
            continue
        for what, method in itertools.product(whats, METHODS[part]):
            key = (part, task, what, method, seed)
            if key in found or time.monotonic() > until or (given.methods and method not in given.methods):
                continue
            found[key] = [float(f"{value:.5g}") for value in PARTS[part](task, what, method, seed)]
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps([*key, found[key]], separators=(",", ":")) + "\n")
            print(*key, found[key], flush=True)
    _page.publish("objectives", page(read()), given.write)


if __name__ == "__main__":
    main()
