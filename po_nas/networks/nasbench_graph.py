"""The graph neural networks of NAS-Bench-Graph, made of torch-geometric's layers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from po_nas import spaces
from po_nas.errors import ConfigError, MissingExtraError
from po_nas.networks.base import Networks, known, positive
from po_nas.spaces.base import Architecture
from proxies.batch import Batch
from proxies.synthetic_graph import synthetic_graph

__all__ = ["DATASETS", "NETWORKS", "GraphDataset", "Layer", "NASBenchGraphNetwork", "layers_of"]

_LAYERS = 4
_HEADS = 4


@dataclass(frozen=True, slots=True)
class GraphDataset:
    """What a data set fixes: sizes of features and outputs, and the hyper-parameters that the benchmark chose for it.

    `before` and `after` say whether there is a linear layer before the four and one more after them.
    """

    features: int
    num_classes: int
    hidden: int
    dropout: float
    before: bool
    after: bool


DATASETS = {
    "cora": GraphDataset(1433, 7, 256, 0.7, False, True),
    "citeseer": GraphDataset(3703, 6, 256, 0.7, False, True),
    "pubmed": GraphDataset(500, 3, 128, 0.3, False, False),
    "cs": GraphDataset(6805, 15, 128, 0.6, True, False),
    "physics": GraphDataset(8415, 5, 256, 0.4, True, False),
    "photo": GraphDataset(745, 8, 128, 0.7, False, False),
    "computers": GraphDataset(767, 10, 64, 0.1, True, True),
    "arxiv": GraphDataset(128, 40, 128, 0.2, False, True),
    "proteins": GraphDataset(8, 112, 256, 0.0, True, True),
}
"""Sizes are those that the published parameter counts imply, for every network of every data set but ``physics``."""


class Layer(NamedTuple):
    """A layer: its operation and the number of the one below which it hangs, 0 for the input."""

    operation: str
    parent: int


def layers_of(key: str) -> list[Layer]:
    """The layers 1, 2, … of a key such as ``gcn(gat,skip),sage``, parents before children."""
    layers: list[Layer] = []
    above = [0]
    for name, mark in re.findall(r"(\w+)|([(),])", key):
        if name:
            layers.append(Layer(name, above[-1]))
        elif mark == "(":
            above.append(len(layers))
        elif mark == ")":
            above.pop()
    return layers


class NASBenchGraphNetwork(nn.Module):
    """Four layers in the wiring of the architecture, their loose ends side by side, and one or two linear layers.

    Node features (n, features) and edges (2, e) to (n, num_classes). A layer that follows another one, or the linear
    layer in front, starts with batch normalisation, ReLU and dropout; the features themselves go into a layer as they
    are. ``dataset`` fixes sizes and dropout, by default ``cora``, or ``proteins`` for that space; `features`,
    `num_classes`, `hidden` (divisible by 4) and `dropout` override them for other graphs.

    The network is that of the published record of the architecture's class: skip connections that do nothing come
    first. Attention (``gat``) has four heads, ``cheb`` two terms, ``gin`` one linear layer. Four batch normalisations
    always exist; those of skip connections that carry raw features are not used. What is public: wiring and operations
    from the paper, the rest from the authors' released model. Parameter counts equal the published ones, but for
    1,567 records of ``physics``, which average over runs with the count of another network.

    Needs torch-geometric (`MissingExtraError` with the command that installs it). Initial weights are its defaults.

    References: Qin et al., NAS-Bench-Graph, NeurIPS 2022, arXiv 2206.09166.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        dataset: str | None = None,
        features: int | None = None,
        num_classes: int | None = None,
        hidden: int | None = None,
        dropout: float | None = None,
    ) -> None:
        if dataset is None:
            dataset = "proteins" if architecture.space == "nasbench_graph_proteins" else "cora"
        known("data set of NAS-Bench-Graph", dataset, tuple(DATASETS))
        own = DATASETS[dataset]
        features = own.features if features is None else features
        num_classes = own.num_classes if num_classes is None else num_classes
        width = own.hidden if hidden is None else hidden
        probability = own.dropout if dropout is None else dropout
        positive(features=features, num_classes=num_classes, hidden=width)
        if width % _HEADS:
            raise ConfigError("hidden", width, f"must be divisible by {_HEADS}, the number of attention heads")
        if not 0 <= probability < 1:
            raise ConfigError("dropout", probability, "must be at least 0 and below 1")
        super().__init__()
        layers = layers_of(spaces.get(architecture.space).canonical(architecture))
        idle = _LAYERS - len(layers)
        # Skip connections that do nothing stand between the input and everything else.
        layers = [Layer("skip", k) for k in range(idle)] + [
            Layer(layer.operation, layer.parent + idle) for layer in layers
        ]
        self.parents = tuple(layer.parent for layer in layers)
        self.raw = _raw(layers, own.before)
        self.ends = tuple(k for k in range(1, _LAYERS + 1) if k not in self.parents)
        self.before = nn.Linear(features, width) if own.before else nn.Identity()
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in layers)
        self.layers = nn.ModuleList(
            _layer(layer.operation, features if self.raw[layer.parent] else width, width) for layer in layers
        )
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(probability)
        joined = len(self.ends) * width
        self.after = (
            nn.Sequential(nn.Linear(joined, width), nn.Linear(width, num_classes))
            if own.after
            else nn.Linear(joined, num_classes)
        )

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        """Outputs (n, num_classes) of node features (n, features) and directed `edges` (2, e), source above target."""
        values = [self.before(self.dropout(x))]
        for parent, norm, layer in zip(self.parents, self.norms, self.layers, strict=True):
            value = values[parent]
            if not self.raw[parent]:
                value = self.dropout(self.relu(norm(value)))
            values.append(value if isinstance(layer, nn.Identity) else _apply(layer, value, edges))
        joined = torch.cat([values[k] for k in self.ends], dim=1)
        outputs: Tensor = self.after(self.relu(joined))
        return outputs


