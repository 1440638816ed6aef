"""Pairs of networks that compute the same function, and whether proxies see that they do."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import proxies
from po_nas.testing.rewrites import ASPECTS, Rewrite, rewritten
from po_nas.testing.small_networks import Example
from po_nas.testing.surroundings import changes, state

__all__ = ["LOOKS_AT", "Reference", "aspects", "disturbed"]

_LAYERS = frozenset({"grouping", "layers"})
LOOKS_AT: dict[str, frozenset[str]] = {
    "forward": frozenset(),
    "relu": frozenset(),
    "activations": _LAYERS,
    "nonlinear": frozenset(),
    "blocks": frozenset(),
    "jacobian": frozenset(),
    "block_jacobians": frozenset(),
    "gradients": _LAYERS,
    "activation_gradients": _LAYERS,
    "nonlinear_gradients": frozenset(),
    "hessian": _LAYERS,
    "half_gradients": _LAYERS,
    "sample_gradients": frozenset({"parameters", "layers"}),
    "gaussian": _LAYERS | {"normalisation"},
    "noise": _LAYERS | {"parameters", "normalisation"},
    "masked": frozenset({"grouping", "convolutions", "normalisation"}),
    "single": _LAYERS | {"convolutions"},
    "circle": frozenset(),
    "synflow": _LAYERS | {"normalisation"},
    "synflow_bn": _LAYERS,
    "macs": frozenset({"operations", "layers"}),
    **dict.fromkeys(("attention", "feed_forward", "attention_gradients"), frozenset(ASPECTS)),
}
"""What each pass is about, of `ASPECTS`; one that is not named here may be about all of them."""


def aspects(name: str) -> frozenset[str]:
    """What a proxy is about beside the network's function, by its passes: of `ASPECTS`.

    One without passes may read parameters and layers, and is about all.
    """
    record = proxies.spec(name)
    if record.needs:
        return frozenset[str]().union(*map(aspects, record.needs))
    if not record.passes:
        return frozenset(ASPECTS)
    return frozenset[str]().union(*(LOOKS_AT.get(each, frozenset(ASPECTS)) for each in record.passes))


def disturbed(example: Example, seed: int) -> Example:
    """The example with every parameter and real input multiplied by 1 + 2⁻⁴⁰ or 1 − 2⁻⁴⁰.

    A sum of k terms, computed in any order, is the exact sum of terms that are changed by at most k 2⁻⁵³ of
    themselves. Chains in small networks have fewer than 2¹³ additions and multiplications, so what rounding can do to
    a score is no more than what this does to it, as far as the score is a smooth function of its terms.
    """
    generator = torch.Generator().manual_seed(seed)

    def shaken(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        signs = (torch.randint(0, 2, tensor.shape, generator=generator) * 2 - 1).to(tensor)
        return tensor * (1 + signs * 2.0**-40)

    module = copy.deepcopy(example.module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(shaken(parameter))
    return Example(module, tuple(map(shaken, example.inputs)), example.labels)


@torch.no_grad()
def _outputs(module: nn.Module, example: Example) -> Tensor:
    outputs: Tensor = module.train()(*example.inputs)
    return outputs


def _least(score: float) -> float:
    """What rounding of the score itself may be."""
    return 2.0**-40 * abs(score)


@dataclass(frozen=True)
class Reference:
    """A network as it is plainly written, with its scores; rewritten ones are compared with it."""

    example: Example
    names: tuple[str, ...]

    @functools.cached_property
    def scores(self) -> proxies.Scores:
        """Scores and errors of the network."""
        # Of a copy, so that a proxy that spoils the network spoils nothing else.
        return proxies.evaluate(copy.deepcopy(self.example.module), self.example.batch, self.names)

    @functools.cached_property
    def outputs(self) -> Tensor:
        """The outputs of the network in training mode."""
        return _outputs(copy.deepcopy(self.example.module), self.example)

    def computes_the_same(self, module: nn.Module) -> bool:
        """Whether a network has the same outputs, to rounding; its running statistics move."""
        return torch.allclose(self.outputs, _outputs(module, self.example), rtol=1e-9, atol=1e-12)

    @functools.cached_property
    def tolerance(self) -> dict[str, float]:
        """How far a score may be off by rounding: eight times what three disturbances of the network do to it."""
        worst = {name: _least(value) for name, value in self.scores.values.items()}
        for seed in range(3):
            shaken = disturbed(self.example, seed)
            found = proxies.evaluate(shaken.module, shaken.batch, self.names).values
            for name, value in self.scores.values.items():
                # A score that is there only by rounding is no score that anything can be compared with.
                worst[name] = max(worst[name], 8 * abs(found.get(name, math.inf) - value))
        return worst

    def _same(self, name: str, value: float) -> bool:
        off = abs(value - self.scores.values[name])
        return off <= _least(value) or off <= self.tolerance[name]

    def unequal(self, rewrites: Sequence[Rewrite], about: dict[str, Iterable[str]]) -> dict[str, str] | None:
        """The proxies with another score for the rewritten network, and what they say; None where nothing is rewritten.

        `about` gives what each proxy is about beside the function; it is not compared where a rewrite changes that.
        No score, with a `ProxyError` that says why, is no fault.
        """
        module = rewritten(self.example.module, rewrites)
        if module is None:
            return None
        changed = frozenset[str]().union(*(rewrite.changes for rewrite in rewrites))
        compared = [n for n in self.names if n in self.scores.values and not changed & frozenset(about[n])]
        before = state(module, *self.example.inputs)
        found = proxies.evaluate(module, self.example.batch, compared)
        problems = {
            name: f"{value!r} instead of {self.scores.values[name]!r} (rounding: {self.tolerance[name]:.1g})"
            for name, value in found.values.items()
            if not self._same(name, value)
        }
        left = changes(before, state(module, *self.example.inputs))
        return problems | {"*": f"scoring changed {', '.join(left)}"} if left else problems
