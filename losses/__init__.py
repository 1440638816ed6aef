"""Losses that performance predictors are trained under; higher predictions mean better architectures.

    loss = losses.get("warp", margin=0.5)
    loss(pred, target).backward()

`get`, `names`, `spec` and `register` are all there is to know; `Loss` is the contract. Importing this package does not
import torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from losses.catalogue import BUILT_IN
from losses.metadata import Category, Head, Hyperparameter, Labels, LossSpec, hyperparameters_of
from po_nas.errors import PoNasError
from po_nas.registry import Entry, Registry

if TYPE_CHECKING:
    from losses.base import Context, Loss

__all__ = ["Context", "Hyperparameter", "Loss", "LossSpec", "get", "names", "register", "registry", "spec"]

T = TypeVar("T")

registry: Registry[Any] = Registry("loss", "po_nas.losses")
names = registry.names

_TARGETS = (
    ("mse", "squared_error:MSE"),
    ("mse_sr", "squared_error:MSESR"),
    ("hr", "hinge:HR"),
    ("lr", "logistic:LR"),
    ("listmle", "listmle:ListMLE"),
    ("ew", "exponential:EW"),
    ("mape", "mape:MAPE"),
    ("warp", "warp:WARP"),
    ("warp_homotopy", "warp:WARPHomotopy"),
    ("weighted_lr", "logistic:WeightedLR"),
    ("top_vs_rest", "top_vs_rest:TopVersusRest"),
    ("lambda_ndcg", "lambda_loss:LambdaNDCG"),
    ("lambda_precision", "lambda_loss:LambdaPrecision"),
    ("soft_topk", "soft_top:SoftTopK"),
    ("soft_nk", "soft_top:SoftNK"),
    ("diff_kendall", "diff_kendall:DiffKendall"),
    ("po_nas", "fusion:PONAS"),
    ("piecewise", "piecewise:Piecewise"),
    ("scheduled", "schedule:Scheduled"),
)
registry.declare(
    "losses",
    *((n, target, (s := BUILT_IN[n]).summary, s.reference, (s.category,), s) for n, target in _TARGETS),
)


def register(
    name: str,
    *,
    summary: str,
    category: Category = "regression",
    labels: Labels = "standardized",
    head: Head = "calibrated",
    learning_rate: float = 5e-3,
    gradient_clip: float | None = 5.0,
    hyperparameters: tuple[Hyperparameter, ...] = (),
    reference: str = "",
) -> Callable[[T], T]:
    """Decorate a `Loss`, or a plain function ``(pred, target) -> scalar``, to register it under `name`.

    The arguments are those of `LossSpec`. A class implements `Loss.formula` and reads its hyper-parameters as
    attributes. The keyword-only parameters of a function become hyper-parameters. Raises `DuplicateNameError` when
    somebody else has the name.
    """

    def decorator(target: T) -> T:
        found = hyperparameters
        if not found and inspect.isfunction(target):
            found = hyperparameters_of(target)
        known = LossSpec(name, summary, category, labels, head, learning_rate, gradient_clip, found, reference)
        if isinstance(target, type):
            target.spec = known  # type: ignore[attr-defined]
        origin = f"{getattr(target, '__module__', '?')}.{getattr(target, '__qualname__', repr(target))}"
        registry.add(Entry(name, summary, target, reference, (category,), known, origin))
        return target

    return decorator


def spec(name: str) -> LossSpec:
    """What a loss is and needs, with its default hyper-parameters; `UnknownNameError` with the nearest name."""
    entry = registry.entry(name)
    if entry.spec is None:
        # An installed plug-in says what it is when it is imported.
        found = getattr(registry.get(name), "spec", None) or registry.entry(name).spec
        if not isinstance(found, LossSpec):
            raise PoNasError(f"the loss {name!r} from {entry.origin} has no spec; decorate it with losses.register")
        return found
    return cast(LossSpec, entry.spec)


def get(name: str, **hyperparameters: object) -> Loss:
    """The loss called `name`.

    Raises `UnknownNameError` with the nearest name; a ValueError that names it for an unknown hyper-parameter or one
    outside its range.
    """
    from losses.base import FunctionLoss, Loss

    target = registry.get(name)
    known = spec(name)
    if isinstance(target, type) and issubclass(target, Loss):
        return target(**hyperparameters)
    if isinstance(target, type) or not callable(target):
        raise PoNasError(f"the loss {name!r} is neither a losses.Loss nor a function (pred, target) -> scalar")
    return FunctionLoss(known, target, hyperparameters)


def __getattr__(name: str) -> Any:
    """Import the contract on first use, because it needs torch."""
    if name in {"Context", "Loss"}:
        from losses import base

        return getattr(base, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
