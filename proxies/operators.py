"""The operators that multiply by weights, and where in a call the weight, the bias and the channels are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from po_nas.errors import UnsupportedModuleError
from proxies.channels_last import for_convolution, mixes_layouts
from proxies.weight_product import einsum_labels

__all__ = [
    "BATCH_NORMS",
    "CASTS",
    "CHANNEL_NORMS",
    "COPIES",
    "DIFFERENCES",
    "DROPOUTS",
    "NORMS",
    "POOLS",
    "SUMS",
    "Call",
    "Operand",
    "by_batch",
    "by_channel",
    "is_operator",
    "operands",
    "operands_of_product",
    "product_of_weights",
    "tensors",
]

Function: TypeAlias = Callable[..., Any]


class Call:
    """A function with its arguments, which can be read and replaced by position or name."""

    def __init__(self, function: Function, arguments: Sequence[Any], keywords: dict[str, Any]) -> None:
        self.function, self.arguments, self.keywords = function, list(arguments), dict(keywords)

    def get(self, position: int, name: str) -> Any:
        """An argument, None where it is left out."""
        return self.arguments[position] if position < len(self.arguments) else self.keywords.get(name)

    def put(self, position: int, name: str, value: Any) -> None:
        """Replace an argument, or add it by name."""
        if position < len(self.arguments):
            self.arguments[position] = value
        else:
            self.keywords[name] = value

    def run(self) -> Any:
        """Call the function in a way that its kernels get right; the arguments stay what the module gave."""
        call, shape = self, None
        if self.function is torch.conv2d:
            call = Call(self.function, self.arguments, self.keywords)
            images, weight = self.get(0, "input"), self.get(1, "weight")
            images, weight = for_convolution(images, weight, self.get(3, "stride") or 1)
            call.put(0, "input", images)
            call.put(1, "weight", weight)
        elif self.function in CHANNEL_NORMS and mixes_layouts(images := self.get(0, "input")):
            call, shape = Call(self.function, self.arguments, self.keywords), images.shape[2:]
            call.put(0, "input", images.flatten(2))
        result = call.function(*call.arguments, **call.keywords)
        return result if shape is None else result.unflatten(2, shape)


@dataclass(frozen=True, slots=True)
class Operand:
    """A weight in a call: which argument it is and which dimensions of the output it makes.

    `channels` are dimensions of the output counted from its end, none for a single channel. `kept` are the dimensions
    of the weight, counted from its end, that run along them, in the order in which the output has them; none where
    that is not known. `bias` is where a bias is given. `lookup`: the input chooses rows of it.
    """

    position: int
    name: str
    channels: tuple[int, ...]
    kept: tuple[int, ...] = ()
    bias: tuple[int, str] | None = None
    convolution: bool = False
    lookup: bool = False


Kind: TypeAlias = Callable[[Any], str]
"""What a tensor is made of: ``"weight"`` of parameters (and constants), ``"constant"``, or ``"data"`` for the rest."""

_Rule: TypeAlias = Callable[[Call, Kind], list[Operand]]


def tensors(values: Any) -> Iterator[Tensor]:
    """The tensors in arguments or results, in sequences and mappings too."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from tensors(value)
    elif isinstance(values, dict):
        for value in values.values():
            yield from tensors(value)


def _fixed(position: int, name: str, along: int, bias: int | None = None, lookup: bool = False) -> _Rule:
    """An operator whose weight is always the same argument, with channels in the last dimension of the output."""

    def rule(call: Call, kind: Kind) -> list[Operand]:
        weight = call.get(position, name)
        if kind(weight) != "weight":
            return []
        spot = None if bias is None else (bias, "bias")
        if weight.dim() < 2:
            return [Operand(position, name, (), (), spot)]
        return [Operand(position, name, (-1,), (along - weight.dim(),), spot, lookup=lookup)]

    return rule


def _convolution(spatial: int, transposed: bool) -> _Rule:
    def rule(call: Call, kind: Kind) -> list[Operand]:
        if kind(call.get(1, "weight")) != "weight":
            return []
        groups = (call.get(6, "groups") or 1) if transposed else 1
        kept = (-2 - spatial,) if not transposed else (-1 - spatial,) if groups == 1 else ()
        return [Operand(1, "weight", (-1 - spatial,), kept, (2, "bias"), convolution=True)]

    return rule


