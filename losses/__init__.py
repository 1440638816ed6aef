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
from losses.errors import LossInputError
from losses.metadata import Category, Head, Hyperparameter, Labels, LossSpec, hyperparameters_of, spec_of
from po_nas.errors import PoNasError
from po_nas.registry import Registry, lazy

if TYPE_CHECKING:
    from losses.base import Context, Loss

__all__ = [
    "Context",
    "Hyperparameter",
    "Loss",
    "LossInputError",
    "LossSpec",
    "get",
    "names",
    "register",
    "registry",
    "spec",
]

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

    A class implements `Loss.formula` and reads its hyper-parameters as attributes. The keyword-only parameters of a
    function become hyper-parameters.

    Args:
        name: In the registry.
        summary: One line for lists.
        category: As in `LossSpec`, like all that follow.
        labels: Scale of the targets: ``standardized``, ``fraction`` or ``order``.
        head: ``calibrated``, or ``free`` where the loss does not change when a constant is added to all predictions.
        learning_rate: Where to start with AdamW.
        gradient_clip: Gradient norm to clip at; None: no clipping.
        hyperparameters: Of a class; those of a function follow from its parameters.
        reference: Title, venue, arXiv id.

    Returns:
        A decorator that returns what it decorates.

    Raises:
        DuplicateNameError: When another definition has the name.

    Examples:
        >>> import losses, torch
        >>> @losses.register("cubic", summary="the cube of the absolute error")
        ... def cubic(pred, target, *, weight=1.0):
        ...     return weight * (pred - target).abs().pow(3).mean()
        >>> losses.get("cubic", weight=2.0)(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 1.0]))
        tensor(8.)
        >>> losses.registry.remove("cubic")
    """

    def decorator(target: T) -> T:
        found = hyperparameters or hyperparameters_of(target)
        known = LossSpec(name, summary, category, labels, head, learning_rate, gradient_clip, found, reference)
        if isinstance(target, type):
            target.spec = known  # type: ignore[attr-defined]
        return registry.register(name, summary=summary, reference=reference, tags=(category,), spec=known)(target)

    return decorator


def spec(name: str) -> LossSpec:
    """What a loss is and needs, with its default hyper-parameters.

    Args:
        name: A registered name.

    Returns:
        Its `LossSpec`.

    Raises:
        UnknownNameError: With the nearest name.
        PoNasError: For a plug-in that was registered without a spec.

    Examples:
        >>> import losses
        >>> losses.spec("warp").head, [h.name for h in losses.spec("hr").hyperparameters]
        ('free', ['margin'])
    """
    return spec_of(registry, name, LossSpec, "losses.register")


def get(name: str, **hyperparameters: object) -> Loss:
    """The loss called `name`.

    Args:
        name: A registered name.
        hyperparameters: By name; the others have their defaults.

    Returns:
        A function of predictions and targets (n,), both higher = better, that returns a scalar with gradient history.

    Raises:
        UnknownNameError: With the nearest name.
        ConfigError: Which is a ValueError, for a hyper-parameter that there is not or that is out of its range.
        PoNasError: For a plug-in that is neither a `Loss` nor a function.

    Examples:
        >>> import losses, torch
        >>> pred = torch.tensor([0.1, 0.4, 0.3], requires_grad=True)
        >>> loss = losses.get("hr", margin=0.5)
        >>> loss(pred, torch.tensor([0.90, 0.93, 0.91])).backward()
        >>> pred.grad.shape
        torch.Size([3])
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
