"""Losses of classifiers, evolved ones among them; every training of the framework can use them.

    loss = classification.get("focal", gamma=1.0)
    loss(logits, labels).backward()

`get`, `names`, `spec` and `register` are what there is to know to use or add one; `FUNCTIONS`, `parse`, `Program`,
`check`, `steepness`, `curve` and `simplified` are for who evolves them. Importing this package does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from losses.classification.catalogue import BUILT_IN, SMOOTHING, ClassificationSpec, evolved, formula_of
from losses.classification.functions import ARITIES, BINARY, EPSILON, FUNCTIONS, UNARY, VARIABLES, latex, parse
from losses.metadata import Hyperparameter, hyperparameters_of, spec_of
from po_nas.errors import PoNasError
from po_nas.registry import Registry, lazy

if TYPE_CHECKING:
    from losses.classification.base import ClassificationLoss
    from losses.classification.probing import check, curve, points, steepness
    from losses.classification.program import Program
    from losses.classification.simplify import simplified

__all__ = [
    "ARITIES",
    "BINARY",
    "EPSILON",
    "FUNCTIONS",
    "UNARY",
    "VARIABLES",
    "ClassificationLoss",
    "ClassificationSpec",
    "Hyperparameter",
    "Program",
    "check",
    "curve",
    "formula_of",
    "get",
    "latex",
    "names",
    "parse",
    "points",
    "register",
    "registry",
    "simplified",
    "spec",
    "steepness",
]

T = TypeVar("T")

registry: Registry[Any] = Registry("classification loss", "po_nas.classification_losses")
names = registry.names

_CLASSES = {"cross_entropy": "CrossEntropy", "focal": "Focal", "ngl": "NGL"}


def _declare(specs: Iterable[ClassificationSpec], tag: str) -> None:
    targets = ((s, f"built_in:{_CLASSES.get(s.name, 'FormulaLoss')}") for s in specs)
    rows = ((s.name, target, s.summary, s.reference, (tag,), s) for s, target in targets)
    registry.declare("losses.classification", *rows)


_declare(BUILT_IN.values(), "classification")
_declare(evolved(), "evolved")


def register(
    name: str,
    *,
    summary: str,
    formula: str = "",
    hyperparameters: tuple[Hyperparameter, ...] = (),
    reference: str = "",
) -> Callable[[T], T]:
    """Decorate a `ClassificationLoss`, or a plain function ``(logits, y) -> (n,)``, to register it under `name`.

    The function gets logits (n, C) and targets (n, C), one-hot or smoothed, and returns the losses of the samples; its
    keyword-only parameters become hyper-parameters. `label_smoothing` need not be declared. Raises
    `DuplicateNameError` when somebody else has the name.
    """

    def decorator(target: T) -> T:
        found = hyperparameters or hyperparameters_of(target)
        if SMOOTHING.name not in {h.name for h in found}:
            found = (SMOOTHING, *found)
        known = ClassificationSpec(name, summary, formula, found, reference)
        if not isinstance(target, type):
            target.spec = known  # type: ignore[attr-defined]
        return registry.register(name, summary=summary, reference=reference, tags=("classification",), spec=known)(
            target
        )

    return decorator


def spec(name: str) -> ClassificationSpec:
    """What a loss is, with its hyper-parameters; `UnknownNameError` with the nearest name."""
    return spec_of(registry, name, ClassificationSpec, "losses.classification.register")


def get(name: str, **hyperparameters: object) -> ClassificationLoss:
    """The loss called `name`, a `torch.nn.Module` called with logits (n, C) and labels (n,).

    Raises `UnknownNameError` with the nearest name; a ValueError that names it for an unknown hyper-parameter, one
    outside its range, or a formula that is none.
    """
    from losses.classification.base import ClassificationLoss, FunctionLoss

    target = registry.get(name)
    known = spec(name)
    values = known.resolve(hyperparameters)
    if isinstance(target, type) and issubclass(target, ClassificationLoss):
        return target(known, values)
    if isinstance(target, type) or not callable(target):
        raise PoNasError(
            f"the classification loss {name!r} is neither a losses.classification.ClassificationLoss nor a function "
            "(logits, y) -> losses of the samples"
        )
    return FunctionLoss(known, values, target)


__getattr__ = lazy(
    __name__,
    base="ClassificationLoss",
    probing="check curve points steepness",
    program="Program",
    simplify="simplified",
)
