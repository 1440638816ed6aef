"""What proxies see of attention: heads, probabilities, and the loss's gradients at heads and weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from po_nas.errors import UnsupportedModuleError
from proxies.attention import AttentionRecorder, LiveAttention
from proxies.weight_product import WeightProduct

__all__ = [
    "AttentionCall",
    "AttentionGradients",
    "AttentionTargets",
    "WeightGradient",
    "attention_calls",
]


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """One call of attention.

    `outputs` (n, windows, heads, queries, features) are those of the heads, after dropout; where attention is not
    computed within windows, there is one. Samples (times windows) are taken to be in the first dimension that their
    number divides, heads in those behind it or within it.
    """

    outputs: Tensor
    _softmax: Callable[[], tuple[Tensor, int]]

    @property
    def heads(self) -> int:
        """Number of heads."""
        return self.outputs.shape[2]

    def largest_probabilities(self) -> Tensor:
        """The largest attention weight of each query, before dropout: of all samples, windows and heads, (rows,)."""
        probabilities, dim = self._softmax()
        return probabilities.amax(dim).flatten()


@dataclass(frozen=True, eq=False)
class WeightGradient:
    """A weight (outputs, inputs) and the loss's gradient there."""

    weight: Tensor
    gradient: Tensor


@dataclass(frozen=True, eq=False)
class AttentionGradients:
    """The loss's gradients.

    `heads` are those at `AttentionCall.outputs`, one a call. `attention` are the matrices that queries, keys and values
    are made by and that are applied to the heads' output, `feed_forward` those of the feed-forward layers. Queries,
    keys and values have matrices of their own also where a module keeps them in one. A matrix that is used several
    times is there once.
    """

    heads: list[Tensor]
    attention: list[WeightGradient]
    feed_forward: list[WeightGradient]


def attention_calls(seen: AttentionRecorder) -> list[AttentionCall]:
    """The calls of attention, detached; `UnsupportedModuleError` where samples cannot be told apart."""
    return [AttentionCall(_by_head(call, call.raw.detach(), seen.samples), call.softmax) for call in seen.attention]


def _by_head(call: LiveAttention, tensor: Tensor, samples: int) -> Tensor:
    """The output, or a gradient there, as (n, windows, heads, queries, features)."""
    tensor = call.arrange(tensor)
    *leading, queries, features = tensor.shape
    if leading and leading[0] % samples == 0:
        if len(leading) == 1:
            return tensor.reshape(samples, 1, -1, queries, features)
        return tensor.reshape(samples, -1, leading[-1], queries, features)
    if len(leading) == 2 and leading[1] % samples == 0:
        return tensor.transpose(0, 1).reshape(samples, -1, leading[0], queries, features)
    reason = f"attention on {tuple(tensor.shape)} does not hold the batch's {samples} samples in its first dimensions"
    raise UnsupportedModuleError("*", reason, "samples")


class AttentionTargets:
    """What the loss is to be differentiated by: `tensors`, and how their gradients are put together."""

    def __init__(self, seen: AttentionRecorder, seed: int) -> None:
        self._seen = seen
        attention = (
            pair
            for call in seen.attention
            for pair in (
                *((p, p.reaching(operand, seed)) for operand, products in call.operands for p in products),
                *((p, _all(p)) for p in call.output_products),
            )
        )
        feed_forward = (
            pair
            for layer in seen.feed_forward
            for pair in (
                *((p, p.reaching(entering, seed)) for entering, products in layer.steps for p in products),
                (layer.last, _all(layer.last)),
            )
        )
        self._attention, self._feed_forward = _matrices(attention), _matrices(feed_forward)
        wanted = [call.raw for call in seen.attention]
        wanted += [p.weight for found in (self._attention, self._feed_forward) for _, used in found for p in used]
        self.tensors = list({id(tensor): tensor for tensor in wanted}.values())

    def gradients(self, found: Sequence[Tensor]) -> AttentionGradients:
        """From the gradients at `tensors`, detached."""
        by_tensor = {id(tensor): gradient for tensor, gradient in zip(self.tensors, found, strict=True)}

        def matrices(of: _Matrices) -> list[WeightGradient]:
            result = []
            for rows, used in of:
                # Views of one weight have their gradients each for itself.
                weights = {id(p.weight): p.weight for p in used}
                gradient = sum((by_tensor[one] for one in weights), torch.zeros(()).to(used[0].weight))
                matrix, rows = used[0].matrix, rows.to(gradient.device)
                result.append(WeightGradient(matrix(used[0].weight.detach())[rows], matrix(gradient)[rows]))
            return result

        calls = self._seen.attention
        heads = [_by_head(call, by_tensor[id(call.raw)], self._seen.samples) for call in calls]
        return AttentionGradients(heads, matrices(self._attention), matrices(self._feed_forward))


_Matrices: TypeAlias = list[tuple[Tensor, list[WeightProduct]]]
"""Rows of a weight, and the products that use them."""


def _all(product: WeightProduct) -> Tensor:
    return torch.ones(product.outputs, dtype=torch.bool)


def _matrices(parts: Iterable[tuple[WeightProduct, Tensor]]) -> _Matrices:
    """Each matrix once: the same rows of the same weight are one."""
    found: dict[tuple[object, ...], tuple[Tensor, list[WeightProduct]]] = {}
    for product, rows in parts:
        if product.weight.requires_grad and bool(rows.any()):
            key = (*product.identity, tuple(rows.tolist()))
            found.setdefault(key, (rows, []))[1].append(product)
    return list(found.values())
