"""Training one architecture to the end and keeping its weights: what ``po-nas train`` does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from po_nas import spaces
from po_nas.core.settings import read_yaml
from po_nas.errors import ConfigError
from po_nas.training.data import image_set, locate, open_data
from po_nas.training.data.opened import ImageFiles
from po_nas.training.data_sets import recipes_of
from po_nas.training.device import chosen_device
from po_nas.training.objective import check_network
from po_nas.training.recipe import LossChoice, recipe, with_loss
from po_nas.training.records import EpochRecord, TrainingResult, save, tensorboard_writer, write
from po_nas.training.trainer import Trainer

__all__ = ["TrainConfig", "default_recipe", "train"]

_OWN = {
    "digits": "digits",
    "fashion-mnist": "final_fashion",
    "cifar10": "final_cifar",
    "cifar100": "final_cifar100",
    "imagenet": "final_imagenet",
}


class TrainingSection(BaseModel):
    """What a final training shares with the trainings of a search."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    loss: LossChoice | None = Field(
        None,
        description="classification loss: a name, {name: …} with options, or a JSON file; default: the recipe's",
    )


class TrainConfig(BaseModel):
    """Everything that determines the training of one architecture."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    genotype: str = Field(description="the architecture: a genotype's text, or a file that holds it")
    dataset: str = Field(description="image data set, such as cifar10")
    space: str = Field("darts", description="search space that the architecture is of")
    recipe: str | None = Field(None, description="a recipe's name; default: the final one of the data set")
    changes: Mapping[str, Any] = Field({}, description="settings of the recipe to change, as changes.epochs=100")
    training: TrainingSection = Field(TrainingSection.model_validate({}), description="training.loss, as in a search")
    seed: NonNegativeInt = Field(0, description="seed of initial weights, order and augmentation of images")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:1")
    data: str | None = Field(None, description="folder of the images; default: where the data set is looked for")
    samples: PositiveInt | None = Field(None, description="so many of the training images; default: all")
    workers: NonNegativeInt = Field(4, description="processes that decode images, for sets that are streamed")
    tensorboard: bool = Field(False, description="write learning curves for TensorBoard")


def default_recipe(dataset: str) -> str:
    """The recipe for a final training on a data set."""
    return _OWN[dataset] if dataset in _OWN else recipes_of(dataset)[0]


def train(
    config: TrainConfig, out: Path, on_epoch: Callable[[EpochRecord, int], None] = lambda record, epochs: None
) -> TrainingResult:
    """Train and write ``config.yaml``, ``curve.jsonl``, ``checkpoint.pt``, ``weights.pt`` and ``result.json`` to `out`.

    Called again with the same configuration it goes on from the checkpoint, and once everything is there it gives the
    result back. `on_epoch` gets each record and how many there will be. Raises, before anything is trained,
    `InvalidArchitectureError`, `UnknownNameError`, `ConfigError`, `MissingImagesError`; later what `Trainer.run` raises
    and `TrainingStorageError`, after which the same call continues.
    """
    kind, space = image_set(config.dataset), spaces.get(config.space)
    chosen = recipe(config.recipe or default_recipe(kind.name), config.changes, prefix="changes.", space=space.name)
    chosen = with_loss(chosen, config.training.loss, "training.")
    architecture = space.from_string(_text(config.genotype))
    options = check_network(space, chosen, ImageFiles(kind, None), "changes.network.")
    device = chosen_device(config.device)
    folder = locate(kind, config.data)
    string = space.to_string(architecture)
    record = {"train": config.model_dump(mode="json") | {"genotype": string}, "recipe": chosen.model_dump(mode="json")}
    _claim(out, record)
    weights, result = out / "weights.pt", out / "result.json"
    if weights.is_file() and result.is_file():
        return TrainingResult.from_dict(json.loads(result.read_text(encoding="utf-8")))
    data = open_data(kind, folder, chosen, device=device, samples=config.samples, workers=config.workers)
    log, close = tensorboard_writer(out / "tensorboard" if config.tensorboard else None)

    def told(record: EpochRecord) -> None:
        log(record)
        on_epoch(record, chosen.epochs)

    network = space.build(architecture, seed=config.seed, **options)
    trainer = Trainer(
        network, data, chosen, seed=config.seed, device=device, folder=out, identity=string, on_epoch=told
    )
    try:
        found = trainer.run()
    finally:
        close()
    described = {"space": space.name, "string": string, "dataset": kind.name, "network": options}
    save(weights, described | {"weights": trainer.weights()})
    write(result, json.dumps(described | found.to_dict(), indent=1) + "\n")
    trainer.checkpoints.remove()
    return found


def _text(genotype: str) -> str:
    """The text itself, or what a file of that name holds: text, or JSON as ``po-nas export`` writes it."""
    path = Path(genotype)
    if "(" in genotype or not path.is_file():
        return genotype
    try:
        text = path.read_text(encoding="utf-8").strip()
        return str(json.loads(text)["string"]) if text.startswith("{") else text
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError("genotype", genotype, f"holds no genotype ({type(error).__name__})") from error


_DECISIVE = ("genotype", "dataset", "space", "seed", "samples")


def _claim(out: Path, record: Mapping[str, Any]) -> None:
    """Write the configuration, or see that the one which is there is of the same training."""
    path = out / "config.yaml"
    if not path.is_file():
        write(path, yaml.safe_dump(dict(record), sort_keys=False, allow_unicode=True))
        return
    known = read_yaml(path, "out")
    try:
        same = known["recipe"] == record["recipe"] and all(
            known["train"][key] == record["train"][key] for key in _DECISIVE
        )
    except (KeyError, TypeError):
        same = False
    if not same:
        raise ConfigError("out", str(out), "holds another training or run; choose another folder")
