"""Random architectures and tiny inputs for every space with networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from po_nas import spaces
from po_nas.spaces import Architecture
from po_nas.spaces.declared import DeclaredSpace

SMALL: dict[str, dict[str, Any]] = {
    "nasbench201": {"channels": 4, "cells": 1, "num_classes": 5},
    "nasbench101": {"channels": 8, "cells": 1, "num_classes": 5},
    "transnas_micro": {"channels": 4, "num_classes": 5},
    "transnas_macro": {"channels": 4, "num_classes": 5},
    "darts": {"channels": 4, "cells": 3, "num_classes": 5},
    "nasbench_mr": {"channel_divisor": 8, "num_classes": 5},
    "hwgpt_s": {"vocabulary": 5, "context": 6},
    "vit_autoformer": {"image_size": 8, "patch": 4, "num_classes": 5},
    "vit_pit": {"image_size": 8, "patch": 4, "num_classes": 5},
    "nasbench_bert": {"vocabulary": 5, "context": 6, "first_feed_forward": 8, "num_classes": 5},
    "nasbench_graph": {"features": 6, "hidden": 8, "num_classes": 5, "dropout": 0.5},
    "nasbench_graph_proteins": {"features": 6, "hidden": 8, "num_classes": 5, "dropout": 0.5},
}
WORDS = ["hwgpt_s", "nasbench_bert"]
IMAGES = [name for name in SMALL if "graph" not in name and name not in WORDS]
_NARROW: dict[str, dict[str, Any]] = {"hwgpt_s": {"embedding": 192}, "vit_pit": {"head_size": 16}}
"""Choices that keep the networks of some spaces small."""


def architecture(space: str, seed: int) -> Architecture:
    found = spaces.get(space)
    sampled = found.sample(np.random.default_rng(seed))
    if space == "nasbench_mr":
        # One module in each stage.
        code = [1 if at in (2, 5, 10, 17) else value for at, value in enumerate(sampled.code)]
        return Architecture(space, tuple(code))
    if space in _NARROW:
        assert isinstance(found, DeclaredSpace)
        sampled = found.architecture_of(found.config_of(sampled) | _NARROW[space])
    return sampled


def inputs(space: str, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Words, a graph, or four images of the smallest size at which no architecture ends with a single pixel."""
    generator = torch.Generator().manual_seed(seed)
    if space in WORDS:
        return (torch.randint(5, (4, 6), generator=generator),)
    if space.startswith("nasbench_graph"):
        ring = torch.arange(12)
        edges = torch.stack([ring, (ring + 1) % 12])
        return torch.randn(12, 6, generator=generator), torch.cat([edges, edges.flip(0)], dim=1)
    size = 64 if space.startswith("transnas") else 8
    return (torch.randn(4, 3, size, size, generator=generator),)


def meta(*shape: int) -> torch.Tensor:
    return torch.empty(*shape, device="meta")
