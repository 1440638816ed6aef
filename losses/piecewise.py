"""One loss while data are few, another once there are enough."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from losses.base import Context, Loss
from losses.catalogue import BUILT_IN
from losses.metadata import LossSpec
from losses.nested import as_loss
from losses.schedule import effective_sample_size

__all__ = ["Piecewise"]

_THRESHOLDS = {"evaluated": 50.0, "budget": 0.5, "ess": 12.0}


class Piecewise(Loss):
    """The piecewise loss of PWLNAS: `warm` up to a threshold, `focus` beyond.

    The threshold counts evaluated architectures (``by="evaluated"``), their share of the budget (``"budget"``), or the
    effective sample size of the focus loss (``"ess"``; for a top-K loss the size of the top). Bound to a context it
    *is* one of the two, bound in its turn: its `spec` and `stage` are that loss's, so that a trainer sees the switch
    and initialises the head anew. More stages are made by nesting. Unbound, the batch is the data.
    """

    spec = BUILT_IN["piecewise"]
    warm: Loss
    focus: Loss
    by: str
    threshold: float

    def prepare(self, values: dict[str, Any]) -> dict[str, Any]:
        """Look up both losses and the threshold."""
        given = values["threshold"]
        return {
            **values,
            "warm": as_loss("piecewise.warm", values["warm"]),
            "focus": as_loss("piecewise.focus", values["focus"]),
            "threshold": _THRESHOLDS[values["by"]] if given is None else given,
        }

    def specialise(self, spec: LossSpec) -> LossSpec:
        """Until it is bound: the needs of the warm loss, but the label scale of whichever cares for one."""
        warm, focus = self.warm.spec, self.focus.spec
        return dataclasses.replace(
            spec,
            labels=warm.labels if focus.labels == "order" else focus.labels,
            head=warm.head,
            learning_rate=warm.learning_rate,
            gradient_clip=warm.gradient_clip,
        )

    @property
    def stochastic(self) -> bool:
        """When one of the two is."""
        return self.warm.stochastic or self.focus.stochastic

    def _active(self, context: Context) -> Loss:
        if self.by == "ess":
            focused = effective_sample_size(self.focus.importance(context)) >= self.threshold
        elif self.by == "evaluated":
            focused = context.evaluated > self.threshold
        elif context.budget is None:
            raise ValueError("piecewise: by='budget' needs a budget; give Context one, or use by='evaluated'")
        else:
            focused = context.evaluated > self.threshold * context.budget
        return self.focus if focused else self.warm

    def bind(self, context: Context) -> Loss:
        """The active loss; bound already, unless it wants the targets on another scale than this one does."""
        active = self._active(context)
        return active.bind(context) if active.spec.labels in {"order", self.spec.labels} else active

    def importance(self, context: Context) -> Tensor:
        """The weights of the active loss."""
        return self._active(context).importance(context)

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        """The active loss's, as if the batch were all the data."""
        return self._active(Context(len(target), target)).formula(pred, target, generator)
