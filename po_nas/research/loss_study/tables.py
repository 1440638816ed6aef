"""The loss study as Markdown tables, with confidence intervals, paired tests and the noise ceiling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from po_nas.compare.statistics import higher_or_lower, holm, mean_interval, paired_p
from po_nas.research.loss_study.design import PAPER_LOSSES, Case, LossChoice, LossStudyConfig, TaskChoice
from po_nas.research.loss_study.results import LossResults, higher_is_better, unique

__all__ = ["loss_tables"]

MAIN_METRICS = (
    ("space", "precision@0.5%", "Precision@0.5 % on the whole space (higher is better)"),
    ("space", "best_rank@10", "N@10 on the whole space: mean (median) over runs (lower is better)"),
    ("space", "kendall_b", "Kendall τ_b on the whole space (higher is better)"),
    ("held_out", "precision@0.5%", "Precision@0.5 % without architectures isomorphic to training ones"),
    ("mutants", "precision@5%", "Precision@5 % among 200 neighbours of good architectures"),
    ("mutants", "best_rank@10", "N@10 among 200 neighbours of good architectures"),
)
_TOP = ("space", "precision@0.5%")
PUBLISHED_PREDICTORS = {
    # (predictor, loss): N@10, Precision@0.5, tau. arXiv 2506.05869, Table 1 (AP and PINAT, 30 runs).
    ("mlp", "mse"): (250.94, 4.41, 0.43),
    ("mlp", "hr"): (23.58, 22.15, 0.65),
    ("mlp", "listmle"): (22.74, 24.15, 0.66),
    ("mlp", "warp"): (113.20, 9.36, 0.43),
    ("pinat", "mse"): (146.60, 8.62, 0.62),
    ("pinat", "hr"): (8.44, 29.32, 0.67),
    ("pinat", "listmle"): (21.78, 23.56, 0.68),
    ("pinat", "warp"): (3.78, 38.71, 0.65),
}
_FEW = 100
_DIGITS = {"precision@0.5%": 1, "best_rank@10": 1, "kendall_b": 3}
_MARKS = {1: " *", -1: " °", 0: ""}
_REFERENCE = "hr"
"""The loss that others are tested against: the ranking loss that the paper finds best overall."""


def loss_tables(results: LossResults, config: LossStudyConfig) -> str:
    """All tables of the study, with the protocol they were made under."""
    groups = config.groups()
    text = [_protocol(config)]
    for over, metric, title in MAIN_METRICS:
        text += [f"### {title}", "", _task_table(results, groups["main"], over, metric), ""]
    for title, few in (
        (f"### {_FEW} labels or more: means over the tasks", False),
        (f"### Fewer than {_FEW} labels", True),
    ):
        cases = [case for case in groups["main"] if (case.task.train < _FEW) == few]
        if cases:
            text += [title, "", _summary(results, cases), ""]
    text += ["### Mean rank of the losses over the tasks (1 = best)", "", _rank_table(results, groups["main"]), ""]
    text += [f"### Paired tests against {_REFERENCE}", "", _tests(results, groups["main"]), ""]
    if groups["sweep"]:
        text += [
            "### Training size: Precision@0.5 % and, below, N@10 (median)",
            "",
            _sweep(results, groups["sweep"]),
            "",
        ]
    if groups["weightings"]:
        text += ["### Weights of WARP: Precision@0.5 %", "", _task_table(results, groups["weightings"], *_TOP), ""]
    if groups["predictors"]:
        text += ["### Predictors", "", _predictors(results, groups["predictors"]), ""]
    return "\n".join(text)


def _protocol(config: LossStudyConfig) -> str:
    sizes = ", ".join(f"{task.train} of {task.benchmark}" for task in config.tasks)
    return (
        f"Protocol: {config.runs} runs (seeds 0–{config.runs - 1}; training subsets shared by all losses), predictor "
        f"`{config.predictor}`, {config.steps} steps, each loss with its own learning rate and label scale. Trained on "
        f"validation metrics ({sizes}), scored against test metrics, where none are recorded (NAS-Bench-101) against "
        "validation itself. The whole space includes the training architectures, as in the paper. Cells are means ± "
        "half the width of the 95 % confidence interval over runs. The last row is the ceiling: scores of a predictor "
        "that knows every validation label.\n"
    )


def _short(task: TaskChoice) -> str:
    return f"{task.benchmark} ({task.train})".replace("nasbench", "nb").replace("transnas", "tnb")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _number(value: float, metric: str) -> str:
    return f"{value:.3f}" if metric in ("kendall_b", "spearman") else f"{value:.1f}"


def _cell(values: NDArray[np.float64], metric: str) -> str:
    if not len(values):
        return "–"
    mean, half = mean_interval(values)
    if not higher_is_better(metric):
        return f"{mean:.1f} ({np.median(values):.0f})"
    return f"{_number(mean, metric)} ± {_number(half, metric)}"


def _central(values: NDArray[np.float64], metric: str) -> float:
    """What losses are ordered by, larger = better: the mean, for heavy-tailed N@K the median."""
    if not len(values):
        return float("nan")
    return float(np.mean(values)) if higher_is_better(metric) else -float(np.median(values))


def _task_table(results: LossResults, cases: Sequence[Case], over: str, metric: str) -> str:
    tasks, (predictor, *_), chosen = unique(cases)
    rows = []
    for loss in chosen:
        rows.append([loss.title])
        for task in tasks:
            values = results.runs(task, predictor, loss, over, metric)
            best = max(_central(results.runs(task, predictor, other, over, metric), metric) for other in chosen)
            cell = _cell(values, metric)
            rows[-1].append(f"**{cell}**" if _central(values, metric) == best else cell)
    ceilings = [results.ceiling(task, over, metric) for task in tasks]
    if not all(np.isnan(ceilings)):
        rows.append(["*ceiling*", *(_number(value, metric) for value in ceilings)])
    return _table(["loss", *(_short(task) for task in tasks)], rows)


def _summary(results: LossResults, cases: Sequence[Case]) -> str:
    """Means over the tasks of a run, then over runs; ours against the best of the paper's eight."""
    tasks, (predictor, *_), chosen = unique(cases)
    columns: dict[str, list[str]] = {}
    for metric, title in (("precision@0.5%", "Precision@0.5 %"), ("best_rank@10", "N@10"), ("kendall_b", "τ_b")):
        sign = 1 if higher_is_better(metric) else -1
        runs = [_over_tasks(results, tasks, predictor, loss, metric) for loss in chosen]
        eight = [i for i, loss in enumerate(chosen) if loss.name in PAPER_LOSSES]
        ours = [i for i in range(len(chosen)) if i not in eight]
        cells = [
            "–" if not len(v) else "{:.{d}f} ± {:.{d}f}".format(*mean_interval(v), d=_DIGITS[metric]) for v in runs
        ]
        if eight and ours and all(len(v) > 1 for v in runs):
            rival = max(eight, key=lambda i: sign * float(runs[i].mean()))
            cells[rival] += " (r)"
            for i, p in zip(ours, holm([paired_p(runs[i], runs[rival]) for i in ours]), strict=True):
                cells[i] += _MARKS[sign * higher_or_lower(runs[i], runs[rival], p)]
        columns[title] = cells
    rows = [[loss.title, *(column[i] for column in columns.values())] for i, loss in enumerate(chosen)]
    note = (
        f"\n\n{len(tasks)} tasks. (r): the best of the paper's eight; `*` better and `°` worse than it at 5 % "
        "(Wilcoxon signed-rank over runs, two-sided, Holm-adjusted over the losses beyond the eight)."
    )
    return _table(["loss", *columns], rows) + note


