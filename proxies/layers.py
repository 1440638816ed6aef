"""The layers that the literature's sums run over: weights as the operators of a network use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from po_nas.errors import UnsupportedModuleError
from proxies.provenance import WeightUse

__all__ = ["Layer", "Layers", "Part", "no_layers", "targets"]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Where a layer's weight lies in a parameter, or in what was computed from parameters (see `WeightUse`).

    `rows` are the indices along the dimension `along` that it consists of, None for all. `kept` are the dimensions that
    make the outputs, which come first in the layer's weight.
    """

    key: str
    base_shape: tuple[int, ...]
    base_stride: tuple[int, ...]
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    along: int | None = None
    rows: tuple[int, ...] | None = None
    kept: tuple[int, ...] = ()

    def of(self, base: Tensor) -> Tensor:
        """This part of a tensor of the shape of the base, outputs first; a view, unless its rows are apart."""
        if self.shape != self.base_shape or self.stride != self.base_stride:
            if base.stride() != self.base_stride:
                base = base.new_empty_strided(self.base_shape, self.base_stride).copy_(base)
            base = base.as_strided(self.shape, self.stride, base.storage_offset() + self.offset)
        part = self.of_channels(base, self.along)
        if self.kept == tuple(range(len(self.kept))):
            return part
        return part.permute(*self.kept, *(d for d in range(part.dim()) if d not in self.kept))

    def of_channels(self, tensor: Tensor, dim: int | None) -> Tensor:
        """The part's channels of a tensor that has all of them in `dim`."""
        if self.rows is None or dim is None:
            return tensor
        first, last = self.rows[0], self.rows[-1]
        if last - first + 1 == len(self.rows):
            return tensor.narrow(dim, first, len(self.rows))
        return tensor.index_select(dim, torch.tensor(self.rows, device=tensor.device))


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A weight that operators multiply by: of a convolution, a linear layer, a matrix product, an embedding.

    `weight` is what the operator multiplies by, in the precision of the pass: the product with the mask of a pruned
    layer, what a parametrisation computes. Its shape is (outputs, inputs, …) however the operator takes it. One that
    several operators share is one layer. One whose output is used in separate pieces (queries, keys and values) is a
    layer for each piece; pieces that meet number by number (the gates of a recurrent layer) are one. `name` is that of
    the module that holds the parameter, or of the parameter where it is not called weight; `module` is that module.
    Detach `weight` before you compute with it.
    """

    name: str
    module: nn.Module
    weight: Tensor
    convolution: bool
    """Whether channels are dimension 1 of its outputs (else the last)."""
    part: Part = field(repr=False)


def no_layers(module: nn.Module) -> UnsupportedModuleError:
    """The error of a module without layers."""
    name = type(module).__name__
    return UnsupportedModuleError("*", f"{name} has no convolution and no linear layer to sum over", "layers")


class Layers:
    """The layers of a pass, in the order in which they are first used, with the calls that use them."""

    def __init__(self, module: nn.Module, uses: Sequence[WeightUse]) -> None:
        self._layers: list[Layer] = []
        self.uses: list[list[WeightUse]] = []
        groups: dict[str, list[WeightUse]] = {}
        for use in uses:
            groups.setdefault(use.key, []).append(use)
        found: list[tuple[int, int, Layer, list[WeightUse]]] = []
        order = {id(use): k for k, use in enumerate(uses)}
        for of_base in groups.values():
            parts = [(part, own) for same in _regions(of_base) for part, own in _pieces(same)]
            for k, (part, own) in enumerate(parts):
                layer = _layer(module, part, own[0], k if len(parts) > 1 else None)
                found.append((order[id(own[0])], k, layer, own))
        for _, _, layer, own in sorted(found, key=lambda item: item[:2]):
            self._layers.append(layer)
            self.uses.append(own)

    @property
    def layers(self) -> list[Layer]:
        """The layers; `UnsupportedModuleError` where a weight is complex, for what sums over numbers has no rule."""
        for layer in self._layers:
            if layer.weight.is_complex():
                reason = f"the weight {layer.name} is complex when it is used; multiply by its real and imaginary part"
                raise UnsupportedModuleError("*", reason, "real weights")
        return self._layers

    def of_bases(self, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        """For each layer its part of a tensor of its base, given by key; zeros where there is none."""
        return [
            layer.part.of(tensors[layer.part.key])
            if layer.part.key in tensors
            else torch.zeros_like(layer.weight, requires_grad=False)
            for layer in self.layers
        ]

    def check(self, uses: Sequence[WeightUse]) -> None:
        """Raise `UnsupportedModuleError` if other weights are used here."""
        known = {layer.part.key for layer in self.layers}
        if any(use.key not in known for use in uses):
            reason = "the module uses other weights for other samples"
            raise UnsupportedModuleError("*", reason, "the same layers for all samples")


def targets(uses: Sequence[WeightUse]) -> dict[str, list[Tensor]]:
    """The tensors to be differentiated by, by key: a parameter, or each of the equal tensors computed from some."""
    found: dict[str, dict[int, Tensor]] = {}
    for use in uses:
        found.setdefault(use.key, {})[id(use.base)] = use.base
    return {key: list(bases.values()) for key, bases in found.items()}


def _regions(uses: list[WeightUse]) -> list[list[WeightUse]]:
    """Uses of one base by the elements that they see; all together if some see elements of others but not the same."""
    regions: dict[tuple[int, tuple[tuple[int, int], ...]], list[WeightUse]] = {}
    for use in uses:
        regions.setdefault((use.offset, _merged(use)), []).append(use)
    if len(regions) == 1:
        return [uses]
    base = uses[0].base
    seen = base.new_zeros(0).new_empty_strided(base.shape, base.stride(), dtype=torch.bool).fill_(False)
    for same in regions.values():
        view = seen.as_strided(same[0].shape, same[0].stride, same[0].offset)
        if bool(view.any()):
            whole = [_whole(use) for use in uses]
            return [whole]
        view.fill_(True)
    return list(regions.values())


def _merged(use: WeightUse) -> tuple[tuple[int, int], ...]:
    """Sizes and strides such that transposed and reshaped views of the same elements have the same."""
    dims = sorted((s, n) for n, s in zip(use.shape, use.stride, strict=True) if n > 1 and s)
    merged: list[tuple[int, int]] = []
    for stride, size in dims:
        if merged and merged[-1][0] * merged[-1][1] == stride:
            merged[-1] = (merged[-1][0], merged[-1][1] * size)
        else:
            merged.append((stride, size))
    return tuple(merged)


def _whole(use: WeightUse) -> WeightUse:
    return WeightUse(
        use.key,
        use.base,
        use.sources,
        tuple(use.base.shape),
        use.base.stride(),
        0,
        use.channels,
        None,
        (),
        use.convolution,
        use.lookup,
        None,
        use.output,
    )


def _pieces(uses: list[WeightUse]) -> list[tuple[Part, list[WeightUse]]]:
    """The weight as one part, or as several whose outputs are never used together."""
    first = uses[0]
    base = first.base
    shape = tuple(1 if s == 0 else n for n, s in zip(first.shape, first.stride, strict=True))
    place = (first.key, tuple(base.shape), base.stride(), shape, first.stride, first.offset)
    rows = None
    if first.along is not None and all(
        (u.along, u.shape, u.stride) == (first.along, first.shape, first.stride) for u in uses
    ):
        sets = [channels for use in uses if use.together is not None for channels in use.together.sets]
        rows = _together(sets, first.shape[first.along])
    if rows is None:
        return [(Part(*place, kept=first.kept), uses)]
    return [(Part(*place, first.along, tuple(sorted(piece)), first.kept), uses) for piece in rows]


def _together(consumed: Sequence[frozenset[int] | None], total: int) -> list[set[int]] | None:
    """Channels that are used together, as sets in the order of their first channels; None if it is all of them."""
    if not consumed or None in consumed:
        return None
    pieces: list[set[int]] = []
    for channels in set(consumed):
        assert channels is not None
        joined = set(channels)
        for piece in [p for p in pieces if p & joined]:
            joined |= piece
            pieces.remove(piece)
        pieces.append(joined)
    rest = set(range(total)).difference(*pieces)
    pieces += [rest] if rest else []
    return sorted(pieces, key=min) if len(pieces) > 1 else None


def _layer(module: nn.Module, part: Part, use: WeightUse, number: int | None) -> Layer:
    parameter = use.sources[0]
    owner, _, last = parameter.rpartition(".")
    name = owner if last in ("weight", "weight_orig", "weight_g", "weight_v") else parameter
    if ".parametrizations." in f".{owner}.":
        outer, _, inner = f".{owner}".rpartition(".parametrizations.")
        owner, name = outer[1:], outer[1:] if inner == "weight" else f"{outer[1:]}.{inner}".lstrip(".")
    weight = part.of(use.base)
    if weight is not use.base:
        weight = weight.detach()
    return Layer(
        name if number is None else f"{name}[{number}]", module.get_submodule(owner), weight, use.convolution, part
    )
