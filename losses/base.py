"""The contract of a loss: an immutable function of predictions and targets that says what it needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from losses.errors import LossInputError
from losses.metadata import LossSpec
from po_nas.errors import short

__all__ = ["Context", "Emphasis", "FunctionLoss", "Loss", "own_generator"]

_PERCENT = 1.0 + 1e-6
"""Above this a fraction is taken for a percentage; the rest is rounding."""


@dataclass(frozen=True, eq=False)
class Context:
    """How much data there is when a predictor is fitted.

    Attributes:
        evaluated: Number of architectures evaluated.
        targets: All training targets (n,), on the scale that the loss's spec asks for; or None.
        budget: Number of evaluations in all, where there is such a number.

    Examples:
        >>> import losses
        >>> losses.get("piecewise").bind(losses.Context(evaluated=10, budget=100)).spec.labels
        'order'
    """

    evaluated: int
    targets: Tensor | None = None
    budget: int | None = None


@dataclass(frozen=True, slots=True)
class Emphasis:
    """The hyper-parameter that moves a loss's weight to the best architectures, from `none` to `strongest`."""

    parameter: str
    none: float
    strongest: float


class Loss(ABC):
    """A loss with all its hyper-parameters; immutable.

    Calling it checks the input, then computes. A trainer that has called `check` on its targets once may call `compute`
    in its loop. Predictions and targets are of equal shape and higher is better in both.

    * `bind` gives the loss for so much data. Bind the unbound loss afresh at every refit, then read `spec` (label
      scale, head, learning rate) from what it returns. When its label scale is not the one of the unbound loss, bind
      what was returned once more, with the targets on its own scale.
    * `stage` changes when outputs of the loss before and after have different meanings: the head of a network that is
      trained further must then be initialised anew.
    * `stochastic` losses draw from `generator`; without one they use a generator that is seeded alike at each call.

    A subclass has a class attribute `spec` (the decorator `losses.register` sets it) and implements `formula`; its
    hyper-parameters are attributes.

    Args:
        hyperparameters: By name; the others have their defaults.

    Attributes:
        spec: What the loss is and needs.
        emphasis: The hyper-parameter that moves weight to the best architectures, None where there is none.

    Raises:
        ConfigError: For a hyper-parameter that there is not or that is out of its range.

    Examples:
        >>> import losses
        >>> class Quartic(losses.Loss):
        ...     def formula(self, pred, target, generator):
        ...         return self.weight * (pred - target).pow(4).mean()
        >>> weight = losses.Hyperparameter("weight", 1.0, "factor", low=0.0)
        >>> _ = losses.register("quartic", summary="the fourth power", hyperparameters=(weight,))(Quartic)
        >>> losses.get("quartic", weight=0.5)
        quartic(weight=0.5)
        >>> losses.registry.remove("quartic")
    """

    spec: LossSpec
    emphasis: ClassVar[Emphasis | None] = None

    def __init__(self, **hyperparameters: object) -> None:
        self.__dict__["_values"] = values = self.prepare(type(self).spec.resolve(hyperparameters))
        self.__dict__.update(values)
        self.__dict__["spec"] = self.specialise(type(self).spec)

    # -- what a subclass says -------------------------------------------------------------------------------------

    @abstractmethod
    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        """The value, a scalar, of predictions and targets (n,) of one floating type of at least single precision.

        Networks of an ensemble are trained in one go where it works under ``torch.func.vmap`` (no branch on values, no
        shape that depends on them, not stochastic), else one after the other. Non-finite predictions must give a
        non-finite value.
        """

    def prepare(self, values: dict[str, Any]) -> dict[str, Any]:
        """The hyper-parameters as they are kept; `values` are validated."""
        return values

    def specialise(self, spec: LossSpec) -> LossSpec:
        """The spec of a loss with these hyper-parameters, where they change it."""
        return spec

    def importance(self, context: Context) -> Tensor:
        """How much each of the training architectures counts, (m,), up to a factor: the loss's effective weights."""
        return torch.ones(context.evaluated, dtype=torch.float32, device="cpu")

    def bind(self, context: Context) -> Loss:
        """The loss for that much data; most losses do not care."""
        return self

    @property
    def stochastic(self) -> bool:
        """Whether the value depends on random numbers."""
        return False

    @property
    def stage(self) -> str:
        """What the outputs mean: heads trained in one stage must not be used in another."""
        return self.spec.name

    # -- computing ------------------------------------------------------------------------------------------------

    def __call__(self, pred: Tensor, target: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The loss, a scalar with gradient history; `LossInputError` names what is wrong and the remedy."""
        for role, tensor in (("prediction", pred), ("target", target)):
            if not isinstance(tensor, Tensor):
                raise LossInputError(self.name, f"the {role} is a {type(tensor).__name__}; make it a torch.Tensor")
        if pred.shape != target.shape:
            raise LossInputError(
                self.name,
                f"the prediction has shape {tuple(pred.shape)}, the target {tuple(target.shape)}; "
                "make them equal, for instance with pred.reshape(target.shape)",
            )
        if not pred.is_floating_point():
            raise LossInputError(self.name, f"predictions are {pred.dtype}; they must be floating-point numbers")
        self.check(target)
        return self.compute(pred, target, generator)

    def check(self, target: Tensor) -> None:
        """Raise a `LossInputError` unless the targets are finite, at least one, and on the scale of `spec.labels`."""
        target = target.detach().reshape(-1)
        if not target.numel():
            raise LossInputError(self.name, "the batch is empty; skip batches without architectures")
        self._require(torch.isfinite(target), target, "not finite; leave failed evaluations out of the training data")
        if self.spec.labels == "fraction":
            remedy = "not a fraction in [0, 1]; {}".format(
                "divide percent accuracies by 100" if float(target.max()) > 1 else "it wants accuracies as they are"
            )
            self._require((target >= 0) & (target <= _PERCENT), target, remedy)

    def _require(self, good: Tensor, target: Tensor, complaint: str) -> None:
        if not bool(good.all()):
            i = int((~good).nonzero()[0])
            raise LossInputError(self.name, f"target[{i}] = {float(target[i]):g} is {complaint}")

    def compute(self, pred: Tensor, target: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The loss without any check, in single precision or better, autocast or not."""
        dtype = torch.promote_types(torch.promote_types(pred.dtype, target.dtype), torch.float32)
        with _full_precision(pred.device.type):
            return self.formula(pred.reshape(-1).to(dtype), target.reshape(-1).to(dtype), generator)

    # -- being a value --------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name in the registry."""
        return self.spec.name

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """All hyper-parameters by name."""
        return dict(self.__dict__["_values"])

    def replace(self, **changes: object) -> Self:
        """The same loss with other values of some hyper-parameters."""
        return type(self)(**{**self.hyperparameters, **changes})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"losses are immutable; use replace({name}=…)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("losses are immutable")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in self.hyperparameters.items())})"


class FunctionLoss(Loss):
    """A plain function ``(pred, target, *, …) -> scalar`` as a loss.

    `LossInputError` for what it returns, unless that is a floating-point scalar with a gradient by the predictions.
    """

    def __init__(self, spec: LossSpec, function: Callable[..., Tensor], hyperparameters: Mapping[str, object]) -> None:
        values = spec.resolve(hyperparameters)
        self.__dict__.update(values, _values=values, spec=spec, function=function)

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        function: Callable[..., Any] = self.__dict__["function"]
        found = function(pred, target, **self.hyperparameters)
        if not isinstance(found, Tensor) or found.ndim or not found.is_floating_point():
            what = f"a tensor {tuple(found.shape)} of {found.dtype}" if isinstance(found, Tensor) else short(found)
            raise LossInputError(self.name, f"the function returned {what}; return a scalar, such as a mean")
        if pred.requires_grad and torch.is_grad_enabled() and not found.requires_grad:
            raise LossInputError(self.name, "the function's value has no gradient by the predictions; use torch for it")
        return found

    def replace(self, **changes: object) -> Self:
        return type(self)(self.spec, self.__dict__["function"], {**self.hyperparameters, **changes})


def own_generator(generator: torch.Generator | None, device: torch.device) -> torch.Generator:
    """`generator`, or a new one with a fixed seed: the global one is nobody's."""
    return generator if generator is not None else torch.Generator(device).manual_seed(0)


def _full_precision(device: str) -> AbstractContextManager[Any]:
    # Entering the context costs more than a small loss, so only where it is needed.
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()
