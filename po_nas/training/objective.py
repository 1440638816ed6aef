"""An objective that trains: benchmarks ``train/SPACE/DATA``."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Hashable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt

from po_nas import spaces
from po_nas.core.objective import Metric, Objective, Outcome
from po_nas.core.settings import Settings, validated
from po_nas.errors import ConfigError, TrainingCheckpointError, TrainingError, TrainingStorageError, described
from po_nas.proxy_scores.computed import ComputedProxies, Inputs
from po_nas.spaces.base import Architecture, Space
from po_nas.training import OLD_NAMES
from po_nas.training.data import ImageData, image_set, locate, open_data
from po_nas.training.device import chosen_device
from po_nas.training.halving import Halving, Rungs
from po_nas.training.recipe import LossChoice, recipe, with_loss
from po_nas.training.records import TrainingResult, tensorboard_writer, write
from po_nas.training.trainer import Trainer, network_options
from proxies.batch import Batch

__all__ = ["TrainingObjective", "TrainingOptions", "load"]


class TrainingOptions(Settings):
    """The section ``training`` of a search's configuration; JSON-serialisable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deprecated: ClassVar[Mapping[str, str]] = OLD_NAMES

    data: str | None = Field(None, description="folder of the images; default: where the data set is looked for")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:1")
    recipe: Mapping[str, Any] = Field({}, description="settings of the recipe to change, as training.recipe.epochs=3")
    loss: LossChoice | None = Field(
        None,
        description="classification loss: a name, {name: …} with options, or a JSON file; default: the recipe's",
    )
    samples: PositiveInt | None = Field(None, description="so many of the training images; default: all")
    workers: NonNegativeInt = Field(4, description="processes that decode images, for sets that are streamed")
    halving: Halving | None = Field(None, description="end trainings that have fallen behind, as {first: 1, eta: 3}")
    folder: str | None = Field(
        None, description="where curves, results and checkpoints are kept; default: below the run directory"
    )
    tensorboard: bool = Field(False, description="write learning curves for TensorBoard into that folder")
    proxy_batch: PositiveInt = Field(32, description="images that proxies are computed on")


_log = logging.getLogger(__name__)

_SIX = ("grad_norm", "snip", "grasp", "fisher", "synflow", "jacov")
"""The proxies of PO-NAS; together they cost three to five passes through the network."""


def load(task: str, feedback: str, options: Mapping[str, Any] | None = None) -> TrainingObjective:
    """The objective of ``train/TASK`` (``darts/cifar10``) under the recipe `feedback`; see `TrainingObjective`."""
    return TrainingObjective(task, feedback, options)


