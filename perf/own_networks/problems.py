"""The five problems: three functions with a known optimum, a vision transformer on digits, an MLP on a table.

The trainings are small and deterministic: one seed of the weights, one split, one thread. What was trained once is kept
in a file, so that methods that ask for the same configuration wait for it once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from po_nas.core.proxy_source import ProxySource
from po_nas.networks.declared import batch_of
from po_nas.proxy_scores.computed import ComputedProxies
from po_nas.spaces.declared import Categorical, DeclaredSpace, Float, Int, Ordinal, declare
from po_nas.testing import analytic_functions
from po_nas.testing.analytic_functions import FunctionProxies

PROXIES = ("params", "synflow", "nwot")


class Problem(NamedTuple):
    """What is searched; higher values are better."""

    name: str
    space: DeclaredSpace
    value: Callable[[Mapping[str, Any]], float]
    proxies: Mapping[str, ProxySource]
    """For `po_nas`, by what is said of them."""
    optimum: float | None


class Kept:
    """Values by configuration, in a file of lines."""

    def __init__(self, path: Path, train: Callable[[Mapping[str, Any]], float]) -> None:
        self._path, self._train, self._known = path, train, dict[str, float]()
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._known.update(json.loads(line))

    def __call__(self, config: Mapping[str, Any]) -> float:
        key = json.dumps(config)
        if key not in self._known:
            value = self._known[key] = self._train(config)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({key: value}) + "\n")
        return self._known[key]


# -- a vision transformer on digits ------------------------------------------------------------------------------------


class ViT(nn.Module):
    """Patches of an 8 × 8 image, encoder layers, the mean of the tokens."""

    def __init__(self, patch: int, dim: int, heads: list[int], mlp: list[int], act: str, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, dim, patch, patch)
        self.position = nn.Parameter(torch.zeros(1, (8 // patch) ** 2, dim))
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(dim, h, dim * m, dropout, act, batch_first=True, norm_first=True)
                for h, m in zip(heads, mlp, strict=True)
            )
        )
        self.head = nn.Linear(dim, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(images).flatten(2).mT + self.position
        return self.head(self.layers(tokens).mean(1))


vit = declare(
    "vit",
    patch=Categorical([2, 4]),
    dim=Ordinal([8, 16, 32]),
    depth=Int(1, 3),
    heads=Ordinal([1, 2, 4]).each("depth"),
    mlp=Ordinal([1, 2, 4]).each("depth"),
    act=Categorical(["relu", "gelu"]),
    dropout=Float(0.0, 0.3),
    optimizer=Categorical(["sgd", "adamw"]),
    lr=Float(1e-4, 1.0, log=True),
    momentum=Float(0.0, 0.95, when={"optimizer": "sgd"}),
    weight_decay=Float(1e-5, 1e-1, log=True, when={"optimizer": "adamw"}),
    label_smoothing=Float(0.0, 0.3),
)


@vit.network
def build_vit(patch, dim, heads, mlp, act, dropout, **rest) -> nn.Module:
    return ViT(patch, dim, heads, mlp, act, dropout)


# -- an MLP on a table -------------------------------------------------------------------------------------------------

mlp = declare(
    "mlp",
    depth=Int(1, 4),
    width=Int(4, 64, log=True).each("depth"),
    act=Categorical(["relu", "gelu", "tanh"]),
    norm=Categorical(["none", "batch", "layer"]),
    dropout=Float(0.0, 0.5),
    optimizer=Categorical(["sgd", "adamw"]),
    lr=Float(1e-4, 1.0, log=True),
    momentum=Float(0.0, 0.95, when={"optimizer": "sgd"}),
    weight_decay=Float(1e-5, 1e-1, log=True, when={"optimizer": "adamw"}),
)

_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


@mlp.network
def build_mlp(width, act, norm, dropout, inputs: int = 13, **rest) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in zip([inputs, *width], width, strict=False):
        layers.append(nn.Linear(before, after))
        if norm != "none":
            layers.append(nn.BatchNorm1d(after) if norm == "batch" else nn.LayerNorm(after))
        layers += [_ACTIVATIONS[act](), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(width[-1], 3))


# -- training ----------------------------------------------------------------------------------------------------------


@lru_cache
def data(name: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs and labels, to train on and to validate on."""
    from sklearn.datasets import load_digits, load_wine

    found = load_digits() if name == "vit" else load_wine()
    order = np.random.default_rng(0).permutation(len(found.target))
    x = torch.tensor(found.data[order], dtype=torch.float32)
    y = torch.tensor(found.target[order])
    if name == "vit":
        x = x.reshape(-1, 1, 8, 8) / 8.0 - 1.0
        return x[:300], y[:300], x[300:1300], y[300:1300]
    x = (x - x[:60].mean(0)) / x[:60].std(0)
    return x[:60], y[:60], x[60:], y[60:]


def trained(space: DeclaredSpace, steps: int, batch: int) -> Callable[[Mapping[str, Any]], float]:
    """A training: minus the cross-entropy on validation data, at the worst minus that of ten times a guess."""

    def train(config: Mapping[str, Any]) -> float:
        x, y, new, labels = data(space.name)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = space.build(space.architecture_of(config))
            smoothing = config.get("label_smoothing", 0.0)
            if config["optimizer"] == "sgd":
                steps_of = torch.optim.SGD(net.parameters(), config["lr"], config["momentum"])
            else:
                steps_of = torch.optim.AdamW(net.parameters(), config["lr"], weight_decay=config["weight_decay"])
            for _ in range(steps):
                rows = torch.randint(len(x), (batch,))
                steps_of.zero_grad()
                nn.functional.cross_entropy(net(x[rows]), y[rows], label_smoothing=smoothing).backward()
                steps_of.step()
            net.eval()
            with torch.no_grad():
                loss = nn.functional.cross_entropy(net(new), labels).item()
        worst = 10 * float(np.log(int(labels.max()) + 1))
        return -min(loss, worst) if np.isfinite(loss) else -worst

    return train


# -- all of them -------------------------------------------------------------------------------------------------------

NAMES = ("mixed20", "conditional", "mixed60", "mlp", "vit")


def problem(name: str, seed: int, folder: Path) -> Problem:
    """A problem; functions have an instance for each seed, trainings are the same for all."""
    if name in analytic_functions.names:
        function = analytic_functions.get(name, seed)
        proxies = {"partial": FunctionProxies(function), "worthless": FunctionProxies(function, names=("size",))}
        return Problem(name, function.space, function, proxies, 0.0)
    return _training(name, folder)


@lru_cache
def _training(name: str, folder: Path) -> Problem:
    space, steps, batch = (vit, 40, 64) if name == "vit" else (mlp, 40, 30)
    value = Kept(folder / f"{name}.jsonl", trained(space, steps, batch))
    x, y, *_ = data(name)
    proxies = {"computed": ComputedProxies(space, PROXIES, lambda: ({}, batch_of((x[:32], y[:32]))))}
    return Problem(name, space, value, proxies, None)
