"""The study of evolved proxies as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from po_nas.compare.statistics import holm, paired_p, signed_rank
from po_nas.compare.table import Table
from po_nas.research.evolved_proxies.design import EvolvedStudyConfig
from po_nas.research.evolved_proxies.results import F64, Entry, EvolvedResults, short

__all__ = ["evolved_tables", "protocol"]

_KINDS = {
    "single": "one score",
    "untrained": "untrained sum",
    "fitted": "fitted on the source spaces",
    "run": "evolved on the source spaces",
    "pick": "final formula",
}
_FEWEST = 10
"""Seeds below which a test says nothing."""
_TOP = ("loss@1", "loss@5", "loss@10", "loss@1%", "rank@10")


def evolved_tables(results: EvolvedResults, config: EvolvedStudyConfig) -> list[Table]:
    """All tables that the rows allow."""
    found = [_unseen(results, config), _top(results, config), _same(results, config), _problems(results, config)]
    found += [_formulas(results, config), *_tasks(results, config)]
    return [table for table in found if table.rows]


def protocol(config: EvolvedStudyConfig) -> str:
    """What must stand beside the numbers."""
    return (
        f"{config.seeds} seeds unless said otherwise ({config.fitted_seeds} of what is fitted), {config.train} "
        f"architectures of each problem to learn from, {config.train_unseen} where a space is held out; twins "
        "never on both sides; ranks are taken among the architectures that are judged (scores, never accuracies)"
    )


def best_single(results: EvolvedResults) -> Entry | None:
    """The score that orders the spaces best on average, known only afterwards."""
    singles = [entry for entry in results.unseen() if entry.kind == "single"]
    return max(singles, key=lambda entry: entry.mean) if singles else None


def _spread(values: F64, digits: int = 3) -> str:
    """Median and quartiles over seeds, or one number."""
    if len(values) < 2:
        return f"{float(np.mean(values)):.{digits}f}"
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def _bold(cells: list[list[str]], values: Sequence[Sequence[float]], first: int, better: Callable[..., float]) -> None:
    """Set the best of each column in bold; NaN never is."""
    for column in range(len(values[0]) if values else 0):
        known = [row[column] for row in values if not np.isnan(row[column])]
        for line, row in zip(cells, values, strict=True):
            if known and row[column] == better(known):
                line[first + column] = f"**{line[first + column]}**"


def _shown(results: EvolvedResults, figure: str = "tau") -> list[Entry]:
    """The lines of the tables of unseen spaces: the better half of the single scores, and everything else."""
    order = {entry.label: entry.mean for entry in results.unseen("tau")}
    entries = results.unseen(figure)
    singles = sorted((e for e in entries if e.kind == "single"), key=lambda e: -order.get(e.label, 0.0))[:8]
    return [*singles, *(e for e in entries if e.kind != "single")]


def _unseen(results: EvolvedResults, config: EvolvedStudyConfig) -> Table:
    entries = _shown(results)
    values = [[*entry.means, entry.mean, min(entry.means)] for entry in entries]
    rows = [
        [
            entry.label,
            _KINDS[entry.kind],
            *(f"{m:.3f}" for m in entry.means),
            _spread(entry.seeds),
            f"{min(entry.means):.3f}",
        ]
        for entry in entries
    ]
    _bold(rows, values, 2, max)
    single = best_single(results)
    note = (
        "Kendall τ_b, mean over the problems of each space, which nothing was learned from (what learns does so on the "
        "other spaces). Mean over the spaces: median over seeds with quartiles. "
    )
    if single is not None:
        note += f"The best single score in hindsight is `{single.label}` ({single.mean:.3f}). "
        note += _tests(results, single)
    header = ["method", "kind", *map(short, results.spaces), "mean", "worst space"]
    return Table("unseen", "Leave one space out", header, rows, note + f"Protocol: {protocol(config)}.", labels=2)


def _tests(results: EvolvedResults, single: Entry) -> str:
    """Wilcoxon over seeds of the variants against the best single score and the best untrained sum."""
    entries = results.unseen()
    sums = [entry for entry in entries if entry.kind == "untrained"]
    rivals = [single, *([max(sums, key=lambda e: e.mean)] if sums else [])]
    runs = [entry for entry in entries if entry.kind == "run" and len(entry.seeds) >= _FEWEST]
    pairs = [(run, rival, np.full(len(run.seeds), rival.mean)) for run in runs for rival in rivals]
    words = [
        f"`{run.label}` {'above' if signed_rank(run.seeds, theirs) > 0 else 'below'} `{rival.label}` "
        f"({rival.mean:.3f}), p {p:.2g}"
        for (run, rival, theirs), p in zip(
            pairs, holm([paired_p(run.seeds, theirs) for run, _, theirs in pairs]), strict=True
        )
    ]
    return f"Wilcoxon over seeds, Holm-adjusted: {'; '.join(words)}. " if words else ""


def _top(results: EvolvedResults, config: EvolvedStudyConfig) -> Table:
    figures = {figure: {entry.label: entry for entry in _shown(results, figure)} for figure in _TOP}
    labels = [entry.label for entry in _shown(results)]
    values = [
        [100 * figures[f][label].mean if f.startswith("loss") else figures[f][label].mean for f in _TOP]
        for label in labels
    ]
    rows = [[label, *(f"{value:.1f}" for value in line)] for label, line in zip(labels, values, strict=True)]
    _bold(rows, values, 1, min)
    header = ["method", "top 1", "top 5", "top 10", "top 1 %", "mean rank of the top 10, %"]
    note = (
        "On spaces that nothing was learned from, mean over spaces (and seeds). Top k: what the best of the k highest "
        "scores lacks to the best there is, as a share (%) of the distance between the median and the best accuracy "
        f"of the problem. Lower is better everywhere. Protocol: {protocol(config)}."
    )
    return Table("top", "What a search would find: top-k regret", header, rows, note)


def _same(results: EvolvedResults, config: EvolvedStudyConfig) -> Table:
    """Held-out architectures of the problems learned from: one line for each method, means over problems."""
    rows, values = [], []
    for method in (*results.fitted, *results.variants):
        held_out = results.runs("same_problem", method, "held_out")
        train = results.runs("same_problem", method, "train")
        if not held_out:
            continue
        mean = np.mean(list(held_out.values()), axis=0)
        rows.append(
            [method, f"{np.mean(list(train.values())):.3f}", _spread(mean), f"{mean.min():.3f}–{mean.max():.3f}"]
        )
        values.append([float(np.median(mean))])
    _bold_at(rows, values, 2)
    note = (
        "Kendall τ_b, mean over the problems. Held-out architectures: median over seeds with quartiles. This says how "
        f"well a method learns, not how well it transfers. Protocol: {protocol(config)}."
    )
    header = ["method", "training rows", "held-out rows", "range over seeds"]
    return Table("same", "Same problems, other architectures", header, rows, note)


def _bold_at(rows: list[list[str]], values: list[list[float]], place: int) -> None:
    _bold(rows, values, place, max)


def _problems(results: EvolvedResults, config: EvolvedStudyConfig) -> Table:
    """Problem by problem: the distribution over seeds, seen and unseen, beside hand-made orders."""
    label = config.shipped or results.variants[0]
    plain = label if results.runs("same_problem", label, "held_out") else results.variants[0]
    held_out = results.runs("same_problem", plain, "held_out")
    unseen = results.runs("unseen_space", label, "unseen")
    singles = {column: results.untrained(column) for column in results.columns}
    rows = []
    for name in results.learned:
        known = {column: found[name] for column, found in singles.items() if name in found}
        best = max(known, key=lambda column: known[column]) if known else ""
        sums = [results.untrained(method).get(name, float("nan")) for method in results.sums]
        row = [short(name), _quantiles(held_out.get(name)), _quantiles(unseen.get(name))]
        rows.append([*row, f"{best} {known[best]:.3f}" if best else "–", *(f"{value:.3f}" for value in sums)])
    header = ["problem", f"held-out rows ({plain})", f"unseen space ({label})", "best single (oracle)", *results.sums]
    note = (
        "Kendall τ_b: median over seeds, in brackets the smallest and the largest. Held-out rows: other architectures "
        "of problems that were learned from; unseen space: evolved without its space. The best single score is "
        f"that of the problem, which nobody knows beforehand. Protocol: {protocol(config)}."
    )
    return Table("problems", "Problem by problem", header, rows, note)


def _quantiles(values: F64 | None) -> str:
    if values is None or not len(values):
        return "–"
    return f"{np.median(values):.3f} ({values.min():.3f} to {values.max():.3f})"


def _formulas(results: EvolvedResults, config: EvolvedStudyConfig) -> Table:
    rows = []
    for variant in results.variants:
        for protocol_name in ("unseen_space", "final", "same_problem"):
            for row in results.formulas(protocol_name, variant):
                if row["rule"] in ("training", "validation"):
                    where = short(row["held_out"]) if row["held_out"] else "none"
                    rows.append([variant, row["rule"], where, f"`{row['formula']}`"])
    note = (
        "The final formulas, by the space that was held out (none: evolved on all spaces). Leaves are ranks in (0, 1); "
        "`aq(a, b)` is a / √(1 + b²)."
    )
    return Table("formulas", "Formulas", ["variant", "chosen by", "held out", "formula"], rows, note, labels=4)


def _tasks(results: EvolvedResults, config: EvolvedStudyConfig) -> list[Table]:
    """Other tasks of known spaces, which were never learned from."""
    others = tuple(dict.fromkeys(row["problem"] for row in results.rows if row["problem"] not in results.learned))
    label = config.shipped or results.variants[0]
    if not others:
        return []
    single = best_single(results)
    rows = []
    for name in others:
        found = [
            row["tau"]
            for row in results.rows
            if row["method"] == label and row["problem"] == name and row["rule"] == "run" and row["candidate"] == 0
            if row["role"] == "unseen"
        ]
        hand = [single.label] if single is not None else []
        hand_taus = [results.untrained(m, problems=[name]).get(name, float("nan")) for m in (*hand, *results.sums)]
        rows.append([name, _quantiles(np.array(found)), *(f"{value:.3f}" for value in hand_taus)])
    header = ["problem", f"unseen space ({label})", *([single.label] if single is not None else []), *results.sums]
    note = (
        "Kendall τ_b on problems that were never learned from (about 200 architectures each, so below about .15 is "
        "noise), their space held out as well: median over seeds, smallest and largest."
    )
    return [Table("tasks", "Problems that are judged only", header, rows, note)]
