"""gp_bo against the baselines, or its kernels against each other; writes docs/results/<study>.md and .png.

    python perf/baselines.py [baselines|kernels] [--seeds 20] [--budget 50] [--workers 2]

Equal evaluation counts, paired seeds, full feedback, the incumbent chosen by validation. About a quarter of an hour
each on two cores. Every search is a function of its seed, so the tables can be reproduced with the pinned versions.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from po_nas import benchmarks
from po_nas.compare.anytime import Curve, run_curve
from po_nas.compare.statistics import holm, mean_interval, paired_p

_OUT = Path(__file__).parents[1] / "docs" / "results"
BASELINES = {
    "random": {"name": "random"},
    "regularized_evolution": {"name": "regularized_evolution"},
    "local_search": {"name": "local_search"},
    "gp_bo": {"name": "gp_bo"},
}
KERNELS = {
    "vector": {"name": "gp_bo", "kernel": "vector"},
    "graph": {"name": "gp_bo", "kernel": "graph"},
    "both": {"name": "gp_bo", "kernel": "both"},
}
_WHY_BOTH = (
    "Why the default is the sum: neither part wins everywhere. Counts of operation sequences know that "
    "isomorphic cells are the same and generalise from few points; the vector encoding tells apart what the "
    "counts confuse. Their sum, weighed by the marginal likelihood at every fit, has the lowest or second-"
    "lowest mean on every task, for about half as much overhead again. With these few seeds the differences "
    "are directions, not findings: none is significant."
)
STUDIES = {
    "baselines": (
        "Bayesian optimisation against the baselines",
        "gp_bo",
        BASELINES,
        "",
        (*benchmarks.names("nasbench201/*"), *benchmarks.names("nasbench_graph/*")),
    ),
    "kernels": (
        "What the Gaussian process compares: edges, operation sequences, or both",
        "both",
        KERNELS,
        _WHY_BOTH,
        (*benchmarks.names("nasbench201/*"), "nasbench_graph/arxiv", "nasbench_graph/cora", "nasbench_graph/photo"),
    ),
}
COLOURS = ("#999999", "#E69F00", "#009E73", "#0072B2")


def _job(job: tuple[str, str, dict[str, str], int, int]) -> Curve:
    task, label, method, budget, seed = job
    return run_curve(task, method, budget, seed, label)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=STUDIES, nargs="?", default="baselines")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--budget", type=int, default=50)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    title, ours, methods, reading, tasks = STUDIES[options.study]
    jobs = [(t, k, m, options.budget, s) for t in tasks for k, m in methods.items() for s in range(options.seeds)]
    curves: dict[tuple[str, str], list[Curve]] = {}
    with ProcessPoolExecutor(options.workers) as pool:
        for done, curve in enumerate(pool.map(_job, jobs, chunksize=4), 1):
            curves.setdefault((curve.benchmark, curve.method), []).append(curve)
            print(f"\r{done}/{len(jobs)} searches", end="", flush=True)
    print()
    text = _report(options.study, title, ours, reading, list(methods), tasks, curves, options.seeds, options.budget)
    _OUT.mkdir(parents=True, exist_ok=True)
    (_OUT / f"{options.study}.md").write_text(text, encoding="utf-8")
    _figure(list(methods), tasks, curves).savefig(_OUT / f"{options.study}.png", dpi=110)
    print(text)


Curves = dict[tuple[str, str], list[Curve]]


def _report(
    study: str,
    title: str,
    ours: str,
    reading: str,
    methods: list[str],
    tasks: Sequence[str],
    curves: Curves,
    seeds: int,
    budget: int,
) -> str:
    final = {key: np.array([c.regret[-1] for c in runs]) for key, runs in curves.items()}
    rivals = [m for m in methods if m != ours]
    pairs = [(t, m) for t in tasks for m in rivals]
    raw = [paired_p(final[t, ours], final[t, m]) for t, m in pairs]
    adjusted = dict(zip(pairs, holm(raw), strict=True))
    lines = [
        f"# {title}",
        "",
        f"Regenerate with `python perf/baselines.py {study} --seeds {seeds} --budget {budget}`.",
        "",
        f"Protocol: {budget} evaluations each (initial ones counted), seeds 0–{seeds - 1} paired over methods, default "
        "options, feedback `full`, whole table searchable, incumbent chosen by validation. Numbers are the simple regret "
        "on validation in percentage points against the best of the table: mean ± half width of the 95 % confidence "
        "interval over seeds; lower is better. In brackets: how many searches ended at the optimum. A star marks a "
        f"difference to {ours} in its favour, a circle against it, at 5 % (Wilcoxon signed-rank on paired seeds, two-sided, "
        f"Holm-adjusted over all {len(pairs)} comparisons).",
        "",
        "| task | " + " | ".join(methods) + " |",
        "|---|" + "---|" * len(methods),
    ]
    for task in tasks:
        cells = []
        for method in methods:
            mean, half = mean_interval(final[task, method])
            hits = int(np.sum(final[task, method] <= 1e-9))
            mark = ""
            if method != ours and adjusted[task, method] < 0.05:
                mark = " *" if mean > np.mean(final[task, ours]) else " °"
            cells.append(f"{mean:.3f} ± {half:.3f} ({hits}){mark}")
        lines.append(f"| {task} | " + " | ".join(cells) + " |")
    lines += ["", f"Adjusted p-values of {ours} against each rival:", "", "| task | " + " | ".join(rivals) + " |"]
    lines += ["|---|" + "---|" * len(rivals)]
    lines += [f"| {t} | " + " | ".join(f"{adjusted[t, m]:.2g}" for m in rivals) + " |" for t in tasks]
    lines += [
        "",
        "Seconds of overhead per evaluation (asking and telling, mean over all tasks and seeds): "
        + ", ".join(f"{m} {np.mean([c.overhead_s for t in tasks for c in curves[t, m]]) / budget:.3f}" for m in methods)
        + ".",
        "",
        "Noise: validation accuracies of NAS-Bench-201 cells that compute the same function differ by a pooled standard "
        "deviation of 0.39, 0.46 and 0.62 points (CIFAR-10, CIFAR-100, ImageNet16-120), so the last tenths of a point "
        "of regret are luck for any method that sees these values alone.",
        "",
        *([reading, ""] if reading else []),
        f"![anytime regret]({study}.png)",
        "",
    ]
    return "\n".join(lines)


def _figure(methods: list[str], tasks: Sequence[str], curves: Curves) -> Figure:
    columns = 3
    figure = Figure(figsize=(11, 2.7 * -(-len(tasks) // columns)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(-(-len(tasks) // columns), columns, squeeze=False).ravel()
    for panel, task in zip(panels, tasks, strict=False):
        for method, colour in zip(methods, COLOURS[-len(methods) :], strict=True):
            regrets = np.array([c.regret for c in curves[task, method]])
            low, middle, high = np.nanpercentile(regrets, [25, 50, 75], axis=0)
            steps = np.arange(1, regrets.shape[1] + 1)
            panel.plot(steps, middle, color=colour, label=method)
            panel.fill_between(steps, low, high, color=colour, alpha=0.15, lw=0)
        start = np.nanmedian([c.regret[:10][-1] for c in curves[task, methods[0]]])
        panel.set_ylim(0, 1.3 * start)
        panel.set_xlim(1, regrets.shape[1])
        panel.set_title(task, fontsize=10)
        panel.grid(alpha=0.25, lw=0.5)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(tasks) :]:
        panel.set_visible(False)
    panels[0].legend(fontsize=8, frameon=False)
    figure.supxlabel("evaluations", fontsize=10)
    figure.supylabel("simple regret, validation (points); median and quartiles over seeds", fontsize=10)
    return figure


if __name__ == "__main__":
    main()
