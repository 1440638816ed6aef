"""The study of fusion as tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from po_nas.compare.statistics import LEVEL, mean_interval
from po_nas.compare.table import Table
from po_nas.research.fusion.design import MODELS, ORDERS, FusionStudyConfig
from po_nas.research.fusion.results import Difference, FusionResults
from po_nas.research.fusion.run import TOP

__all__ = ["fusion_tables", "group_title", "protocol"]

_GROUPS = {
    "nasbench101": "NAS-Bench-101",
    "nasbench201": "NAS-Bench-201",
    "nasbench301": "NAS-Bench-301",
    "transnas_micro": "TransNAS micro",
    "transnas_macro": "TransNAS macro",
    "nasbench_graph": "NAS-Bench-Graph",
    "nasbench_mr": "NAS-Bench-MR",
    "nasbench_bert": "NAS-Bench-BERT",
    "suite_zero": "Suite-Zero",
    "runs": "own runs",
}
_KINDS = {"ranking": "labels", "search": "evaluations"}


def group_title(group: str) -> str:
    """A space in words."""
    return _GROUPS.get(group, group)


def protocol(config: FusionStudyConfig) -> str:
    """What must stand beside the numbers."""
    candidates = "all candidates of a task" if config.pool is None else f"{config.pool:,} candidates of a task, drawn "
    if config.pool is not None:
        candidates += f"once at random (seed {config.pool_seed}), or all where there are fewer"
    return (
        f"{candidates}; seeds {config.seed_range[0]} to {config.seed_range[-1]}; values are those of the search signal"
    )


def fusion_tables(results: FusionResults) -> list[Table]:
    """All tables that the rows allow."""
    found = [_differences(results, kind, "regret") for kind in _KINDS if results.models(kind)]
    found += [_by_group(results, kind) for kind in _KINDS if results.models(kind) and len(results.groups) > 1]
    found += [_realised(results, kind) for kind in _KINDS if results.models(kind)]
    found += [_orders(results), _ceiling(results)] if results.config.oracles else []
    found += [_differences(results, kind, "scaled_regret") for kind in _KINDS if results.models(kind)]
    found += [_differences(results, "ranking", measure) for measure in ("spearman", "kendall")]
    return [table for table in found if table.rows]


_MEASURES = {
    "regret": "simple regret (interquartile ranges, at most 2)",
    "scaled_regret": "simple regret (best minus median, at most 2)",
    "spearman": "Spearman's ρ",
    "kendall": "Kendall's τ_b",
}


def _what(kind: str, measure: str) -> str:
    if kind == "search":
        return f"Searches: {_MEASURES[measure]} of the incumbent"
    top = f" of the best of the {TOP} predicted highest" if measure.endswith("regret") else ""
    return f"Ranking: {_MEASURES[measure]}{top}"


def _shown(found: Difference | None, digits: int = 3) -> str:
    if found is None:
        return "–"
    half = f" ± {found.half:.{digits}f}" if np.isfinite(found.half) else ""
    return f"{found.mean:+.{digits}f}{half}"


def _differences(results: FusionResults, kind: str, measure: str) -> Table:
    numbers, baseline = results.numbers(kind), results.config.baseline
    adjusted = results.adjusted(kind, measure)
    lower = measure.endswith("regret")
    rows: list[list[str]] = []
    for model in results.models(kind):
        if model == baseline:
            levels = [results.level(kind, model, at, measure) for at in numbers]
            cells = [f"{np.mean(level):.3f}" if len(level) else "–" for level in levels]
            rows.insert(0, [f"{MODELS[model].title}, level", *cells])
            continue
        cells = []
        for at in numbers:
            found = results.difference(kind, model, at, measure)
            mark = ""
            if found is not None and adjusted.get((model, at), 1.0) < LEVEL:
                mark = " *" if (found.ranks < 0) == lower else " °"
            cells.append(_shown(found) + mark)
        rows.append([MODELS[model].title, *cells])
    tasks = len(results.tasks)
    note = (
        f"Minus {MODELS[baseline].title}, paired by task and seed; mean over {tasks} tasks ± half the 95 % interval of "
        f"the means of tasks. * better and ° worse at 5 %: Wilcoxon's signed-rank test of the means of tasks, "
        f"two-sided, Holm over the table. {protocol(results.config)}."
    )
    if kind == "search":
        note += (
            f" All searches start from {results.config.initial} architectures, {results.config.initial_by_proxy} of "
            "them picked by the mean rank of the trusted proxies unless said otherwise."
        )
        note += _counts(results)
    header = ["model", *(f"{at} {_KINDS[kind]}" if at == numbers[0] else str(at) for at in numbers)]
    return Table(f"{kind}_{measure}", _what(kind, measure), header, rows, note)


def _counts(results: FusionResults) -> str:
    """On how many tasks models differ after the last number of evaluations."""
    last = results.numbers("search")[-1]
    found = []
    for model in results.models("search"):
        counts = None if model == results.config.baseline else results.better_and_worse("search", model, last)
        if counts is not None:
            found.append(f"{MODELS[model].title} on {counts[0]} and {counts[1]}")
    if not found:
        return " Tests of single tasks need six seeds or more."
    return f" Significantly better and worse after {last} (paired seeds, Holm over tasks): {'; '.join(found)}."


def _by_group(results: FusionResults, kind: str) -> Table:
    numbers, baseline, rows = results.numbers(kind), results.config.baseline, []
    for group, tasks in results.groups.items():
        title = f"{group_title(group)} ({len(tasks)})"
        levels = [results.level(kind, baseline, at, "regret", tasks) for at in numbers]
        rows.append([title, "level", *(f"{np.mean(level):.3f}" if len(level) else "–" for level in levels)])
        for model in results.models(kind):
            if model != baseline:
                cells = [_shown(results.difference(kind, model, at, "regret", tasks)) for at in numbers]
                rows.append(["", MODELS[model].title, *cells])
    header = ["space (tasks)", "model", *(f"{at} {_KINDS[kind]}" if at == numbers[0] else str(at) for at in numbers)]
    note = f"As above, over the tasks of one space: level of {MODELS[baseline].title}, then differences to it."
    return Table(f"{kind}_by_space", f"{_what(kind, 'regret')}, space by space", header, rows, note, labels=2)


def _realised(results: FusionResults, kind: str) -> Table:
    numbers, oracle = results.numbers(kind), "any_function"
    rows = []
    if {"po_nas", oracle} <= set(results.models(kind)):
        groups = {group_title(group): tasks for group, tasks in results.groups.items()}
        for title, tasks in (groups | {"all": results.tasks}).items():
            shares = [results.realised(kind, "po_nas", oracle, at, tasks) for at in numbers]
            rows.append([title, *("–" if share is None else f"{100 * share:.0f} %" for share in shares)])
    unit = _KINDS[kind]
    header = ["space", *(f"{at} {unit}" if at == numbers[0] else str(at) for at in numbers)]
    note = (
        f"Both gains are in regret over {MODELS[results.config.baseline].title}, summed over tasks; negative: `po_nas` "
        "is worse than that; –: the oracle gains less than 10 % of the level there, too little for a share. Even so it "
        "is a quotient of two noisy differences: read it with these."
    )
    title = f"Share of what any function of the proxies gains that `po_nas` gains, after so many {unit}"
    return Table(f"realised_{kind}", title, header, rows, note)


def _interval(values: Sequence[float], digits: int = 3) -> str:
    mean, half = mean_interval(np.array(values))
    return f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if np.isfinite(half) else "")


def _orders(results: FusionResults) -> Table:
    rows = []
    for name, title in ORDERS.items():
        row = [title]
        for measure in ("spearman", "kendall", "regret"):
            row.append(_interval([results.figure_of(name, measure, task) for task in results.tasks]))
        for tasks in results.groups.values():
            row.append(f"{np.mean([results.figure_of(name, 'spearman', task) for task in tasks]):.2f}")
        rows.append(row)
    header = ["order", "Spearman's ρ", "Kendall's τ_b", f"regret of the best of its first {TOP}"]
    header += [f"ρ, {group_title(group)}" for group in results.groups]
    note = (
        "What an order is worth alone, without any label of a search. Best single and best fixed weighting are fitted "
        "to all labels, and so look better than they are; the others predict a candidate from the labels of 80 % of "
        "all, isomorphic ones never on both sides. Mean over tasks ± half the 95 % interval."
    )
    return Table("orders", "The oracles' orders alone", header, rows, note)


def _ceiling(results: FusionResults) -> Table:
    orders = {
        "function": "any function of the proxies",
        "architecture_weights": "weights per architecture",
        "encodings": "any function of the encodings",
        "everything": "of both",
    }
    rows = []
    for task in results.tasks:
        known = [results.figure_of("task", name, task) for name in ("candidates", "proxies")]
        ranks = [results.figure_of(name, "rank of the optimum", task) for name in orders]
        rho, regret = (results.figure_of("everything", name, task) for name in ("spearman", "regret"))
        rows.append([task, *(f"{v:,.0f}" for v in (*known, *ranks)), f"{rho:.2f}", f"{regret:.3f}"])
    header = ["task", "candidates", "proxies", *orders.values(), "ρ of the last", "its regret"]
    note = (
        "Where orders that know 80 % of all labels put the candidate with the best search signal. Where all of them "
        "put it far from 1, its value is luck of the training, or due to what neither encodings nor proxies say: how "
        "soon a search finds it is luck too. Last columns: rank correlation of the last order with the truth, and the "
        f"regret of the best of its first {TOP}."
    )
    return Table("ceiling", "What noise allows: the rank of the optimum", header, rows, note)
