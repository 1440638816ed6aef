"""Throughput of the trainer against a plain DARTS training loop; writes docs/results/trainer_speed.md.

    python perf/trainer_speed.py [--write]

Both train the same network (same initial weights, SGD, crop, flip, cutout, clipping, auxiliary head) on the same made-up
images of 32 x 32, in turns and in one run; each figure is the median of three epochs after one that is not counted. The
plain loop is what DARTS' scripts do: a DataLoader over PIL transforms (two processes on a GPU machine, none on a CPU),
float32, images copied batch by batch, loss and accuracy read after every step. On a GPU the networks are those of the
final training for CIFAR-10 and of PO-NAS' short one; on a CPU a small one, where the arithmetic is all and the ratio
says little. The bf16 peak is what a product of square matrices reaches on the same device in the same run.
"""

from __future__ import annotations

import statistics
import sys
import time

import _page
import numpy as np
import torch
from PIL import Image, ImageOps
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from po_nas import spaces
from po_nas.training.data import Images, TrainingData, image_set
from po_nas.training.data.loaders import ResidentLoader
from po_nas.training.network import network_options
from po_nas.training.recipe import Recipe, recipe
from po_nas.training.trainer import Trainer
from proxies.counting import count_operations

_DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
KIND = image_set("cifar10")
GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")


def made_up(count: int) -> Images:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Images.checked(KIND, pixels, np.arange(count) % KIND.num_classes)


class Transformed(Dataset):
    """Images one by one, as torchvision's transforms of DARTS treat them."""

    def __init__(self, images: Images, cutout: int) -> None:
        self.images = [Image.fromarray(pixels) for pixels in images.pixels.numpy()]
        self.labels, self.cutout = images.labels, cutout
        self.mean, self.std = (torch.tensor(v).view(3, 1, 1) for v in (KIND.mean, KIND.std))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        image = ImageOps.expand(self.images[index], 4)
        left, top = torch.randint(9, (2,)).tolist()
        image = image.crop((left, top, left + 32, top + 32))
        if torch.rand(()) < 0.5:
            image = ImageOps.mirror(image)
        x = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float().div(255)
        x = (x - self.mean) / self.std
        if self.cutout:
            y0, x0 = torch.randint(32, (2,)).tolist()
            half = self.cutout // 2
            x[:, max(0, y0 - half) : y0 + half, max(0, x0 - half) : x0 + half] = 0
        return x, self.labels[index]


def network(settings: Recipe) -> nn.Module:
    space = spaces.get("darts")
    return space.build(space.from_string(_DARTS_V2), seed=0, **network_options(space, settings, KIND.options))


class Plain:
    """The loop of DARTS' train.py."""

    def __init__(self, settings: Recipe, images: Images) -> None:
        self.settings, self.network = settings, network(settings).to(DEVICE)
        self.loader = DataLoader(
            Transformed(images, settings.augmentation.cutout),
            settings.batch,
            shuffle=True,
            pin_memory=GPU,
            num_workers=2 if GPU else 0,
        )
        self.optimiser = torch.optim.SGD(
            self.network.parameters(), settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay
        )

    def epoch(self) -> float:
        started, total = time.perf_counter(), 0.0
        self.network.train()
        for x, y in self.loader:
            x, y = x.to(DEVICE), y.to(DEVICE, non_blocking=True)
            self.optimiser.zero_grad()
            output = self.network(x)
            logits, side = output if isinstance(output, tuple) else (output, None)
            loss = functional.cross_entropy(logits, y)
            if side is not None:
                loss = loss + self.settings.auxiliary_weight * functional.cross_entropy(side, y)
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
            self.optimiser.step()
            total += loss.item() + (logits.argmax(1) == y).float().mean().item()
        return len(self.loader.dataset) / (time.perf_counter() - started)


class Ours:
    """The trainer, an epoch at a time."""

    def __init__(self, settings: Recipe, images: Images) -> None:
        self.loader = ResidentLoader(KIND, images, DEVICE, settings.augmentation)
        data = TrainingData(self.loader, None, lambda: self.loader)
        self.trainer = Trainer(network(settings), data, settings, seed=0, device=DEVICE)
        self.count = 0

    def epoch(self) -> float:
        record = self.trainer._epoch(self.count)
        self.count += 1
        return record.samples / record.train_s

    def data_alone(self) -> float:
        """Images per second when they are augmented and nothing is trained."""
        started, seen = time.perf_counter(), 0
        for _, labels in self.loader.shuffled(self.trainer.recipe.batch, 0):
            seen += len(labels)
        if GPU:
            torch.cuda.synchronize()
        return seen / (time.perf_counter() - started)


def peak() -> float:
    """Multiply-adds per second of a bf16 product of square matrices."""
    n = 8192 if GPU else 512
    a = torch.randn(n, n, device=DEVICE, dtype=torch.bfloat16)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(4):
            a @ a
        if GPU:
            torch.cuda.synchronize()
        seconds.append((time.perf_counter() - started) / 4)
    return n**3 / min(seconds)


def measured(name: str, settings: Recipe, images: Images) -> list[tuple[str, str, str]]:
    plain, ours = Plain(settings, images), Ours(settings, images)
    rates: dict[str, list[float]] = {"plain": [], "ours": []}
    for turn in range(4):
        for kind, runner in (("plain", plain), ("ours", ours)):
            found = runner.epoch()
            if turn:
                rates[kind].append(found)
    slow, fast = (statistics.median(rates[kind]) for kind in ("plain", "ours"))
    data = statistics.median(ours.data_alone() for _ in range(3))
    rows = [
        (f"{name}: the plain loop", f"{slow:,.0f} images/s", ""),
        (f"{name}: po-nas", f"{fast:,.0f} images/s", ""),
        (f"{name}: ratio", f"{fast / slow:.2f} ×", "≥ 2 × on a GPU"),
        (f"{name}: share of the time that augmentation takes", f"{100 * fast / data:.1f} %", ""),
    ]
    if GPU:
        macs = count_operations(network(settings).to("cpu").eval(), torch.zeros(1, 3, 32, 32)).total
        # Forward once, backward twice.
        rows.append((f"{name}: of the bf16 peak", f"{100 * 3 * macs * fast / peak():.1f} %", ""))
    return rows


def main() -> None:
    count = 20_000 if GPU else 384
    images = made_up(count)
    crops = {"crop": 4, "flip": True, "cutout": 16}
    if GPU:
        cases = [
            ("final network (C 36, 20 cells, batch 96)", recipe("final_cifar", {"validation": 0})),
            ("short training (C 16, 6 cells, batch 576)", recipe("ponas", {"augmentation": crops, "validation": 0})),
        ]
    else:
        small = {"network": {"channels": 8, "cells": 5}, "batch": 64, "augmentation": crops, "validation": 0}
        cases = [("small network (C 8, 5 cells, batch 64)", recipe("ponas", small))]
        cases.append(("the same, channels first", recipe("ponas", small | {"channels_last": False})))
    rows = [row for name, settings in cases for row in measured(name, settings, images)]
    device = f"{torch.cuda.get_device_name()}, " if GPU else "One thread, "
    lines = [
        "# Throughput of the trainer",
        "",
        f"Regenerate with `python perf/trainer_speed.py --write`. {device}{_page.machine('torch')}; {count:,} made-up images. The plain loop and what is compared are described there.",
        "",
        *_page.table(("what", "measured", "target"), rows, left=3),
    ]
    _page.publish("trainer_speed", lines, "--write" in sys.argv)


if __name__ == "__main__":
    main()
