"""What outputs of a network mean: classes, next tokens, or numbers; the loss, and the metric that is reported."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from po_nas.core.objective import Metric
from po_nas.errors import ConfigError, NetworkOutputError, SamplesError, UnknownNameError
from po_nas.training.recipe import DEFAULT, Recipe, loss_of

__all__ = ["Classification", "LossFunction", "NextToken", "Regression", "Task", "task_of"]

LossFunction = Callable[[Tensor, Tensor], Tensor]

IGNORED = -100
"""The target of positions that do not count, as in torch."""
_ROUNDING = 1e-12
"""Share of a sum of squares in double precision that may be due to rounding."""


@dataclass(frozen=True)
class Task(ABC):
    """The loss of outputs and targets, and a metric that is put together from sums over batches."""

    @property
    @abstractmethod
    def metric(self) -> Metric:
        """Of validation samples: what a search optimises."""

    @property
    def measured(self) -> str:
        """The metric without the word validation, as in ``train_accuracy``."""
        return self.metric.name.removeprefix("validation ")

    @abstractmethod
    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Raise `NetworkOutputError` for outputs of a shape that says nothing of the targets.

        `SamplesError` for targets that are none of the task, where the data could not be looked at before.
        """

    @abstractmethod
    def loss(self, recipe: Recipe) -> LossFunction:
        """The mean loss of outputs and targets under a recipe; `ConfigError` for a loss that is none of this task."""

    def share(self, part: Tensor, batch: Tensor) -> Tensor | float:
        """The weight of the mean loss of a part of a batch in that of the whole batch, from the targets of both."""
        return len(part) / len(batch)

    @abstractmethod
    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What a batch adds to the sums that `value` reads; on the device."""

    @abstractmethod
    def value(self, sums: Tensor, samples: int) -> float:
        """The metric of all batches together."""


@dataclass(frozen=True)
class Classification(Task):
    """Logits (n, classes) against classes (n,); the accuracy in %.

    Attributes:
        num_classes: How many there are; None: not known.
    """

    num_classes: int | None = None

    @property
    def metric(self) -> Metric:
        """The accuracy."""
        return Metric("validation accuracy")

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Logits have a row for each sample and a column for each class, or more."""
        expected = f"({len(targets)}, {self.num_classes or 'classes'})"
        if outputs.dim() != 2 or len(outputs) != len(targets) or outputs.shape[1] < (self.num_classes or 2):
            raise NetworkOutputError(tuple(outputs.shape), f"logits {expected}")
        # Where it is known, that of the data has been looked at.
        if self.num_classes is None:
            low, high = int(targets.min()), int(targets.max())
            if low < 0:
                raise SamplesError("given", f"class {low}", "classes are numbered from 0")
            if high >= outputs.shape[1]:
                raise NetworkOutputError(tuple(outputs.shape), f"a column for class {high}")

    def loss(self, recipe: Recipe) -> LossFunction:
        """The recipe's."""
        return loss_of(recipe.loss, recipe.label_smoothing)

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How many are right, ()."""
        right: Tensor = (outputs.argmax(1) == targets).sum()
        return right

    def value(self, sums: Tensor, samples: int) -> float:
        """The accuracy, %."""
        return 100 * int(sums) / max(1, samples)


@dataclass(frozen=True)
class NextToken(Task):
    """Logits (n, t, vocabulary) against tokens (n, t); the perplexity, or the accuracy in %, over all positions.

    Positions whose target is -100 do not count.

    Attributes:
        num_classes: Size of the vocabulary.
        of: ``perplexity`` or ``accuracy``.
    """

    num_classes: int
    of: str = "perplexity"

    @property
    def metric(self) -> Metric:
        """Perplexity, or accuracy."""
        right = self.of == "accuracy"
        return Metric(f"validation {self.of}", "%" if right else "", maximize=right)

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Logits have a row for each position and a column for each token, or more."""
        expected = f"({', '.join(map(str, targets.shape))}, {self.num_classes})"
        if outputs.dim() != 3 or outputs.shape[:2] != targets.shape or outputs.shape[2] < self.num_classes:
            raise NetworkOutputError(tuple(outputs.shape), f"logits {expected}")

    def loss(self, recipe: Recipe) -> LossFunction:
        """The recipe's, over the positions that count."""
        inner = loss_of(recipe.loss, recipe.label_smoothing)

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            counts = targets != IGNORED
            if not counts.any():
                # The mean of no position is no number; such a batch teaches nothing.
                return 0 * outputs.sum()
            mean: Tensor = inner(outputs[counts], targets[counts])
            return mean

        return loss

    def share(self, part: Tensor, batch: Tensor) -> Tensor | float:
        """The share of the positions that count."""
        counted: Tensor = (part != IGNORED).sum() / (batch != IGNORED).sum().clamp_min(1)
        return counted

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Right ones, positions that count, and the negative logarithms of probabilities, (3,)."""
        counts = targets != IGNORED
        logits, tokens = outputs[counts].float(), targets[counts]
        right = (logits.argmax(1) == tokens).sum()
        lost = functional.cross_entropy(logits, tokens, reduction="sum")
        return torch.stack([right.double(), counts.sum().double(), lost.double()])

    def value(self, sums: Tensor, samples: int) -> float:
        """Accuracy in %, or perplexity."""
        right, positions, lost = sums.tolist()
        if self.of == "accuracy":
            return float(100 * right / max(1, positions))
        return float(torch.tensor(lost / max(1, positions), dtype=torch.float64).exp())


@dataclass(frozen=True)
class Regression(Task):
    """Outputs (n,), (n, 1) or (n, k) against numbers (n,) or (n, k) under the mean squared error; R² or its root.

    R² is one for all numbers predicted right and zero for predictions as good as the mean; of several targets it is the
    mean.

    Attributes:
        of: ``r2`` or ``rmse``.
    """

    of: str = "r2"

    @property
    def metric(self) -> Metric:
        """R², or the root mean squared error."""
        return Metric(f"validation {self.of}", "", maximize=self.of == "r2")

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Outputs are as many as targets."""
        if len(outputs) != len(targets) or outputs.numel() != targets.numel():
            raise NetworkOutputError(tuple(outputs.shape), f"numbers {tuple(targets.shape)}")

    def loss(self, recipe: Recipe) -> LossFunction:
        """The mean squared error."""
        if recipe.loss != DEFAULT:
            raise ConfigError("loss", recipe.loss, "is a loss of classifiers; regression has the squared error")
        if recipe.label_smoothing:
            raise ConfigError("label_smoothing", recipe.label_smoothing, "is for classes, not for numbers")
        return lambda outputs, targets: functional.mse_loss(outputs.float().reshape(targets.shape), targets)

    def sums(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Squared errors, targets and their squares, (3, k)."""
        wanted = targets.double().reshape(len(targets), -1)
        error = outputs.double().reshape(wanted.shape) - wanted
        return torch.stack([error.square().sum(0), wanted.sum(0), wanted.square().sum(0)])

    def value(self, sums: Tensor, samples: int) -> float:
        """R² (NaN where targets do not vary), or the root mean squared error."""
        lost, first, second = sums.cpu()
        if self.of == "rmse":
            return float((lost / max(1, samples)).mean().sqrt())
        spread = second - first.square() / max(1, samples)
        # Of equal targets, rounding leaves a little.
        varies = bool((spread > _ROUNDING * second).all())
        return float((1 - lost / spread).mean()) if varies else float("nan")


_METRICS = {
    "classification": ("accuracy",),
    "next_token": ("perplexity", "accuracy"),
    "regression": ("r2", "rmse"),
}


def task_of(name: str, num_classes: int | None, metric: str | None = None) -> Task:
    """The task of that name: ``classification``, ``next_token`` or ``regression``; by default with its first metric.

    Raises `UnknownNameError` for a task or metric that there is not.
    """
    if name not in _METRICS:
        raise UnknownNameError("task", name, _METRICS)
    chosen = _METRICS[name][0] if metric is None else metric
    if chosen not in _METRICS[name]:
        raise UnknownNameError(f"metric of {name}", chosen, _METRICS[name])
    if name == "classification":
        return Classification(num_classes)
    if name == "regression":
        return Regression(chosen)
    if num_classes is None:
        raise ConfigError("num_classes", "", "is needed for next_token: the size of the vocabulary")
    return NextToken(num_classes, chosen)
