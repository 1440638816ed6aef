"""Several fusions of proxies, trained together on the architectures evaluated so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import torch

import losses
from losses import Loss
from po_nas.errors import ConfigError, NotFittedError, SurrogateDataError
from po_nas.switches import default_switches, plain
from surrogates.fusion.encoder import Embeddings
from surrogates.fusion.fitting import Data, fit
from surrogates.fusion.settings import FusionSettings
from surrogates.fusion.weights import Generators, fused_score
from surrogates.isolation import seeded, single_thread
from surrogates.labels import scaled
from surrogates.training import member_seeds

__all__ = ["FusionEnsemble"]

_ROWS = 1024
"""Architectures that are scored at once: what they need stays in a core's cache."""


class FusionEnsemble:
    """`members` weight generators on frozen embeddings, under any loss of `losses` (a name or a `Loss`).

    Untrained, or with fewer than two architectures or equal targets, it is the mean of proxy scores by the `prior`
    weights (K,), signed, equal when None. Scores that are NaN or infinite are missing: their weight is zero and the
    others' sum to 1.

    Members differ by their initialisation, and by the draws of a stochastic loss. The global generator and the number
    of threads are left as they were.
    """

    @default_switches()
    def __init__(
        self,
        *,
        members: int = 5,
        loss: str | Loss = "po_nas",
        prior: Sequence[float] | None = None,
        settings: FusionSettings | None = None,
    ) -> None:
        if members < 1:
            raise ConfigError("members", members, "must be at least 1")
        self.members, self.prior, self.settings = members, prior, settings or FusionSettings()
        self.loss = losses.get(loss) if isinstance(loss, str) else loss
        self._model: Generators | None = None
        self.objective = torch.full((members,), math.nan)
        """The lowest training loss of each member; NaN without training."""

    @default_switches()
    def fit(
        self, embeddings: Embeddings, z: torch.Tensor, y: torch.Tensor, seed: int, *, budget: int | None = None
    ) -> Self:
        """Learn from n architectures: `z` (n, K) proxy scores in [0, 1], `y` (n,) performances, higher = better.

        `budget` is the number of evaluations in all, which schedules of losses may ask for. Raises
        `SurrogateDataError` for shapes that do not fit and performances that are not finite.
        """
        if z.ndim != 2 or not len(embeddings) == len(z) == len(y) or y.ndim != 1 or not z.shape[1]:
            raise SurrogateDataError(
                f"{len(embeddings)} embeddings, proxy scores {tuple(z.shape)} and targets {tuple(y.shape)} do not fit; "
                "give (n, K) proxy scores, K at least 1, and (n,) targets"
            )
        if not bool(torch.isfinite(y).all()):
            raise SurrogateDataError("a target is not finite; leave failed evaluations out of the training data")
        prior = torch.ones(z.shape[1]) if self.prior is None else torch.tensor(self.prior, dtype=torch.float32)
        if len(prior) != z.shape[1] or not bool(prior.abs().sum() > 0):
            raise ConfigError("prior", self.prior, f"must be {z.shape[1]} numbers, not all zero")
        z, y = plain(z), plain(y)
        embeddings = Embeddings(plain(embeddings.nodes), plain(embeddings.mask), plain(embeddings.pooled))
        with single_thread(), seeded(seed):
            size, seeds = embeddings.pooled.shape[1], member_seeds(seed, self.members)
            model = Generators(size, prior, self.settings, seeds, z.device)
            self.objective = torch.full((self.members,), math.nan)
            if len(y) > 1 and self.settings.scope != "equal" and self.settings.steps:
                present, labels = torch.isfinite(z), scaled(y, self.loss, budget)
                data = Data(embeddings, z.float(), present, labels, prior.to(z.device))
                self.objective = fit(model, data, self.settings, seeds, seed)
        self._model = model
        return self

    @default_switches()
    @torch.no_grad()
    def scores(self, embeddings: Embeddings, z: torch.Tensor) -> torch.Tensor:
        """Fused scores (members, m) of m architectures with proxy scores `z` (m, K); in [0, 1] when those are."""
        return self._map(embeddings, z)[0]

    @default_switches()
    @torch.no_grad()
    def weights(self, embeddings: Embeddings, z: torch.Tensor) -> torch.Tensor:
        """Weights (m, K), the mean over the members; only which proxies are finite is read of `z` (m, K)."""
        return self._map(embeddings, z)[1]

    def _map(self, embeddings: Embeddings, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self._model is None:
            raise NotFittedError("FusionEnsemble")
        if z.shape != (len(embeddings), self._model.proxies):
            raise SurrogateDataError(
                f"proxy scores have shape {tuple(z.shape)}, expected ({len(embeddings)}, {self._model.proxies})"
            )
        z = z.float()
        scores, weights = [z.new_zeros(self.members, 0)], [z.new_zeros(0, self._model.proxies)]
        with single_thread():
            for start in range(0, len(z), _ROWS):
                part = slice(start, start + _ROWS)
                present = torch.isfinite(z[part])
                own = self._model(embeddings[part], present)
                scores.append(fused_score(own, z[part], present))
                weights.append(own.mean(0))
        return torch.cat(scores, dim=1), torch.cat(weights)