def _product(first: int, names: tuple[str, str], bias: int | None = None) -> _Rule:
    """A matrix product of the arguments `first` and the one after it, one of which is a weight."""

    def rule(call: Call, kind: Kind) -> list[Operand]:
        left, right = call.get(first, names[0]), call.get(first + 1, names[1])
        if {kind(left), kind(right)} != _MIXED:
            return []
        spot = None if bias is None else (bias, "input")
        if spot is not None and kind(call.get(*spot)) == "data":
            name = getattr(call.function, "__name__", "an operator")
            reason = (
                f"{name} adds data to the product of a weight, which is not understood; add them behind the product"
            )
            raise UnsupportedModuleError("*", reason, "operators")
        weight, other = (left, right) if kind(left) == "weight" else (right, left)
        position, name = (first, names[0]) if weight is left else (first + 1, names[1])
        if weight.dim() == 1:
            return [Operand(position, name, (), (), spot)]
        vector = other.dim() == 1
        # The rows of a left factor, the columns of a right one; batch dimensions of a weight are channels as well.
        own = -1 if weight is right or vector else -2
        batch = [d for d in range(-weight.dim(), -2) if weight.shape[d] > 1 and weight.stride(d) != 0]
        channels = (*(d + 1 if vector else d for d in batch), own)
        return [Operand(position, name, channels, (*batch, -1 if weight is right else -2), spot)]

    return rule


def _reversed(call: Call, kind: Kind) -> list[Operand]:
    """``__rmatmul__``: the second argument times the first."""
    swapped = Call(torch.matmul, (call.get(1, "other"), call.get(0, "self")), {})
    found = _product(0, _FACTORS)(swapped, kind)
    return [Operand(1 - o.position, "self" if o.position else "other", o.channels, o.kept) for o in found]


def _einsum(call: Call, kind: Kind) -> list[Operand]:
    given = call.arguments[1] if len(call.arguments) == 2 and isinstance(call.arguments[1], list | tuple) else None
    factors = call.arguments[1:] if given is None else list(given)
    chosen = [k for k, factor in enumerate(factors) if kind(factor) == "weight"]
    if not chosen or not any(kind(factor) == "data" for factor in factors):
        return []
    equation = call.arguments[0]
    if given is not None or not isinstance(equation, str) or ("." in equation and len(factors) != 2):
        raise UnsupportedModuleError("*", "einsum of a weight is understood as letters and tensors only", "operators")
    if "." in equation:
        *terms, output = einsum_labels(equation, (factors[0], factors[1]))
    else:
        inputs, arrow, output = equation.replace(" ", "").partition("->")
        terms = inputs.split(",")
        if not arrow:
            output = "".join(sorted(letter for letter in set(inputs) - {","} if inputs.count(letter) == 1))
    found = []
    for k in chosen:
        made = [letter for letter in output if letter in terms[k]]
        channels = tuple(output.index(letter) - len(output) for letter in made)
        kept = tuple(terms[k].index(letter) - len(terms[k]) for letter in made)
        found.append(Operand(k + 1, "", channels, kept))
    return found


def _tensordot(call: Call, kind: Kind) -> list[Operand]:
    a, b, dims = call.get(0, "a"), call.get(1, "b"), call.get(2, "dims")
    if {kind(a), kind(b)} != _MIXED:
        return []
    summed = 2 if dims is None else dims if isinstance(dims, int) else len(dims[0])
    weight, other = (a, b) if kind(a) == "weight" else (b, a)
    free, rest = weight.dim() - summed, other.dim() - summed
    channels = range(-free - rest, -rest) if weight is a else range(-free, 0)
    if isinstance(dims, int) or dims is None:
        gone = list(range(-summed, 0) if weight is a else range(-weight.dim(), summed - weight.dim()))
    else:
        gone = [int(d) % weight.dim() - weight.dim() for d in dims[0 if weight is a else 1]]
    kept = tuple(d for d in range(-weight.dim(), 0) if d not in gone)
    return [Operand(0 if weight is a else 1, "a" if weight is a else "b", tuple(channels), kept)]


def _inner(call: Call, kind: Kind) -> list[Operand]:
    a, b = call.get(0, "input"), call.get(1, "other")
    if {kind(a), kind(b)} != _MIXED:
        return []
    weight, other = (a, b) if kind(a) == "weight" else (b, a)
    free, rest = weight.dim() - 1, other.dim() - 1
    channels = range(-free - rest, -rest) if weight is a else range(-free, 0)
    kept = tuple(range(-weight.dim(), -1))
    return [Operand(0 if weight is a else 1, "input" if weight is a else "other", tuple(channels), kept)]


