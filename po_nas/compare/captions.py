"""What the reports say in words: the findings, and the captions of the figures."""

from __future__ import annotations

import numpy as np

from po_nas.compare.results import Study
from po_nas.compare.significance import FEWEST, least_p, paired_tests, rank_methods, too_few
from po_nas.compare.statistics import LEVEL

__all__ = ["FIGURE_TITLES", "RECORDED", "caption", "headline"]

FIGURE_TITLES = {
    "anytime_evaluations": "Anytime curves by evaluations",
    "anytime_seconds": "Anytime curves by time",
    "critical_difference": "Critical differences",
    "win_tie_loss": "Wins, ties and losses",
    "trust": "Trust in proxies",
}
_BAND = "Median over seeds with quartiles, {of}."
_OF = {
    "validation": "of the incumbent by validation; lower regret is better",
    "hypervolume": "of the hypervolume of the front, as a share of the true one; higher is better",
}
_CAPTIONS = {
    "anytime_evaluations": _BAND,
    "anytime_seconds": _BAND + " Time is the executor's clock: {clock}",
    "critical_difference": "Mean ranks by {criterion} after {at} evaluations, best to the left. Methods joined by a "
    "bar do not differ at 5 % (Nemenyi's test).{caution}",
    "win_tie_loss": "Wins / ties / losses of the row against the column over pairs of benchmark and seed, by "
    "{criterion} after {at} evaluations; blue: the row wins more often; colour is wins minus losses in % of the pairs.",
    "trust": "The weight that a method came to give each proxy for the architecture it found, mean over up to five "
    "searches: the change of the objective, in its standard deviations among what was evaluated, for one deviation of "
    "the proxy. Red: the proxy is held against an architecture.",
}


RECORDED = frozenset({"inline", "simulated"})
"""Executors whose clock counts what the benchmark records of an evaluation; that of others counts real seconds."""
_CLOCKS = {
    True: "what the benchmark records of each evaluation. It leaves out the methods' overhead and proxy "
    "scores, which are looked up here; where they must be computed, methods that need them start that much later.",
    False: "real seconds of the search, the methods' overhead included.",
}
_CAUTION = " This holds for these benchmarks alone: seeds of one benchmark are no further tasks."


def caption(study: Study, figure: str) -> str:
    """What a figure shows."""
    at = study.reported[-1]
    ranking = rank_methods(study, at) if figure == "critical_difference" else None
    caution = "" if ranking is None or ranking.per_task else _CAUTION
    clock = _CLOCKS[study.config["executor"]["name"] in RECORDED]
    criterion = study.criterion
    return _CAPTIONS[figure].format(of=_OF[criterion], clock=clock, caution=caution, at=at, criterion=criterion)


def _designs(study: Study) -> list[str]:
    """Which methods are still in their initial design at the first reported number of evaluations."""
    first, options = study.reported[0], study.record["options"]
    sizes = {label: options.get(label, {}).get("initial") for label in study.methods}
    still = [f"{label} ({size})" for label, size in sizes.items() if isinstance(size, int) and size >= first]
    if not still:
        return []
    verb = "is still in its initial design" if len(still) == 1 else "are still in their initial designs"
    return [f"After {first} evaluations {', '.join(still)} {verb}, which most methods draw at random."]


def headline(study: Study) -> list[str]:
    """The findings in a few sentences, none that the tests do not carry."""
    said = []
    at = study.reported[-1]
    if too_few(study):
        said.append(f"No statistics from too few runs: fewer than {FEWEST} seeds are finished, so nothing is tested.")
    said += _designs(study)
    ranking = rank_methods(study, at)
    if ranking is not None:
        best = int(np.argmin(ranking.ranks))
        order = sorted(ranking.ranks)
        apart = order[1] - order[0] >= ranking.critical_difference
        over = "benchmarks" if ranking.per_task else "pairs of benchmark and seed"
        said.append(
            f"{ranking.methods[best]} has the best mean rank by {study.criterion} after {at} evaluations, "
            f"{ranking.ranks[best]:.2f} over {ranking.blocks} {over}; "
            + ("it differs from every other" if apart else "it does not differ from the next best")
            + f" at 5 % (Nemenyi, critical difference {ranking.critical_difference:.2f})."
            + ("" if ranking.per_task else _CAUTION)
        )
    family = paired_tests(study, study.criterion)
    tests = [t for t in family if t.at == at]
    if tests and least_p(family) >= LEVEL:
        said.append(
            f"{len(family)} comparisons with {study.baseline} on {max(t.n for t in family)} paired seeds cannot be "
            "significant at 5 %, whatever their outcome; run more seeds to test them."
        )
    elif tests:
        better = sum(t.verdict == "better" for t in tests)
        worse = sum(t.verdict == "worse" for t in tests)
        said.append(
            f"{study.baseline} against its rivals after {at} evaluations, benchmark by benchmark: better in {better}, "
            f"worse in {worse}, undecided in {len(tests) - better - worse} of {len(tests)} comparisons (Wilcoxon, "
            "paired seeds, 5 % after Holm's adjustment)."
        )
    return said
