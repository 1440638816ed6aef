"""Made-up graphs that anybody can draw again, for scoring graph networks without a data set."""

from __future__ import annotations

import numpy as np
import torch

from po_nas.errors import ConfigError
from po_nas.registry import takes_old_names
from proxies.batch import Batch

__all__ = ["synthetic_graph"]

_WORDS, _OWN = 0.06, 6.0
"""Share of words in a node's bag, and how many times likelier a word is in the class that it belongs to."""


@takes_old_names(classes="num_classes")
def synthetic_graph(
    nodes: int = 256,
    num_classes: int = 7,
    features: int = 64,
    degree: float = 4.0,
    homophily: float = 0.8,
    seed: int = 0,
) -> Batch:
    """A graph of a stochastic block model: node features (nodes, features), edges (2, e), and a class for every node.

    Classes are of equal size. Each node has on average `degree` neighbours, a share `homophily` of them of its own
    class; edges go both ways, without loops or duplicates, sorted. Features are bags of words like those of citation
    networks: 0 or 1, a word being likelier in one class than in the others, each row divided by its sum (each node has
    a word). `seed` decides everything; the same graph comes out on every machine.

    Reference: Holland, Laskey and Leinhardt, Stochastic blockmodels: first steps, Social Networks 5(2), 1983.
    """
    for name, value in (("nodes", nodes), ("num_classes", num_classes), ("features", features)):
        if value < 1:
            raise ConfigError(name, value, "must be at least 1")
    if not 0 <= degree < nodes:
        raise ConfigError("degree", degree, f"must be from 0 to below the {nodes} nodes")
    if not 0 <= homophily <= 1:
        raise ConfigError("homophily", homophily, "must be from 0 to 1")
    rng = np.random.default_rng(seed)
    labels = np.arange(nodes) % num_classes
    same = labels[:, None] == labels
    chances = np.where(
        same,
        homophily * degree / max(1.0, nodes / num_classes - 1),
        (1 - homophily) * degree / max(1.0, nodes - nodes / num_classes),
    )
    upper = np.triu(rng.random((nodes, nodes)) < chances, 1)
    edges = np.stack(np.nonzero(upper | upper.T))
    belongs = np.arange(features) % num_classes == labels[:, None]
    words = rng.random((nodes, features)) < _WORDS * np.where(belongs, _OWN, 1.0)
    words[np.arange(nodes), rng.integers(features, size=nodes)] = True
    bags = (words / words.sum(axis=1, keepdims=True)).astype(np.float32)
    return Batch((torch.from_numpy(bags), torch.from_numpy(edges)), torch.from_numpy(labels))
