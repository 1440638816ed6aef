"""How a network is trained, and under which loss: its settings, and the recipes of the package."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic_core import PydanticCustomError

from losses import classification
from po_nas.core.settings import validated
from po_nas.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from losses.classification.base import ClassificationLoss

__all__ = [
    "DEFAULT",
    "Augmentation",
    "LossChoice",
    "NetworkShape",
    "Recipe",
    "chosen_loss",
    "loss_of",
    "names",
    "recipe",
]
__all__ += ["with_loss"]

DEFAULT = "cross_entropy"

LossChoice = str | Mapping[str, Any]
"""A name, or ``{"name": …}`` with hyper-parameters; what a file holds is ``{"name": "formula", "formula": …}``."""


def chosen_loss(choice: LossChoice) -> LossChoice:
    """What a user chose in the form that is kept: the content of a ``.json`` file, a name where nothing else is said.

    Raises a ValueError that says why it cannot be used, and `UnknownNameError`.
    """
    if isinstance(choice, str):
        chosen: dict[str, Any] = {"name": choice}
        if choice.endswith(".json"):
            chosen = {"name": "formula", **classification.formula_of(choice)}
    else:
        chosen = dict(choice)
        if not isinstance(chosen.get("name"), str):
            raise ValueError("needs the name of a loss, as {name: focal, gamma: 1}")
    if chosen == {"name": DEFAULT}:
        return DEFAULT
    classification.get(**chosen)
    return chosen["name"] if len(chosen) == 1 else chosen


def loss_of(choice: LossChoice, label_smoothing: float) -> ClassificationLoss:
    """The loss of a choice that `chosen_loss` returned; its own `label_smoothing` goes before the recipe's."""
    options = {"name": choice} if isinstance(choice, str) else choice
    return classification.get(**{"label_smoothing": label_smoothing, **options})


_FOLDER = Path(__file__).parent / "recipes"
_Share = Annotated[float, Field(ge=0, lt=1)]


def _usable(choice: LossChoice) -> LossChoice:
    try:
        return chosen_loss(choice)
    except ValueError as error:
        said = f"{error.key}: {error.remedy}" if isinstance(error, ConfigError) else str(error)
        raise PydanticCustomError("loss", "{reason}", {"reason": said}) from error


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkShape(BaseModel):
    """The network: an auxiliary head, drop path, and options of the networks of the space by their names.

    `drop_path` grows linearly from 0 in the first epoch towards this value. Which options there are depends on the
    space, see `po_nas.networks.options`; those of DARTS are listed here.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    stem: str | None = None
    channels: PositiveInt | None = None
    cells: PositiveInt | None = None
    auxiliary: bool = False
    drop_path: _Share = 0.0

    @property
    def options(self) -> dict[str, Any]:
        """The options of the space's networks that are given, `auxiliary` and `drop_path` left aside."""
        known = {"stem": self.stem, "channels": self.channels, "cells": self.cells, **(self.model_extra or {})}
        return {name: value for name, value in known.items() if value is not None}

    @model_serializer(mode="plain")
    def _told(self) -> dict[str, Any]:
        return {**self.options, "auxiliary": self.auxiliary, "drop_path": self.drop_path}


class Augmentation(_Settings):
    """What happens to training images: `crop` pixels of padding around a random crop, mirror images, a square cut out.

    `jitter` are the strengths of changes of brightness, contrast, saturation and hue. Sets that are decoded while they
    are trained on (ImageNet) get a random resized crop instead of `crop`. Samples that are no images, data sets of
    torch and loaders have no augmentation here; tensors of images have all but `jitter`.
    """

    crop: NonNegativeInt = 0
    flip: bool = False
    cutout: NonNegativeInt = 0
    jitter: tuple[_Share, _Share, _Share, _Share] = (0.0, 0.0, 0.0, 0.0)


