"""Many networks of one kind as one model: their parameters stacked, one call for all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch.func import functional_call, stack_module_state, vmap

from surrogates.encodings import Shape
from surrogates.isolation import seeded
from surrogates.networks.base import Network, NetworkFactory

__all__ = ["Stack"]


class Stack:
    """How the parameters (members, P) of `members` networks are laid out, and how they are run together.

    All parameters of a member are one row, so that clipping and the optimiser are a handful of operations however many
    layers there are. `network` is the first of the networks that `factory` made; the others only gave their parameters.
    """

    def __init__(self, factory: NetworkFactory, shape: Shape, seeds: Sequence[int], device: torch.device) -> None:
        networks = []
        for seed in seeds:
            with seeded(seed):
                networks.append(factory(shape))
        parameters, _ = stack_module_state(networks)
        self.network: Network = networks[0].to(device)
        self._shapes = {name: tensor.shape[1:] for name, tensor in parameters.items()}
        self._sizes = [size.numel() for size in self._shapes.values()]
        rows = [tensor.detach().flatten(1) for tensor in parameters.values()]
        self.initial = torch.cat(rows, dim=1).to(device)
        """Fresh parameters (members, P)."""

    @property
    def last_layer(self) -> list[slice]:
        """Where the parameters of the last layer lie."""
        edges = [0]
        for size in self._sizes:
            edges.append(edges[-1] + size)
        prefix = self.network.last_layer + "."
        return [
            slice(*edge) for name, edge in zip(self._shapes, pairwise(edges), strict=True) if name.startswith(prefix)
        ]

    def split(self, parameters: torch.Tensor) -> dict[str, torch.Tensor]:
        """The parameters (members, P) by name, each (members, …): views of the same memory, outside of autograd."""
        parts = zip(self._shapes.items(), torch.split(parameters.detach(), self._sizes, dim=1), strict=True)
        return {name: part.view(len(parameters), *shape) for (name, shape), part in parts}

    def __call__(
        self,
        named: dict[str, torch.Tensor],
        prepared: tuple[torch.Tensor, ...],
        proxy_scores: torch.Tensor | None,
        keep: torch.Tensor | None,
        *,
        shared: bool,
    ) -> torch.Tensor:
        """Outputs (members, k) with parameters as `split` gives them.

        `prepared` tensors are (members, k, …), or (k, …) where all members read the same architectures (`shared`);
        `proxy_scores` (members, k, p) and dropout masks `keep` (members, k, width) may be None.
        """

        def call(
            named: dict[str, torch.Tensor],
            prepared: tuple[torch.Tensor, ...],
            proxy_scores: torch.Tensor | None,
            keep: torch.Tensor | None,
        ) -> torch.Tensor:
            found: torch.Tensor = functional_call(self.network, named, (prepared, proxy_scores, keep))
            return found

        if self.network.batched:
            return call(named, prepared, proxy_scores, keep)
        where = (0, None if shared else 0, None if proxy_scores is None else 0, None if keep is None else 0)
        # A plug-in's network may draw for itself; every member then draws on its own.
        mapped: torch.Tensor = vmap(call, in_dims=where, randomness="different")(named, prepared, proxy_scores, keep)
        return mapped
