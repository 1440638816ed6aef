"""The optimiser of stacked members: one for all, and none lets one member see another."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

__all__ = ["StackedAdamW", "warmup_cosine"]


class StackedAdamW:
    """AdamW over parameters (members, P), each member a row with a learning rate and a largest gradient norm.

    `parameters` are its own copy, changed in place.

    References: Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019, arXiv 1711.05101.
    """

    def __init__(
        self, parameters: torch.Tensor, rates: Sequence[float], clips: Sequence[float], weight_decay: float
    ) -> None:
        self.parameters = parameters.clone()
        self._clips = torch.tensor(clips, device=parameters.device)[:, None]
        # Members usually share a rate; they are then one tensor, for a tensor is one fused kernel.
        alike = len(set(rates)) == 1
        self._parts = [slice(None)] if alike else [slice(member, member + 1) for member in range(len(rates))]
        self._rates = list(rates[:1] if alike else rates)
        self._leaves = [self.parameters[part].requires_grad_() for part in self._parts]
        groups = [{"params": [leaf], "lr": rate} for leaf, rate in zip(self._leaves, self._rates, strict=True)]
        self._adamw = torch.optim.AdamW(groups, weight_decay=weight_decay, fused=True)

    @torch.no_grad()
    def step(self, gradient: torch.Tensor, factor: float, stopped: torch.Tensor | None) -> None:
        """Update with a gradient (members, P), which is overwritten, at the rates times `factor`.

        Members that have `stopped` (members,) stay as they are; None when all go on.
        """
        norms = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        gradient *= (self._clips / norms.clamp_min(1e-12)).clamp_max(1.0)
        kept = None if stopped is None else self.parameters[stopped]
        for leaf, part in zip(self._leaves, self._parts, strict=True):
            leaf.grad = gradient[part]
        for group, rate in zip(self._adamw.param_groups, self._rates, strict=True):
            group["lr"] = factor * rate
        self._adamw.step()
        if stopped is not None and kept is not None:
            self.parameters[stopped] = kept


def warmup_cosine(step: int, steps: int, warmup: float) -> float:
    """Factor of the learning rate at a step from 1 to `steps`: linear over the first share `warmup`, cosine to 0."""
    first = round(warmup * steps)
    if step <= first:
        return step / (first + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - first) / (steps - first + 1)))
