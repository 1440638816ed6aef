"""Small data: architectures of any space, and what an untrained encoder makes of them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from po_nas import spaces
from surrogates.encodings import Encodings
from surrogates.fusion.encoder import Embeddings
from surrogates.fusion.pretraining import pretrain
from surrogates.fusion.settings import PRESETS
from surrogates.isolation import single_thread


@pytest.fixture(autouse=True)
def _one_thread():
    with single_thread():
        yield


@cache
def encodings(name: str = "nasbench201", count: int = 60) -> Encodings:
    space, rng = spaces.get(name), np.random.default_rng(1)
    return Encodings.stack(space.encode_graph(space.sample(rng)) for _ in range(count))


@cache
def embedded(name: str = "nasbench201", count: int = 60) -> Embeddings:
    inputs = encodings(name, count)
    return pretrain(inputs, uniform(count, 1), PRESETS["none"], 0).embed(inputs)


def uniform(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    """Metrics (rows, columns) in [0, 1)."""
    return torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed))
