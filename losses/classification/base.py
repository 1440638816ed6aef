"""The contract of a classification loss: a module that is called with logits and labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from losses.classification.catalogue import ClassificationSpec
from losses.errors import LossInputError

__all__ = ["ClassificationLoss", "FunctionLoss"]

Reduction = Literal["mean", "sum", "none"]


class ClassificationLoss(nn.Module, ABC):
    """A loss with all its hyper-parameters, which are attributes.

    ``loss(logits, labels)`` takes logits (n, C) of any floating dtype and labels (n,), int64, in [0, C); it computes in
    single precision or better, autocast or not. A subclass implements `per_sample`, without a branch on values, so that
    it compiles and works under ``torch.func.vmap``; labels are smoothed before it sees them. Nothing is random.
    """

    spec: ClassificationSpec
    label_smoothing: float

    def __init__(self, spec: ClassificationSpec, values: Mapping[str, Any]) -> None:
        super().__init__()
        self.spec = spec
        self.hyperparameters = {key: value for key, value in values.items() if key not in spec.fixed}
        for key, value in values.items():
            setattr(self, key, value)

    @abstractmethod
    def per_sample(self, logits: Tensor, y: Tensor) -> Tensor:
        """The losses (n,) of logits (n, C), of at least single precision, and targets (n, C) of the same dtype."""

    @property
    def name(self) -> str:
        """The name in the registry."""
        return self.spec.name

    def forward(self, logits: Tensor, labels: Tensor, *, reduction: Reduction = "mean") -> Tensor:
        """The mean (or sum) of the samples' losses, or with ``reduction="none"`` these, (n,).

        Raises a `LossInputError` that names the wrong item for shapes and dtypes that do not fit; values are not
        looked at, which would wait for the device.
        """
        if logits.ndim != 2 or labels.shape != logits.shape[:1]:
            raise LossInputError(
                self.name,
                f"logits have shape {tuple(logits.shape)} and labels {tuple(labels.shape)}; they must be "
                "(samples, classes) and (samples,)",
            )
        if not logits.is_floating_point():
            raise LossInputError(self.name, f"logits are {logits.dtype}; they must be floating-point numbers")
        if labels.is_floating_point():
            raise LossInputError(self.name, f"labels are {labels.dtype}; they must be the numbers of classes, int64")
        with _full_precision(logits.device.type):
            return self.compute(logits.to(torch.promote_types(logits.dtype, torch.float32)), labels, reduction)

    def compute(self, logits: Tensor, labels: Tensor, reduction: Reduction) -> Tensor:
        """`forward` without checks; `logits` of at least single precision."""
        losses = self.per_sample(logits, self.targets(logits, labels))
        return losses if reduction == "none" else losses.sum() if reduction == "sum" else losses.mean()

    def targets(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The labels as (n, C): one at the class, smoothed."""
        classes = logits.shape[1]
        y = (labels.unsqueeze(1) == torch.arange(classes, device=labels.device)).to(logits.dtype)
        return y * (1 - self.label_smoothing) + self.label_smoothing / classes if self.label_smoothing else y

    def extra_repr(self) -> str:
        """Name and hyper-parameters."""
        return ", ".join([self.name, *(f"{key}={value!r}" for key, value in self.hyperparameters.items())])


class FunctionLoss(ClassificationLoss):
    """A plain function ``(logits, y, *, …) -> (n,)`` as a loss."""

    def __init__(self, spec: ClassificationSpec, values: Mapping[str, Any], function: Callable[..., Tensor]) -> None:
        super().__init__(spec, values)
        self._function = function
        self._given = {key: value for key, value in values.items() if key != "label_smoothing"}

    def per_sample(self, logits: Tensor, y: Tensor) -> Tensor:
        """Call the function."""
        return self._function(logits, y, **self._given)


def _full_precision(device: str) -> AbstractContextManager[Any]:
    # Entering the context costs more than a small loss, so only where it is needed.
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()
