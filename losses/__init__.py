"""Losses that performance predictors are trained under; higher predictions mean better architectures.

    loss = losses.get("warp", margin=0.5)
    loss(pred, target).backward()

`get`, `names`, `spec` and `register` are all there is to know; `Loss` is the contract. Importing this package does not
import torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from losses.catalogue import BUILT_IN
from losses.metadata import Category, Head, Hyperparameter, Labels, LossSpec, hyperparameters_of, spec_of
from po_nas.errors import PoNasError
from po_nas.registry import Registry, lazy

if TYPE_CHECKING:
    from losses.base import Context, Loss

__all__ = ["Context", "Hyperparameter", "Loss", "LossSpec", "get", "names", "register", "registry", "spec"]

T = TypeVar("T")

registry: Registry[Any] = Registry("loss", "po_nas.losses")
names = registry.names

_CLASSES = {
    "regression": {"mse": "MSE", "mse_sr": "MSESR", "ew": "EW", "mape": "MAPE"},
    "pairs": {"hr": "HR", "lr": "LR", "weighted_lr": "WeightedLR", "diff_kendall": "DiffKendall"},
    "warp": {"warp": "WARP", "warp_homotopy": "WARPHomotopy"},
    "top": {
        "top_vs_rest": "TopVersusRest",
        "lambda_ndcg": "LambdaNDCG",
        "lambda_precision": "LambdaPrecision",
        "soft_topk": "SoftTopK",
        "soft_nk": "SoftNK",
    },
    "listwise": {"listmle": "ListMLE", "po_nas": "PONAS"},
    "schedule": {"piecewise": "Piecewise", "scheduled": "Scheduled"},
}
registry.declare(
    "losses",
    *(
        (s.name, f"{module}:{kinds[s.name]}", s.summary, s.reference, (s.category,), s)
        for module, kinds in _CLASSES.items()
        for s in map(BUILT_IN.__getitem__, kinds)
    ),
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
        found = hyperparameters or hyperparameters_of(target)
        known = LossSpec(name, summary, category, labels, head, learning_rate, gradient_clip, found, reference)
        if isinstance(target, type):
            target.spec = known  # type: ignore[attr-defined]
        return registry.register(name, summary=summary, reference=reference, tags=(category,), spec=known)(target)

    return decorator


def spec(name: str) -> LossSpec:
    """What a loss is and needs, with its default hyper-parameters; `UnknownNameError` with the nearest name."""
    return spec_of(registry, name, LossSpec, "losses.register")


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


__getattr__ = lazy(__name__, base="Context Loss")
