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
    """Decorate a function of a `ProxyContext` that returns a float; it becomes the proxy `name`::

        @proxies.proxy("output_spread", direction=+1)
        def output_spread(context):
            return float(context.outputs.std())

    The arguments are those of `ProxySpec`. Left out, `passes` is the forward pass, `needs_labels` follows from `passes`
    (those that take the loss need labels) and `summary` is the first line of the docstring. The spec is also kept on
    the function, as ``proxy_spec``, so an entry point of the group ``po_nas.proxies`` can name the function.

    With `needs` it is computed from other proxies' scores, which the engine has anyway or computes for it::

        @proxies.proxy("both", needs=("nwot", "synflow"), direction=+1)
        def both(scores):
            return scores["nwot"] + scores["synflow"]
    """
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

    Raises `UnknownNameError` with the nearest name, `PluginError` when it cannot be loaded, and `ConfigError` when it
    was registered without a `ProxySpec`.
    """
    found = registry.entry(name).spec
    if found is None:
        found = getattr(registry.get(name), "proxy_spec", None)
    if not isinstance(found, ProxySpec):
        raise ConfigError("spec", found, f"of proxy {name!r} must be a ProxySpec; register it with @proxies.proxy")
    return found


def expand(wanted: str | Iterable[str]) -> list[str]:
    """Names and shell wildcards as a list of names, each once, in the order asked for.

    Raises `UnknownNameError` for a name, or a wildcard, that nothing matches.
    """
    found: dict[str, None] = {}
    for pattern in [wanted] if isinstance(wanted, str) else wanted:
        matching = [pattern] if pattern in registry else names(pattern)
        if not matching:
            raise UnknownNameError("proxy", pattern, names())
        found.update(dict.fromkeys(matching))
    return list(found)
