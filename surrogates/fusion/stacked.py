"""Several weight generators as one: their parameters side by side, one call for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch.func import functional_call, stack_module_state

from surrogates.fusion.encoder import Embeddings
from surrogates.fusion.settings import FusionSettings
from surrogates.fusion.weights import WeightGenerator
from surrogates.isolation import seeded

__all__ = ["Generators"]


class Generators:
    """One weight generator for each seed, for embeddings of `size` entries."""

    def __init__(
        self, size: int, prior: torch.Tensor, settings: FusionSettings, seeds: Sequence[int], device: torch.device
    ) -> None:
        made = []
        for seed in seeds:
            with seeded(seed):
                made.append(
                    WeightGenerator(
                        size,
                        prior,
                        hidden=settings.hidden,
                        heads=settings.heads,
                        keys=settings.keys,
                        scope=settings.scope,
                        reference=settings.reference,
                    )
                )
        self.members, self.metrics = len(seeds), len(prior)
        self._generator = made[0].to(device)
        stacked, _ = stack_module_state(made)
        self.values = {name: one.detach().to(device) for name, one in stacked.items()}
        """All parameters by name, each (members, …)."""
        self.learnt = [name for name, one in made[0].named_parameters() if one.requires_grad]
        """The names of those that are fitted."""
        self.share = 1.0
        """How much of an architecture's own part there is in its weights; 0 leaves the common vector."""

    def pack(self, names: Sequence[str]) -> torch.Tensor:
        """Some parameters as rows (members, P)."""
        return torch.cat([self.values[name].flatten(1) for name in names], dim=1)

    def split(self, rows: torch.Tensor, names: Sequence[str]) -> dict[str, torch.Tensor]:
        """Rows of `pack` by name: views of the same memory, outside of autograd."""
        shapes = [self.values[name].shape for name in names]
        parts = torch.split(rows.detach(), [shape[1:].numel() for shape in shapes], dim=1)
        return {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}

    def __call__(
        self,
        embeddings: Embeddings,
        present: torch.Tensor,
        named: Mapping[str, torch.Tensor] | None = None,
        share: float | None = None,
    ) -> torch.Tensor:
        """Weights (members, k, K), with its own parameters and share where none are given."""
        share = self.share if share is None else share
        found: torch.Tensor = functional_call(
            self._generator, {**self.values, **(named or {})}, (embeddings, present, share)
        )
        return found.expand(self.members, -1, -1)
