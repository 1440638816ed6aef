"""The built-in losses: from logits, or from probabilities with gradients that stay finite."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from losses.classification.base import ClassificationLoss, Reduction
from losses.classification.catalogue import ClassificationSpec
from losses.classification.functions import EPSILON
from losses.classification.ops_torch import TORCH
from losses.classification.program import Program
from po_nas.errors import ConfigError

__all__ = ["NGL", "CrossEntropy", "Focal", "FormulaLoss", "ProbabilityLoss"]


class CrossEntropy(ClassificationLoss):
    r"""L = -Σ_c y_c log p_c, with y smoothed by `label_smoothing`; to the last bit what torch computes."""

    def compute(self, logits: Tensor, labels: Tensor, reduction: Reduction) -> Tensor:
        """torch's fused function, which smooths by itself."""
        return functional.cross_entropy(logits, labels, reduction=reduction, label_smoothing=self.label_smoothing)

    def per_sample(self, logits: Tensor, y: Tensor) -> Tensor:
        """The same from targets."""
        return functional.cross_entropy(logits, y, reduction="none")


class Focal(ClassificationLoss):
    """L = -scale · Σ_c y_c (1 - p_c)^gamma log p_c ("Focal Loss for Dense Object Detection", arXiv 1708.02002)."""

    gamma: float
    scale: float | None

    def per_sample(self, logits: Tensor, y: Tensor) -> Tensor:
        """From log-probabilities; 1 - p is kept from zero, where its power has no finite slope."""
        log_p = functional.log_softmax(logits, 1)
        rest = (-torch.expm1(log_p)).clamp_min(EPSILON)
        factor = 1 / _steepness(self.gamma) if self.scale is None else self.scale
        return -factor * (y * rest.pow(self.gamma) * log_p).sum(1)


def _steepness(gamma: float) -> float:
    """Slope after log p of the right class at p = 1 / 10; cross-entropy's is 1."""
    p = 0.1
    return float((1 - p) ** gamma - gamma * p * (1 - p) ** (gamma - 1) * math.log(p))


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
        return self._program.run(TORCH, y, p, slopes=True)


class NGL(ProbabilityLoss):
    """f(y, p) = exp(alpha - p (1 + y)) - cos(cos(sin p)) ("Next Generation Loss Function …", arXiv 2404.12948)."""

    alpha: float

    def __init__(self, spec: ClassificationSpec, values: Mapping[str, Any]) -> None:
        super().__init__(spec, values)
        # The slopes of both targets at p = 1 / 10; the cosine's part is that of both.
        slope = 0.1 * (2 * math.exp(self.alpha - 0.2) - math.exp(self.alpha - 0.1))
        self.factor = 1 / slope if self.scale is None else self.scale

    def terms(self, y: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        power, sine = torch.exp(self.alpha - p * (1 + y)), torch.sin(p)
        inner = torch.cos(sine)
        return power - torch.cos(inner), -(1 + y) * power - torch.sin(inner) * torch.sin(sine) * torch.cos(p)