def _over_tasks(
    results: LossResults, tasks: Sequence[TaskChoice], predictor: str, loss: LossChoice, metric: str
) -> NDArray[np.float64]:
    values = [results.runs(task, predictor, loss, "space", metric) for task in tasks]
    runs = min(map(len, values))
    return np.mean([one[:runs] for one in values], axis=0) if runs else np.array([])


def _rank_table(results: LossResults, cases: Sequence[Case]) -> str:
    """Mean ranks over tasks, from the means (medians of N@K) over runs, and whether they differ over runs."""
    tasks, (predictor, *_), chosen = unique(cases)
    columns = {}
    for over, metric, _ in MAIN_METRICS:
        central = np.array(
            [[_central(results.runs(t, predictor, loss, over, metric), metric) for loss in chosen] for t in tasks]
        )
        means = rankdata(-central, axis=1).mean(0)
        marks = _marks(results, tasks, predictor, chosen, over, metric)
        columns[f"{over} {metric}"] = [f"{mean:.1f}{mark}" for mean, mark in zip(means, marks, strict=True)]
        if (over, metric) == _TOP:
            order = np.argsort(means)
    rows = [[chosen[i].title, *(column[i] for column in columns.values())] for i in order]
    note = (
        f"\n\n`*` better and `°` worse than `{_REFERENCE}` at 5 %: Wilcoxon signed-rank over runs on the run's mean "
        f"rank over the tasks, two-sided, Holm-adjusted over {len(chosen) - 1} losses."
    )
    return _table(["loss", *columns], rows) + note


