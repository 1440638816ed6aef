"""Anytime curves of a comparison: median and quartiles over seeds, by evaluations and by recorded seconds."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from po_nas.compare.results import MIXED, Study

__all__ = ["Band", "by_evaluations", "by_seconds", "plotted_measure", "timed"]

Array = NDArray[np.float64]
_TIMES = 160
"""Points of a curve over seconds."""


@dataclass(frozen=True)
class Band:
    """(n,) places on the x axis with the median and the quartiles over seeds there, NaN before there is any value."""

    x: Array
    low: Array
    median: Array
    high: Array


def plotted_measure(study: Study, benchmark: str) -> str:
    """The hypervolume; with one objective the regret, or the validation value where nobody knows the optimum."""
    if study.several:
        return "hypervolume"
    known = study.record["benchmarks"][benchmark].get("optimum_validation") is not None
    return "regret" if known else "validation"


def timed(study: Study) -> bool:
    """Whether there is a clock to draw curves over, the same for all searches."""
    if MIXED in (study.config["executor"]["name"], study.config["batch"]):
        return False
    return any(study.duration_s(benchmark, method) > 0 for benchmark in study.benchmarks for method in study.methods)


def by_evaluations(study: Study, benchmark: str, method: str) -> Band | None:
    """The curve over evaluations; None without a finished search."""
    curves = study.curves(plotted_measure(study, benchmark), benchmark, method)
    if not len(curves):
        return None
    return _band(np.arange(1.0, study.budget + 1), curves)


def by_seconds(study: Study, benchmark: str, method: str) -> Band | None:
    """The curve over the clock, from the first to the median of the last completions; None where no costs are kept."""
    longest = max(study.duration_s(benchmark, name) for name in study.methods)
    if longest <= 0 or not study.seeds(benchmark, method):
        return None
    # Never beyond a method's own end: there nothing was spent.
    end = study.duration_s(benchmark, method)
    if end <= 0:
        return None
    seconds = np.linspace(0, longest, _TIMES + 1)[1:]
    seconds = np.append(seconds[seconds < end], end)
    return _band(seconds, study.curves_by_seconds(plotted_measure(study, benchmark), benchmark, method, seconds))


def _band(x: Array, curves: Array) -> Band:
    with warnings.catch_warnings():
        # Before any search has a value, the quartiles are NaN, which is meant.
        warnings.simplefilter("ignore", RuntimeWarning)
        # A failed first evaluation has no value; with infinities in its place the median would jump.
        low, median, high = np.nanpercentile(curves, [25, 50, 75], axis=0)
    few = np.isfinite(curves).sum(axis=0) * 2 <= len(curves)
    low, median, high = (np.where(few, np.nan, values) for values in (low, median, high))
    return Band(x, low, median, high)
