"""Registering proxies: one decorator, or a line of the catalogue. Imports no torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from po_nas.errors import ConfigError, UnknownNameError
from po_nas.registry import Registry
from proxies.catalogue import CATALOGUE
from proxies.proxy_spec import CostClass, Precision, ProxySpec, closure

if TYPE_CHECKING:
    from proxies.context import ProxyContext

    ProxyFunction = Callable[[ProxyContext], float] | Callable[[Mapping[str, float]], float]

__all__ = ["expand", "names", "proxy", "registry", "spec"]

registry: Registry[ProxyFunction] = Registry(
    "proxy", "po_nas.proxies", files={".json": "proxies.evolved.proxy:load_file"}
)
names = registry.names

registry.declare(
    "proxies.functions",
    *((_spec.name, _target, _summary, _spec.reference, (_spec.cost,), _spec) for _spec, _target, _summary in CATALOGUE),
)

_LOSS = {"gradients", "activation_gradients", "nonlinear_gradients", "hessian", "half_gradients", "attention_gradients"}
_COST: tuple[tuple[CostClass, frozenset[str]], ...] = (
    ("second_order", frozenset({"hessian"})),
    ("per_sample", frozenset({"sample_gradients"})),
    (
        "backward",
        frozenset({"gradients", "jacobian", "half_gradients", "block_jacobians", "noise", "attention_gradients"}),
    ),
    ("forward", frozenset({"forward", "gaussian", "masked", "circle", "attention"})),
)


def proxy(
    name: str,
    *,
    passes: Sequence[str] | None = None,
    needs: Sequence[str] = (),
    direction: Literal[-1, 1] | None = None,
    needs_labels: bool | None = None,
    min_samples: int = 1,
    dtype: Precision = "model",
    failure: str = "",
    reference: str = "",
    version: int = 1,
    summary: str = "",
) -> Callable[[ProxyFunction], ProxyFunction]:
    """Decorate a function of a `ProxyContext` that returns a float; it becomes the proxy `name`.

    The spec is also kept on the function, as ``proxy_spec``, so an entry point of the group ``po_nas.proxies`` can name
    the function. ``proxies.register`` is the same decorator.

    Args:
        name: In the registry.
        passes: Names of `PASSES`; default: the forward pass.
        needs: In their place other proxies, from whose scores it is computed. The engine has them anyway or computes
            them, and the function gets a mapping of scores by name, NaN for one that there is not.
        direction: +1, -1 or None, as in `ProxySpec`.
        needs_labels: Default: whether the passes take the loss.
        min_samples: Size of the smallest batch that has a score.
        dtype: Precision: that of the ``model``, or ``float64``.
        failure: Where the proxy is known to break.
        reference: Publication, with its arXiv id.
        version: Belongs to the key of a cached score: raise it when the score changes.
        summary: One line; default: the first line of the docstring.

    Returns:
        A decorator that returns the function.

    Raises:
        ConfigError: For a value that cannot be used.
        UnknownNameError: For a pass that there is not.
        DuplicateNameError: When another definition has the name.

    Examples:
        >>> import proxies, torch
        >>> @proxies.proxy("output_spread", direction=+1)
        ... def output_spread(context):
        ...     return float(context.outputs.std())
        >>> @proxies.proxy("spread_and_size", needs=("output_spread", "params"), direction=+1)
        ... def spread_and_size(scores):
        ...     return scores["output_spread"] * scores["params"]
        >>> scores = proxies.score(torch.nn.Linear(3, 2), (torch.ones(4, 3), None), ["spread_and_size", "params"])
        >>> scores["params"]
        8.0
        >>> proxies.registry.remove("output_spread"), proxies.registry.remove("spread_and_size")
        (None, None)
    """
    if not isinstance(name, str):
        raise ConfigError("name", name, 'is no name; write @proxies.proxy("name") above the function')
    passes = (() if needs else ("forward",)) if passes is None else passes
    needed = closure(_known(name, passes))
    cost: CostClass = next((cost for cost, kinds in _COST if needed & kinds), "count")
    labelled = bool(needed & _LOSS) if needs_labels is None else needs_labels
    if isinstance(needs, str):
        raise ConfigError("needs", needs, f"of proxy {name!r} must be a tuple of names")
    spec = ProxySpec(
        name, tuple(passes), direction, labelled, cost, min_samples, dtype, failure, reference, version, tuple(needs)
    )

    def decorator(function: ProxyFunction) -> ProxyFunction:
        first = (inspect.getdoc(function) or name).partition("\n")[0]
        function.proxy_spec = spec  # type: ignore[union-attr]
        return registry.register(name, summary=summary or first, reference=reference, tags=(cost,), spec=spec)(function)

    return decorator


def _known(name: str, passes: Sequence[str]) -> Sequence[str]:
    if isinstance(passes, str):
        raise ConfigError("passes", passes, f"of proxy {name!r} must be a tuple of names")
    # Checks the names, with the nearest known one in the message.
    return ProxySpec(name, tuple(passes)).passes


def spec(name: str) -> ProxySpec:
    """The record of the proxy called `name`; an entry point is loaded for it.

    Args:
        name: A registered name.

    Returns:
        Its `ProxySpec`.

    Raises:
        UnknownNameError: With the nearest name.
        PluginError: When it cannot be loaded.
        ConfigError: When it was registered without a `ProxySpec`.

    Examples:
        >>> import proxies
        >>> proxies.spec("grasp").passes
        ('hessian',)
    """
    found = registry.entry(name).spec
    if found is None:
        found = getattr(registry.get(name), "proxy_spec", None)
    if not isinstance(found, ProxySpec):
        raise ConfigError("spec", found, f"of proxy {name!r} must be a ProxySpec; register it with @proxies.proxy")
    return found


def expand(wanted: str | Iterable[str]) -> list[str]:
    """Names and shell wildcards as a list of names, each once, in the order asked for.

    Args:
        wanted: A name or wildcard, or several.

    Returns:
        Registered names.

    Raises:
        UnknownNameError: For a name, or a wildcard, that nothing matches.

    Examples:
        >>> import proxies
        >>> proxies.expand(["synflow", "params", "syn*w"])
        ['synflow', 'params']
    """
    found: dict[str, None] = {}
    for pattern in [wanted] if isinstance(wanted, str) else wanted:
        matching = [pattern] if pattern in registry else names(pattern)
        if not matching:
            raise UnknownNameError("proxy", pattern, names())
        found.update(dict.fromkeys(matching))
    return list(found)
