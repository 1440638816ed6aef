"""Data of the user's own: tensors, arrays, data sets of torch and loaders, as what a training needs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from po_nas.errors import ConfigError, SamplesError, UnknownNameError, short
from po_nas.training.data.images import stratified
from po_nas.training.data.opened import Loader, Shape, TrainingData
from po_nas.training.data.own_loaders import TensorLoader, TorchLoader, dataset_of, floats, length, pair, seeded, tensor
from po_nas.training.recipe import Augmentation, Recipe
from po_nas.training.task import IGNORED, Regression, Task, task_of

__all__ = ["OwnData", "own_data_settings"]

_LARGEST = 100_000
"""Numbers above are no classes that somebody counted from 0, but a mistake."""

_NUMBERS = {True: "numbers of floating point", False: "integers"}


@dataclass(frozen=True, eq=False)
class OwnData:
    """What the caller gave: training samples, and validation and test samples where there are some.

    Each is a pair (samples, targets) of tensors or arrays, a `TensorDataset`, a map-style `Dataset` of such pairs or a
    `DataLoader` of batches of them. Tokens may come as one tensor of integers: (n, t) sequences, or (t,) one text,
    which is cut into pieces of `context` + 1.

    Attributes:
        train: What weights are fitted to.
        validation: What a search optimises the metric of; None: a share of `train`, as the recipe says.
        test: What is looked at once, after each training.
        kind: ``classification``, ``regression`` or ``next_token``; None: what the targets look like.
        metric: Of the task; None: its first.
        classes: Number of classes, or of tokens; None: the largest and one.
        context: Tokens that networks are given at a time, for one text.
        name: As printed.
    """

    train: Any
    validation: Any = None
    test: Any = None
    kind: str | None = None
    metric: str | None = None
    classes: int | None = None
    context: int | None = None
    name: str = "own data"

    def __getstate__(self) -> dict[str, Any]:
        """What was given; what follows from it is found again."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @cached_property
    def parts(self) -> Mapping[str, tuple[Tensor, Tensor] | DataLoader[Any] | Dataset[Any]]:
        """What was given by ``train``, ``validation`` and ``test``, checked; tensors in the types that networks take.

        Raises `SamplesError` for what is none of the things that can be trained on.
        """
        given = {"train": self.train, "validation": self.validation, "test": self.test}
        found = {where: _read(part, where, self.context) for where, part in given.items() if part is not None}
        if "train" not in found:
            raise SamplesError("train", "None", "is missing")
        told = {where: s for where in found if (s := _shapes(found[where])) is not None}
        for where, shapes in told.items():
            if "train" in told and shapes != told["train"]:
                other, here = (" and ".join(f"{shape} {kind}" for shape, kind in s) for s in (told["train"], shapes))
                raise SamplesError(where, f"samples and targets of {here}", f"those of train are {other}")
        return found

    @cached_property
    def shapes(self) -> tuple[Shape, Shape]:
        """Shapes and types of a sample and of a target."""
        found = _shapes(self.parts["train"])
        if found is None:
            x, y = _first(self.parts["train"], "train")
            found = (tuple(x.shape[1:]), floats(x).dtype), (tuple(y.shape[1:]), y.dtype)
        return found

    @cached_property
    def kind_of_task(self) -> str:
        """As given, else what targets look like: numbers of floating point, the shape of samples that are integers
        (tokens), or classes."""
        (shape, kind), (wanted, of) = self.shapes
        if self.kind is not None:
            return self.kind
        tokens = not kind.is_floating_point and len(wanted) == 1 and wanted == shape
        return "regression" if of.is_floating_point else "next_token" if tokens else "classification"

    @cached_property
    def task(self) -> Task:
        """What outputs are compared with, and how."""
        name, (wanted, of) = self.kind_of_task, self.shapes[1]
        task = task_of(name, None if name == "regression" else self.num_classes, self.metric)
        if (name == "regression") != of.is_floating_point:
            raise SamplesError("train", f"targets of {of}", f"{name} needs {_NUMBERS[name == 'regression']}")
        if name == "classification" and wanted != ():
            raise SamplesError("train", f"targets of shape {wanted}", "classes are one integer for each sample")
        return task

    @cached_property
    def num_classes(self) -> int | None:
        """Number of classes or tokens: as given, else one more than the largest; None where it is not known."""
        if self.shapes[1][1].is_floating_point:
            return None
        seen = self._count(1)
        if seen is not None and self.kind_of_task == "next_token":
            seen = max(seen, self._count(0) or 0)
        if self.classes is not None or seen is not None:
            return self.classes or max(2, seen or 0)
        named = getattr(dataset_of(self.parts["train"]), "classes", None)
        return len(named) if isinstance(named, Sequence) and not isinstance(named, str) else None

    def _count(self, which: int) -> int | None:
        """One more than the largest of samples (0) or targets (1), where all are tensors of integers from 0 on."""
        largest = -1
        for where, part in self.parts.items():
            if not isinstance(part, tuple) or part[which].is_floating_point():
                return None
            counted = part[which]
            if which and self.kind_of_task == "next_token":
                counted = counted[counted != IGNORED]
            if counted.numel():
                low, high = int(counted.min()), int(counted.max())
                limit = _LARGEST if self.classes is None else self.classes
                if low < 0 or (high >= limit and (which or self.kind_of_task == "next_token")):
                    more = "; give num_classes= where there are more" if self.classes is None else ""
                    remedy = f"classes and tokens are 0 to {limit - 1}{more}"
                    raise SamplesError(where, f"numbers from {low} to {high}", remedy)
                largest = max(largest, high)
        return largest + 1

    @property
    def options(self) -> dict[str, int]:
        """What networks are told of the data, by the names of their options."""
        (shape, kind), (wanted, of) = self.shapes
        found: dict[str, int] = {}
        if not kind.is_floating_point and len(shape) == 1:
            found["context_length"] = shape[0]
            vocabulary = self.num_classes if self.kind_of_task == "next_token" else self._count(0)
            if vocabulary is not None:
                found["vocab_size"] = vocabulary
        elif len(shape) == 3:
            found |= {"in_channels": shape[0], "in_features": math.prod(shape)}
            if shape[1] == shape[2]:
                found["image_size"] = shape[1]
        elif shape:
            found["in_features"] = shape[-1]
        if of.is_floating_point:
            found["out_features"] = wanted[0] if wanted else 1
        elif self.num_classes is not None:
            found["num_classes"] = self.num_classes
        return found

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the samples; of data sets and loaders that of their type, length and first samples."""
        digest = hashlib.blake2b(digest_size=8)
        for where, part in self.parts.items():
            tensors: tuple[Tensor, ...] = part if isinstance(part, tuple) else ()
            if not isinstance(part, tuple):
                digest.update(f"{type(dataset_of(part)).__qualname__} {length(part)}".encode())
                # In which order those of a loader come is random.
                tensors = () if isinstance(part, DataLoader) else _first(part, where)
            digest.update(where.encode())
            for one in tensors:
                digest.update(f"{one.dtype}{tuple(one.shape)}".encode())
                digest.update(one.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def check(self, recipe: Recipe, samples: int | None = None) -> None:
        """Refuse a recipe, and a number of training samples, that these data cannot be trained by.

        Raises `ConfigError` and `SamplesError`.
        """
        train, a = self.parts["train"], recipe.augmentation
        self.task.loss(recipe)
        if a != Augmentation():
            if not isinstance(train, tuple) or len(self.shapes[0][0]) != 3:
                remedy = "is for tensors of images (n, c, h, w); change other samples in your data set"
                raise ConfigError("augmentation", a.model_dump(exclude_defaults=True), remedy)
            if any(a.jitter):
                raise ConfigError("augmentation.jitter", a.jitter, "is for image sets; change colours in your data set")
        if isinstance(train, tuple):
            train = self._kept(train, recipe, samples)
        elif samples is not None:
            raise ConfigError("samples", samples, "is for tensors; hand over a smaller data set")
        if "validation" not in self.parts:
            if not isinstance(train, tuple):
                raise SamplesError("validation", "None", "is needed beside a data set or loader")
            if recipe.validation == 0:
                raise ConfigError("validation", 0, "a search needs validation samples")
            validation: Any = self._split(train, recipe)[1]
        else:
            validation = self.parts["validation"]
        if isinstance(self.task, Regression) and self.task.of == "r2" and isinstance(validation, tuple):
            targets = validation[1].reshape(len(validation[1]), -1)
            if bool((targets == targets[0]).all(0).any()):
                remedy = "R² compares errors with how they vary; give others, or metric='rmse'"
                raise SamplesError("validation", "targets that are all equal", remedy)

    def open(self, recipe: Recipe, device: torch.device, samples: int | None, workers: int) -> TrainingData:
        """The data, on the device as far as they are tensors; `samples` keeps that many of the training samples."""
        parts = dict(self.parts)
        train = parts["train"]
        if isinstance(train, tuple):
            train = parts["train"] = self._kept(train, recipe, samples)
            if "validation" not in parts:
                parts["train"], parts["validation"] = self._split(train, recipe)
        floating = self.shapes[1][1].is_floating_point

        def loader(where: str) -> Loader:
            part = parts[where]
            if isinstance(part, tuple):
                return TensorLoader(*part, device, recipe.augmentation if where == "train" else None)
            return TorchLoader(
                part,
                device,
                targets=torch.float32 if floating else torch.int64,
                num_classes=self.num_classes,
                of=where,
                shuffle=where == "train",
                workers=workers,
            )

        return TrainingData(
            loader("train"), loader("validation"), lambda: loader("test") if "test" in parts else None, self.task
        )

    def _kept(self, train: tuple[Tensor, Tensor], recipe: Recipe, samples: int | None) -> tuple[Tensor, Tensor]:
        """So many of the training samples, every class its share."""
        if samples is None or samples >= len(train[1]):
            return train
        _, kept = self._rows(train[1], samples / len(train[1]), recipe.split_seed, "share of samples")
        return train[0][kept], train[1][kept]

    def _split(
        self, train: tuple[Tensor, Tensor], recipe: Recipe
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        first, second = self._rows(train[1], recipe.validation, recipe.split_seed, "validation")
        return (train[0][first], train[1][first]), (train[0][second], train[1][second])

    def _rows(self, targets: Tensor, share: float, seed: int, name: str) -> tuple[Tensor, Tensor]:
        """Rows of the larger and of the smaller part; classes keep their shares."""
        if targets.dim() == 1 and not targets.is_floating_point():
            labels = targets.cpu().numpy()
        else:
            labels = np.zeros(len(targets), np.int64)
        larger, smaller = stratified(labels, share, seed=seed, name=name)
        return torch.from_numpy(larger), torch.from_numpy(smaller)

    @property
    def described(self) -> str:
        """Name, number of training samples and what they are, for a protocol."""
        (shape, _), _ = self.shapes
        part = self.parts["train"]
        count = len(part[1]) if isinstance(part, tuple) else length(part)
        told = "samples" if count is None else f"{count:,} samples"
        classes = "" if self.num_classes is None else f", {self.num_classes} classes"
        return f"{self.name}: {told} of {' × '.join(map(str, shape)) or 'one number'}{classes}"

    @property
    def batch(self) -> int | None:
        """The size of training batches where it is that of a loader."""
        part = self.parts["train"]
        return part.batch_size if isinstance(part, DataLoader) else None

    @property
    def has_own_batches(self) -> bool:
        """Whether training batches are those of a loader."""
        return isinstance(self.parts["train"], DataLoader)

    @property
    def split(self) -> str:
        """Where validation samples come from, up to the share of the recipe."""
        return "given" if "validation" in self.parts else "carved"


_SETTINGS = {"task": "kind", "num_classes": "classes"}


def own_data_settings(made: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `OwnData` from what a registered data set is made of; `UnknownNameError` for anything else."""
    known = ("train", "validation", "test", "metric", "context", *_SETTINGS)
    for name in made:
        if name not in known:
            raise UnknownNameError("part of a data set", str(name), known)
    return {_SETTINGS.get(name, name): value for name, value in made.items()}


