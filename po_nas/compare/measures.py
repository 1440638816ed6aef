"""The numbers that a comparison reports of a search after so many evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["MEASURES", "Measure"]


@dataclass(frozen=True, slots=True)
class Measure:
    """Its title; `better` is +1 or -1, or 0 where the benchmark's metric says which way is up; `digits` to print.

    `in_unit` says whether it is in the unit of that metric.
    """

    title: str
    explanation: str
    better: int = 0
    digits: int = 3
    in_unit: bool = True


MEASURES: Mapping[str, Measure] = {
    "hypervolume": Measure(
        "hypervolume of the front",
        "the volume between the evaluations and the reference point, as a share of that of the table's true front "
        "(where that is not known: of the front of all that the searches of the benchmark found); the reference point "
        "is a tenth of that front's extent beyond it; higher is better",
        1,
        in_unit=False,
    ),
    "regret": Measure(
        "simple regret, validation",
        "best validation value of the table minus that of the incumbent, in the metric's own unit; lower is better",
        -1,
    ),
    "validation": Measure("validation of the incumbent", "the best search signal so far", 0, 2),
    "test": Measure(
        "test of the incumbent",
        "the report metric of the architecture that is best by validation, looked up after the search",
        0,
        2,
    ),
    "best_test_queried": Measure(
        "best test queried",
        "the best report metric among all architectures evaluated; a search that sees validation alone cannot pick it, "
        "and some papers print it",
        0,
        2,
    ),
    "rank": Measure(
        "validation rank of the incumbent",
        "1 + how many architectures of the table have a better search signal; lower is better",
        -1,
        1,
        in_unit=False,
    ),
}
"""By name, the most telling first. ``hypervolume`` is of searches with several objectives."""
