"""Fidelities: how much of a full evaluation is made, and what share of its cost that takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from po_nas.errors import BudgetError, ConfigError

__all__ = ["ROUNDING", "Fidelities"]

ROUNDING = 1e-9
"""Shares of a full evaluation add up to a whole number but for rounding."""


@dataclass(frozen=True)
class Fidelities:
    """The fidelities that an objective may be asked for, in ascending order; the last one is a full evaluation.

    Without any, or with one alone, there are full evaluations only, and the object is false.

    Args:
        values: Amounts in `unit`, such as epochs: above 0, finite, each larger than the one before.
        unit: Of the amounts, for the reader.
        costs: What an evaluation at each of them costs, as a share of a full one: above 0, none smaller than the one
            before, the last is 1. Default: in proportion to the values.
        resumes: Whether an evaluation goes on from what one of the same architecture at a lower fidelity has left. It
            then costs the difference of the two.

    Raises:
        ConfigError: For values out of order, and for what is no fidelity or cost.
    """

    values: tuple[float, ...] = ()
    unit: str = ""
    costs: tuple[float, ...] = field(default=())
    resumes: bool = False

    def __post_init__(self) -> None:
        values, costs = tuple(self.values), tuple(self.costs)
        _check_amounts("fidelities", values)
        for low, high in pairwise(values):
            if low >= high:
                raise ConfigError("fidelities", list(values), f"{high:g} comes after {low:g}; write them ascending")
        if values and not costs:
            costs = tuple(value / values[-1] for value in values)
        _check_amounts("fidelities.costs", costs)
        if len(costs) != len(values):
            raise ConfigError("fidelities.costs", list(costs), f"are {len(costs)}; give one for each fidelity")
        if costs and (costs[-1] != 1 or any(low > high for low, high in pairwise(costs))):
            remedy = "must not fall, and end with 1: they are shares of what a full evaluation costs"
            raise ConfigError("fidelities.costs", list(costs), remedy)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "costs", costs)

    @classmethod
    def of(cls, given: Fidelities | Mapping[str, Any] | Sequence[float]) -> Fidelities:
        """From values alone, or from what `to_json` gives; raises `ConfigError` for anything else."""
        if isinstance(given, Fidelities):
            return given
        told = dict(given) if isinstance(given, Mapping) else {"values": given}
        strange = told.keys() - cls.__dataclass_fields__.keys()
        if strange:
            known = ", ".join(cls.__dataclass_fields__)
            raise ConfigError(f"fidelities.{min(strange)}", told[min(strange)], f"unknown key; known keys: {known}")
        for name in ("values", "costs"):
            if isinstance(told.get(name, ()), (str, bytes)) or not isinstance(told.get(name, ()), Sequence):
                raise ConfigError("fidelities", told[name], "must be a list of numbers, such as [1, 3, 9, 27]")
        for name, kind, expected in (("resumes", bool, "True or False"), ("unit", str, "a word, such as epochs")):
            if not isinstance(told.get(name, kind()), kind):
                raise ConfigError(f"fidelities.{name}", told[name], f"must be {expected}")
        return cls(**told)

    def to_json(self) -> dict[str, Any]:
        """The fields, as JSON has them."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    def __bool__(self) -> bool:
        return len(self.values) > 1

    @property
    def full(self) -> float | None:
        """The amount of a full evaluation; None where no fidelities are declared."""
        return self.values[-1] if self.values else None

    def check_budget(self, budget: float | None, least: float, remedy: str) -> None:
        """Refuse a budget that ends below the full fidelity.

        Args:
            budget: Full evaluations, None for a budget of another kind.
            least: What is spent before there may be a full evaluation, with it.
            remedy: What helps besides a larger budget.

        Raises:
            BudgetError: For a budget below `least`.
        """
        if budget is not None and budget < least - ROUNDING:
            why = (
                f"no architecture would come to a full evaluation, before which {least:.3g} are spent at lower "
                f"fidelities and on it; raise the budget, or {remedy}"
            )
            raise BudgetError("budget.max_evaluations", budget, why)

    def require_lower(self) -> None:
        """Raise `ConfigError` where there are full evaluations only."""
        if not self:
            remedy = "are too few to evaluate at a lower one; declare two or more"
            raise ConfigError("fidelities", list(self.values), remedy)

    def checked(self, fidelity: float | None) -> float | None:
        """The declared fidelity that is asked for, None for a full evaluation.

        Raises `ConfigError` for one that is not declared.
        """
        if fidelity is None or fidelity == self.full:
            return None
        if isinstance(fidelity, bool) or fidelity not in self.values:
            known = ", ".join(f"{value:g}" for value in self.values)
            remedy = f"is none of {known}" if known else "is asked for, but there are full evaluations only"
            raise ConfigError("fidelity", fidelity, remedy)
        return self.values[self.values.index(fidelity)]

    def amount(self, fidelity: float | None) -> float:
        """The amount of a fidelity, for which None is the full one; infinite where no fidelities are declared."""
        return (math.inf if self.full is None else self.full) if fidelity is None else fidelity

    def cost(self, fidelity: float | None, after: float | None = None) -> float:
        """What an evaluation costs, as a share of a full one.

        Args:
            fidelity: A declared one, None for the full one.
            after: The lower one from which it goes on, if any.
        """
        whole = 1.0 if fidelity is None else self.costs[self.values.index(fidelity)]
        return whole - (0.0 if after is None else self.costs[self.values.index(after)])

    def climb(self, steps: Sequence[float], reached: float | None = None) -> list[float]:
        """What evaluations at some fidelities cost one after the other, ascending, each as a share of a full one.

        Args:
            steps: Declared ones, above `reached`.
            reached: The one that the architecture has been evaluated at, None for none.
        """
        found = []
        for step in steps:
            found.append(self.cost(self.checked(step), reached if self.resumes else None))
            reached = step
        return found

    def shares(self, asked: Iterable[tuple[str, float | None]]) -> Iterator[tuple[float | None, float]]:
        """What was asked for one after the other, as the declared fidelity, None for the full one, and its cost.

        Args:
            asked: Architectures as strings, each with a declared fidelity.

        Raises:
            ConfigError: For a fidelity that is not declared.
        """
        reached: dict[str, float | None] = {}
        for architecture, given in asked:
            fidelity = self.checked(given)
            yield fidelity, self.cost(fidelity, reached.get(architecture) if self.resumes else None)
            reached[architecture] = fidelity

    def ladder(self, eta: float, lowest: float | None = None) -> tuple[float, ...]:
        """Fidelities some way apart, ascending, the full one last; declared ones, none below `lowest`.

        From the full one down, each is the highest that is at most 1 / `eta` of the one above.
        """
        allowed = [value for value in self.values if lowest is None or value >= lowest]
        steps = list(self.values[-1:])
        while below := [value for value in allowed if steps and value * eta <= steps[0] * (1 + ROUNDING)]:
            steps.insert(0, below[-1])
        return tuple(steps)

    def text(self, fidelity: float | None) -> str:
        """A fidelity in words, such as ``12 of 200 epochs``; ``full`` for the full one."""
        return "full" if fidelity is None else f"{fidelity:g} of {self.full:g} {self.unit}".rstrip()


def _check_amounts(key: str, amounts: tuple[float, ...]) -> None:
    for amount in amounts:
        sound = isinstance(amount, (int, float)) and not isinstance(amount, bool) and math.isfinite(amount)
        if not sound or amount <= 0:
            raise ConfigError(key, list(amounts), f"{amount!r} is no number above 0")
