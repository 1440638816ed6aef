"""The network with Gaussian weights on Gaussian inputs, as Zen-NAS looks at it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from po_nas.errors import UnsupportedModuleError
from proxies.layers import Layer, Layers, no_layers
from proxies.operators import BATCH_NORMS, NORMS, POOLS, Call, by_batch, tensors
from proxies.provenance import WeightUse
from proxies.recording import Captured, Watch, record
from proxies.state import State, first_tensor, nodes

__all__ = ["GaussianPass", "gaussian_pass"]

ALPHA = 0.01
"""Size of the perturbation, the paper's."""


@dataclass(frozen=True, slots=True)
class GaussianPass:
    """Features (n, …) of the last feature map for x and for x + 0.01 ε, and batch variances (channels,) of every batch
    normalisation for x, in the order of the calls. In double precision where single precision overflows."""

    features: Tensor
    perturbed: Tensor
    variances: tuple[Tensor, ...]

    @property
    def finite(self) -> bool:
        """Whether nothing has overflowed."""
        return all(bool(torch.isfinite(t).all()) for t in (self.features, self.perturbed, *self.variances))


def gaussian_pass(state: State, inputs: tuple[Tensor, ...], seed: int) -> GaussianPass:
    """Run the network twice with weights of layers from N(0, 1), normalisation at one and biases at zero.

    x and ε are N(0, 1) of the shape of the first input, training mode. The last feature map is the input of the last
    adaptive average pooling, else the last result (n, channels, …) with several positions of any function behind the
    first layer, else the input of the last layer. All draws are made on the CPU, in a fixed order, so they are the same
    on every device.
    """
    if not inputs[0].is_floating_point():
        raise UnsupportedModuleError("*", "the inputs are integers; they cannot be perturbed", "real inputs")
    found = _twice(state, inputs, seed)
    if not found.finite and state.dtype != torch.float64:
        state.fresh()
        real = tuple(t.double() if t.is_floating_point() else t for t in inputs)
        found = _twice(State(state.module, torch.float64), real, seed)
    return found


def _twice(state: State, inputs: tuple[Tensor, ...], seed: int) -> GaussianPass:
    generator = torch.Generator().manual_seed(seed)

    def normal(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)

    with torch.enable_grad():
        layers, idle = _used(state, inputs)
    with torch.no_grad():
        drawn = _draw(layers, normal)
        clean = normal(inputs[0])
        noisy = clean + ALPHA * normal(inputs[0])
        watches = [_Gaussian(drawn, idle, len(clean), varying=varying) for varying in (True, False)]
        parameters = {name: drawn[name] if name in drawn else p.detach() for name, p in state.leaves.items()}
        for x, watch in zip((clean, noisy), watches, strict=True):
            record(state, (x, *inputs[1:]), watch, parameters=parameters)
    return GaussianPass(watches[0].features, watches[1].features, tuple(watches[0].variances))


def _used(state: State, inputs: tuple[Tensor, ...]) -> tuple[list[Layer], frozenset[str]]:
    """The layers that the module's result is computed from, in the order in which they are first used, and the keys of
    weights that lead nowhere."""
    captured: Captured
    try:
        # Two samples are enough, where the module can be called with them.
        few = inputs[0][:2] if len(inputs) == 1 else inputs[0]
        captured = record(state, (few, *inputs[1:]), Watch())
    except Exception:  # The module's own: its batch has a fixed size.
        captured = record(state, inputs, Watch())
    layers = Layers(state.module, captured.uses)
    if not layers.layers:
        raise no_layers(state.module)
    reached = _reached(first_tensor(captured.result))
    sources = [{id(state.leaves[name]) for use in own for name in use.sources} for own in layers.uses]
    found = [layer for layer, own in zip(layers.layers, sources, strict=True) if own & reached]
    return found, frozenset({use.key for use in captured.uses} - {layer.part.key for layer in found})


def _reached(output: Tensor | None) -> set[int]:
    """Identities of the leaves of the graph of a tensor."""
    behind = nodes([] if output is None else [output])
    return {id(node.variable) for node in behind if hasattr(node, "variable")}