# -- reading what was given --------------------------------------------------------------------------------------------


def _read(part: Any, where: str, context: int | None) -> tuple[Tensor, Tensor] | DataLoader[Any] | Dataset[Any]:
    if isinstance(part, DataLoader):
        return part
    if isinstance(part, TensorDataset):
        part = part.tensors
    if isinstance(part, Tensor | np.ndarray):
        tokens = tensor(part, where)
        if tokens.is_floating_point():
            raise SamplesError(where, f"a tensor {tuple(tokens.shape)}", "give the pair of samples and targets")
        part = _shifted(tokens, where, context)
    if isinstance(part, tuple | list):
        if len(part) != 2:
            raise SamplesError(where, f"{len(part)} parts", "give the pair of samples and targets")
        x, y = (tensor(one, where) for one in part)
        if x.dim() == 0 or len(x) != len(y):
            lengths = f"{len(x) if x.dim() else 'one number'} and {len(y) if y.dim() else 'one number'}"
            raise SamplesError(where, f"samples and targets of lengths {lengths}", "they belong together in pairs")
        if len(y) < 2:
            raise SamplesError(where, f"{len(y)} samples", "give two at least")
        if y.dim() == 2 and y.shape[1] == 1 and not y.is_floating_point():
            y = y[:, 0]
        for part_of in (x, y):
            if part_of.is_meta:
                raise SamplesError(where, "tensors of the device 'meta'", "they hold no numbers; give real ones")
            if part_of.is_floating_point() and not bool(torch.isfinite(part_of).all()):
                raise SamplesError(where, "NaN or infinity", "leave such samples out, or fill them in")
        return floats(x), y.float() if y.is_floating_point() else y.long()
    if isinstance(part, IterableDataset):
        raise SamplesError(where, "an IterableDataset", "wrap it in a DataLoader")
    indexed = hasattr(part, "__getitem__") and hasattr(part, "__len__") and not isinstance(part, str | bytes | Mapping)
    if isinstance(part, Dataset) or indexed:
        found: Dataset[Any] = part
        return found
    raise SamplesError(where, f"a {type(part).__name__}, {short(part)}", "give tensors, a data set or a loader")