def _rows(call: Call, kind: Kind) -> list[Operand]:
    """Rows of a weight that the input chooses, which is an embedding."""
    table, index = call.get(0, "input"), call.get(1, "indices")
    if isinstance(index, tuple):
        chosen = [k for k in index if isinstance(k, Tensor)]
        first = chosen and index[0] is chosen[0] and all(k is Ellipsis or k == slice(None) for k in index[1:])
        if not first:
            return _refused(call, kind)
        index = chosen[0]
    if {kind(table), kind(index)} != _MIXED or kind(table) != "weight" or table.dim() < 2:
        return []
    if index.is_floating_point() or index.dtype == torch.bool:
        return []
    channels = tuple(range(1 - table.dim(), 0))
    return [Operand(0, "input", channels, channels, lookup=True)]


def _selected(call: Call, kind: Kind) -> list[Operand]:
    table = call.get(0, "input")
    if call.get(1, "dim") % table.dim():
        if {kind(table), kind(call.get(2, "index"))} == _MIXED:
            reason = "index_select looks columns of a weight up, which is not understood; look rows of its transpose up"
            raise UnsupportedModuleError("*", reason, "operators")
        return []
    return _rows(Call(call.function, (call.get(0, "input"), call.get(2, "index")), {}), kind)


def _refused(call: Call, kind: Kind) -> list[Operand]:
    if {kind(tensor) for tensor in tensors((call.arguments, call.keywords))} >= _MIXED:
        name = getattr(call.function, "__name__", "an operator")
        raise UnsupportedModuleError("*", f"{name} of a weight is not understood; use matmul", "operators")
    return []


_MIXED = {"weight", "data"}
_FACTORS = ("input", "other")
_PRODUCTS: dict[Function, _Rule] = {
    **dict.fromkeys((torch.matmul, torch.linalg.matmul, Tensor.matmul, Tensor.__matmul__), _product(0, _FACTORS)),
    Tensor.__rmatmul__: _reversed,
    **dict.fromkeys((torch.mm, Tensor.mm, torch.bmm, Tensor.bmm), _product(0, ("input", "mat2"))),
    **dict.fromkeys((torch.mv, Tensor.mv), _product(0, ("input", "vec"))),
    **dict.fromkeys((torch.dot, Tensor.dot), _product(0, ("input", "tensor"))),
    **dict.fromkeys((torch.addmm, Tensor.addmm, Tensor.addmm_), _product(1, ("mat1", "mat2"), 0)),
    **dict.fromkeys((torch.addmv, Tensor.addmv, Tensor.addmv_), _product(1, ("mat", "vec"), 0)),
    **dict.fromkeys((torch.baddbmm, Tensor.baddbmm, Tensor.baddbmm_), _product(1, ("batch1", "batch2"), 0)),
    torch.einsum: _einsum,
    torch.tensordot: _tensordot,
    **dict.fromkeys((torch.inner, Tensor.inner), _inner),
}
"""Products of factors of equal rank: which of them is the weight depends on what they are made of."""
_RULES: dict[Function, _Rule] = {
    functional.linear: _fixed(1, "weight", 0, 2),
    functional.bilinear: _fixed(2, "weight", 0, 3),
    functional.embedding: _fixed(1, "weight", 1, lookup=True),
    functional.embedding_bag: _fixed(1, "weight", 1, lookup=True),
    torch.embedding: _fixed(0, "weight", 1, lookup=True),
    torch.bilinear: _fixed(2, "weight", 0, 3),
    **{f: _convolution(k, False) for k, f in enumerate((torch.conv1d, torch.conv2d, torch.conv3d), 1)},
    torch.conv_transpose1d: _convolution(1, True),
    torch.conv_transpose2d: _convolution(2, True),
    torch.conv_transpose3d: _convolution(3, True),
    **_PRODUCTS,
    Tensor.__getitem__: _rows,
    **dict.fromkeys((torch.index_select, Tensor.index_select), _selected),
    **dict.fromkeys(
        (
            *(torch.addbmm, Tensor.addbmm, Tensor.addbmm_, torch.chain_matmul, torch.linalg.multi_dot, torch.conv_tbc),
            *(torch.sparse.mm, torch.convolution, torch.linalg.vecdot, torch.vdot),
            *(torch.cosine_similarity, functional.pairwise_distance, torch.pairwise_distance, torch.cdist),
            *(torch.gather, Tensor.gather, torch.take, Tensor.take, torch.take_along_dim, Tensor.take_along_dim),
        ),
        _refused,
    ),
}

CHANNEL_NORMS = frozenset({functional.batch_norm, torch.batch_norm, functional.instance_norm, torch.instance_norm})
"""Normalisations of each channel by itself."""

