"""An objective that trains: benchmarks ``train/SPACE/DATA``."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Hashable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt

from po_nas import spaces
from po_nas.core.fidelities import Fidelities
from po_nas.core.objective import Metric, Objective, Outcome
from po_nas.core.settings import Settings, validated
from po_nas.errors import (
    ConfigError,
    NoSamplesError,
    TrainingCheckpointError,
    TrainingError,
    TrainingStorageError,
    described,
)
from po_nas.proxy_scores.computed import ComputedProxies, Inputs
from po_nas.proxy_scores.own_networks import declared_space
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.declared.space import DeclaredSpace
from po_nas.training import OLD_NAMES
from po_nas.training.data.layouts import locate
from po_nas.training.data.opened import ImageFiles, TrainingData
from po_nas.training.data.own_data import OwnData, own_data_settings
from po_nas.training.data_sets import ImageSet, made_by
from po_nas.training.device import chosen_device, reseed
from po_nas.training.halving import Halving, Rungs
from po_nas.training.network import check_trainable, network_options
from po_nas.training.recipe import LossChoice, Recipe, recipe, with_loss
from po_nas.training.records import TrainingResult, finished, result_name, tensorboard_writer, write
from po_nas.training.task import Classification
from po_nas.training.trainer import Checkpoints, Trainer
from proxies.batch import Batch

__all__ = ["TUNED", "Data", "TrainingObjective", "TrainingOptions", "check_network", "load"]


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
    samples: PositiveInt | None = Field(None, description="so many of the training samples; default: all")
    workers: NonNegativeInt = Field(4, description="processes that read samples that do not lie in memory")
    halving: Halving | None = Field(None, description="end trainings that have fallen behind, as {first: 1, eta: 3}")
    folder: str | None = Field(
        None, description="where curves, results and checkpoints are kept; default: below the run directory"
    )
    tensorboard: bool = Field(False, description="write learning curves for TensorBoard into that folder")
    proxy_batch: PositiveInt = Field(32, description="samples that proxies are computed on")


_log = logging.getLogger(__name__)

NETWORK = "training.recipe.network."

_SIX = ("grad_norm", "snip", "grasp", "fisher", "synflow", "jacov")
"""The proxies of PO-NAS; together they cost three to five passes through the network."""


Data = ImageFiles | OwnData
"""What is trained on, not read yet."""


def load(task: str, feedback: str, options: Mapping[str, Any] | None = None) -> TrainingObjective:
    """The objective of ``train/TASK`` (``darts/cifar10``) under the recipe `feedback`; see `TrainingObjective`.

    `task` is ``SPACE/DATA``, both registered, `options` the fields of `TrainingOptions`. Raises `ConfigError`,
    `UnknownNameError`, `MissingImagesError` for what cannot be used.
    """
    space_name, _, dataset = task.partition("/")
    given = dict(options or {})
    checked = validated(TrainingOptions, given, prefix="training.")
    space, made = spaces.get(space_name), made_by(dataset)
    chosen = with_loss(
        recipe(feedback, checked.recipe, prefix="training.recipe.", space=space.name), checked.loss, "training."
    )
    if checked.loss is not None:
        # What the file holds, so that a worker elsewhere needs no file.
        given["loss"] = chosen.loss
    chosen_device(checked.device)
    data: Data
    if isinstance(made, ImageSet):
        check_network(space, chosen, ImageFiles(made, None))
        data = ImageFiles(made, locate(made, checked.data))
    elif checked.data is not None:
        raise ConfigError("training.data", checked.data, f"is for images in files; {dataset} is made by a function")
    else:
        data = OwnData(**own_data_settings(made), name=dataset)
    return TrainingObjective(
        space, data, chosen, checked, name=f"train/{task}", feedback=feedback, made=(load, (task, feedback, given))
    )


class TrainingObjective(Objective):
    """Trains an architecture and tells its validation metric.

    The `folder` of `options` keeps a folder for each training: learning curve, result, and while it lasts a checkpoint,
    so that a training cut short goes on where it was, and one that is finished is never repeated. Samples are read when
    it first trains.

    Validation samples are carved from the training samples where none are given; the test samples are looked at once,
    at the end of each training, and only `report` tells what came out.

    A choice of a declared space that has the name of a setting of the recipe (`TUNED`) sets it, unless the function
    that builds the networks takes it by name.

    Args:
        space: Whose networks are trained.
        data: What they are trained on.
        chosen: How.
        options: Where, and what is kept.
        name: As printed.
        feedback: The name of the recipe.
        made: What makes this object elsewhere, a function and its arguments; None: it is sent as it is.
        prefix: What is put before options of the network in messages.

    Raises:
        ConfigError: For what cannot be used.
    """

    def __init__(
        self,
        space: Space,
        data: Data,
        chosen: Recipe,
        options: TrainingOptions,
        *,
        name: str,
        feedback: str,
        made: tuple[Callable[..., Any], tuple[Any, ...]] | None = None,
        prefix: str = NETWORK,
    ) -> None:
        self._space, self._source, self.recipe, self.options = space, data, chosen, options
        self._name, self._feedback, self._made = name, feedback, made
        if chosen.validation == 0 and isinstance(data, ImageFiles):
            raise ConfigError("training.recipe.validation", 0, "a search needs validation images")
        data.check(chosen, options.samples)
        self._tuned = _tuned(space)
        if "batch" in self._tuned and isinstance(data, OwnData) and data.has_own_batches:
            raise ConfigError("batch", "", "is a choice of the space, but batches are those of a DataLoader")
        self._network = check_network(space, chosen, data, prefix)
        self.device = chosen_device(options.device)
        self._folder = None if options.folder is None else Path(options.folder)
        self._tests: dict[str, list[float]] = {}
        self._rungs = None
        if options.halving is not None:
            rungs = None if self._folder is None else self._folder / f"rungs-{self._setting}"
            self._rungs = Rungs(options.halving, rungs, maximize=data.task.metric.maximize)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._made is not None:
            return self._made
        return _restored, (self._space, self._source, self.recipe, self.options, self._name, self._feedback)

    @property
    def name(self) -> str:
        return self._name

    @property
    def space(self) -> Space:
        return self._space

    @property
    def metric(self) -> Metric:
        return self._source.task.metric

    @cached_property
    def fidelities(self) -> Fidelities:
        """Any number of epochs, with the schedule of all of them, so that a training goes on from a shorter one.

        None where halving ends trainings by itself.
        """
        if self._rungs is not None:
            return Fidelities()
        return Fidelities(tuple(range(1, self.recipe.epochs + 1)), "epochs", resumes=self._folder is not None)

    def goes_on(self, architecture: Architecture, *, seed: int, fidelity: float) -> bool:
        """Whether there is a checkpoint that can be read and has come as far."""
        folder = self._trained_in(architecture, seed)
        return folder is not None and Checkpoints(folder, "").reached() >= fidelity

    @property
    def distinct(self) -> int | None:
        """The size of a declared space, where it is known; in other spaces architectures may be isomorphic."""
        return self._space.size if isinstance(self._space, DeclaredSpace) else None

    @cached_property
    def data(self) -> TrainingData:
        """The samples, read once and, as far as they fit, kept on the device."""
        return self._source.open(self.recipe, self.device, self.options.samples, self.options.workers)

    def _recipe_of(self, architecture: Architecture) -> Recipe:
        """The recipe with the settings that are choices of the space."""
        if not self._tuned:
            return self.recipe
        config = self._space.config_of(architecture)
        told = {name: config[name] for name in self._tuned if name in config}
        return validated(Recipe, self.recipe.model_dump() | told, prefix="recipe.")

    # -- one evaluation -------------------------------------------------------------------------------------------

    def evaluate(self, architecture: Architecture, *, seed: int, fidelity: float | None = None) -> Outcome:
        """Train for the whole recipe, or for `fidelity` of its epochs with the same schedule.

        With a folder the training goes on from the checkpoint of a shorter one of the same architecture and seed; its
        cost is that of the epochs that are left. A shorter one looks at no test samples.

        Metrics besides ``validation``: ``validation_last``, ``validation_best``, ``best_epoch``, ``epochs``,
        ``train_accuracy`` (or another metric), ``parameters_m``, ``samples_per_s``, ``parts`` (into which batches were
        cut for want of memory), ``stopped`` (1 for a training that halving ended), and ``validation_epoch_K`` for every
        epoch K. The cost is what the epochs took in seconds, also those before a crash. A loss that is not finite, or
        too little memory even in parts, is a failure.
        """
        started = time.perf_counter()
        asked = self.fidelities.checked(fidelity)
        epochs = None if asked is None else int(asked)
        folder = self._trained_in(architecture, seed)
        found = None if folder is None else finished(folder / result_name(epochs))
        paid_s = 0.0 if folder is None else self._paid_s(folder, epochs, goes_on=found is not None)
        if found is None:
            try:
                found = self._trained(architecture, seed, epochs, folder)
            except TrainingError as error:
                return Outcome.failed(described(error), time.perf_counter() - started)
        result, parameters = found
        if result.test_last is not None:
            self._tests.setdefault(self._place(architecture), []).append(result.test_last)
        return self._outcome(result, parameters, paid_s)

    def _trained_in(self, architecture: Architecture, seed: int) -> Path | None:
        if self._folder is None:
            return None
        return self._folder / self._place(architecture) / self._key(architecture, seed)

    def _paid_s(self, folder: Path, epochs: int | None, *, goes_on: bool) -> float:
        """Seconds of the epochs of a training that shorter ones have paid for.

        None where it cannot go on from them, for their checkpoint is gone; then their results go too, so that a second
        attempt at this training, which has a checkpoint of its own, counts all of it.
        """
        paths = {int(lower): folder / result_name(int(lower)) for lower in self.fidelities.values[:-1]}
        shorter = [n for n, path in paths.items() if (epochs is None or n < epochs) and path.is_file()]
        if not shorter:
            return 0.0
        last = finished(paths[shorter[-1]])
        if last is not None and (goes_on or Checkpoints(folder, "").reached() >= shorter[-1]):
            return last[0].seconds
        _log.warning("%s: the checkpoint after %d epochs is gone; this training begins again", folder, shorter[-1])
        for lower in shorter:
            paths[lower].unlink(missing_ok=True)
        return 0.0

    def _trained(
        self, architecture: Architecture, seed: int, epochs: int | None, folder: Path | None
    ) -> tuple[TrainingResult, int]:
        key = self._key(architecture, seed)
        scalars = folder / "tensorboard" if self.options.tensorboard and folder is not None else None
        log, close = tensorboard_writer(scalars, self._source.task.measured)
        network = self._space.build(architecture, seed=seed, **self._network)
        trainer = Trainer(
            network,
            self.data,
            self._recipe_of(architecture),
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
        kept = folder is not None and self._keep(folder / result_name(epochs), result, parameters, architecture)
        if kept and epochs is None:
            trainer.checkpoints.remove()
        return result, parameters

    def _keep(self, path: Path, result: TrainingResult, parameters: int, architecture: Architecture) -> bool:
        """Write the result; whether that was possible."""
        record = {"architecture": self._space.to_string(architecture), "parameters": parameters, **result.to_dict()}
        try:
            write(path, json.dumps(record, indent=1) + "\n")
        except TrainingStorageError as error:
            # The journal gets the outcome all the same.
            _log.warning("%s; the test accuracy of this training is known to this process alone", error)
            return False
        return True

    def _outcome(self, result: TrainingResult, parameters: int, paid_s: float) -> Outcome:
        best, last, cost_s = result.best, result.last, max(0.0, result.seconds - paid_s)
        if best is None or best.validation is None or last is None:
            reason = "the training has no validated epoch"
            if last is not None:
                reason = f"the {self.metric.name} was {last} after the last epoch, and finite after none"
            return Outcome.failed(reason, cost_s)
        curve = {f"validation_epoch_{r.epoch}": r.validation for r in result.validated if r.validation is not None}
        metrics = {
            "validation_last": last,
            "validation_best": best.validation,
            "best_epoch": best.epoch,
            "epochs": len(result.curve),
            f"train_{self._source.task.measured}": result.curve[-1].train_metric,
            "parameters_m": parameters / 1e6,
            "samples_per_s": result.samples_per_s,
            "parts": result.curve[-1].parts,
            "stopped": float(result.stopped is not None),
        }
        signal = last if self.recipe.signal == "last" else best.validation
        return Outcome.ok(signal, cost_s, **metrics, **curve)

    @cached_property
    def _setting(self) -> str:
        """How trainings are made here: those of other searches in a common folder are not compared with these."""
        said = {
            "recipe": self.recipe.model_dump(mode="json"),
            "options": self.options.model_dump(mode="json", include={"samples", "halving"}),
            "data": self._source.name,
        }
        if isinstance(self._source, OwnData):
            said |= {"data": self._source.fingerprint, "task": str(self._source.task)}
        if declared_space(self._space) is not None:
            # Their networks are the user's, who may edit them.
            said["networks"] = self._space.network_identity
        return _short(json.dumps(said))

    def _place(self, architecture: Architecture) -> str:
        return _short(f"{self._setting} {self._space.canonical(architecture)}")

    def _key(self, architecture: Architecture, seed: int) -> str:
        """Beside `_setting`, everything that a training depends on; shorter ones are the beginning of longer ones."""
        said = {
            "setting": self._setting,
            "architecture": self._space.to_string(architecture),
            "seed": seed,
            # As in version 0.1, whose trainings go on.
            "fidelity": None,
        }
        return f"seed{seed}-{_short(json.dumps(said))}"

    # -- what is printed ------------------------------------------------------------------------------------------

    def report(self, architecture: Architecture) -> Mapping[str, float | None]:
        """The metric of test samples after the last epoch, the mean of its trainings; None before there is one."""
        place = self._place(architecture)
        if self._folder is None:
            tests = self._tests.get(place, [])
        else:
            found = (finished(path) for path in sorted((self._folder / place).glob("*/result.json")))
            tests = [one[0].test_last for one in found if one is not None and one[0].test_last is not None]
            tests = tests or self._tests.get(place, [])
        return {"test": sum(tests) / len(tests) if tests else None}

    def identity(self, architecture: Architecture) -> Hashable:
        """The canonical form: isomorphic architectures are trained once."""
        return self._space.canonical(architecture)

    def protocol(self) -> dict[str, Any]:
        r, source = self.recipe, self._source
        early = self.options.halving
        by_class = "by class, " if isinstance(source.task, Classification) else ""
        carved = f"validation, {100 * r.validation:g} % of the training {{}}, {by_class}seed {r.split_seed}"
        own = isinstance(source, OwnData)
        limit = "" if self.options.samples is None else f", {self.options.samples} {'samples' if own else 'images'}"
        batch = source.batch if isinstance(source, OwnData) and source.has_own_batches else r.batch
        metric = self.metric
        measured = f"test {source.task.measured}" + (f" ({metric.unit})" if metric.unit else "")
        said = {
            "benchmark": self.name,
            "feedback_name": self._feedback,
            "dataset": source.described + limit,
            "split": carved.format("samples" if own else "images"),
            "epochs": str(r.epochs),
            "runs": f"1 training, {r.signal} epoch",
            "source": f"trained by po-nas: {self._described_network()}batch {batch}",
            "early_stopping": "none"
            if early is None
            else f"halving from epoch {early.first}, 1 in {early.eta} goes on",
            "report": f"{measured} of the last epoch, looked at once after each training",
            "pool": "the whole space",
            "recipe": r.model_dump(mode="json"),
        }
        if isinstance(source, OwnData):
            said["data"] = source.fingerprint
            if source.split == "given":
                said["split"] = "validation samples of the caller's"
        return said

    def _described_network(self) -> str:
        options = dict(self.recipe.network.options)
        told = [f"{options.pop(name)} {name}" for name in ("cells", "channels") if name in options]
        # The stem follows from the data.
        told += [f"{name}={value}" for name, value in options.items() if name != "stem"]
        return "".join(f"{word}, " for word in told)

    @property
    def network(self) -> dict[str, Any]:
        """Options of the networks, without the auxiliary head that training alone uses."""
        return network_options(self._space, self.recipe, self._source.options, auxiliary=False)

    # -- proxy scores ---------------------------------------------------------------------------------------------

    def example_inputs(self, samples: int = 16) -> Inputs:
        """The network of the recipe, and up to `TrainingOptions.proxy_batch` training samples: the first batch."""
        # A loader without a generator of its own draws from the global one.
        with torch.random.fork_rng(devices=[]):
            reseed(torch.device("cpu"), 0)
            batches = self.data.train.shuffled(self.options.proxy_batch, 0)
            first = next(batches, None)
            del batches  # a loader gives back the states of its generators
        if first is None:
            raise NoSamplesError(len(self.data.train))
        x, y = (part[: self.options.proxy_batch] for part in first)
        return self.network, Batch.of((x.contiguous().cpu(), y.cpu()))

    @cached_property
    def proxies(self) -> ComputedProxies | None:
        """The six proxies of PO-NAS, computed when a method asks for them; kept in the folder.

        None for declared spaces, of whose networks nobody knows which proxies they have: ask for some.
        """
        if declared_space(self._space) is not None:
            return None
        return ComputedProxies(
            self._space,
            _SIX,
            self.example_inputs,
            cache=None if self._folder is None else self._folder / "scores.sqlite",
            origin=f"networks of {self._space.name} as they are trained, scored by po-nas on training images",
        )


def _restored(
    space: Space, data: Data, chosen: Recipe, options: TrainingOptions, name: str, feedback: str
) -> TrainingObjective:
    return TrainingObjective(space, data, chosen, options, name=name, feedback=feedback)


TUNED = (
    *("learning_rate", "final_learning_rate", "schedule", "warmup_epochs", "optimizer", "momentum", "weight_decay"),
    *("batch", "clip", "label_smoothing", "ema"),
)
"""Settings of a recipe that may be choices of a declared space."""


def _tuned(space: Space) -> tuple[str, ...]:
    declared = declared_space(space)
    if declared is None:
        return ()
    unused = sorted(declared.unused_choices - {*TUNED})
    if unused:
        remedy = (
            "is used by neither the networks nor the training; take it in the function that builds them, or call it "
            f"what a setting is called: {', '.join(TUNED)}"
        )
        raise ConfigError("choice", unused[0], remedy)
    return tuple(name for name in TUNED if name in declared.choices and name not in declared.network_choices)


def check_network(space: Space, chosen: Recipe, data: Data, prefix: str = NETWORK) -> dict[str, Any]:
    """Options of the networks of a space for data; refuses, with a `ConfigError`, what cannot be trained."""
    options = network_options(space, chosen, data.options, data=data.name, prefix=prefix)
    check_trainable(space, chosen, options, data.task, *data.shapes, prefix=prefix)
    return options


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