def _marks(
    results: LossResults,
    tasks: Sequence[TaskChoice],
    predictor: str,
    chosen: Sequence[LossChoice],
    over: str,
    metric: str,
) -> list[str]:
    values = [[results.runs(task, predictor, loss, over, metric) for loss in chosen] for task in tasks]
    runs = min(len(one) for row in values for one in row)
    base = _reference(chosen)
    if runs < 5 or base is None:
        return [""] * len(chosen)
    sign = -1 if higher_is_better(metric) else 1
    ranks = np.mean([rankdata(sign * np.array([one[:runs] for one in row]), axis=0) for row in values], axis=0)
    rivals = [i for i in range(len(chosen)) if i != base]
    adjusted = holm([paired_p(ranks[base], ranks[i]) for i in rivals])
    marks = [""] * len(chosen)
    for i, p in zip(rivals, adjusted, strict=True):
        marks[i] = _MARKS[higher_or_lower(ranks[base], ranks[i], p)]
    return marks


def _reference(chosen: Sequence[LossChoice]) -> int | None:
    names = [(loss.name, bool(loss.hyperparameters)) for loss in chosen]
    return names.index((_REFERENCE, False)) if (_REFERENCE, False) in names else None


def _tests(results: LossResults, cases: Sequence[Case]) -> str:
    tasks, (predictor, *_), chosen = unique(cases)
    reference = _reference(chosen)
    if reference is None or len(chosen) < 2:
        return f"`{_REFERENCE}` is not among the losses compared."
    base = chosen[reference]
    rivals = [loss for loss in chosen if loss is not base]
    rows = []
    for over, metric, _ in MAIN_METRICS[:3]:
        for task in tasks:
            raw = [_p(results, task, predictor, base, loss, over, metric) for loss in rivals]
            found: dict[str, list[str]] = {"better": [], "worse": []}
            for loss, p in zip(rivals, holm(raw), strict=True):
                first, second = (results.runs(task, predictor, one, over, metric) for one in (loss, base))
                if higher := higher_or_lower(first, second, p):
                    found["better" if (higher > 0) == higher_is_better(metric) else "worse"].append(loss.title)
            if any(found.values()):
                rows.append([metric, _short(task), *(", ".join(names) or "–" for names in found.values())])
    head = (
        f"Wilcoxon signed-rank on paired runs, two-sided, Holm-adjusted over the {len(rivals)} losses of a row; under "
        "5 %. Rows without any are left out.\n\n"
    )
    header = ["figure", "task", f"better than {_REFERENCE}", f"worse than {_REFERENCE}"]
    return head + (_table(header, rows) if rows else "None.")


def _p(
    results: LossResults, task: TaskChoice, predictor: str, base: LossChoice, loss: LossChoice, over: str, metric: str
) -> float:
    first, second = (results.runs(task, predictor, one, over, metric) for one in (base, loss))
    return paired_p(first, second) if len(first) == len(second) and len(first) > 1 else 1.0


def _sweep(results: LossResults, cases: Sequence[Case]) -> str:
    return "\n\n".join(_task_table(results, cases, "space", metric) for metric in ("precision@0.5%", "best_rank@10"))


def _predictors(results: LossResults, cases: Sequence[Case]) -> str:
    tasks, predictors, chosen = unique(cases)
    rows = []
    for task in tasks:
        for predictor in predictors:
            for loss in chosen:
                found = [
                    _cell(results.runs(task, predictor, loss, "space", metric), metric)
                    for metric in ("best_rank@10", "precision@0.5%", "kendall_b")
                ]
                paper = PUBLISHED_PREDICTORS.get((predictor, loss.title))
                published = "–" if paper is None else f"{paper[0]} / {paper[1]} / {paper[2]}"
                rows.append([_short(task), predictor, loss.title, *found, published])
    header = ["task", "predictor", "loss", "N@10 (median)", "Precision@0.5 %", "τ_b", "published N@10 / Prec / τ"]
    return _table(header, rows)