class Recipe(_Settings):
    """One training from the first to the last epoch.

    `validation` is the share of the official training images that is never trained on and gives the search signal;
    `split_seed` decides which. `signal` is the epoch that is told: the last, or the best by validation. `precision`
    ``auto`` is bf16 (fp16 on GPUs without it) on a GPU and fp32 on a CPU. `ema` is the decay of a moving average of the
    weights, which is then what is validated. `parts` at most: on running out of device memory every batch is cut into
    twice as many parts, whose gradients are added up. `loss` is a classification loss by name, ``{name: …}`` with its
    hyper-parameters, or the JSON file of an evolved one, whose content is then kept; `label_smoothing` smooths the
    targets of every loss that does not say its own. `momentum` is of ``sgd``; ``adamw`` has torch's other defaults.
    """

    network: NetworkShape = NetworkShape()
    epochs: PositiveInt
    batch: Annotated[int, Field(ge=2)]
    validation: _Share = 0.2
    split_seed: NonNegativeInt = 0
    signal: Literal["last", "best"] = "last"
    learning_rate: PositiveFloat
    final_learning_rate: NonNegativeFloat = 0.0
    schedule: Literal["cosine", "linear"] = "cosine"
    warmup_epochs: NonNegativeInt = 0
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: _Share = 0.9
    weight_decay: NonNegativeFloat = 3e-4
    clip: PositiveFloat | None = 5.0
    label_smoothing: _Share = 0.0
    loss: Annotated[LossChoice, AfterValidator(_usable)] = DEFAULT
    auxiliary_weight: NonNegativeFloat = 0.4
    augmentation: Augmentation = Augmentation()
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    channels_last: bool = True
    compile: bool = False
    deterministic: bool = False
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    keep_best: bool = Field(False, description="keep the weights of the best epoch by validation, and test them too")
    parts: PositiveInt = 8

    @model_serializer(mode="wrap")
    def _described(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without loss and optimiser where they are the usual ones: trainings and runs of before are known by this."""
        said: dict[str, Any] = handler(self)
        for name, usual in (("loss", DEFAULT), ("optimizer", "sgd")):
            if said.get(name) == usual:
                del said[name]
        return said

    def learning_rate_in(self, epoch: int) -> float:
        """The learning rate of an epoch (from 0): after the warm-up from `learning_rate` towards the final one."""
        if epoch < self.warmup_epochs:
            return self.learning_rate * (epoch + 1) / self.warmup_epochs
        done = (epoch - self.warmup_epochs) / max(1, self.epochs - self.warmup_epochs)
        left = (1 + math.cos(math.pi * done)) / 2 if self.schedule == "cosine" else 1 - done
        return self.final_learning_rate + (self.learning_rate - self.final_learning_rate) * left

    def drop_path_in(self, epoch: int) -> float:
        """The probability of dropping a path in an epoch (from 0)."""
        return self.network.drop_path * epoch / self.epochs


def names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def recipe(
    name: str, changes: Mapping[str, Any] | None = None, prefix: str = "recipe.", space: str = "darts"
) -> Recipe:
    """A recipe of the package with some of its settings changed: ``recipe("ponas", {"epochs": 3})``.

    What a recipe says of the network it says of one `space`; networks of others are as their space makes them.

    Raises `UnknownNameError` for a recipe that there is not, and `ConfigError` that names a wrong setting, after
    `prefix`.
    """
    if name not in names():
        raise UnknownNameError("training recipe", name, names())
    raw = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    raw["network"] = raw.get("network", {}).get(space, {})
    return validated(Recipe, _merged(raw, changes or {}), prefix=prefix)


def with_loss(chosen: Recipe, loss: LossChoice | None, prefix: str) -> Recipe:
    """The recipe under another loss, where one is given; errors name the key ``loss`` after `prefix`."""
    if loss is None:
        return chosen
    return validated(Recipe, chosen.model_dump() | {"loss": loss}, prefix=prefix)


def _merged(raw: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(raw)
    for key, value in changes.items():
        below = found.get(key)
        found[key] = _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return found
