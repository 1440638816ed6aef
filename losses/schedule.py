"""Losses made of others: as sharp as the data can bear, or one while data are few and another afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from losses.base import Context, Loss
from losses.catalogue import BUILT_IN
from losses.errors import LossInputError
from losses.metadata import LossSpec
from po_nas.errors import ConfigError

__all__ = ["Piecewise", "Scheduled", "as_loss", "effective_sample_size", "strongest_emphasis"]


def as_loss(key: str, value: object) -> Loss:
    """A loss given as such, by name, or as a mapping with a `name` and hyper-parameters, as in a file."""
    import losses

    if isinstance(value, Loss):
        return value
    if isinstance(value, str):
        return losses.get(value)
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        return losses.get(value["name"], **{k: v for k, v in value.items() if k != "name"})
    raise ConfigError(key, value, "must be the name of a loss, a mapping with its name, or a loss")


_HALVINGS = 40


def effective_sample_size(weights: Tensor) -> float:
    """Kish's (Σ w)² / Σ w² of `weights` (m,): how many equally weighted items carry as much information."""
    weights = weights.double() / weights.max()
    return float(weights.sum().square() / weights.square().sum())


def strongest_emphasis(loss: Loss, context: Context, minimum: float, strongest: float | None = None) -> float:
    """The strongest emphasis of `loss` whose effective sample size on the data is `minimum` or more, by bisection.

    It lies between the emphasis that weighs all alike, which is returned when even that falls short, and `strongest`
    (None: what the loss declares).
    """
    if loss.emphasis is None:
        raise ConfigError("scheduled.base", loss.name, "its weights have no strength that could be scheduled")
    name, weak = loss.emphasis.parameter, loss.emphasis.none
    strong = loss.emphasis.strongest if strongest is None else strongest

    def enough(value: float) -> bool:
        return effective_sample_size(loss.replace(**{name: value}).importance(context)) >= minimum

    if enough(strong):
        return strong
    for _ in range(_HALVINGS):
        middle = (weak + strong) / 2
        weak, strong = (middle, strong) if enough(middle) else (weak, middle)
    return weak


class Scheduled(Loss):
    """A weighted loss whose emphasis on the best grows with the data, without thresholds set by hand.

    Bound to a context it is its `base` with the strongest emphasis that leaves an effective sample size of `minimum`:
    `weighted_lr` (gamma), `warp_homotopy` (alpha), `mape` (exponent), `ew` (temperature), or one of the top-K losses,
    whose top then has at least `minimum` members while it shrinks from half of the list to a tenth. Unbound, the batch
    is the data.
    """

    spec = BUILT_IN["scheduled"]
    base: Loss
    minimum: float
    strongest: float | None

    def prepare(self, values: dict[str, Any]) -> dict[str, Any]:
        base = as_loss("scheduled.base", values["base"])
        if base.emphasis is None:
            raise ConfigError("scheduled.base", base.name, "its weights have no strength that could be scheduled")
        return {**values, "base": base}

    def specialise(self, spec: LossSpec) -> LossSpec:
        own = self.base.spec
        return dataclasses.replace(
            spec, labels=own.labels, head=own.head, learning_rate=own.learning_rate, gradient_clip=own.gradient_clip
        )

    @property
    def stochastic(self) -> bool:
        return self.base.stochastic

    def _at(self, context: Context) -> Loss:
        value = strongest_emphasis(self.base, context, self.minimum, self.strongest)
        assert self.base.emphasis is not None
        return self.base.replace(**{self.base.emphasis.parameter: value})

    def bind(self, context: Context) -> Loss:
        return self._at(context).bind(context)

    def check(self, target: Tensor) -> None:
        self.base.check(target)

    def importance(self, context: Context) -> Tensor:
        return self._at(context).importance(context)

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        batch = Context(len(target), target)
        return self._at(batch).bind(batch).formula(pred, target, generator)


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
        return self.warm.stochastic or self.focus.stochastic

    def _active(self, context: Context) -> Loss:
        if self.by == "ess":
            focused = effective_sample_size(self.focus.importance(context)) >= self.threshold
        elif self.by == "evaluated":
            focused = context.evaluated > self.threshold
        elif context.budget is None:
            remedy = "set budget.max_evaluations of the search (a Context's budget), or use by='evaluated'"
            raise LossInputError(self.name, f"by='budget' needs a budget that is counted in evaluations; {remedy}")
        else:
            focused = context.evaluated > self.threshold * context.budget
        return self.focus if focused else self.warm

    def bind(self, context: Context) -> Loss:
        """The active loss; bound already, unless it wants the targets on another scale than this one does."""
        active = self._active(context)
        return active.bind(context) if active.spec.labels in {"order", self.spec.labels} else active

    def importance(self, context: Context) -> Tensor:
        return self._active(context).importance(context)

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        return self._active(Context(len(target), target)).formula(pred, target, generator)