class TrainingObjective(Objective):
    """Trains an architecture and tells its validation accuracy.

    `task` is ``SPACE/DATA``, `feedback` the name of a recipe, `options` the fields of `TrainingOptions`. Its `folder`
    keeps a folder for each training: learning curve, result, and while it lasts a checkpoint, so that a training cut
    short goes on where it was, and one that is finished is never repeated. All are plain values: the object is pickled
    as them, and reads its images when it first trains.

    Validation images are carved from the training images; the test images are looked at once, at the end of each
    training, and only `report` tells what came out. Raises, when made, `ConfigError`, `UnknownNameError`,
    `MissingImagesError` for what cannot be used.
    """

    def __init__(self, task: str, feedback: str, options: Mapping[str, Any] | None = None) -> None:
        space, _, dataset = task.partition("/")
        self.options = validated(TrainingOptions, options or {}, prefix="training.")
        self.kind, self._space = image_set(dataset), spaces.get(space)
        self.recipe = with_loss(
            recipe(feedback, self.options.recipe, prefix="training.recipe."), self.options.loss, "training."
        )
        self._arguments = (task, feedback, dict(options or {}))
        if self.options.loss is not None:
            # What the file holds, so that a worker elsewhere needs no file.
            self._arguments[2]["loss"] = self.recipe.loss
        if self.recipe.validation == 0:
            raise ConfigError("training.recipe.validation", 0, "a search needs validation images")
        network_options(self.recipe, self.kind)  # refuses what cannot be built
        self.device = chosen_device(self.options.device)
        self._images = locate(self.kind, self.options.data)
        self._folder = None if self.options.folder is None else Path(self.options.folder)
        self._tests: dict[str, list[float]] = {}
        self._rungs = None
        if self.options.halving is not None:
            rungs = None if self._folder is None else self._folder / f"rungs-{self._setting}"
            self._rungs = Rungs(self.options.halving, rungs)

    def __reduce__(self) -> tuple[Any, ...]:
        return TrainingObjective, self._arguments

    @property
    def name(self) -> str:
        return f"train/{self._arguments[0]}"

    @property
    def space(self) -> Space:
        return self._space

    @property
    def metric(self) -> Metric:
        return Metric("validation accuracy")

    @property
    def fidelities(self) -> tuple[float, ...]:
        """Any number of epochs."""
        return tuple(epoch / self.recipe.epochs for epoch in range(1, self.recipe.epochs + 1))

    @cached_property
    def data(self) -> ImageData:
        """The images, read once and kept on the device."""
        options = self.options
        return open_data(
            self.kind, self._images, self.recipe, device=self.device, samples=options.samples, workers=options.workers
        )

    # -- one evaluation -------------------------------------------------------------------------------------------

    def evaluate(self, architecture: Architecture, *, seed: int, fidelity: float | None = None) -> Outcome:
        """Train for the whole recipe, or for the share `fidelity` (0 to 1) of its epochs with the same schedule.

        Metrics besides ``validation``: ``validation_last``, ``validation_best``, ``best_epoch``, ``epochs``,
        ``train_accuracy``, ``parameters_m``, ``images_per_s``, ``parts`` (into which batches were cut for want of
        memory), ``stopped`` (1 for a training that halving ended), and ``validation_epoch_K`` for every epoch K. The
        cost is what the epochs took in seconds, also those before a crash. A loss that is not finite, or too little
        memory even in parts, is a failure.
        """
        started = time.perf_counter()
        key = self._key(architecture, seed, fidelity)
        folder = None if self._folder is None else self._folder / self._place(architecture) / key
        found = None if folder is None else _finished(folder / "result.json")
        if found is None:
            try:
                found = self._trained(architecture, seed, fidelity, key, folder)
            except TrainingError as error:
                return Outcome.failed(described(error), time.perf_counter() - started)
        result, parameters = found
        if result.test_last is not None:
            self._tests.setdefault(self._place(architecture), []).append(result.test_last)
        return self._outcome(result, parameters)

    def _trained(
        self, architecture: Architecture, seed: int, fidelity: float | None, key: str, folder: Path | None
    ) -> tuple[TrainingResult, int]:
        epochs = None if fidelity is None else max(1, round(fidelity * self.recipe.epochs))
        scalars = folder / "tensorboard" if self.options.tensorboard and folder is not None else None
        log, close = tensorboard_writer(scalars)
        network = self._space.build(architecture, seed=seed, **network_options(self.recipe, self.kind))
        trainer = Trainer(
            network,
            self.data,
            self.recipe,
            seed=seed,
            device=self.device,
            folder=folder,
            identity=key,
            on_epoch=log,
            stop=lambda record: None if self._rungs is None else self._rungs.stop(key, record),
        )
        try:
            result = trainer.run(epochs)
        except TrainingCheckpointError as error:
            _log.warning("%s; this training begins again", error)
            trainer.checkpoints.remove()
            result = trainer.run(epochs)
        finally:
            close()
        parameters = sum(p.numel() for name, p in network.named_parameters() if not name.startswith("auxiliary"))
        if folder is not None and self._keep(folder, result, parameters, architecture):
            trainer.checkpoints.remove()
        return result, parameters

    def _keep(self, folder: Path, result: TrainingResult, parameters: int, architecture: Architecture) -> bool:
        """Write the result; whether that was possible."""
        record = {"architecture": self._space.to_string(architecture), "parameters": parameters, **result.to_dict()}
        try:
            write(folder / "result.json", json.dumps(record, indent=1) + "\n")
        except TrainingStorageError as error:
            # The journal gets the outcome all the same.
            _log.warning("%s; the test accuracy of this training is known to this process alone", error)
            return False
        return True

    def _outcome(self, result: TrainingResult, parameters: int) -> Outcome:
        best, last = result.best, result.last
        if best is None or best.validation is None or last is None:
            return Outcome.failed("the training has no validated epoch", result.seconds)
        curve = {f"validation_epoch_{r.epoch}": r.validation for r in result.validated if r.validation is not None}
        metrics = {
            "validation_last": last,
            "validation_best": best.validation,
            "best_epoch": best.epoch,
            "epochs": len(result.curve),
            "train_accuracy": result.curve[-1].train_accuracy,
            "parameters_m": parameters / 1e6,
            "images_per_s": result.images_per_s,
            "parts": result.curve[-1].parts,
            "stopped": float(result.stopped is not None),
        }
        signal = last if self.recipe.signal == "last" else best.validation
        return Outcome.ok(signal, result.seconds, **metrics, **curve)

    @cached_property
    def _setting(self) -> str:
        """How trainings are made here: those of other searches in a common folder are not compared with these."""
        said = {
            "recipe": self.recipe.model_dump(mode="json"),
            "options": self.options.model_dump(mode="json", include={"samples", "halving"}),
            "data": self.kind.name,
        }
        return _short(json.dumps(said))

    def _place(self, architecture: Architecture) -> str:
        return _short(f"{self._setting} {self._space.canonical(architecture)}")

    def _key(self, architecture: Architecture, seed: int, fidelity: float | None) -> str:
        """Beside `_setting`, everything that the outcome of a training depends on."""
        said = {
            "setting": self._setting,
            "architecture": self._space.to_string(architecture),
            "seed": seed,
            "fidelity": fidelity,
        }
        return f"seed{seed}-{_short(json.dumps(said))}"

    # -- what is printed ------------------------------------------------------------------------------------------

    def report(self, architecture: Architecture) -> Mapping[str, float | None]:
        """Test accuracy in % of its last epoch, the mean of its trainings; None before there is one."""
        place = self._place(architecture)
        if self._folder is None:
            tests = self._tests.get(place, [])
        else:
            found = (_finished(path) for path in sorted((self._folder / place).glob("*/result.json")))
            tests = [one[0].test_last for one in found if one is not None and one[0].test_last is not None]
            tests = tests or self._tests.get(place, [])
        return {"test": sum(tests) / len(tests) if tests else None}

    def identity(self, architecture: Architecture) -> Hashable:
        """The canonical form: isomorphic architectures are trained once."""
        return self._space.canonical(architecture)

    def protocol(self) -> dict[str, Any]:
        r, shape = self.recipe, self.recipe.network
        early = self.options.halving
        return {
            "benchmark": self.name,
            "feedback_name": self._arguments[1],
            "dataset": self.kind.name + ("" if self.options.samples is None else f", {self.options.samples} images"),
            "split": f"validation, {100 * r.validation:g} % of the training images, by class, seed {r.split_seed}",
            "epochs": str(r.epochs),
            "runs": f"1 training, {r.signal} epoch",
            "source": f"trained by po-nas: {shape.cells} cells, {shape.channels} channels, batch {r.batch}",
            "early_stopping": "none"
            if early is None
            else f"halving from epoch {early.first}, 1 in {early.eta} goes on",
            "report": "test accuracy (%) of the last epoch, looked at once after each training",
            "pool": "the whole space",
            "recipe": r.model_dump(mode="json"),
        }

    # -- proxy scores ---------------------------------------------------------------------------------------------

    def example_inputs(self, samples: int = 16) -> Inputs:
        """The network of the recipe, and `TrainingOptions.proxy_batch` training images of the data set."""
        images, labels = next(self.data.train.shuffled(self.options.proxy_batch, 0))
        options = network_options(self.recipe, self.kind, auxiliary=False)
        return options, Batch.of((images.contiguous().cpu(), labels.cpu()))

    @cached_property
    def proxies(self) -> ComputedProxies:
        """The six proxies of PO-NAS, computed when a method asks for them; kept in the folder."""
        return ComputedProxies(
            self._space,
            _SIX,
            self.example_inputs,
            cache=None if self._folder is None else self._folder / "scores.sqlite",
            origin=f"networks of {self._space.name} as they are trained, scored by po-nas on training images",
        )


def _finished(path: Path) -> tuple[TrainingResult, int] | None:
    """A result on record with the number of parameters, None where there is none or it is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return TrainingResult.from_dict(value), int(value["parameters"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        _log.warning("%s is damaged; the training begins again", path)
        return None


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
