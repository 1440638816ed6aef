"""Quality of searches in spaces of named choices, beside other packages; with --write, docs/results/own_networks.md.

    perf/own_networks/install.sh
    python perf/own_networks/measure.py [--write] [--problems …] [--methods …] [--seeds 20] [--minutes 30]

20 paired seeds (0 to 19; methods were tuned on seeds from 1000 up), 50 evaluations each. Every search is a line of
docs/results/own_networks.jsonl as soon as it is done; those that are there are not run again, so the command goes on
where it stopped. Seeds come one after the other, so what is there is paired.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _page
import numpy as np
import torch
from problems import NAMES, problem
from scipy.stats import rankdata
from searches import OTHERS, Other, ours

from po_nas.compare.statistics import holm, mean_interval, paired_p

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results" / "own_networks.jsonl"
METHODS = (
    "random",
    "regularized_evolution",
    "optuna_tpe",
    "optuna_gp",
    "smac",
    "gp_bo",
    "po_nas",
    "po_nas (worthless)",
)
BUDGET = 50
FAMILY = ("gp_bo", "po_nas")
FEWEST = 5
"""Seeds from which there are intervals and tests."""
Found = dict[tuple[str, str, int], list[float]]


def read() -> tuple[Found, dict[tuple[str, str], list[float]]]:
    """Values of the incumbents by problem, method and seed, and seconds of a proposal by problem and method."""
    values: Found = {}
    seconds: dict[tuple[str, str], list[float]] = {}
    if RESULTS.exists():
        for line in RESULTS.read_text(encoding="utf-8").splitlines():
            one = json.loads(line)
            values[one["problem"], one["method"], one["seed"]] = [value for _, value in one["incumbents"]]
            seconds.setdefault((one["problem"], one["method"]), []).append(one["seconds"])
    return values, seconds


def run(chosen: Sequence[str], methods: Sequence[str], seeds: int, minutes: float, python: Path, folder: Path) -> None:
    known, _ = read()
    folder.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + 60 * minutes
    with ExitStack() as stack:
        others: dict[str, Other] = {}
        for seed, name, method in itertools.product(range(seeds), chosen, methods):
            if (name, method, seed) in known or time.monotonic() > until:
                continue
            task = problem(name, seed, folder)
            if method in OTHERS:
                if method not in others:
                    others[method] = stack.enter_context(Other(method, python))
                found = others[method].search(task.space, task.value, seed, BUDGET)
            else:
                kind, proxies, options = method.partition(" ")[0], None, {}
                if kind == "po_nas":
                    wanted = "worthless" if "worthless" in method else next(iter(task.proxies))
                    if wanted not in task.proxies:
                        continue
                    proxies = task.proxies[wanted]
                    # Weights as the results were made; the default is 0.2.
                    options = {"learned_weights": 0.5} | ({"pool": 200} if task.optimum is None else {})
                found = ours(kind, task.space, task.value, seed, BUDGET, proxies, **options)
            line = {
                "problem": name,
                "method": method,
                "seed": seed,
                "seconds": round(float(np.mean(found.seconds[10:])), 4),
                "incumbents": incumbents(found.values),
            }
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, separators=(",", ":")) + "\n")
            print(f"seed {seed}, {name}, {method}: {max(found.values):.4g}", flush=True)


def incumbents(values: Sequence[float]) -> list[tuple[int, float]]:
    """Number of the evaluation, from 1, and value of each that was better than all before."""
    found: list[tuple[int, float]] = []
    for number, value in enumerate(values, 1):
        if not found or value > found[-1][1]:
            found.append((number, float(f"{value:.6g}")))
    return found


def best(values: Found, name: str, method: str, seeds: Sequence[int]) -> np.ndarray:
    return np.array([max(values[name, method, seed]) for seed in seeds])


def page(values: Found, seconds: dict[tuple[str, str], list[float]]) -> list[str]:
    problems = [name for name in NAMES if any(key[0] == name for key in values)]
    lines = [
        "# Searches in spaces of named choices, beside other packages",
        "",
        "Regenerate with `perf/own_networks/install.sh && python perf/own_networks/measure.py --write`. "
        f"{_page.machine('torch', 'botorch')}; the others: see `perf/own_networks/requirements.txt`.",
        "",
        f"{BUDGET} evaluations. Loss of the best one, mean ± 95 % confidence interval over paired seeds: for the functions it",
        "is the simple regret (optimum 0; each seed has an instance of its own, another place of the optimum), for the",
        "trainings the cross-entropy on validation data. All methods with their defaults. On the functions `po_nas` has",
        "made-up proxy scores: one that is the value plus noise (rank correlation about 0.5), and one that is worth nothing;",
        "in the row *worthless* the latter alone. On the trainings they are computed: params, synflow, nwot, of 200",
        "candidates. `optuna_gp` and `optuna_tpe` are Optuna's samplers, `smac` is SMAC3's facade for hyperparameters.",
        "",
    ]
    by_method = {name: {m: {s for p, k, s in values if p == name and k == m} for m in METHODS} for name in problems}
    rows = []
    for method in METHODS:
        cells = []
        for name in problems:
            seeds = sorted(by_method[name][method])
            if not seeds:
                cells.append("–")
                continue
            mean, half = mean_interval(-best(values, name, method, seeds))
            interval = f" ± {half:.3f}" if len(seeds) >= FEWEST else ""
            cells.append(f"{mean:.3f}{interval} ({len(seeds)})")
        rows.append((f"`{method}`", *cells))
    lines += ["Loss; in brackets the number of seeds:", "", *_page.table(("method", *problems), rows), ""]
    lines += [
        "Mean rank among the methods below, over the seeds that all of them have. One that has run on few seeds has none.",
        "",
    ]
    most = {name: max(map(len, by_method[name].values())) for name in problems}
    ranked = [
        m for m in METHODS if "worthless" not in m and all(len(by_method[n][m]) > 0.8 * most[n] for n in problems)
    ]
    ranks: dict[str, list[float]] = {m: [] for m in ranked}
    columns = []
    for name in problems:
        seeds = sorted(set.intersection(*(by_method[name][m] for m in ranked)))
        table = np.stack([-best(values, name, m, seeds) for m in ranked])
        found = rankdata(table, axis=0)
        columns.append([f"{row.mean():.2f} ({len(seeds)})" for row in found])
        for method, row in zip(ranked, found, strict=True):
            ranks[method] += row.tolist()
    lines += _page.table(
        ("method", *problems, "all"),
        [(f"`{m}`", *(column[k] for column in columns), f"**{np.mean(ranks[m]):.2f}**") for k, m in enumerate(ranked)],
    )
    lines += [
        "",
        "On how many seeds it is better, and p of Wilcoxon's signed-rank test after Holm's correction within each table:",
        "",
    ]
    for mine in FAMILY:
        others, cells, p_values = [m for m in METHODS if m != mine and "worthless" not in m], [], []
        for other in others:
            for name in problems:
                seeds = sorted(by_method[name][mine] & by_method[name][other])
                if not seeds:
                    cells.append(None)
                    continue
                mine_best, other_best = best(values, name, mine, seeds), best(values, name, other, seeds)
                cells.append((int((mine_best > other_best).sum()), len(seeds)))
                p_values += [paired_p(mine_best, other_best)] if len(seeds) >= FEWEST else []
        adjusted = iter(holm(p_values))
        texts = [
            "–" if c is None else f"{c[0]} of {c[1]}" + (f", p = {next(adjusted):.2g}" if c[1] >= FEWEST else "")
            for c in cells
        ]
        rows = [(f"`{other}`", *texts[k * len(problems) : (k + 1) * len(problems)]) for k, other in enumerate(others)]
        lines += [*_page.table((f"`{mine}` better than", *problems), rows), ""]
    lines += ["Seconds of the processor for a proposal after the first ten, mean:", ""]
    rows = [
        (f"`{m}`", *(f"{np.mean(seconds[name, m]):.3f}" if (name, m) in seconds else "–" for name in problems))
        for m in METHODS
    ]
    return [*lines, *_page.table(("method", *problems), rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write docs/results/own_networks.md")
    parser.add_argument("--problems", nargs="*", default=NAMES)
    parser.add_argument("--methods", nargs="*", default=METHODS)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=600.0, help="no search begins later than that")
    parser.add_argument("--python", type=Path, default=ROOT / "build" / "own_networks" / "bin" / "python")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "own_networks_values", help="of trained values")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    run(given.problems, given.methods, given.seeds, given.minutes, given.python, given.folder)
    _page.publish("own_networks", page(*read()), given.write)


if __name__ == "__main__":
    main()
