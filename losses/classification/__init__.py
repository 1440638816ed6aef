"""Losses of classifiers, evolved ones among them; every training of the framework can use them.

    loss = classification.get("focal", gamma=1.0)
    loss(logits, labels).backward()

`get`, `names`, `spec` and `register` are what there is to know to use or add one; `FUNCTIONS`, `parse`, `Program`,
`check`, `steepness`, `curve` and `simplified` are for who evolves them. Importing this package does not import torch.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from losses.classification.catalogue import BUILT_IN, SMOOTHING, ClassificationSpec, evolved, formula_of
from losses.classification.functions import ARITIES, BINARY, EPSILON, FUNCTIONS, UNARY, VARIABLES, latex, parse
from losses.metadata import Hyperparameter, hyperparameters_of
from po_nas.errors import PoNasError
from po_nas.registry import Entry, Registry

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

_CLASSES = {
    "cross_entropy": "cross_entropy:CrossEntropy",
    "focal": "focal:Focal",
    "ngl": "ngl:NGL",
}


def _declare(specs: Iterable[ClassificationSpec], tag: str) -> None:
    registry.declare(
        "losses.classification",
        *(
            (s.name, _CLASSES.get(s.name, "probability_loss:FormulaLoss"), s.summary, s.reference, (tag,), s)
            for s in specs
        ),
    )


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
        found = hyperparameters
        if not found and inspect.isfunction(target):
            found = hyperparameters_of(target)
        if SMOOTHING.name not in {h.name for h in found}:
            found = (SMOOTHING, *found)
        known = ClassificationSpec(name, summary, formula, found, reference)
        origin = f"{getattr(target, '__module__', '?')}.{getattr(target, '__qualname__', repr(target))}"
        if not isinstance(target, type):
            target.spec = known  # type: ignore[attr-defined]
        registry.add(Entry(name, summary, target, reference, ("classification",), known, origin))
        return target

    return decorator


def spec(name: str) -> ClassificationSpec:
    """What a loss is, with its hyper-parameters; `UnknownNameError` with the nearest name."""
    entry = registry.entry(name)
    if entry.spec is None:
        # An installed plug-in says what it is when it is imported.
        registry.get(name)
        entry = registry.entry(name)
    if not isinstance(entry.spec, ClassificationSpec):
        raise PoNasError(
            f"the classification loss {name!r} from {entry.origin} has no spec; decorate it with "
            "losses.classification.register"
        )
    return entry.spec


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


_LATER = {
    "ClassificationLoss": "base",
    "Program": "program",
    "check": "probing",
    "curve": "probing",
    "points": "probing",
    "simplified": "simplify",
    "steepness": "probing",
}


def __getattr__(name: str) -> Any:
    """Import what needs NumPy or torch on first use."""
    if name in _LATER:
        return getattr(importlib.import_module(f"losses.classification.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