BATCH_NORMS = {
    functional.batch_norm: (1, 2, 3, 4, 5),
    torch.batch_norm: (3, 4, 1, 2, 5),
}
"""Batch normalisation: the positions of running mean, running variance, weight, bias and the training flag."""


def by_channel(call: Call) -> bool:
    """Whether a normalisation is of each channel by itself."""
    if call.function in (functional.group_norm, torch.group_norm):
        return bool(call.get(1, "num_groups") == call.get(0, "input").shape[1])
    return call.function in CHANNEL_NORMS


def by_batch(call: Call) -> bool:
    """Whether a batch normalisation is by the statistics of the batch, not by running ones."""
    mean, variance, *_, training = BATCH_NORMS[call.function]
    running = (call.get(mean, "running_mean"), call.get(variance, "running_var"))
    return bool(call.get(training, "training")) or None in running


NORMS: dict[Function, tuple[int, int]] = {
    functional.batch_norm: (3, 4),
    torch.batch_norm: (1, 2),
    functional.instance_norm: (3, 4),
    torch.instance_norm: (1, 2),
    functional.group_norm: (2, 3),
    torch.group_norm: (2, 3),
    functional.layer_norm: (2, 3),
    torch.layer_norm: (2, 3),
    functional.rms_norm: (2, 9),
    torch.rms_norm: (2, 9),
}
"""Normalisations: the positions of weight and bias."""

DROPOUTS: frozenset[Function] = frozenset(
    getattr(module, name)
    for module in (functional, torch)
    for name in (
        *("dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "alpha_dropout_"),
        *("feature_alpha_dropout", "feature_alpha_dropout_", "feature_dropout", "feature_dropout_"),
    )
    if hasattr(module, name)
)

CASTS: frozenset[Function] = frozenset(
    {Tensor.to, Tensor.float, Tensor.double, Tensor.half, Tensor.bfloat16, Tensor.type, Tensor.type_as}
)
"""Functions that write every number in another precision, or as it is."""

COPIES: frozenset[Function] = CASTS | frozenset[Function]((Tensor.clone, torch.clone, Tensor.contiguous))
"""Functions whose result has every number at the place that it had."""

SUMS: frozenset[Function] = frozenset(
    {torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__}
)
"""Sums of two tensors, which may add a bias."""

DIFFERENCES: dict[Function, Function] = {
    **dict.fromkeys((torch.sub, torch.subtract, Tensor.sub, Tensor.subtract, Tensor.__sub__), torch.add),
    **dict.fromkeys((Tensor.sub_, Tensor.subtract_, Tensor.__isub__), Tensor.add_),
}
"""Differences of two tensors, which may take a bias away, and the sums that they are with the other sign."""

POOLS: frozenset[Function] = frozenset(
    getattr(module, f"adaptive_avg_pool{d}d") for module in (functional, torch) for d in (1, 2, 3)
    if hasattr(module, f"adaptive_avg_pool{d}d")
)  # fmt: skip
"""Adaptive average poolings."""


def is_operator(function: Function) -> bool:
    """Whether a function multiplies by weights."""
    return function in _RULES


def operands(call: Call, kind: Kind) -> list[Operand]:
    """The weights in a call.

    A matrix product has one where it multiplies data by a weight; the weight of a linear layer, a convolution or an
    embedding is one whatever it is applied to. Raises `UnsupportedModuleError` for an operator of a weight
    that is not understood.
    """
    return _RULES[call.function](call, kind)


def product_of_weights(call: Call, kind: Kind) -> bool:
    """Whether a call multiplies a weight by parameters or constants, so that either may be meant as the data."""
    if call.function not in _PRODUCTS:
        return False
    kinds = [kind(tensor) for tensor in tensors((call.arguments, call.keywords))]
    return "data" not in kinds and "weight" in kinds


def operands_of_product(call: Call, kind: Kind) -> list[Operand]:
    """The weights in a `product_of_weights` whose result is data: constants are multiplied by a weight, or else the
    first factor by the second. A vector is no weight."""
    factors = [t for t in tensors((call.arguments, call.keywords)) if t.dim() > 0]
    factors = factors[-2:]
    constants = [tensor for tensor in factors if kind(tensor) == "constant"]
    vectors = [tensor for tensor in factors if tensor.dim() == 1]
    given = (constants or vectors or factors)[0]

    def taken(value: Any) -> str:
        return "data" if value is given else kind(value)

    return [operand for operand in operands(call, taken) if operand.kept]
