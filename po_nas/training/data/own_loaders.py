"""Batches of the user's own samples: of tensors on the device, of data sets of torch and of loaders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from po_nas.errors import SamplesError
from po_nas.training.data.augmentation import crops, cut_out
from po_nas.training.data.loaders import shuffled_rows
from po_nas.training.recipe import Augmentation
from po_nas.training.task import IGNORED

__all__ = ["TensorLoader", "TorchLoader", "dataset_of", "floats", "length", "pair", "seeded", "tensor"]


class TensorLoader:
    """Batches of samples (n, …) and targets (n, …) that lie on the device.

    Images (n, c, h, w) can be cropped at random (from a black frame of zeros), mirrored and cut out.
    """

    def __init__(
        self, samples: Tensor, targets: Tensor, device: torch.device, augmentation: Augmentation | None = None
    ) -> None:
        self._samples, self._targets = samples.to(device), targets.to(device)
        self._augmentation, self._device = augmentation or Augmentation(), device
        self._padded: Tensor | None = None
        if self._augmentation.crop or self._augmentation.flip:
            pad = self._augmentation.crop
            self._padded = functional.pad(self._samples, (pad, pad, pad, pad)).permute(0, 2, 3, 1).contiguous()

    def __len__(self) -> int:
        return len(self._targets)

    def shuffled(self, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch as `shuffled_rows` says; `seed` decides everything."""
        a = self._augmentation
        generator = torch.Generator(self._device).manual_seed(seed)
        for rows in shuffled_rows(len(self), batch, generator):
            if self._padded is None:
                x = self._samples[rows]
            else:
                x = crops(self._padded, rows, a.crop, a.flip, generator).permute(0, 3, 1, 2)
            yield (cut_out(x, a.cutout, generator) if a.cutout else x), self._targets[rows]

    def in_order(self, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All samples as they are."""
        yield from zip(torch.split(self._samples, batch), torch.split(self._targets, batch), strict=True)


class TorchLoader:
    """Batches of a `DataLoader` as they come, or of a `Dataset`.

    The generators of a loader and of its samplers are seeded for the time of an epoch and are then as they were;
    a loader without a generator draws from torch's global one, which a training seeds. Augmentation that draws from
    numpy's or Python's global generator is not seeded.

    Args:
        given: The loader, whose batches have the size that it says, or the data set.
        device: Where batches go.
        targets: Their type.
        num_classes: Targets are below; None: not known.
        of: What it is called in messages.
        shuffle: Whether a data set is shuffled.
        workers: Processes that read a data set.
    """

    def __init__(
        self,
        given: DataLoader[Any] | Dataset[Any],
        device: torch.device,
        *,
        targets: torch.dtype,
        num_classes: int | None,
        of: str,
        shuffle: bool = False,
        workers: int = 0,
    ) -> None:
        self._given, self._device, self._type, self._num_classes = given, device, targets, num_classes
        self._of, self._shuffle, self._workers = of, shuffle, workers

    def __len__(self) -> int:
        return length(self._given) or 0

    def shuffled(self, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch. A batch of one sample is left out."""
        loader = self._loader(batch)
        with seeded(loader, seed):
            for x, y in self._batches(loader):
                if len(y) > 1:
                    yield x, y

    def in_order(self, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All batches."""
        loader = self._loader(batch)
        with seeded(loader, 0):
            yield from self._batches(loader)

    def _loader(self, batch: int) -> DataLoader[Any]:
        if isinstance(self._given, DataLoader):
            return self._given
        pinned = self._device.type == "cuda"
        return DataLoader(
            self._given,
            batch,
            shuffle=self._shuffle,
            num_workers=self._workers,
            pin_memory=pinned,
            generator=torch.Generator(),
        )

    def _batches(self, loader: DataLoader[Any]) -> Iterator[tuple[Tensor, Tensor]]:
        for given in loader:
            x, y = pair(given, self._of)
            if self._num_classes is not None:
                # On a GPU a class that there is not would end the process.
                counted = y[y != IGNORED] if y.dim() > 1 else y
                low, high = (int(counted.min()), int(counted.max())) if counted.numel() else (0, 0)
                if low < 0 or high >= self._num_classes:
                    remedy = f"classes and tokens are 0 to {self._num_classes - 1}"
                    raise SamplesError(self._of, f"numbers from {low} to {high}", remedy)
            yield floats(x.to(self._device)), y.to(self._device, self._type)


@contextmanager
def seeded(loader: DataLoader[Any], seed: int) -> Iterator[None]:
    """Seed the generators that a loader has, and give them their states back."""
    samplers = (loader.sampler, loader.batch_sampler, getattr(loader.batch_sampler, "sampler", None))
    held = [getattr(thing, "generator", None) for thing in (loader, *samplers)]
    generators = {id(g): g for g in held if isinstance(g, torch.Generator)}
    with ExitStack() as stack:
        for generator in generators.values():
            stack.callback(generator.set_state, generator.get_state())
            generator.manual_seed(seed)
        yield


def tensor(given: Any, where: str) -> Tensor:
    """A tensor of what is one, or becomes one as an array; `SamplesError` for anything else."""
    if isinstance(given, Tensor):
        found = given.detach()
    else:
        try:
            found = torch.from_numpy(np.ascontiguousarray(given))
        except (TypeError, ValueError) as error:
            raise SamplesError(where, f"a {type(given).__name__}", f"is no tensor of numbers ({error})") from error
    if found.is_complex():
        raise SamplesError(where, f"complex numbers {tuple(found.shape)}", "give real ones: torch.view_as_real")
    return found


def floats(x: Tensor) -> Tensor:
    """Samples in the types that networks take: pixels of bytes from 0 to 1, single precision, integers of 64 bits."""
    if x.dtype is torch.uint8 and x.dim() == 4:
        return x.float() / 255
    return x.float() if x.is_floating_point() or x.dtype is torch.bool else x.long()


def pair(given: Any, where: str) -> tuple[Tensor, Tensor]:
    """Samples and targets of a batch; `SamplesError` for anything else."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise SamplesError(where, f"a {type(given).__name__}", "each item must be the pair of samples and targets")
    x, y = (tensor(one, where) for one in given)
    return x, y


def dataset_of(part: Any) -> Any:
    """The data set of a loader, or what is one."""
    return part.dataset if isinstance(part, DataLoader) else part


def length(part: Any) -> int | None:
    """Number of samples of a data set or loader; None where nobody knows."""
    try:
        return len(dataset_of(part))
    except TypeError:
        return None