def _draw(layers: Sequence[Layer], normal: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Normal numbers for every weight, for the base that it is a part of by key, in the order of the layers.

    Each is drawn as (outputs, inputs, …), so that it is the same however the network is written, and whether an
    operation that leads nowhere is computed or not.
    """
    drawn: dict[str, Tensor] = {}
    for layer in layers:
        part = layer.part
        places = part.of(torch.arange(math.prod(part.base_shape)).view(part.base_shape)).flatten()
        numbers = normal(layer.weight)
        base = drawn.get(part.key)
        if base is None:
            base = numbers.new_zeros(0).new_empty_strided(part.base_shape, part.base_stride).zero_()
        flat = base.flatten().clone()
        flat[places.to(flat.device)] = numbers.flatten()
        drawn[part.key] = base.copy_(flat.view(part.base_shape))
    return drawn


def _positions(feature: Tensor) -> int:
    return math.prod(feature.shape[2:])


class _Gaussian(Watch):
    """Computed weights are drawn ones, biases zero, normalisation has scale one and shift zero.

    With `varying` it keeps the variances of what is normalised over the batch.
    """

    def __init__(self, drawn: Mapping[str, Tensor], idle: frozenset[str], samples: int, *, varying: bool) -> None:
        super().__init__()
        self._drawn, self._idle, self._samples, self._varying = drawn, idle, samples, varying

    def begin(self, captured: Captured, copied: frozenset[int], share: bool) -> None:
        super().begin(captured, copied, share)
        self.variances: list[Tensor] = []
        self._pooled: Tensor | None = None
        self._spatial: Tensor | None = None
        self._entering: Tensor | None = None
        self._parts: tuple[str, list[Tensor]] = ("", [])
        self._uses = 0

    @property
    def features(self) -> Tensor:
        """The last feature map."""
        found = next((t for t in (self._pooled, self._spatial, self._entering) if t is not None), None)
        if found is None:
            raise UnsupportedModuleError("*", "no feature map holds the samples", "features")
        return found

    def weight(self, use: WeightUse, weight: Tensor) -> Tensor:
        if use.key in self.captured.parameters or use.key in self._idle:
            return weight
        drawn = self._drawn.get(use.key)
        if drawn is None or tuple(weight.shape) != use.shape:
            reason = "a computed weight has another shape for other inputs"
            raise UnsupportedModuleError("*", reason, "the same layers for all samples")
        return drawn.as_strided(use.shape, use.stride, use.offset)

    def bias(self, bias: Tensor) -> Tensor:
        return torch.zeros_like(bias)

    def normalise(self, call: Call) -> Any:
        if self._varying and call.function in BATCH_NORMS and by_batch(call):
            x = call.get(0, "input")
            self.variances.append(x.var([d for d in range(x.dim()) if d != 1], unbiased=False))
        for position, name, value in zip(NORMS[call.function], ("weight", "bias"), (1.0, 0.0), strict=True):
            given = call.get(position, name)
            if isinstance(given, Tensor):
                call.put(position, name, torch.full_like(given, value))
        return call.run()

    def seen(self, call: Call, result: Any) -> None:
        if call.function in POOLS:
            self._pooled = call.get(0, "input")
        if len(self.captured.uses) > self._uses:
            self._uses = len(self.captured.uses)
            given = tensors((call.arguments, call.keywords))
            self._enter([t for t in given if self.provenance.kind(t) == "data" and t.dim() > 0])
        if not self._uses or not isinstance(result, Tensor) or self.provenance.kind(result) != "data":
            return
        if result.dim() > 2 and len(result) == self._samples and sum(size > 1 for size in result.shape[1:]) > 1:
            self._spatial = result
            if (
                self._pooled is not None
                and call.function not in POOLS
                and _positions(result) >= _positions(self._pooled)
            ):
                # What was pooled was no head: a block goes on with the positions.
                self._pooled = None

    def _enter(self, given: list[Tensor]) -> None:
        """What enters a layer: all samples, or some of them, so that several calls have all."""
        entering = [t for t in given if self._samples in t.shape]
        if entering:
            self._entering = entering[0].movedim(entering[0].shape.index(self._samples), 0)
        elif given:
            key = self.captured.uses[-1].key
            parts = [*(self._parts[1] if self._parts[0] == key else []), given[0]]
            if sum(map(len, parts)) == self._samples and all(p.shape[1:] == given[0].shape[1:] for p in parts):
                self._entering, parts = torch.cat(parts), []
            self._parts = (key, parts)
