"""Tables of an evolution of losses: what was thrown away, the losses, the ladder, the final comparison."""

from __future__ import annotations

import numpy as np
from scipy.stats import kendalltau, spearmanr

from losses.classification import Program
from po_nas.compare.statistics import mean_interval
from po_nas.compare.table import Table
from po_nas.research.evolved_losses import curves
from po_nas.research.evolved_losses.results import F64, Evolved

__all__ = ["make_tables"]

_FEWEST = 5


def make_tables(evolved: Evolved) -> list[Table]:
    """All tables, in the order of a page."""
    return [
        _final(evolved),
        _paired(evolved),
        _rates(evolved),
        _losses(evolved),
        _funnel(evolved),
        _reasons(evolved),
        _ladder(evolved),
    ]


def _losses(evolved: Evolved) -> Table:
    rows = []
    steps = evolved.steps
    for one in evolved.result["losses"]:
        about = one["about"]
        sign = "" if one["sign"] == 1 else "−"
        shown = one["sign"] * curves.curve(Program(one["formula"]))
        optimum = 1 - float(np.argmin(shown)) / (curves.POINTS - 1)
        reached = [about["screen"], about["fitness"], *about["rounds"]]
        rows.append(
            [one["name"], f"{sign}`{one['formula']}`", f"{one['scale']:.3g}", f"{optimum:.2f}"]
            + [f"{value:.2f}" for value in reached]
        )
    for name, found in evolved.result["references"].items():
        rows.append([name, "", "", "", *("failed" if value is None else f"{value:.2f}" for value in found)])
    return Table(
        "losses",
        "The losses that came out",
        ["loss", "f(y, p), summed over the classes", "scale", "optimum of two classes", *steps],
        rows,
        "Mean validation accuracy in % on every step of the ladder; the baselines beside them were no candidates. "
        "The optimum is the probability of the true one of two classes where the loss is least.",
        labels=2,
    )


def _funnel(evolved: Evolved) -> Table:
    random, mutants = (evolved.result["funnel"][kind]["stages"] for kind in ("random", "mutants"))
    rows = []
    for first, second in zip(random, mutants, strict=True):
        cells = [first["stage"]]
        for one in (first, second):
            share = 100 * one["passed"] / one["met"] if one["met"] else float("nan")
            cells += [f"{one['met']:,}", f"{one['passed']:,}", f"{share:.1f} %"]
        rows.append(cells)
    for at, stages in ((1, random), (4, mutants)):
        if at == 1:
            rows.append(["all", "", "", "", "", "", ""])
        met, passed = stages[0]["met"], stages[-1]["passed"]
        rows[-1][at : at + 3] = [f"{met:,}", f"{passed:,}", f"{100 * passed / met:.1f} %" if met else "–"]
    return Table(
        "funnel",
        "Acceptance, check by check",
        ["check", "random graphs", "passed", "rate", "mutants", "passed", "rate"],
        rows,
        "Each check sees what the one before let pass. A phenotype or a pattern of gradient norms is compared with "
        "those of all losses ever seen.",
    )


def _reasons(evolved: Evolved) -> Table:
    both = [evolved.result["funnel"][kind]["reasons"] for kind in ("random", "mutants")]
    keys = sorted(set(both[0]) | set(both[1]), key=lambda key: -both[0].get(key, 0) - both[1].get(key, 0))
    rows = [[key, *(f"{found.get(key, 0):,}" for found in both)] for key in keys]
    return Table("reasons", "Why losses were thrown away", ["check: reason", "random graphs", "mutants"], rows)


def _ladder(evolved: Evolved) -> Table:
    rows = []
    steps = evolved.steps
    for position, first in enumerate(steps):
        for second in steps[position + 1 :]:
            one, other = evolved.step(first), evolved.step(second)
            common = sorted(one.keys() & other.keys())
            if len(common) < _FEWEST:
                continue
            a, b = (np.array([found[number] for number in common]) for found in (one, other))
            top = np.argsort(-a, kind="stable")[: max(_FEWEST, len(a) // 4)]
            cells = []
            for chosen in (np.arange(len(a)), top):
                cells += [str(len(chosen)), *_correlations(a[chosen], b[chosen])]
            rows.append([f"{first} → {second}", *cells])
    return Table(
        "ladder",
        "Rank correlation between the steps of the ladder",
        ["steps", "losses", "Spearman's ρ", "Kendall's τ", "best quarter", "ρ", "τ"],
        rows,
        "Over all losses that both steps have trained. On the elimination rounds these are the candidates and some "
        "losses of all fitnesses, which climb every round without a chance; the best quarter is that of the first of "
        "the two steps.",
    )


def _correlations(a: F64, b: F64) -> tuple[str, str]:
    """Spearman's ρ and Kendall's τ; a dash where there is nothing to rank."""
    if min(np.ptp(a), np.ptp(b)) == 0:
        return "–", "–"
    return f"{spearmanr(a, b).statistic:.2f}", f"{kendalltau(a, b).statistic:.2f}"


def _final(evolved: Evolved) -> Table:
    cells = list(evolved.tests)
    means = {
        cell: {name: float(np.mean(np.nan_to_num(list(seeds.values())))) for name, seeds in losses.items()}
        for cell, losses in evolved.tests.items()
    }
    rows = []
    for name in evolved.compared:
        row = [name]
        for cell in cells:
            values = np.array(list(evolved.tests[cell][name].values()))
            failed = int(np.isnan(values).sum())
            mean, half = mean_interval(np.nan_to_num(values))
            text = f"{mean:.2f} ± {half:.2f}" + (f" ({failed} failed)" if failed else "")
            row.append(f"**{text}**" if means[cell][name] == max(means[cell].values()) else text)
        rows.append(row)
    seeds = evolved.config["final"]["seeds"]
    return Table(
        "final",
        f"Test accuracy of losses evolved on {evolved.dataset}",
        ["loss", *(f"{dataset}: {setting}" for dataset, setting in cells)],
        rows,
        f"%, mean over {seeds} seeds ± half the width of the 95 % confidence interval; bold: best mean. All training "
        "images are trained on, nothing is chosen by the test images, which are looked at once, after the last epoch.",
    )


def _rates(evolved: Evolved) -> Table:
    cells = list(evolved.tests)
    rows = [[name, *(f"{evolved.rate(cell, name):g}" for cell in cells)] for name in evolved.compared]
    return Table(
        "rates",
        "Learning rates, as multiples of the setting's",
        ["loss", *(f"{dataset}: {setting}" for dataset, setting in cells)],
        rows,
        "Where a setting has several to choose from, each loss gets the one with the best validation accuracy; "
        f"{evolved.config['final']['tuning_seeds']} training each, without the test images.",
    )


def _paired(evolved: Evolved) -> Table:
    rows = [
        [t.dataset, t.loss, t.baseline, str(t.n), f"{t.gain:+.2f}", f"{t.p:.3f}", f"{t.adjusted:.3f}", t.verdict]
        for t in evolved.paired
    ]
    return Table(
        "paired",
        "Paired tests of the evolved losses",
        ["data", "loss", "against", "pairs", "mean gain", "p", "p (Holm)", "at 5 %"],
        rows,
        "Difference of test accuracies in % points over pairs of setting and seed; Wilcoxon's signed-rank test, "
        f"two-sided, Holm's adjustment over all {len(rows)} tests. A failed training counts as 0 %.",
        labels=3,
        texts=1,
    )
