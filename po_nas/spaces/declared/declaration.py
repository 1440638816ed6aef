"""`declare`: a search space from named choices, given as arguments, as a class, by a function, or as JSON or YAML."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, overload

from po_nas import spaces
from po_nas.errors import short
from po_nas.registry import Entry
from po_nas.spaces.base import Space
from po_nas.spaces.declared.choices import Choice, choice_from_json
from po_nas.spaces.declared.errors import DeclarationError
from po_nas.spaces.declared.space import DeclaredSpace

__all__ = ["changes", "declare", "from_declaration"]

_KEYS = ("declare", "choices", "constraints")


_DECLARED = "declared"


@overload
def declare(name: str, /, *, constraints: object = (), **choices: Choice | Mapping[str, Any]) -> DeclaredSpace: ...
@overload
def declare(name: Mapping[str, Any] | type | Callable[[], Mapping[str, Any]], /) -> DeclaredSpace: ...
def declare(
    name: str | Mapping[str, Any] | type | Callable[[], Mapping[str, Any]],
    /,
    *,
    constraints: object = (),
    **choices: Choice | Mapping[str, Any],
) -> DeclaredSpace:
    """A search space from named choices.

    As a decorator it also registers the space, so that a configuration can name it (``space: mlp``): of a class, whose
    attributes are the choices, whose `build` is the network and whose `constraints` are the constraints; or of a
    function without arguments that returns the choices.

    Args:
        name: Of the space. A mapping is a whole declaration, as in JSON or YAML:
            ``{"declare": "mlp", "choices": {"depth": {"int": [1, 4]}, …}, "constraints": […]}``. A class or function is
            what is decorated.
        constraints: What a configuration must fulfil: functions of the configuration, which return true or false, or
            conditions as text; one, or a list of them.
        choices: By name.

    Returns:
        The space. `DeclaredSpace.network` decorates the function that builds its networks.

    Raises:
        DeclarationError: For what makes no space; it names the choice.
        InfeasibleError: For constraints that hardly anything fulfils, with the share that passed.
        DuplicateNameError: For a registered name that somebody else has.

    Examples:
        >>> import numpy as np
        >>> from po_nas import Categorical, Float, Int, Ordinal, declare
        >>> space = declare(
        ...     "mlp",
        ...     depth=Int(1, 4),
        ...     width=Ordinal([8, 16, 32]).each("depth"),
        ...     act=Categorical(["relu", "gelu"]),
        ...     momentum=Float(0.0, 0.9, when={"act": "relu"}),
        ...     constraints=["depth * max(width) <= 96"],
        ... )
        >>> config = space.config_of(space.sample(np.random.default_rng(0)))
        >>> len(config["width"]) == config["depth"]
        True
    """
    if not isinstance(name, str):
        if choices or constraints != ():
            raise DeclarationError("declare", "what is a whole declaration has nothing beside it")
        return from_declaration(name) if isinstance(name, Mapping) else _decorated(name)
    known = spaces.registry.entry(name) if name in spaces.registry else None
    if known is not None and known.spec != _DECLARED:
        raise DeclarationError(name, "is the name of another search space; choose one of your own")
    listed = [constraints] if isinstance(constraints, str) or callable(constraints) else constraints
    if not isinstance(listed, Sequence):
        raise DeclarationError("constraints", f"{short(constraints)} is no list of conditions or functions")
    return DeclaredSpace(name, {key: choice_from_json(key, given) for key, given in choices.items()}, listed)


def _decorated(target: type | Callable[[], Mapping[str, Any]]) -> DeclaredSpace:
    """The space of a class or function, registered under its name."""
    if not callable(target) or not hasattr(target, "__name__"):
        raise DeclarationError("declare", f"{short(target)} is no name, mapping, class or function")
    name, network = target.__name__, None
    if isinstance(target, type):
        attributes = {key: value for key, value in vars(target).items() if not key.startswith("_")}
        network, constraints = attributes.pop("build", None), attributes.pop("constraints", ())
        space = declare(name, constraints=constraints, **attributes)
    else:
        chosen = target()
        if not isinstance(chosen, Mapping):
            raise DeclarationError(name, f"returned {short(chosen)}, not choices by name")
        space = declare(name, **chosen)
    if network is not None:
        space.network(network.__func__ if isinstance(network, staticmethod) else network)
    summary = (inspect.getdoc(target) or "a declared search space").partition("\n")[0]
    origin = f"{target.__module__}.{target.__qualname__}"
    entry = Entry(name, summary, cast("type[Space]", lambda: space), spec=_DECLARED, origin=origin)
    spaces.registry.add(entry)
    return space


def from_declaration(given: Mapping[str, Any]) -> DeclaredSpace:
    """The space that `DeclaredSpace.declaration` describes; `DeclarationError` for anything else."""
    for key in given:
        if key not in _KEYS:
            raise DeclarationError("declaration", f"{short(key)} is unknown; known: {', '.join(_KEYS)}")
    name, choices, constraints = given.get("declare"), given.get("choices"), given.get("constraints") or ()
    if not isinstance(name, str):
        raise DeclarationError("declaration", 'needs a name: "declare"')
    if not isinstance(choices, Mapping) or not all(isinstance(key, str) for key in choices):
        raise DeclarationError(name, "needs choices by name")
    if isinstance(constraints, str):
        constraints = [constraints]
    if not isinstance(constraints, Sequence):
        raise DeclarationError(name, f"constraints: {short(constraints)} is no list")
    return DeclaredSpace(name, {key: choice_from_json(key, value) for key, value in choices.items()}, constraints)


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two declarations, a text for each choice or constraint; empty where nothing does."""
    found = []
    if before.get("declare") != now.get("declare"):
        found.append(f"the name was {before.get('declare')!r}, is {now.get('declare')!r}")
    old, new = before.get("choices", {}), now.get("choices", {})
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in new:
            found.append(f"choice {name} is gone")
        elif name not in old:
            found.append(f"choice {name} is new")
        elif old[name] != new[name]:
            found.append(f"choice {name} was {short(old[name])}, is {short(new[name])}")
    if not found and list(old) != list(new):
        found.append("the order of the choices")
    if (before.get("constraints") or []) != (now.get("constraints") or []):
        found.append("the constraints")
    return found