def _raw(layers: list[Layer], before: bool) -> tuple[bool, ...]:
    """Whether the value after the input and after each layer is still the raw features."""
    raw = [not before]
    for layer in layers:
        raw.append(raw[layer.parent] and layer.operation == "skip")
    return tuple(raw)


def _apply(layer: nn.Module, value: Tensor, edges: Tensor) -> Tensor:
    result: Tensor = layer(value) if isinstance(layer, nn.Linear) else layer(value, edges)
    return result


def _layer(operation: str, inputs: int, width: int) -> nn.Module:
    try:
        from torch_geometric import nn as geometric
    except ImportError as error:
        raise MissingExtraError("a network of NAS-Bench-Graph", "torch-geometric", "gnn") from error
    if operation == "skip":
        return nn.Identity()
    if operation == "fc":
        return nn.Linear(inputs, width)
    if operation == "gat":
        made = geometric.GATConv(inputs, width // _HEADS, _HEADS)
    elif operation == "gin":
        made = geometric.GINConv(nn.Linear(inputs, width))
    elif operation == "cheb":
        made = geometric.ChebConv(inputs, width, K=2)
    else:
        kinds = {
            "gcn": geometric.GCNConv,
            "sage": geometric.SAGEConv,
            "arma": geometric.ARMAConv,
            "graph": geometric.GraphConv,
        }
        made = kinds[operation](inputs, width)
    module: nn.Module = made
    return module


_NODES, _FEATURES, _TOPICS = 64, 96, 7
"""Of the made-up graph: fewer nodes than features, as jacov and epe_nas need it."""


def _one_graph(samples: int, seed: int) -> tuple[dict[str, float], Batch]:
    """One graph of 64 nodes whatever `samples` says, and networks of one generic width without dropout."""
    options = {"num_classes": _TOPICS, "features": _FEATURES, "hidden": _FEATURES, "dropout": 0.0}
    return options, synthetic_graph(_NODES, _TOPICS, _FEATURES, seed=seed)


NETWORKS = Networks(NASBenchGraphNetwork, _one_graph)
