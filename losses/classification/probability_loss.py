"""Losses computed from probabilities, with gradients that stay finite: formulas, evolved or written."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from losses.classification.base import ClassificationLoss
from losses.classification.catalogue import ClassificationSpec
from losses.classification.functions import EPSILON
from losses.classification.ops_torch import TORCH
from losses.classification.program import Program
from po_nas.errors import ConfigError

__all__ = ["FormulaLoss", "ProbabilityLoss"]


class ProbabilityLoss(ClassificationLoss):
    """L = factor · Σ_c f(y_c, p_c), where p is the softmax, kept EPSILON from 0 and 1.

    Value and derivative of f are computed together, going forward. The gradient runs through the logarithm of the
    softmax: p f'(p) is what log p gets, each entry at most `limit`, NaN counting as 0 (a saturated inner function
    times an infinite slope). Where p is at its bounds it is the gradient there, so that a sample that is certainly
    wrong still learns. The loss has no second derivative.
    """

    scale: float | None
    limit: float | None
    factor: float

    @abstractmethod
    def terms(self, y: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        """f(y, p) and its derivative after p, elementwise."""

    def per_sample(self, logits: Tensor, y: Tensor) -> Tensor:
        """The sum over the classes; see the class."""
        log_p = functional.log_softmax(logits, 1)
        fixed = log_p.detach()
        p = fixed.exp().clamp(EPSILON, 1 - EPSILON)
        value, slope = self.terms(y, p)
        gradient = self.factor * torch.nan_to_num(slope * p, nan=0.0)
        if self.limit is not None:
            largest = gradient.abs().amax(1, keepdim=True)
            gradient = gradient * (self.limit / largest.clamp_min(self.limit))
        # Nothing is added but a gradient.
        return self.factor * value.sum(1) + (gradient * (log_p - fixed)).sum(1)


class FormulaLoss(ProbabilityLoss):
    """A formula over `y` and `p` as a loss; `sign` -1 negates it, `scale` None normalises it.

    `ConfigError` when it cannot be normalised: it has no slope, or no finite one, where ten classes are predicted
    alike. `FormulaError` for a text that is no formula.
    """

    formula: str
    sign: int

    def __init__(self, spec: ClassificationSpec, values: Mapping[str, Any]) -> None:
        super().__init__(spec, values)
        from losses.classification.probing import steepness

        if self.sign not in (-1, 1):
            raise ConfigError(f"{spec.name}.sign", self.sign, "must be 1 or -1")
        self._program = Program(self.formula)
        scale = self.scale
        if scale is None:
            slope = abs(steepness(self._program))
            if not 1e-12 < slope < 1e30:
                raise ConfigError(
                    f"{spec.name}.scale",
                    None,
                    f"{self.formula!r} has the slope {slope:g} where ten classes are predicted alike, so that it "
                    "cannot be normalised there; give a number",
                )
            scale = 1 / slope
        self.factor = self.sign * scale

    def terms(self, y: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        """The formula's value and slope."""
        return self._program.run(TORCH, y, p, slopes=True)
