"""Weights of proxies, for each architecture its own, one vector for all, or all equal; and the score they make."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import nn
from torch.func import functional_call, stack_module_state

from po_nas.errors import ConfigError
from surrogates.fusion.encoder import Embeddings
from surrogates.fusion.settings import FusionSettings, Keys, Scope
from surrogates.isolation import seeded
from surrogates.networks.base import Affine

__all__ = ["Generators", "WeightGenerator", "fused_score"]

_FORBIDDEN = -1e9
_SMALLEST = 1e-8
_MIDDLE = 0.5
_GAIN = 20.0
"""Factor of the common vector: an optimiser whose steps suit the layers turns a weight's sign in tens of steps too."""


class WeightGenerator(nn.Module):
    """Signed weights (k, K) of K proxies, whose absolute values sum to 1, from embeddings of k architectures.

    With the `scope` ``architecture`` each proxy m has a learnt embedding eₘ that asks, by attention in several heads,
    what of the architecture matters to it; the answer passes a gate that knows both, and a network makes a weight of
    it. `attention_keys` are what is asked: ``nodes``, the embeddings of the real nodes, or ``pooled``, the paper's
    single key, on which the softmax is 1 whatever the proxy, so that proxies differ by the gate alone. The network's
    output is added to a learnt vector that starts at the `prior` weights (K,), and its last layer starts at zero:
    untrained, the weights are the prior's for every architecture. ``global`` has that vector alone, ``equal`` never
    leaves the prior.
    `reference` is the paper's start: no such vector, a last layer like the others, so that untrained weights are noise.

    Parameters may have a leading dimension of members, inputs have none; the weights then are (members, k, K).
    Initialisation draws from torch's global generator.
    """

    def __init__(
        self,
        size: int,
        prior: torch.Tensor,
        *,
        hidden: int = 16,
        heads: int = 4,
        attention_keys: Keys = "nodes",
        scope: Scope = "architecture",
        reference: bool = False,
    ) -> None:
        super().__init__()
        if hidden % heads:
            raise ConfigError("hidden", hidden, f"must be a multiple of the {heads} heads")
        if attention_keys not in ("nodes", "pooled"):
            raise ConfigError("attention_keys", attention_keys, "must be nodes or pooled")
        if scope not in ("architecture", "global", "equal"):
            raise ConfigError("scope", scope, "must be architecture, global or equal")
        proxies = len(prior)
        self.heads, self.attention_keys, self.scope = heads, attention_keys, scope
        start = proxies / _GAIN * prior / prior.abs().sum().clamp_min(_SMALLEST)
        if scope == "architecture" and reference:
            start = torch.zeros_like(start)
        self.base = nn.Parameter(start, requires_grad=scope != "equal" and not (scope == "architecture" and reference))
        if scope != "architecture":
            return
        self.summary = _Perceptron(size, 2 * hidden, hidden)
        self.table = nn.Parameter(torch.randn(proxies, hidden))
        self.identity = _Perceptron(hidden, 2 * hidden, hidden, norm=False)
        self.query = Affine(hidden, hidden)
        # Without a bias: one is the same for all keys, and the softmax does not see it.
        self.key = Affine(size if attention_keys == "nodes" else hidden, hidden, bias=False)
        self.value = Affine(size if attention_keys == "nodes" else hidden, hidden)
        self.mix = Affine(hidden, hidden)
        self.gate = Affine(hidden, hidden)
        self.gate_identity = Affine(hidden, hidden, bias=False)
        self.first = _Perceptron(hidden, 2 * hidden, hidden)
        self.last = Affine(hidden, 1)
        if not reference:
            with torch.no_grad():
                for parameter in self.last.parameters():
                    parameter.zero_()

    def forward(self, embeddings: Embeddings, present: torch.Tensor, share: float = 1.0) -> torch.Tensor:
        """Weights (…, k, K), zero where a proxy is not `present` (k, K), |w| summing to 1 over the others.

        `share` is the factor of what architectures add to the common vector.
        """
        raw = _GAIN * self.base.unsqueeze(-2)
        if self.scope == "architecture" and share:
            raw = raw + share * self._own(embeddings)
        raw = raw * present
        return raw / (raw.abs().sum(-1, keepdim=True) + _SMALLEST)

    def _own(self, embeddings: Embeddings) -> torch.Tensor:
        k, n, _ = embeddings.nodes.shape
        summary = cast(torch.Tensor, self.summary(embeddings.pooled))
        identity = self.table + self.identity(self.table)
        bias = torch.where(embeddings.mask, 0.0, _FORBIDDEN)[..., None, None]
        if self.attention_keys == "pooled":
            tokens, n, bias = summary, 1, bias.new_zeros(())
        else:
            tokens = embeddings.nodes.flatten(0, 1)
        proxies, hidden = identity.shape[-2:]
        width = hidden // self.heads
        # Keys times queries, with the queries, which are the same for all architectures, multiplied into the layer.
        query = torch.unflatten(self.query(identity), -1, (self.heads, width)) / math.sqrt(width)
        asked = torch.einsum("...dhc,...mhc->...dhm", torch.unflatten(self.key.weight, -1, (self.heads, width)), query)
        score = torch.unflatten(torch.unflatten(tokens @ asked.flatten(-2), -1, (self.heads, proxies)), -3, (k, n))
        share = torch.softmax(score + bias, dim=-3)
        value = torch.unflatten(torch.unflatten(self.value(tokens), -1, (self.heads, width)), -3, (k, n))
        found = torch.einsum("...nhm,...nhc->...mhc", share, value).flatten(-2)

        answer = torch.unflatten(self.mix(found.flatten(-3, -2)), -2, (k, proxies))
        together = (answer * summary.unsqueeze(-2)).flatten(-3, -2)
        gate = torch.unflatten(self.gate(together), -2, (k, proxies)) + self.gate_identity(identity).unsqueeze(-3)
        fused = answer * (1 + torch.sigmoid(gate))
        middle = _normalised_gelu(self.first(fused.flatten(-3, -2)))
        return torch.unflatten(self.last(middle).squeeze(-1), -1, (k, proxies))


