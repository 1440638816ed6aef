"""The tables of a comparison, every one with the protocol that it was made under."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from po_nas.compare.measures import MEASURES
from po_nas.compare.protocol import protocol_line, protocol_table
from po_nas.compare.results import Study
from po_nas.compare.significance import (
    FEWEST,
    Paired,
    half_tests,
    least_p,
    paired_tests,
    rank_methods,
    repeated,
    to_match,
    too_few,
    twins,
    wins,
)
from po_nas.compare.statistics import LEVEL, mean_interval
from po_nas.compare.table import Table
from po_nas.core.fidelities import ROUNDING

__all__ = ["TABLES", "make_tables"]

TABLES = frozenset(
    {
        *MEASURES,
        "to_optimum",
        "to_target",
        "to_match",
        *(f"tests_{name}" for name in ("hypervolume", "validation", "test")),
    }
    | {"ranks", "win_tie_loss", "overhead"}
    | {"published", "failures", "protocol"}
)
"""Names of all tables that there may be."""


def make_tables(study: Study) -> list[Table]:
    """All tables that there are results for, the most important first."""
    line = protocol_line(study)
    found = [_measure_table(study, name, line) for name in MEASURES if _known(study, name)]
    makers: tuple[Callable[[Study, str], Table | None], ...] = (
        _to_optimum,
        _to_target,
        _to_match,
        *(lambda study, line, name=name: _tests(study, name, line) for name in _tested(study)),
        _ranks,
        _wins,
        _overhead,
        _published,
        _failures,
    )
    found += [table for table in (make(study, line) for make in makers) if table is not None]
    return [*found, protocol_table(study)]


def _tested(study: Study) -> tuple[str, ...]:
    """Measures of which there are tests; with several objectives one of them alone says little."""
    return ("hypervolume",) if study.several else ("validation", "test")


def _known(study: Study, measure: str) -> bool:
    return any(
        study.values(measure, benchmark, method, study.budget)
        for benchmark in study.benchmarks
        for method in study.methods
    )


def number(value: float, digits: int) -> str:
    """A number, or a dash for one that is not known."""
    return "–" if math.isnan(value) else f"{value:,.{digits}f}"


def interval(values: Sequence[float], digits: int) -> str:
    """Mean ± half the width of the 95 % confidence interval; of fewer than `FEWEST` values the mean alone."""
    if not len(values):
        return "–"
    mean, half = mean_interval(np.asarray(values, dtype=np.float64))
    return number(mean, digits) + ("" if len(values) < FEWEST else f" ± {number(half, digits)}")


def _gain(value: float, digits: int) -> str:
    """With its sign, unless it is zero."""
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"


_UNITLESS = 2
"""Digits more for a metric without a unit, such as a similarity between 0 and 1."""


def _digits(study: Study, benchmark: str, measure: str) -> int:
    """Digits to print of a measure on a benchmark."""
    unitless = not study.record["benchmarks"][benchmark].get("unit") and MEASURES[measure].in_unit
    return MEASURES[measure].digits + _UNITLESS * unitless


def _units(study: Study) -> str:
    units = {study.record["benchmarks"][name].get("unit", "") or "no unit" for name in study.benchmarks}
    return " and ".join(sorted(units))


def _measure_table(study: Study, name: str, line: str) -> Table:
    measure = MEASURES[name]
    rows, data = [], []
    for benchmark in study.benchmarks:
        sign, digits = study.sign(benchmark, name), _digits(study, benchmark, name)
        for at in study.reported:
            values = {m: list(study.values(name, benchmark, m, at).values()) for m in study.methods}
            means = {m: float(np.mean(v)) for m, v in values.items() if v}
            best = max((round(sign * mean, digits) for mean in means.values()), default=math.nan)
            row = [benchmark, str(at)]
            most = max(map(len, values.values()))
            for method in study.methods:
                text = interval(values[method], digits)
                if 0 < len(values[method]) < most:
                    text += f" (n = {len(values[method])})"
                top = method in means and round(sign * means[method], digits) == best
                row.append(f"**{text}**" if top else text)
                if values[method]:
                    mean, half = mean_interval(np.array(values[method]))
                    data.append(
                        {"benchmark": benchmark, "evaluations": at, "method": method, "measure": name, "mean": mean}
                        | {"half_interval": half, "median": float(np.median(values[method]))}
                        | {"seeds": len(values[method])}
                    )
            rows.append(row)
    unit = f" Unit: {_units(study)}." if measure.in_unit else ""
    few = f" {_FEW}" if too_few(study) else ""
    early = "" if study.reported[0] == study.budget else f" {_EARLY.format(study.budget)}"
    explanation = measure.explanation[0].upper() + measure.explanation[1:]
    note = (
        f"{explanation}. Mean ± half the width of the 95 % confidence interval over seeds; bold: best mean."
        f"{unit}{early}{few} {line}"
    )
    header = ("benchmark", "evaluations", *study.methods)
    return Table(name, measure.title[0].upper() + measure.title[1:], header, rows, note, data, labels=2)


_EARLY = "All values are of the same searches, which were planned for {} evaluations."
_FEW = f"Fewer than {FEWEST} seeds: no statistics from too few runs, so no tests; read these as single observations."


def _to_optimum(study: Study, line: str) -> Table | None:
    known = [b for b in study.benchmarks if study.record["benchmarks"][b].get("optimum_validation") is not None]
    if not known or study.several:
        return None
    rows, data = [], []
    for benchmark in known:
        row = [benchmark]
        for method in study.methods:
            hits = study.to_optimum(benchmark, method)
            if not len(hits):
                row.append("–")
                continue
            median = float(np.median(hits))
            shares = [float(np.mean(hits <= at + ROUNDING)) for at in study.reported]
            middle = f"> {study.budget}" if math.isinf(median) else f"{median:g}"
            row.append(f"{middle} ({' / '.join(f'{100 * share:.0f}' for share in shares)} %)")
            data += [
                {"benchmark": benchmark, "method": method, "median_evaluations": median, "within": at, "share": share}
                for at, share in zip(study.reported, shares, strict=True)
            ]
        rows.append(row)
    within = " / ".join(map(str, study.reported))
    note = (
        "Median over seeds of the evaluations until the incumbent was the best of the table by validation; in brackets "
        f"the share of searches that had found it within {within} evaluations. {line}"
    )
    return Table("to_optimum", "Evaluations to the optimum", ("benchmark", *study.methods), rows, note, data)


def _to_target(study: Study, line: str) -> Table | None:
    """Evaluations and seconds until each target was met."""
    rows, data = [], []
    measure = "hypervolume" if study.several else "regret"
    known = [b for b in study.benchmarks if any(study.values(measure, b, m, study.budget) for m in study.methods)]
    for benchmark, target in itertools.product(known, study.config.get("targets", ())):
        row = [benchmark, f"{target:g}"]
        for method in study.methods:
            evaluations, seconds = study.to_target(benchmark, method, target)
            if not len(evaluations):
                row.append("–")
                continue
            middle, clock = float(np.median(evaluations)), float(np.median(seconds))
            share = float(np.mean(np.isfinite(evaluations)))
            text = f"> {study.budget}" if math.isinf(middle) else f"{middle:g}"
            if math.isfinite(clock) and clock > 0:
                text += f", {_duration(clock)}"
            row.append(f"{text} ({100 * share:.0f} %)")
            data.append(
                {"benchmark": benchmark, "method": method, "target": target, "share": share}
                | {"median_evaluations": middle, "median_seconds": clock}
            )
        rows.append(row)
    if not rows:
        return None
    of = "the hypervolume was that share of the true one" if study.several else "the regret was so small"
    note = (
        f"Medians over seeds of the evaluations, and of the time on the executor's clock, until {of}; in brackets the "
        f"share of searches that came so far. {line}"
    )
    return Table(
        "to_target", "Evaluations and time to a target", ("benchmark", "target", *study.methods), rows, note, data
    )


def _cautions(study: Study, tests: Collection[Paired]) -> str:
    said = ""
    if least_p([*tests]) >= LEVEL:
        said += (
            f" Of so few pairs the smallest of {len(tests)} p-values is {least_p([*tests]):.2g} or more after "
            "adjustment, so none can be significant: run more seeds."
        )
    if twins(study):
        said += " Where two benchmarks feed back the same, what came out the same is tested once."
    return said


def _to_match(study: Study, line: str) -> Table | None:
    tests = {(t.benchmark, t.rival): t for t in half_tests(study)}
    rivals = [m for m in study.methods if m != study.baseline]
    if not tests:
        return None
    # The rival's view: it is the one with fewer evaluations.
    marks = {"better": " °", "worse": " *", "": ""}
    rows, data = [], []
    for benchmark in study.benchmarks:
        row = [benchmark]
        digits = max(3, _digits(study, benchmark, study.criterion))
        for rival in rivals:
            test, matched = tests.get((benchmark, rival)), to_match(study, benchmark, rival)
            if test is None:
                row.append("–")
                continue
            text = f"> {study.budget}" if math.isinf(matched) else f"{matched:g}"
            row.append(f"{text} ({_gain(-test.gain, digits)}, {_p(test.adjusted)}{marks[test.verdict]})")
            data.append(
                {"benchmark": benchmark, "method": rival, "reference": study.baseline, "evaluations": matched}
                | {"half": test.at, "gain_at_half": -test.gain, "p": test.p, "p_holm": test.adjusted}
            )
        rows.append(row)
    note = (
        f"Evaluations after which the mean {study.criterion} of a method is at least as good as that of "
        f"{study.baseline} after {study.budget}. In brackets its mean gain with {study.budget // 2} evaluations over "
        f"{study.baseline} with {study.budget} (positive: the method is better with half of them) and the p-value: "
        f"Wilcoxon's signed-rank test on paired seeds, Holm-adjusted over all {len(tests)} of this table. * the method "
        f"better, ° {study.baseline} better, at 5 %, by the ranks that are tested."
        f"{_cautions(study, tests.values())} {line}"
    )
    title = f"Evaluations to match {study.baseline}"
    return Table("to_match", title, ("benchmark", *rivals), rows, note, data)


def _tests(study: Study, measure: str, line: str) -> Table | None:
    tests = paired_tests(study, measure)
    rivals = [m for m in study.methods if m != study.baseline]
    if not tests or not rivals:
        return None
    found = {(t.benchmark, t.at, t.rival): t for t in tests}
    marks = {"better": " *", "worse": " °", "": ""}
    rows = []
    for benchmark in study.benchmarks:
        for at in study.reported:
            cells = [found.get((benchmark, at, rival)) for rival in rivals]
            if any(cells):
                digits = max(3, _digits(study, benchmark, measure))
                texts = [
                    "–" if t is None else f"{_gain(t.gain, digits)}, {_p(t.adjusted)}{marks[t.verdict]}" for t in cells
                ]
                rows.append([benchmark, str(at), *texts])
    data = [
        {"benchmark": t.benchmark, "evaluations": t.at, "reference": study.baseline, "rival": t.rival}
        | {"measure": measure, "pairs": t.n, "gain": t.gain, "p": t.p, "p_holm": t.adjusted, "verdict": t.verdict}
        for t in tests
    ]
    note = (
        f"Mean gain of {study.baseline} over the rival (positive: {study.baseline} is better) and p-value: Wilcoxon's "
        f"signed-rank test on paired seeds, two-sided, Holm-adjusted over all {len(tests)} comparisons of this table. "
        f"* {study.baseline} better, ° worse, at 5 %, by the ranks that are tested.{_cautions(study, tests)} {line}"
    )
    title = f"Paired tests against {study.baseline}: {MEASURES[measure].title}"
    return Table(f"tests_{measure}", title, ("benchmark", "evaluations", *rivals), rows, note, data, labels=2)


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _not_counted(reasons: Mapping[str, str]) -> str:
    said = "; ".join(f"{name} ({reason})" for name, reason in reasons.items())
    return f" Not counted: {said}." if said else ""


def _ranks(study: Study, line: str) -> Table | None:
    at = study.reported[-1]
    ranking = rank_methods(study, at)
    if ranking is None:
        return None
    order = sorted(range(len(ranking.methods)), key=lambda i: ranking.ranks[i])
    rows = [[ranking.methods[i], f"{ranking.ranks[i]:.2f}"] for i in order]
    over = "benchmarks (means over seeds)" if ranking.per_task else "pairs of benchmark and seed"
    caution = (
        ""
        if ranking.per_task
        else " They speak of these benchmarks alone: seeds of one benchmark are no further tasks."
    )
    note = (
        f"Mean rank by {study.criterion} after {at} evaluations over {ranking.blocks} {over}; 1 is best, ties share "
        f"the mean rank.{caution}{_not_counted(ranking.left_out)} Friedman's test: {_p(ranking.friedman_p)}. Two "
        f"methods differ at 5 % when their mean ranks differ by more than {ranking.critical_difference:.2f} (Nemenyi). "
        f"{line}"
    )
    data = [{"method": ranking.methods[i], "mean_rank": ranking.ranks[i]} for i in order]
    return Table("ranks", "Mean ranks", ("method", "mean rank"), rows, note, data)


def _wins(study: Study, line: str) -> Table | None:
    at = study.reported[-1]
    counts, blocks = wins(study, at)
    if len(study.methods) < 2 or not blocks:
        return None
    rows, data = [], []
    for i, method in enumerate(study.methods):
        row = [method]
        for j, rival in enumerate(study.methods):
            won, lost = int(counts[i, j]), int(counts[j, i])
            row.append("" if i == j else f"{won} / {blocks - won - lost} / {lost}")
            if i != j:
                data.append(
                    {"method": method, "rival": rival, "wins": won, "ties": blocks - won - lost, "losses": lost}
                )
        rows.append(row)
    note = (
        f"How often the method of the row ended with better / equal / worse {study.criterion} than that of the column "
        f"after {at} evaluations, over {blocks} pairs of benchmark and seed.{_not_counted(repeated(study))} {line}"
    )
    return Table("win_tie_loss", "Wins, ties and losses", ("", *study.methods), rows, note, data)


def _duration(seconds: float) -> str:
    size, unit = (3600, "hours") if seconds >= 7200 else (60, "minutes") if seconds >= 120 else (1, "s")
    return f"{seconds / size:.1f} {unit}"


def _overhead(study: Study, line: str) -> Table:
    ranking = rank_methods(study, study.reported[-1])
    ranks = {} if ranking is None else dict(zip(ranking.methods, ranking.ranks, strict=True))
    limited = bool(study.config.get("constraints"))
    rows, data = [], []
    for method in study.methods:
        by_task = [study.overhead_s(b, method) for b in study.benchmarks]
        # A machine that does something else meanwhile makes some searches slow; the median is of the method.
        means = {b: float(np.median(v)) for b, v in zip(study.benchmarks, by_task, strict=True) if len(v)}
        slowest = max(means, key=lambda name: means[name])
        failed = sum(study.failures(b, method) for b in study.benchmarks)
        beyond = sum(study.beyond_limits(b, method) for b in study.benchmarks)
        mean = float(np.mean([*means.values()]))
        rank = ranks.get(method, math.nan)
        rows.append(
            [method, f"{1000 * mean:,.1f}", f"{1000 * means[slowest]:,.1f} ({slowest})", number(rank, 2), str(failed)]
            + [str(beyond)] * limited
        )
        data.append(
            {"method": method, "overhead_s": mean, "slowest": slowest, "overhead_s_slowest": means[slowest]}
            | {"mean_rank": rank, "failed_evaluations": failed, "beyond_limits": beyond}
        )
    total = sum(float(search.columns["overhead_s"].sum()) for search in study.searches.values())
    note = (
        "Real milliseconds that the method itself took to propose one trial, on one thread of the machine that ran the "
        "comparison (mean over a search, median over seeds, mean over benchmarks), beside what it buys: the mean rank "
        f"by {study.criterion} (1 is best). All {len(study.searches):,} searches together took {_duration(total)} of "
        f"one thread. {line}"
    )
    header = (
        *("method", "ms per evaluation", "slowest benchmark", "mean rank", "failed evaluations"),
        *("evaluations beyond the limits",) * limited,
    )
    return Table("overhead", "Overhead of the methods", header, rows, note, data)


def _published(study: Study, line: str) -> Table | None:
    entries: list[dict[str, Any]] = [e for e in study.config["published"] if e["benchmark"] in study.benchmarks]
    if not entries:
        return None
    rows, data = [], []
    for entry in entries:
        measure, at = entry["measure"], entry["evaluations"] or study.budget
        label = entry["ours"] or (entry["method"] if entry["method"] in study.methods else "")
        values = []
        if label in study.methods and at <= study.budget:
            values = list(study.values(measure, entry["benchmark"], label, at).values())
        digits = _digits(study, entry["benchmark"], measure)
        spread = "" if entry["spread"] is None else f" ± {number(entry['spread'], digits)}"
        ours = f"{interval(values, digits)} ({label})" if values else "–"
        claim = number(entry["value"], digits) + spread
        said = "; ".join(filter(None, (entry["source"], entry["note"])))
        spent = "not said" if entry["evaluations"] is None else str(at)
        rows.append([entry["benchmark"], MEASURES[measure].title, spent, entry["method"], claim, ours, said])
        mean = float(np.mean(values)) if values else math.nan
        data.append({**entry, "our_label": label, "our_mean": mean, "our_seeds": len(values)})
    note = (
        "Published numbers are copied from the papers named and were not measured here; ± is as printed there. Ours: "
        f"mean ± half the width of the 95 % confidence interval. Protocols may differ, see the notes. {line}"
    )
    header = ("benchmark", "measure", "evaluations", "published method", "published", "ours", "source")
    return Table("published", "Published numbers beside ours", header, rows, note, data, labels=4, texts=1)


def _failures(study: Study, line: str) -> Table | None:
    rows = [[f["benchmark"], f["method"], str(f["seed"]), f["error"]] for f in study.record["failed"]]
    rows += [[name, "all", "all", f"left out: {reason}"] for name, reason in study.record["missing"].items()]
    if not rows:
        return None
    note = (
        "Searches whose method raised an error are in no other table; the same command runs them again. Failed "
        "evaluations are no failed searches: they count against the budget."
    )
    return Table(
        "failures", "What failed or was left out", ("benchmark", "method", "seed", "reason"), rows, note, labels=4
    )
