"""The budget of a search and the ledger that everything spent goes through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from po_nas.core.fidelities import ROUNDING
from po_nas.errors import BudgetError

__all__ = ["Budget", "Ledger"]


class Budget(BaseModel):
    """How much may be spent; the search ends at the first limit reached.

    Every evaluation counts: initial ones, failed ones and those that time out. One at a lower fidelity counts in
    `max_evaluations` by the share of its cost, so that this is a number of full evaluations. `max_cost_s` counts the
    objective's own seconds (recorded training time of a table), `max_wallclock_s` real seconds, earlier sessions of a
    resumed run included.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_evaluations: Annotated[int, Field(strict=True, gt=0)] | None = None
    max_cost_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_wallclock_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    def check(self, distinct: int | None, *, costs_known: bool = True) -> None:
        """Raise `BudgetError` for a budget without a limit, one never reached, or one larger than the space."""
        if self.max_cost_s is not None and not costs_known:
            raise BudgetError(
                "budget.max_cost_s", self.max_cost_s, "no costs are recorded here; use budget.max_evaluations"
            )
        if self.max_evaluations is None and self.max_cost_s is None and self.max_wallclock_s is None:
            raise BudgetError("budget", None, "set budget=N evaluations, budget.max_cost_s or budget.max_wallclock_s")
        if distinct is not None and self.max_evaluations is not None and self.max_evaluations > distinct:
            raise BudgetError("budget.max_evaluations", self.max_evaluations, f"there are {distinct} to evaluate")


@dataclass
class Ledger:
    """What has been spent of a budget.

    `asked_full` and `told_full` are in full evaluations, of which one at a lower fidelity is a share; `told` and
    `failed` count all alike, and `full` those that were full ones.
    """

    budget: Budget
    asked_full: float = 0.0
    told: int = 0
    told_full: float = 0.0
    full: int = 0
    failed: int = 0
    cost_s: float = 0.0
    objective_s: float = 0.0
    """Real seconds spent inside the objective."""

    def charge(self, cost_s: float, objective_s: float, *, failed: bool, share: float = 1.0, full: bool = True) -> None:
        """Enter one finished evaluation, which counts as so large a `share` of a full one."""
        self.told += 1
        self.told_full += share
        self.full += full
        self.failed += failed
        self.cost_s += cost_s
        self.objective_s += objective_s

    def room(self, elapsed_s: float) -> float | None:
        """How many more full evaluations may be asked for; None means no limit but cost or time."""
        if self.exhausted(elapsed_s):
            return 0.0
        return None if self.budget.max_evaluations is None else self.budget.max_evaluations - self.asked_full

    def exceeds(self, share: float) -> bool:
        """Whether a trial that counts as so large a share of a full evaluation goes beyond the budget."""
        limit = self.budget.max_evaluations
        return limit is not None and self.asked_full + share > limit + ROUNDING

    def exhausted(self, elapsed_s: float) -> str | None:
        """The limit that has been reached, in words, or None."""
        b = self.budget
        if b.max_evaluations is not None and self.asked_full >= b.max_evaluations - ROUNDING:
            return f"{b.max_evaluations} evaluations"
        if b.max_cost_s is not None and self.cost_s >= b.max_cost_s:
            return f"{b.max_cost_s:g} s of cost"
        if b.max_wallclock_s is not None and elapsed_s >= b.max_wallclock_s:
            return f"{b.max_wallclock_s:g} s of wall-clock time"
        return None
