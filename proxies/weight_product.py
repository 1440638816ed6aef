"""Products of data with a weight (linear layers, however they are written) and which outputs of them reach a tensor."""

from __future__ import annotations

import math
import string
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import TensorWeakRef

from proxies.isolation import derive_seed

__all__ = [
    "WeightProduct",
    "einsum_labels",
    "equation_of",
    "of_convolution",
    "of_einsum",
    "of_linear",
    "of_matmul",
    "operands_of",
]

_MATMUL = {
    *(torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.linalg.matmul),
    *(torch.mm, Tensor.mm, torch.bmm, Tensor.bmm),
}
_ADDED = {torch.baddbmm, Tensor.baddbmm, Tensor.baddbmm_, torch.addmm, Tensor.addmm, Tensor.addmm_}
"""These add their first argument to the product of the other two."""


class WeightProduct:
    """One product of data with a weight.

    `weight` is the tensor as it was used, a parameter or something made of parameters, attached to the graph. `kept`
    are its dimensions that the output has, at the dimensions `places` of the output. `pointwise` says whether it acts
    on each position alone, over all channels.
    """

    def __init__(
        self, weight: Tensor, output: Tensor, kept: tuple[int, ...], places: tuple[int, ...], *, pointwise: bool = True
    ) -> None:
        self.weight, self.kept, self.pointwise = weight, kept, pointwise
        self.places = tuple(place % output.dim() for place in places)
        # Without gradients nothing else holds it, and nobody asks for it later.
        self._output: Tensor | TensorWeakRef = output if output.requires_grad else TensorWeakRef(output)

    @property
    def output(self) -> Tensor:
        """What it gave."""
        found = self._output if isinstance(self._output, Tensor) else self._output()
        assert found is not None
        return found

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return math.prod(self.weight.shape[d] for d in self.kept)

    @property
    def inputs(self) -> int:
        """Number of inputs of an output channel."""
        return self.weight.numel() // self.outputs

    def matrix(self, tensor: Tensor) -> Tensor:
        """The weight, or something of its shape, as a matrix (outputs, inputs)."""
        others = [d for d in range(tensor.dim()) if d not in self.kept]
        return tensor.permute(*self.kept, *others).reshape(self.outputs, -1)

    def rows(self, tensor: Tensor) -> Tensor:
        """Its output, or something of that shape, as (positions, outputs)."""
        others = [d for d in range(tensor.dim()) if d not in self.places]
        return tensor.permute(*others, *self.places).reshape(-1, self.outputs)

    def reaching(self, target: Tensor, seed: int) -> Tensor:
        """Which output channels `target` is made from, (outputs,) booleans, by differentiating one by the other."""
        if target is self.output:
            return torch.ones(self.outputs, dtype=torch.bool)
        if not target.requires_grad:
            return torch.zeros(self.outputs, dtype=torch.bool)
        generator = torch.Generator().manual_seed(derive_seed(seed, "reaching"))
        direction = torch.randn(target.shape, generator=generator, dtype=torch.float64).to(target)
        (found,) = torch.autograd.grad(target, [self.output], direction, retain_graph=True, allow_unused=True)
        if found is None:
            return torch.zeros(self.outputs, dtype=torch.bool)
        return (self.rows(found) != 0).any(0).cpu()

    @property
    def identity(self) -> tuple[object, ...]:
        """The same for all uses of one weight, or of one part of it."""
        base = self.weight if self.weight._base is None else self.weight._base
        return id(base), self.weight.storage_offset(), tuple(self.weight.shape), self.weight.stride()


def of_linear(weight: Tensor, output: Tensor) -> WeightProduct:
    """By `functional.linear`."""
    return WeightProduct(weight, output, (0,), (-1,))


def of_convolution(weight: Tensor, output: Tensor, groups: int) -> WeightProduct:
    """By a convolution with samples in dimension 0."""
    pointwise = groups == 1 and all(size == 1 for size in weight.shape[2:])
    return WeightProduct(weight, output, (0,), (1 if output.dim() == weight.dim() else 0,), pointwise=pointwise)


def of_matmul(pair: tuple[Tensor, Tensor], place: int, output: Tensor) -> WeightProduct | None:
    """By a matrix product whose operand at `place` is the weight; None where that is no matrix."""
    weight = pair[place]
    if weight.dim() != 2 or output.dim() < 2:
        return None
    return WeightProduct(weight, output, (place,), (-1 if place else -2,))


def of_einsum(equation: str, pair: tuple[Tensor, Tensor], place: int, output: Tensor) -> WeightProduct | None:
    """By an einsum whose operand at `place` is the weight; None where it has a dimension of the batch."""
    labels = einsum_labels(equation, pair)
    weight, data, out = labels[place], labels[1 - place], labels[2]
    kept = tuple(d for d, label in enumerate(weight) if label in out)
    if not kept or any(weight[d] in data for d in kept):
        return None
    return WeightProduct(pair[place], output, kept, tuple(out.index(weight[d]) for d in kept))


def einsum_labels(equation: str, pair: tuple[Tensor, Tensor]) -> tuple[str, str, str]:
    """The labels of two operands and of their output, an ellipsis spelled out, aligned at its right."""
    equation = equation.replace(" ", "")
    left, _, out = equation.partition("->")
    free = [letter for letter in string.ascii_letters if letter not in equation]
    terms, widest = [], 0
    for term, tensor in zip(left.split(","), pair, strict=True):
        width = tensor.dim() - len(term.replace("...", "")) if "..." in term else 0
        terms.append((term, width))
        widest = max(widest, width)
    dots = "".join(free[:widest])
    spelled = [term.replace("...", dots[widest - width :]) for term, width in terms]
    if "->" not in equation:
        joined = "".join(spelled)
        named = "".join(sorted(letter for letter in set(joined) - set(dots) if joined.count(letter) == 1))
        return spelled[0], spelled[1], dots + named
    return spelled[0], spelled[1], out.replace("...", dots)


def operands_of(
    function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[Tensor, Tensor] | None:
    """The two tensors that a function multiplies; None for a function that is no such product."""
    given = [v for v in (*arguments, *keywords.values()) if isinstance(v, Tensor)]
    if function in _MATMUL:
        return given[0], given[1]
    if function in _ADDED:
        return given[1], given[2]
    if function is Tensor.__rmatmul__:
        return given[1], given[0]
    if function is torch.tensordot:
        return given[0], given[1]
    if function is torch.einsum and isinstance(arguments[0], str):
        operands = arguments[1] if len(arguments) == 2 and isinstance(arguments[1], tuple | list) else arguments[1:]
        if len(operands) == 2:
            return operands[0], operands[1]
    return None


def equation_of(
    function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any], pair: tuple[Tensor, Tensor]
) -> str | None:
    """The equation of an einsum, or of a tensordot written as one; None for a matrix product."""
    if function is torch.einsum:
        return str(arguments[0])
    if function is not torch.tensordot:
        return None
    dims = keywords.get("dims", arguments[2] if len(arguments) > 2 else 2)
    if isinstance(dims, int):
        dims = (range(-dims, 0), range(dims))
    summed = [[int(d) % tensor.dim() for d in each] for each, tensor in zip(dims, pair, strict=True)]
    letters = iter(string.ascii_letters)
    shared = [next(letters) for _ in summed[0]]
    terms = [
        "".join(shared[each.index(d)] if d in each else next(letters) for d in range(tensor.dim()))
        for each, tensor in zip(summed, pair, strict=True)
    ]
    return f"{terms[0]},{terms[1]}->" + "".join(letter for letter in "".join(terms) if letter not in shared)
