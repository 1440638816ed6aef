"""Predictor networks, by name; importing this package does not import torch."""

from __future__ import annotations

import inspect
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from po_nas.errors import ConfigError, hint
from po_nas.registry import Registry

if TYPE_CHECKING:
    from surrogates.networks.base import Network, NetworkFactory

__all__ = ["factory", "names", "options", "register", "registry"]

registry: Registry[type[Network]] = Registry("predictor network", "po_nas.predictor_networks")
register = registry.register
names = registry.names

registry.declare(
    "surrogates.networks",
    ("mlp", "mlp:MLP", "multilayer perceptron over the flattened encoding", "arXiv 1908.09791"),
    ("gcn", "gcn:GCN", "bidirectional graph convolutions", "arXiv 1912.00848"),
    ("gat", "gat:GAT", "graph attention with edge features", "arXiv 2105.14491"),
    ("pinat", "pinat:PINAT", "transformer with heads along the edges", "Lu et al., AAAI 2023"),
)


def options(name: str) -> dict[str, object]:
    """The options of a network and their defaults."""
    parameters = inspect.signature(registry.get(name)).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


_SIZES = frozenset(("width", "layers", "heads", "feedforward"))


def factory(name: str, **chosen: Any) -> NetworkFactory:
    """What makes networks called `name` for encodings of a shape, with these options.

    Raises `UnknownNameError` with the nearest name, `ConfigError` for an option that the network does not have,
    and for sizes and dropout out of their range.
    """
    known = options(name)
    for key, value in chosen.items():
        if key not in known:
            remedy = hint(key, known, f"{name} has {', '.join(known) or 'none'}")
            raise ConfigError(f"{name}.{key}", value, f"is no option; {remedy}")
        if key in _SIZES and (not isinstance(value, Integral) or isinstance(value, bool) or value < 1):
            raise ConfigError(f"{name}.{key}", value, "must be a whole number, 1 or more")
        if key == "dropout" and (not isinstance(value, Real) or isinstance(value, bool) or not 0 <= float(value) < 1):
            raise ConfigError(f"{name}.{key}", value, "must be a number from 0 on and below 1")
    return partial(registry.get(name), **chosen)
