"""The next generation loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from losses.classification.catalogue import ClassificationSpec
from losses.classification.probability_loss import ProbabilityLoss

__all__ = ["NGL"]


class NGL(ProbabilityLoss):
    """f(y, p) = exp(alpha - p (1 + y)) - cos(cos(sin p)) ("Next Generation Loss Function …", arXiv 2404.12948)."""

    alpha: float

    def __init__(self, spec: ClassificationSpec, values: Mapping[str, Any]) -> None:
        super().__init__(spec, values)
        # The slopes of both targets at p = 1 / 10; the cosine's part is that of both.
        slope = 0.1 * (2 * math.exp(self.alpha - 0.2) - math.exp(self.alpha - 0.1))
        self.factor = 1 / slope if self.scale is None else self.scale

    def terms(self, y: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        """The formula's value and slope."""
        power, sine = torch.exp(self.alpha - p * (1 + y)), torch.sin(p)
        inner = torch.cos(sine)
        return power - torch.cos(inner), -(1 + y) * power - torch.sin(inner) * torch.sin(sine) * torch.cos(p)
