"""Models that predict the performance of an architecture from its encoding.

    encodings = surrogates.Encodings.stack(space.encode_graph(a) for a in evaluated)
    surrogate = surrogates.get("ensemble", loss="warp").fit(encodings, accuracies)
    surrogate.posterior(others).mean

`surrogates.encodings` has the inputs, `surrogates.base` the contract, `surrogates.training` the trainer that networks
share. Importing this package does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from po_nas.registry import Registry, lazy
from surrogates.networks import registry as _networks

if TYPE_CHECKING:
    from surrogates.base import Posterior, Surrogate
    from surrogates.encodings import Encodings
    from surrogates.networks.base import NetworkFactory

__all__ = ["Encodings", "Posterior", "Surrogate", "get", "names", "network", "register", "registry"]

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
    """A fresh surrogate.

    Args:
        name: A registered name.
        options: Of the surrogate, such as ``loss="warp"`` of an ensemble.

    Returns:
        A surrogate that is not fitted yet.

    Raises:
        UnknownNameError: With the nearest name.
        ConfigError: Or TypeError, for an option that there is not.

    Examples:
        >>> import po_nas, surrogates, torch
        >>> table = po_nas.benchmarks.get("nasbench_graph/proteins")
        >>> graphs = [table.space.encode_graph(table.rows.architecture(row)) for row in range(12)]
        >>> inputs, targets = surrogates.Encodings.stack(graphs), torch.tensor(table.validation[:12] / 100)
        >>> model = surrogates.get("mlp", members=2, settings={"steps": 5}).fit(inputs[:10], targets[:10], seed=0)
        >>> model.posterior(inputs[10:]).mean.shape
        torch.Size([2])
    """
    return registry.get(name)(**options)


def network(name: str, **options: object) -> NetworkFactory:
    """What makes networks called `name`, for `surrogates.training.train_members`.

    Args:
        name: ``mlp``, ``gcn``, ``gat`` or ``pinat``.
        options: Of the network, such as ``width=64``.

    Returns:
        A function of the sizes of encodings (`Encodings.shape`) that returns a freshly initialised network; it draws
        from torch's global generator.

    Raises:
        UnknownNameError: With the nearest name.
        ConfigError: For an option that there is not.

    Examples:
        >>> import po_nas, surrogates
        >>> space = po_nas.spaces.get("nasbench201")
        >>> inputs = surrogates.Encodings.stack([space.encode_graph(space.at(0))])
        >>> make = surrogates.network("mlp", width=16)
        >>> make(inputs.shape).width
        16
    """
    from surrogates import networks

    return networks.factory(name, **options)


__getattr__ = lazy(__name__, base="Posterior Surrogate", encodings="Encodings")