class _Perceptron(nn.Module):
    def __init__(self, inputs: int, middle: int, outputs: int, norm: bool = True) -> None:
        super().__init__()
        self.first, self.second, self.norm = Affine(inputs, middle), Affine(middle, outputs), norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = _normalised_gelu(x) if self.norm else nn.functional.gelu(x)
        return cast(torch.Tensor, self.second(x))


def _normalised_gelu(x: torch.Tensor) -> torch.Tensor:
    # No scale and shift of its own: the linear layer that follows has them.
    return nn.functional.gelu(nn.functional.layer_norm(x, x.shape[-1:]))


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
                        attention_keys=settings.attention_keys,
                        scope=settings.scope,
                        reference=settings.reference,
                    )
                )
        self.members, self.proxies = len(seeds), len(prior)
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


def fused_score(weights: torch.Tensor, z: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Scores (…, k): Σ relu(w) z + relu(-w) (1 - z) over the proxies that are present, |w| summing to 1 over them.

    `weights` (…, k, K) are signed, `z` (k, K) proxy scores in [0, 1], `present` (k, K) bool says which are known; what
    `z` holds elsewhere, NaN included, is not read. Scores are in [0, 1]; scores outside of it are kept as they are, and
    then scores may leave it too. An architecture without any proxy or weight gets 0.5, the middle.
    """
    z = torch.where(present, z, 0.0)
    weights = weights * present
    # relu(w) z + relu(-w) (1 - z) is w z + relu(-w).
    total = (weights * z + (-weights).relu()).sum(-1)
    size = weights.abs().sum(-1)
    return torch.where(size > _SMALLEST, total / size.clamp_min(_SMALLEST), _MIDDLE)