def _shifted(tokens: Tensor, where: str, context: int | None) -> tuple[Tensor, Tensor]:
    """Sequences and what follows at each place."""
    if tokens.dim() == 1:
        if context is None:
            raise SamplesError(where, f"one text of {len(tokens)} tokens", "say how long pieces are: context=…")
        pieces = len(tokens) // (context + 1)
        if pieces < 2:
            raise SamplesError(where, f"{len(tokens)} tokens", f"are less than two pieces of {context + 1}")
        tokens = tokens[: pieces * (context + 1)].reshape(pieces, context + 1)
    if tokens.dim() != 2 or tokens.shape[1] < 2:
        raise SamplesError(where, f"a tensor {tuple(tokens.shape)}", "tokens are (sequences, places)")
    return tokens[:, :-1], tokens[:, 1:]


def _first(part: Any, where: str) -> tuple[Tensor, Tensor]:
    """A few samples and their targets, from the beginning; the generators of a loader stay as they were."""
    loader = part if isinstance(part, DataLoader) else DataLoader(part, 2, generator=torch.Generator())
    try:
        with seeded(loader, 0), torch.random.fork_rng(devices=[]):
            given = next(iter(loader), None)
    except Exception as error:
        first = str(error).partition("\n")[0]
        raise SamplesError(where, f"a {type(part).__name__} that raises {type(error).__name__}", first) from error
    if given is None:
        raise SamplesError(where, "nothing", "give two samples at least")
    return pair(given, where)


def _shapes(part: Any) -> tuple[Shape, Shape] | None:
    """Shapes and types of a sample and of a target; None where they have to be read first."""
    if not isinstance(part, tuple):
        return None
    x, y = part
    return (tuple(x.shape[1:]), x.dtype), (tuple(y.shape[1:]), y.dtype)
