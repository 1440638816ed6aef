"""The network and the training function that all scripts of this folder search with."""

from __future__ import annotations

import torch
from torch import nn


def build(width, act, **rest) -> nn.Module:
    return nn.Sequential(nn.Linear(8, width), nn.ReLU() if act == "relu" else nn.GELU(), nn.Linear(width, 2))


def train(config) -> float:
    """Validation accuracy on a made-up task."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 8, generator=generator)
    y = (x[:, 0] * x[:, 1] > x[:, 2]).long()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = build(**config)
        if config["optimizer"] == "sgd":
            optimizer = torch.optim.SGD(net.parameters(), config["lr"], config["momentum"])
        else:
            optimizer = torch.optim.Adam(net.parameters(), config["lr"], (0.9, config["beta2"]))
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[:200]), y[:200]).backward()
            optimizer.step()
        with torch.no_grad():
            return (net(x[200:]).argmax(1) == y[200:]).float().mean().item()
