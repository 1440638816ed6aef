"""Training many predictors at once: one stacked model, each member with its own data, start and batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch.func import vmap

from losses.base import Loss
from losses.errors import LossInputError
from po_nas.errors import ConfigError, SurrogateDataError
from po_nas.switches import default_switches, plain
from surrogates.encodings import Encodings
from surrogates.isolation import seeded, single_thread
from surrogates.labels import scaled
from surrogates.members import Members
from surrogates.networks.base import NetworkFactory
from surrogates.optimiser import StackedAdamW, warmup_cosine
from surrogates.progress import WINDOW, Progress
from surrogates.stack import Stack

__all__ = ["TrainingSettings", "member_seeds", "train_members"]

_TRIED = 4
"""Targets on which it is tried whether a loss can be computed for all networks at once."""
_HELD_OUT = 10
"""Fewer held-out architectures than this tell nothing."""


@dataclass(frozen=True)
class TrainingSettings:
    """How members are trained: AdamW, short linear warm-up, cosine to zero, gradient clipping for each member.

    `steps` are the most; `batch` is the most architectures of a step; the data
    are cut into as few batches as possible, of equal size. `learning_rate` and `gradient_clip`
    (a norm) are the loss's own when None. `warmup` is a share of the steps. A member has converged, and is left as it
    is, when the means of its training loss over four windows of 25 steps differ by at most `tolerance` times the first
    window's. `held_out` is the share of a member's data kept for early stopping, used when it amounts to at least 10
    architectures; the member ends with the parameters that did best on them.
    """

    steps: int = 500
    batch: int = 32
    learning_rate: float | None = None
    weight_decay: float = 1e-3
    gradient_clip: float | None = None
    warmup: float = 0.05
    tolerance: float = 5e-3
    held_out: float = 0.0

    def __post_init__(self) -> None:
        ranges = {
            "steps": (1, math.inf),
            "batch": (2, math.inf),
            "learning_rate": (1e-12, math.inf),
            "weight_decay": (0.0, math.inf),
            "gradient_clip": (1e-12, math.inf),
            "warmup": (0.0, 1.0),
            "tolerance": (0.0, math.inf),
            "held_out": (0.0, 0.5),
        }
        for key, (low, high) in ranges.items():
            value = getattr(self, key)
            if value is None and key in ("learning_rate", "gradient_clip"):
                continue
            whole = key in ("steps", "batch")
            number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
            if not number or not low <= value <= high:
                kind = "a whole number" if whole else "a number"
                raise ConfigError(key, value, f"must be {kind} between {low:g} and {high:g}")


def member_seeds(seed: int, members: int) -> list[int]:
    """The seeds that `train_members` gives to its members when it gets one seed for all."""
    return [int(np.random.SeedSequence([seed, member]).generate_state(1)[0]) for member in range(members)]


@default_switches()
def train_members(
    network_factory: NetworkFactory,
    inputs: Encodings,
    rows: torch.Tensor,
    targets: torch.Tensor,
    loss: Loss,
    settings: TrainingSettings | None = None,
    seed: int | Sequence[int] = 0,
    *,
    budget: int | None = None,
    initial: Members | None = None,
) -> Members:
    """Train as many members as `rows` has, all at once, on the device of `inputs`.

    Member m learns ``inputs[rows[m]]`` with raw targets ``targets[m]``, higher = better; both are (members, n), n at
    least 2. Targets are scaled as the loss asks, by the member's own data. `loss` is bound to each member's data;
    `budget` is the number of evaluations in all, which schedules may ask for. `initial` continues the training of
    earlier members; where the loss's stage has changed since, the last layer starts afresh.

    Randomness: each member's own seed, drawn from `seed` or given as a sequence of them, decides its initialisation,
    batches, dropout and the loss's draws. A member trained alone with its seed is the same up to rounding. The global
    generator and the number of threads are left as they were. Raises `SurrogateDataError` for data that cannot be used,
    the loss's ValueError for targets that it does not accept, `TrainingDivergedError` for a loss that is not finite.
    """
    rows, targets = plain(rows), plain(targets)
    _check(inputs, rows, targets)
    given: list[Any] = list(seed) if isinstance(seed, Sequence) else [seed]
    for one in given:
        if not isinstance(one, Integral) or int(one) < 0:
            raise ConfigError("seed", one, "must be a whole number, 0 or more")
    seeds = [int(one) for one in given] if isinstance(seed, Sequence) else member_seeds(int(given[0]), len(rows))
    if len(seeds) != len(rows):
        raise SurrogateDataError(f"{len(seeds)} seeds for {len(rows)} members; give one seed, or one for each member")
    with single_thread(), seeded(seeds[0]):
        run = _Run(network_factory, inputs, rows, targets, loss, settings or TrainingSettings(), seeds, budget, initial)
        return run.train()


def _check(inputs: Encodings, rows: torch.Tensor, targets: torch.Tensor) -> None:
    if rows.ndim != 2 or rows.shape != targets.shape or not len(rows):
        raise SurrogateDataError(
            f"rows have shape {tuple(rows.shape)} and targets {tuple(targets.shape)}; both must be (members, n)"
        )
    if rows.shape[1] < 2:
        raise SurrogateDataError(f"{rows.shape[1]} training point(s); a predictor needs at least 2")
    finite = torch.isfinite(targets)
    if not finite.all():
        member, position = (~finite).nonzero()[0].tolist()
        raise SurrogateDataError(
            f"target {position} of member {member} is {float(targets[member, position])}; "
            "leave failed evaluations out of the training data"
        )
    if int(rows.min()) < 0 or int(rows.max()) >= len(inputs):
        raise SurrogateDataError(f"rows must be between 0 and {len(inputs) - 1}, the last of the encodings")


class _Run:
    """One call of `train_members`."""

    def __init__(
        self,
        factory: NetworkFactory,
        inputs: Encodings,
        rows: torch.Tensor,
        targets: torch.Tensor,
        loss: Loss,
        settings: TrainingSettings,
        seeds: Sequence[int],
        budget: int | None,
        initial: Members | None,
    ) -> None:
        self.settings, self.shape, self.device = settings, inputs.shape, inputs.device
        self.members, self.n = rows.shape
        labels = [scaled(row, loss, budget) for row in targets.to(self.device)]
        self.labels = torch.stack([one.values for one in labels])
        self.offset = torch.tensor([one.offset for one in labels], device=self.device)
        self.scale = torch.tensor([one.scale for one in labels], device=self.device)
        self.rescaled = any(one.scale != 1.0 or one.offset != 0.0 for one in labels)
        self.losses = [one.loss for one in labels]
        # Members usually share one loss; it then runs once for all of them.
        self.compute = vmap(self.losses[0].compute)
        self.together = (
            not self.losses[0].stochastic
            and all(one == self.losses[0] for one in self.losses)
            and self._vectorised(self.labels[:, :_TRIED])
        )

        self.stack = Stack(factory, inputs.shape, seeds, self.device)
        self.parameters = self._start(initial)
        used, self.rows = torch.unique(rows.to(self.device), return_inverse=True)
        self.prepared = self.stack.network.prepare(inputs[used])
        self.proxy_scores = None if inputs.proxy_scores is None else inputs.proxy_scores[used]
        own = inputs.nodes.new_zeros(self.members, 1, 0) if self.proxy_scores is None else self.proxy_scores[self.rows]
        self.center = own.mean(1)
        spread = (own - self.center[:, None]).square().mean(1).sqrt()
        self.spread = torch.where(spread > 0, spread, 1.0)

        streams = [np.random.SeedSequence(one).spawn(3) for one in seeds]
        self.orders = [np.random.default_rng(stream[0]) for stream in streams]
        self.noises = [self._generator(stream[1]) for stream in streams]
        self.draws = [self._generator(stream[2]) for stream in streams]

    def _vectorised(self, labels: torch.Tensor) -> bool:
        """Whether the loss can be computed for all members at once, labels (members, n)."""
        try:
            found: torch.Tensor = self.compute(labels.flip(1).requires_grad_(), labels)
        except LossInputError:
            raise
        except Exception:
            # A plug-in that branches on values, say; what else is wrong with it shows when it is computed alone.
            return False
        return found.requires_grad

    def _generator(self, sequence: np.random.SeedSequence) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(int(sequence.generate_state(1)[0]))

    def _start(self, initial: Members | None) -> torch.Tensor:
        fresh = self.stack.initial
        if initial is None:
            return fresh
        if initial.parameters.shape != fresh.shape or initial.shape != self.shape:
            raise SurrogateDataError(
                f"{len(initial)} members for encodings {initial.shape} cannot be trained further as {self.members} "
                f"members for {self.shape}; fit afresh, without a warm start"
            )
        start = initial.parameters.to(self.device).clone()
        for member, (loss, stage) in enumerate(zip(self.losses, initial.stages, strict=True)):
            if loss.stage != stage:
                for part in self.stack.last_layer:
                    start[member, part] = fresh[member, part]
        return start

    def train(self) -> Members:
        """Take the steps."""
        settings = self.settings
        held = round(settings.held_out * self.n)
        held = held if held >= _HELD_OUT else 0
        # Equal shares, so that each pass over the data is a whole number of batches, or nearly so.
        kept = self.n - held
        batch = math.ceil(kept / math.ceil(kept / settings.batch))
        taken, left = self._batches(batch, held)
        rows = self.rows.expand(len(taken), -1, -1).gather(2, taken)
        labels = self.labels.expand(len(taken), -1, -1).gather(2, taken)
        left_rows, left_labels = self.rows.gather(1, left), self.labels.gather(1, left)
        slowing = self.stack.network.rate
        rates = [settings.learning_rate or slowing * one.spec.learning_rate for one in self.losses]
        clips = [settings.gradient_clip or one.spec.gradient_clip or math.inf for one in self.losses]
        optimiser = StackedAdamW(self.parameters, rates, clips, settings.weight_decay)
        # They share the optimiser's memory, so they are always up to date.
        named = {name: part.requires_grad_() for name, part in self.stack.split(optimiser.parameters).items()}
        leaves, ones = list(named.values()), torch.ones(self.members, device=self.device)
        self.stack.network.train()
        progress = Progress(self.members, settings.tolerance, self.device)
        best = optimiser.parameters.clone()
        masks: torch.Tensor | None = None
        stopped: torch.Tensor | None = None
        for step in range(settings.steps):
            if step % WINDOW == 0:
                masks = self._masks(batch)
            keep = None if masks is None else masks[step % WINDOW]
            values = self._loss(named, rows[step], labels[step], keep)
            parts = torch.autograd.grad(values, leaves, ones)
            gradient = torch.cat([part.flatten(1) for part in parts], dim=1)
            factor = warmup_cosine(step + 1, settings.steps, settings.warmup)
            optimiser.step(gradient, factor, stopped)
            if progress.add(values) or step == settings.steps - 1:
                progress.close(self.losses[0].name, rates)
                if held:
                    self.stack.network.eval()
                    with torch.no_grad():
                        better = progress.improved(self._loss(named, left_rows, left_labels, None))
                    self.stack.network.train()
                    best = torch.where(better[:, None], optimiser.parameters, best)
                if bool(progress.converged.all()):
                    break
                stopped = progress.converged if bool(progress.converged.any()) else None
        return Members(
            stack=self.stack,
            parameters=best if held else optimiser.parameters,
            shape=self.shape,
            offset=self.offset,
            scale=self.scale,
            center=self.center,
            spread=self.spread,
            stages=tuple(one.stage for one in self.losses),
            free=tuple(one.spec.head == "free" for one in self.losses),
            steps=progress.steps,
            epochs=progress.steps * batch / kept,
            converged=progress.converged,
            final_loss=progress.final_loss,
        )

    def _batches(self, batch: int, held: int) -> tuple[torch.Tensor, torch.Tensor]:
        """For each step the positions (steps, members, batch) of the training data; those held out (members, held).

        A member's stream is one permutation after the other, cut into batches of equal size: never a rest of one.
        """
        streams, left = [], []
        for rng in self.orders:
            order = rng.permutation(self.n)
            rest, own = order[:held], order[held:]
            wanted = self.settings.steps * batch
            passes = [rng.permutation(own) for _ in range(math.ceil(wanted / len(own)))]
            streams.append(np.concatenate(passes)[:wanted].reshape(self.settings.steps, batch))
            left.append(rest)
        both = torch.from_numpy(np.stack(streams, axis=1)), torch.from_numpy(np.stack(left))
        return both[0].to(self.device), both[1].to(self.device)

    def _masks(self, batch: int) -> torch.Tensor | None:
        """Dropout masks (WINDOW, members, batch, width), each member's from its own generator."""
        network = self.stack.network
        if not network.dropout:
            return None
        size = (WINDOW, batch, network.width)
        drawn = [torch.rand(size, generator=one, device=self.device) for one in self.noises]
        return (torch.stack(drawn, dim=1) >= network.dropout) / (1 - network.dropout)

    def _loss(
        self, named: dict[str, torch.Tensor], rows: torch.Tensor, labels: torch.Tensor, keep: torch.Tensor | None
    ) -> torch.Tensor:
        """The losses (members,) on rows (members, b) of what is prepared, and their labels."""
        flat = rows.flatten()
        prepared = tuple(torch.unflatten(tensor.index_select(0, flat), 0, rows.shape) for tensor in self.prepared)
        proxy_scores = None
        if self.proxy_scores is not None:
            proxy_scores = (self.proxy_scores[rows] - self.center[:, None]) / self.spread[:, None]
        raw = self.stack(named, prepared, proxy_scores, keep, shared=False)
        predicted = torch.addcmul(self.offset[:, None], raw, self.scale[:, None]) if self.rescaled else raw
        if self.together:
            found: torch.Tensor = self.compute(predicted, labels)
            return found
        each = zip(self.losses, predicted, labels, self.draws, strict=True)
        return torch.stack([one.compute(p, y, draws) for one, p, y, draws in each])
