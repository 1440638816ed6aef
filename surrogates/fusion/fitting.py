"""Fitting weights of proxies to the performances of evaluated architectures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.func import vmap

from po_nas.errors import TrainingDivergedError
from surrogates.fusion.encoder import Embeddings
from surrogates.fusion.settings import FusionSettings
from surrogates.fusion.weights import Generators, fused_score
from surrogates.labels import Labels
from surrogates.optimiser import StackedAdamW, warmup_cosine

__all__ = ["Data", "fit"]

_COMMON = "base"
_WARMUP = 0.05
_WINDOW = 10
"""Steps between two looks at whether to go on."""
_PATIENCE = 3
"""Looks without progress after which training ends."""
_PROGRESS = 1e-3
"""A loss lower than the best before by this much is progress."""
_HELD_OUT = 5
"""A member leaves out one in so many architectures."""
_ENOUGH = 3
"""Fewer architectures left out by each member say nothing about weights of their own."""
_SHARES = (0.0, 0.25, 0.5, 1.0)
_GAIN = 0.02
"""Rank correlation with architectures left out that a larger share must gain."""
_SMALLEST = 1e-6


@dataclass(frozen=True)
class Data:
    """n evaluated architectures: proxy scores `z` (n, K), which of them are `present`, `labels`, the `prior` (K,)."""

    embeddings: Embeddings
    z: torch.Tensor
    present: torch.Tensor
    labels: Labels
    prior: torch.Tensor


def fit(model: Generators, data: Data, settings: FusionSettings, seeds: Sequence[int], seed: int) -> torch.Tensor:
    """Fit a model in place; returns the lowest training loss of each member, (members,).

    First the common vector alone, then what architectures add to it, then how much of that there should be: the share
    that orders those best that the members had left out. With `reference` all at once, on all architectures. `seed`
    decides what is left out, a member's own seed the draws of a stochastic loss. Raises `TrainingDivergedError`.
    """
    run = _Run(model, data, settings, seeds, seed)
    own = [name for name in model.learnt if name != _COMMON]
    if settings.reference and own:
        return run.descend(model.learnt, 1.0, settings.steps)
    lowest = run.descend([_COMMON], 0.0, settings.steps)
    model.share = 0.0
    if own and run.left.shape[1] >= _ENOUGH:
        found = run.descend(own, 1.0, settings.own_steps)
        model.share = run.best_share()
        lowest = found if model.share else lowest
    return lowest


class _Run:
    def __init__(
        self, model: Generators, data: Data, settings: FusionSettings, seeds: Sequence[int], seed: int
    ) -> None:
        self.model, self.data, self.settings = model, data, settings
        n, device = len(data.z), data.z.device
        held = 0 if settings.reference else n // _HELD_OUT
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        turned = torch.stack([order.roll(-held * member) for member in range(model.members)]).to(device)
        self.left, self.kept = turned[:, :held], turned[:, held:].sort(1).values
        self.labels = data.labels.values.to(device)
        self.draws = [torch.Generator(device).manual_seed(one) for one in seeds]
        self.loss = data.labels.loss
        self.together: Callable[..., torch.Tensor] = vmap(self.loss.compute)
        self.pull = _Pull(data, settings)

    def descend(self, names: Sequence[str], share: float, steps: int) -> torch.Tensor:
        """Train some parameters, keep those of the lowest training loss of each member, and return it."""
        model, data, settings = self.model, self.data, self.settings
        rate, clip = settings.learning_rate, self.loss.spec.gradient_clip or math.inf
        optimiser = StackedAdamW(
            model.pack(names), [rate] * model.members, [clip] * model.members, settings.weight_decay
        )
        # They share the optimiser's memory, so they are always up to date.
        named = {name: part.requires_grad_() for name, part in model.split(optimiser.parameters, names).items()}
        leaves, ones = list(named.values()), torch.ones(model.members, device=data.z.device)
        best, kept = ones * math.inf, optimiser.parameters.detach().clone()
        before, stale = best, 0
        for step in range(steps + 1):
            weights = model(data.embeddings, data.present, named, share)
            objective = self._losses(fused_score(weights, data.z, data.present)) + self.pull(weights)
            found = objective.detach()
            better = found < best
            best = torch.where(better, found, best)
            kept = torch.where(better[:, None], optimiser.parameters.detach(), kept)
            if step % _WINDOW == 0 or step == steps:
                if not bool(torch.isfinite(found).all()):
                    member = int((~torch.isfinite(found)).nonzero()[0])
                    raise TrainingDivergedError(member, step, self.loss.name, rate)
                stale = 0 if bool((best < before - _PROGRESS).any()) else stale + 1
                before = best
                if stale > _PATIENCE or bool((best <= settings.loss_tolerance).all()):
                    break
            if step < steps:
                parts = torch.autograd.grad(objective, leaves, ones)
                gradient = torch.cat([part.flatten(1) for part in parts], dim=1)
                optimiser.step(gradient, warmup_cosine(step + 1, steps, _WARMUP), None)
        model.values.update(model.split(kept, names))
        return best

    def _losses(self, scores: torch.Tensor) -> torch.Tensor:
        """Losses (members,) of scores (members, n), each member's of the architectures that it keeps."""
        scores, labels = scores.gather(1, self.kept), self.labels[self.kept]
        if self.settings.standardize:
            scores = _standardized(scores, scores) * labels.std(1, correction=0, keepdim=True)
            scores = scores + labels.mean(1, keepdim=True)
        if not self.loss.stochastic:
            return self.together(scores, labels)
        each = zip(scores, labels, self.draws, strict=True)
        return torch.stack([self.loss.compute(one, target, draws) for one, target, draws in each])

    @torch.no_grad()
    def best_share(self) -> float:
        """The share of own weights under which scores order those best that members did not see (Kendall's τ)."""
        data, chosen, highest = self.data, 0.0, -math.inf
        labels = self.labels[self.left].flatten()
        true = (labels[:, None] - labels).sign()
        for share in _SHARES:
            scores = fused_score(self.model(data.embeddings, data.present, None, share), data.z, data.present)
            moved = _standardized(scores.gather(1, self.left), scores.gather(1, self.kept)).flatten()
            agreement = float(((moved[:, None] - moved).sign() * true).mean())
            if agreement > highest + _GAIN:
                chosen, highest = share, agreement
        return chosen


def _standardized(scores: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Rows of scores without the mean and standard deviation of the rows of known ones."""
    center = known.mean(1, keepdim=True)
    spread = (known - center).square().mean(1, keepdim=True).clamp_min(_SMALLEST**2).sqrt()
    return (scores - center) / spread


class _Pull:
    """The penalty of weights (members, n, K) that leave the prior, or differ between architectures."""

    def __init__(self, data: Data, settings: FusionSettings) -> None:
        prior = data.prior * data.present
        self._prior = prior / prior.abs().sum(1, keepdim=True).clamp_min(_SMALLEST)
        factor = data.z.shape[1] / len(data.z)
        self._common, self._own = factor * settings.prior_strength, factor * settings.own_strength

    def __call__(self, weights: torch.Tensor) -> torch.Tensor:
        moved = weights - self._prior
        common = moved.mean(1, keepdim=True)
        own = (moved - common).square().sum(-1).mean(1)
        return self._common * common.square().sum((1, 2)) + self._own * own
