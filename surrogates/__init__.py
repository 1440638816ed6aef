"""Models that predict the performance of an architecture from its encoding.

    encodings = Encodings.stack(space.encode_graph(a) for a in evaluated)
    surrogate = surrogates.get("ensemble", loss="warp").fit(encodings, accuracies)
    surrogate.posterior(others).mean

`surrogates.encodings` has the inputs, `surrogates.base` the contract, `surrogates.training` the trainer that networks
share. Importing this package does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from po_nas.registry import Registry
from surrogates.networks import registry as _networks

if TYPE_CHECKING:
    from surrogates.base import Surrogate
    from surrogates.networks.base import NetworkFactory

__all__ = ["get", "names", "network", "register", "registry"]

registry: Registry[Callable[..., Surrogate]] = Registry("surrogate", "po_nas.surrogates")
register = registry.register
names = registry.names

_BUILT_IN = map(_networks.entry, ("mlp", "gcn", "gat", "pinat"))
registry.declare(
    "surrogates",
    (
        "ensemble",
        "ensemble:DeepEnsemble",
        "deep ensemble of any network, with calibrated uncertainty",
        "arXiv 1612.01474",
    ),
    (
        "fused_predictor",
        "fused_predictor:FusedPredictor",
        "Gaussian process on proxies weighted per architecture and on out-of-fold predictions of an ensemble",
        "OpenReview mVh0lIsdUl, arXiv 2506.05869",
    ),
    *((_network.name, f"ensemble:{_network.name}", _network.summary, _network.reference) for _network in _BUILT_IN),
)


def get(name: str, **options: object) -> Surrogate:
    """A fresh surrogate; `UnknownNameError` with the nearest name, TypeError or `ConfigError` for unknown options."""
    return registry.get(name)(**options)


def network(name: str, **options: object) -> NetworkFactory:
    """What makes networks called `name`, for `surrogates.training.train_members`."""
    from surrogates import networks

    return networks.factory(name, **options)
