"""Small made-up image data sets in every layout, and networks that train in no time."""

from __future__ import annotations

import gzip
import io

import numpy as np
import torch
from PIL import Image
from torch import nn

from po_nas.training.data import TrainingData, image_set
from po_nas.training.data.images import Images
from po_nas.training.data.loaders import ResidentLoader
from po_nas.training.recipe import Recipe

TINY = {"network": {"channels": 8, "cells": 2}, "epochs": 3, "batch": 20, "learning_rate": 0.05}


def tiny_recipe(**changes):
    return Recipe.model_validate(TINY | changes)


def arrays(n, classes=10, size=8, channels=3, seed=0):
    """Images whose brightness tells their class, so that something can be learned."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    pixels = rng.integers(0, 60, (n, size, size, channels)) + (labels * (190 // classes))[:, None, None, None]
    return pixels.astype(np.uint8), labels.astype(np.int64)


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(path, pixels, labels, image="img", label="label"):
    import pyarrow as pa
    import pyarrow.parquet as pq

    cells = [{"bytes": png(p), "path": f"{i}.png"} for i, p in enumerate(pixels)]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({image: cells, label: labels}), path)


def write_folders(folder, pixels, labels, suffix="png"):
    for i, (p, y) in enumerate(zip(pixels, labels, strict=True)):
        place = folder / f"class{y:03d}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{i}.{suffix}").write_bytes(png(p))


def write_idx(folder, split, pixels, labels, gz=True):
    prefix = "train" if split == "train" else "t10k"
    n, h, w = pixels.shape[:3]
    images = bytes([0, 0, 8, 3]) + np.array([n, h, w], ">u4").tobytes() + pixels.tobytes()
    classes = bytes([0, 0, 8, 1]) + np.array([n], ">u4").tobytes() + labels.astype(np.uint8).tobytes()
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", classes)):
        (folder / (name + (".gz" if gz else ""))).write_bytes(gzip.compress(data) if gz else data)


def toy_data(recipe, n=60, seed=0):
    """Data of the digits' shape, split without reading anything."""
    kind, device = image_set("digits"), torch.device("cpu")

    def loader(count, augmentation=None):
        pixels, labels = arrays(count, channels=1, seed=seed + count)
        return ResidentLoader(kind, Images.checked(kind, pixels, labels), device, augmentation)

    return TrainingData(loader(n, recipe.augmentation), loader(20) if recipe.validation else None, lambda: loader(30))


class Small(nn.Module):
    """A network with batch normalisation, dropout (random numbers in the forward pass) and an auxiliary head."""

    def __init__(self, auxiliary=False, fail=lambda images: None):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(4, 10)
        self.auxiliary = nn.Linear(4, 10) if auxiliary else None
        self.fail = fail

    def forward(self, x):
        if self.training:
            self.fail(x)
        h = self.dropout(torch.relu(self.norm(self.convolution(x))).mean((2, 3)))
        if self.auxiliary is not None and self.training:
            return self.classifier(h), self.auxiliary(h)
        return self.classifier(h)


def small(seed=0, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Small(**options)
