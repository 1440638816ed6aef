"""Cross-entropy, torch's own."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from losses.classification.base import ClassificationLoss, Reduction

__all__ = ["CrossEntropy"]


class CrossEntropy(ClassificationLoss):
    r"""L = -Σ_c y_c log p_c, with y smoothed by `label_smoothing`; to the last bit what torch computes."""

    def compute(self, logits: Tensor, labels: Tensor, reduction: Reduction) -> Tensor:
        """torch's fused function, which smooths by itself."""
        return functional.cross_entropy(logits, labels, reduction=reduction, label_smoothing=self.label_smoothing)

    def per_sample(self, logits: Tensor, y: Tensor) -> Tensor:
        """The same from targets."""
        return functional.cross_entropy(logits, y, reduction="none")
