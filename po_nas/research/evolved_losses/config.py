"""What determines an evolution of losses: sizes, surrogate trainings, rounds, the final comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from po_nas.core.settings import read_settings, validated
from po_nas.errors import ConfigError, UnknownNameError
from po_nas.research.evolved_losses.networks import GENOTYPES
from po_nas.runtime.config import ExecutorConfig
from po_nas.training.data import ImageSet
from po_nas.training.data import image_set as known_set
from po_nas.training.recipe import Augmentation, LossChoice, NetworkShape, Recipe

__all__ = ["REGIMES", "EvolveLossConfig", "Final", "Rung", "Setting", "augmentation", "load_evolve_loss", "presets"]

_FOLDER = Path(__file__).parent / "presets"
_Share = Annotated[float, Field(ge=0, lt=1)]


REGIMES = ("plain", "light", "strong", "harsh")
"""How strongly images are changed while a network is trained, in words that fit every data set."""


def augmentation(regime: str, kind: ImageSet) -> Augmentation:
    """``plain``: nothing; ``light``: crops of an eighth of the image and, but for digits, mirror images; ``strong``: a
    square of a third cut out too; ``harsh``: of a half, from crops of a quarter. `UnknownNameError` for any other.
    """
    if regime not in REGIMES:
        raise UnknownNameError("augmentation regime", regime, REGIMES)
    if regime == "plain":
        return Augmentation()
    size, harsh = kind.size, regime == "harsh"
    cut = {"light": 0, "strong": size // 3, "harsh": size // 2}[regime]
    return Augmentation(crop=max(1, size // (4 if harsh else 8)), flip=kind.name != "digits", cutout=cut)


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Setting(_Settings):
    """One way to train a network under a loss.

    `label` is what tables call it. `network` is ``conv`` or a key of
    `po_nas.research.evolved_losses.networks.GENOTYPES`; `layers` are convolutions or cells, `dropout` is of features or
    paths. A training whose accuracy on its own training images
    is below `least` (%) after `at` epochs is stopped, and the loss is out. `datasets` (default: all) are those that a
    final comparison uses it for, and `rates` multiples of the learning rate of which it takes the best for each loss.
    """

    label: str = ""
    datasets: tuple[str, ...] = ()
    rates: tuple[PositiveFloat, ...] = ()
    network: str = "conv"
    channels: PositiveInt = 16
    layers: PositiveInt = 3
    epochs: PositiveInt = 8
    batch: Annotated[int, Field(ge=2)] = 32
    learning_rate: PositiveFloat = 0.05
    weight_decay: NonNegativeFloat = 3e-4
    dropout: _Share = 0.0
    augmentation: str = "light"
    at: PositiveInt = 3
    least: NonNegativeFloat = 0.0

    @property
    def title(self) -> str:
        """The label, or what there is to say without one."""
        return self.label or f"{self.network}, {self.augmentation}"

    def recipe(self, kind: ImageSet, validation: float, loss: LossChoice) -> Recipe:
        """The recipe of the training under a loss."""
        shape = NetworkShape(
            channels=self.channels, cells=self.layers, drop_path=0.0 if self.network == "conv" else self.dropout
        )
        return Recipe(
            network=shape,
            epochs=self.epochs,
            batch=self.batch,
            validation=validation,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            augmentation=augmentation(self.augmentation, kind),
            channels_last=False,
            keep_best=False,
            loss=loss,
        )


class Rung(_Settings):
    """One step of the ladder: every loss is trained in every setting with every seed; the mean of the validation
    accuracies counts, and the best `keep` go on."""

    settings: Annotated[tuple[Setting, ...], Field(min_length=1)]
    seeds: PositiveInt = 1
    keep: PositiveInt


class Final(_Settings):
    """The comparison at the end: in every one of `settings`, on each of `datasets` (default: the one evolved on),
    with `samples` training images (default: as many as in the evolution).
    Where a setting has several `rates`, `tuning_seeds` trainings with validation images choose one for each loss."""

    settings: Annotated[tuple[Setting, ...], Field(min_length=1)]
    seeds: PositiveInt = 5
    tuning_seeds: PositiveInt = 1
    datasets: tuple[str, ...] = ()
    samples: PositiveInt | None = None


class EvolveLossConfig(_Settings):
    """Everything that determines an evolution."""

    dataset: str = Field("digits", description="image data set, such as digits or fashion-mnist")
    data: Mapping[str, str] = Field(
        {}, description="data set: folder of its images, where they are not found by themselves"
    )
    device: str = Field("cpu", description="of the trainings: auto, cpu, cuda, cuda:1")
    seed: NonNegativeInt = Field(0, description="seed of graphs, splits and trainings")
    samples: PositiveInt | None = Field(None, description="so many of the training images; default: all")
    validation: Annotated[float, Field(gt=0, lt=1)] = Field(0.5, description="share of them that losses are judged on")
    initial: PositiveInt = Field(description="random losses that are screened")
    population: PositiveInt = Field(description="losses alive")
    tournament: PositiveInt = Field(description="draws, of which the best becomes a parent")
    children: NonNegativeInt = Field(description="losses made by mutation")
    brood: PositiveInt = Field(
        4, description="children made from one state of the population, and trained side by side"
    )
    tries: PositiveInt = Field(2500, description="mutations tried for a child that passes all checks")
    again: NonNegativeInt = Field(7, description="new children in place of one whose training fails")
    screen: Rung
    fitness: Rung
    elimination: tuple[Rung, ...]
    ladder: NonNegativeInt = Field(
        0, description="further losses, of all fitnesses, that climb every rung for comparison"
    )
    final: Final
    executor: Annotated[
        ExecutorConfig, BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value)
    ] = Field(ExecutorConfig(), description="where trainings run: process, ray, submitit; inline: see --workers")

    def model_post_init(self, _: Any) -> None:
        """See that what is named is there."""
        known_set(self.dataset)
        for name in (*self.final.datasets, *self.data):
            known_set(name)
        rungs = (self.screen, self.fitness, *self.elimination)
        for setting in (*(s for rung in rungs for s in rung.settings), *self.final.settings):
            if setting.augmentation not in REGIMES:
                raise UnknownNameError("augmentation regime", setting.augmentation, REGIMES)
            if setting.network not in ("conv", *GENOTYPES):
                raise UnknownNameError("network of a loss search", setting.network, ("conv", *GENOTYPES))
        if self.screen.keep > self.initial:
            raise ConfigError("screen.keep", self.screen.keep, f"there are only {self.initial} initial losses")

    @property
    def winners(self) -> int:
        """How many losses come out."""
        return self.elimination[-1].keep if self.elimination else self.fitness.keep

    @property
    def compared_on(self) -> tuple[str, ...]:
        """Data sets of the final comparison."""
        return self.final.datasets or (self.dataset,)


def presets() -> list[str]:
    """The sizes that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_evolve_loss(path: Path | None, overrides: Sequence[str] = (), preset: str | None = None) -> EvolveLossConfig:
    """A preset (``laptop`` unless the file or `preset` names another), changed by a file and by ``key=value``.

    Raises `UnknownNameError` for a preset that there is not, `ConfigError` for a wrong setting.
    """
    given = read_settings(path, overrides)
    name = preset or given.pop("preset", "laptop")
    given.pop("preset", None)
    if name not in presets():
        raise UnknownNameError("preset of a loss search", str(name), presets())
    raw = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return validated(EvolveLossConfig, _merged(raw, given))


def _merged(raw: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(raw)
    for key, value in changes.items():
        below = found.get(key)
        found[key] = _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return found
