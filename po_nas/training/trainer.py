"""Training one network by a recipe: its checkpoints, its epochs."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from po_nas.errors import (
    LossNotFiniteError,
    NetworkOutputError,
    NoSamplesError,
    TrainingCheckpointError,
    TrainingMemoryError,
    TrainingStorageError,
)
from po_nas.training.data.opened import Loader, TrainingData
from po_nas.training.device import Precision, isolated, reseed
from po_nas.training.recipe import DEFAULT, Recipe
from po_nas.training.records import EpochRecord, TrainingResult, save, write
from po_nas.training.task import LossFunction

__all__ = ["Checkpoints", "Stop", "Trainer"]

_log = logging.getLogger(__name__)
_VERSION = 1


class Checkpoints:
    """The one checkpoint of a training in `folder` (None: none is kept); `identity` says which training it is of.

    A checkpoint that cannot be written (disk full) is counted in `failed` and logged; the training goes on, and the one
    before stays.
    """

    def __init__(self, folder: Path | None, identity: str) -> None:
        self.path = None if folder is None else folder / "checkpoint.pt"
        self._identity = identity
        self.failed = 0

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint."""
        if self.path is None:
            return
        try:
            save(self.path, {"version": _VERSION, "identity": self._identity, "state": state})
        except TrainingStorageError as error:
            self.failed += 1
            _log.warning("%s; the training goes on without this checkpoint", error)

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state, its tensors on `device`; None when there is none.

        Nothing in the file is executed. `TrainingCheckpointError` for a damaged one and one of another training.
        """
        if self.path is None or not self.path.is_file():
            return None
        try:
            found = torch.load(self.path, map_location=device, weights_only=True)
            state = found["state"]
        except Exception as error:
            # A torn file can make the reader stumble anywhere.
            raise TrainingCheckpointError(self.path, f"is damaged ({type(error).__name__})") from error
        if found.get("version") != _VERSION or found.get("identity") != self._identity:
            raise TrainingCheckpointError(self.path, "belongs to a training with other settings")
        assert isinstance(state, dict)
        return state

    def reached(self) -> int:
        """Epochs of the training that is in the checkpoint; 0 where there is none, or none that can be read."""
        if self.path is None or not self.path.is_file():
            return 0
        try:
            return len(torch.load(self.path, map_location="cpu", weights_only=True)["state"]["curve"])
        except Exception:
            # As in `load`; whoever trains says what is wrong with it.
            return 0

    def remove(self) -> None:
        """Delete the checkpoint of a training that is finished."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


Stop = Callable[[EpochRecord], "str | None"]
"""Asked after every epoch but the last; a reason ends the training."""

_CHECK_EVERY = 100
"""Steps between looks at the loss, each of which waits for the device."""


class Trainer:
    """Trains `network` on `data`.

    The network takes a batch and returns outputs of the task of the data (`po_nas.training.task`). By convention, one
    with an auxiliary head returns the pair (outputs, auxiliary outputs) in training mode, and one with drop path has a
    method ``set_drop_path(probability)``.

    Everything random (order and augmentation of samples, dropped paths) is seeded by (`seed`, epoch), so a training
    that goes on from a checkpoint is the one that was never stopped: on a CPU its weights are the same to the last bit,
    on a GPU with ``recipe.deterministic`` too. torch's global state is left as it was. Not for several threads at once.

    With a `folder`, every epoch leaves ``checkpoint.pt`` and ``curve.jsonl`` there, and `run` goes on from the
    checkpoint. `identity` names the training for that check, beside recipe and seed. `on_epoch` sees every record,
    those of earlier sessions too.
    """

    def __init__(
        self,
        network: nn.Module,
        data: TrainingData,
        recipe: Recipe,
        *,
        seed: int,
        device: torch.device,
        folder: Path | None = None,
        identity: str = "",
        on_epoch: Callable[[EpochRecord], None] = lambda record: None,
        stop: Stop = lambda record: None,
    ) -> None:
        self.recipe, self.data, self.seed, self.device = recipe, data, seed, device
        self.folder, self._on_epoch, self._stop = folder, on_epoch, stop
        self.precision = Precision.of(recipe, device, network)
        self.network = network.to(device)
        self.network.to(memory_format=self.precision.memory_format)  # type: ignore[call-overload]
        if recipe.network.drop_path and not callable(getattr(network, "set_drop_path", None)):
            raise NetworkOutputError("no drop path", "a network with set_drop_path(probability), or drop_path=0")
        self._optimiser = _optimiser(network, recipe)
        self._scaler = self.precision.scaler()
        average = get_ema_multi_avg_fn(recipe.ema) if recipe.ema else None  # type: ignore[no-untyped-call]
        self._average = AveragedModel(self.network, multi_avg_fn=average, use_buffers=True) if recipe.ema else None
        self._forward: Callable[[Tensor], Any] = torch.compile(self.network) if recipe.compile else self.network
        loss = data.task.loss(recipe)
        compiled = recipe.compile and recipe.loss != DEFAULT
        self._loss: LossFunction = torch.compile(loss) if compiled else loss
        text = json.dumps([recipe.model_dump(mode="json"), seed, identity, len(data.train)])
        self.checkpoints = Checkpoints(folder, hashlib.sha256(text.encode()).hexdigest())
        self._curve: list[EpochRecord] = []
        self._best: dict[str, Tensor] | None = None
        self._parts = 1
        self._stopped: str | None = None

    # -- the whole training ---------------------------------------------------------------------------------------

    def run(self, epochs: int | None = None) -> TrainingResult:
        """Train to the end of the recipe, or `epochs` of it; at the end of all of it, look at the test samples once.

        On running out of device memory the training goes back to its last checkpoint (or its beginning) with batches
        cut into twice as many parts, up to ``recipe.parts``; the records say how many. Raises `LossNotFiniteError`,
        `TrainingMemoryError`, `NetworkOutputError`, `TrainingCheckpointError`, and what reading samples raises.
        """
        limit = self.recipe.epochs if epochs is None else min(epochs, self.recipe.epochs)
        tf32 = self.device.type == "cuda" and self.recipe.precision != "fp32"
        with isolated(self.device, deterministic=self.recipe.deterministic, tf32=tf32):
            start = self._snapshot()
            self._restore(self.checkpoints.load(self.device))
            for record in self._curve:
                self._on_epoch(record)
            while True:
                try:
                    self._train(limit)
                    last, best = self._tested()
                    break
                except torch.cuda.OutOfMemoryError as error:
                    parts = self._parts * 2
                    if parts > min(self.recipe.parts, self.recipe.batch // 2):
                        raise TrainingMemoryError(self.recipe.batch, self._parts) from error
                # Out of the handler, so that the traceback holds no tensor any more.
                torch.cuda.empty_cache()
                self._restore(self.checkpoints.load(self.device) or start)
                self._parts = parts
        return self._result(last, best)

    def _result(self, last: float | None = None, best: float | None = None) -> TrainingResult:
        better = self.data.task.metric.maximize
        return TrainingResult(tuple(self._curve), last, best, self._stopped, self.checkpoints.failed, better)

    def _train(self, limit: int) -> None:
        while len(self._curve) < limit and self._stopped is None:
            record = self._epoch(len(self._curve))
            self._curve.append(record)
            if self.recipe.keep_best and record.validation is not None and record is self._result().best:
                self._best = {name: value.clone() for name, value in self._evaluated.state_dict().items()}
            if len(self._curve) < limit:
                self._stopped = self._stop(record)
            self.checkpoints.save(self._snapshot())
            self._write_curve()
            self._on_epoch(record)

    def _write_curve(self) -> None:
        if self.folder is None:
            return
        try:
            write(self.folder / "curve.jsonl", "".join(record.line() + "\n" for record in self._curve))
        except TrainingStorageError:
            self.checkpoints.failed += 1  # the curve is in the next checkpoint too

    # -- one epoch ------------------------------------------------------------------------------------------------

    def _epoch(self, epoch: int) -> EpochRecord:
        recipe, started = self.recipe, time.perf_counter()
        rate = recipe.learning_rate_in(epoch)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        if recipe.network.drop_path:
            cast(Any, self.network).set_drop_path(recipe.drop_path_in(epoch))
        digest = hashlib.sha256(f"{self.seed} {epoch}".encode()).digest()
        # Of one seed, samples and dropped paths would be drawn by the same numbers.
        seed, paths = (int.from_bytes(digest[first : first + 7], "big") for first in (0, 7))
        reseed(self.device, paths)
        self.network.train()
        loss = torch.zeros((), device=self.device)
        sums: Tensor | None = None
        samples = 0
        for step, (x, y) in enumerate(self.data.train.shuffled(recipe.batch, seed)):
            batch_loss, batch_sums = self._step(x, y)
            loss += batch_loss
            sums = batch_sums if sums is None else sums + batch_sums
            samples += len(y)
            if step % _CHECK_EVERY == _CHECK_EVERY - 1 and not math.isfinite(float(loss)):
                break
        if sums is None:
            raise NoSamplesError(len(self.data.train))
        mean = float(loss) / samples
        if not math.isfinite(mean):
            raise LossNotFiniteError(epoch + 1, rate)
        train_s = time.perf_counter() - started
        validation = None if self.data.validation is None else self.measure(self.data.validation)
        return EpochRecord(
            epoch=epoch + 1,
            train_loss=mean,
            train_metric=self.data.task.value(sums, samples),
            validation=validation,
            learning_rate=rate,
            parts=self._parts,
            samples=samples,
            train_s=train_s,
            seconds=time.perf_counter() - started,
        )

    def _step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """One update of the weights; the summed loss of the batch and the sums of the metric, on the device."""
        recipe = self.recipe
        self._optimiser.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        sums: list[Tensor] = []
        # Sizes differ by one at most, and no part is a single sample.
        parts = max(1, min(self._parts, len(y) // 2))
        for part, targets in zip(x.tensor_split(parts), y.tensor_split(parts), strict=True):
            with self.precision.autocast():
                output = self._forward(self._placed(part))
            outputs, side = output if isinstance(output, tuple) and len(output) == 2 else (output, None)
            self._check(outputs, targets)
            loss = self._loss(outputs, targets)
            if side is not None:
                self._check(side, targets)
                other = self._loss(side, targets)
                loss = loss + recipe.auxiliary_weight * other
            share = self.data.task.share(targets, y)
            self._scaler.scale(loss * share).backward()  # type: ignore[no-untyped-call]
            total += loss.detach() * (share * len(y))
            sums.append(self.data.task.sums(outputs.detach(), targets))
        if recipe.clip is not None:
            self._scaler.unscale_(self._optimiser)
            nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        if self._average is not None:
            self._average.update_parameters(self.network)
        return total, torch.stack(sums).sum(0)

    def _placed(self, x: Tensor) -> Tensor:
        """A batch as the network's kernels like it: images are stored as the weights are."""
        return x.contiguous(memory_format=self.precision.memory_format) if x.dim() == 4 else x.contiguous()

    def _check(self, outputs: Any, targets: Tensor) -> None:
        if not isinstance(outputs, Tensor):
            raise NetworkOutputError(f"a {type(outputs).__name__}", "a tensor, or in training mode a pair of them")
        self.data.task.check(outputs, targets)

    # -- looking at samples without learning ----------------------------------------------------------------------

    @property
    def _evaluated(self) -> nn.Module:
        """The network with the weights that count: their moving average where there is one."""
        module: nn.Module = self.network if self._average is None else self._average.module
        return module

    def measure(self, loader: Loader, network: nn.Module | None = None) -> float:
        """The metric of the task on all samples of a loader, such as the share in % that is classified right."""
        network = network or self._evaluated
        network.eval()
        sums: Tensor | None = None
        samples = 0
        with torch.no_grad():
            for x, y in loader.in_order(max(self.recipe.batch // self._parts, 2)):
                with self.precision.autocast():
                    outputs = network(self._placed(x))
                self._check(outputs, y)
                batch_sums = self.data.task.sums(outputs, y)
                sums = batch_sums if sums is None else sums + batch_sums
                samples += len(y)
        if sums is None:
            raise NoSamplesError(len(loader))
        return self.data.task.value(sums, samples)

    def _tested(self) -> tuple[float | None, float | None]:
        """The metric of test samples with the last and with the kept best weights; None where there are none."""
        # A part of a training is not what is reported.
        whole = len(self._curve) >= self.recipe.epochs or self._stopped is not None
        test = self.data.test() if self._curve and whole else None
        if test is None:
            return None, None
        last = self.measure(test)
        if self._best is None:
            return last, None
        now = {name: value.clone() for name, value in self._evaluated.state_dict().items()}
        try:
            self._evaluated.load_state_dict(self._best)
            return last, self.measure(test)
        finally:
            self._evaluated.load_state_dict(now)

    # -- going on -------------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """State dictionaries, on the CPU, of the ``last`` epoch and, where it was kept, of the ``best``."""
        found = {"last": self._evaluated.state_dict()} | ({} if self._best is None else {"best": self._best})
        return {which: {name: value.cpu().clone() for name, value in s.items()} for which, s in found.items()}

    def _snapshot(self) -> dict[str, Any]:
        """All that the rest of the training depends on; a checkpoint serialises it at once, so nothing is copied."""
        return {
            "network": _copied(self.network.state_dict()),
            "optimiser": self._optimiser.state_dict() if self._curve else None,
            "scaler": self._scaler.state_dict(),
            "average": None if self._average is None else _copied(self._average.state_dict()),
            "best": self._best,
            "parts": self._parts,
            "stopped": self._stopped,
            "curve": [asdict(record) for record in self._curve],
        }

    def _restore(self, state: dict[str, Any] | None) -> None:
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        if state["optimiser"] is None:
            self._optimiser.state.clear()
        else:
            self._optimiser.load_state_dict(state["optimiser"])
        self._scaler.load_state_dict(state["scaler"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self._best, self._parts, self._stopped = state["best"], state["parts"], state["stopped"]
        self._curve = [EpochRecord.from_dict(record) for record in state["curve"]]


def _optimiser(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    settings: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(network.parameters(), **settings)
    return torch.optim.SGD(network.parameters(), momentum=recipe.momentum, **settings)


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}
