"""Attention and feed-forward layers of a network, found by what it computes and not by how its modules are called.

Attention is a softmax over a product of two tensors (queries and keys), multiplied by a third (values): by
`scaled_dot_product_attention`, `nn.MultiheadAttention`, or products and softmax written out (`matmul`, `bmm`, `einsum`,
…), with masks, scales, dropout and shapes in between. A feed-forward layer is a token-wise linear layer, an activation
function and a token-wise linear layer back to the width of the first, with or without a gate; or more such layers, with
an activation function between any two. What fused kernels of other libraries and compiled or scripted modules compute
inside is not seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import FunctionType
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from proxies.operators import Call
from proxies.relus import as_fill
from proxies.weight_product import (
    WeightProduct,
    einsum_labels,
    equation_of,
    of_convolution,
    of_einsum,
    of_linear,
    of_matmul,
    operands_of,
)

__all__ = ["AttentionRecorder", "FeedForward", "LiveAttention"]

_Projected: TypeAlias = tuple[Tensor, tuple[WeightProduct, ...]]
"""A tensor of queries, keys or values, and the weights that it is made by."""


@dataclass(eq=False)
class LiveAttention:
    """One call of attention, attached to the graph.

    `raw` is its output as computed; `arrange` brings that, or a gradient of its shape, into the shape (…, queries,
    features). `softmax` gives the probabilities (before dropout) and the dimension that they sum to one over.
    `operands` are queries, keys and values, `output_products` the weights applied to the heads' output.
    """

    raw: Tensor
    arrange: Callable[[Tensor], Tensor]
    softmax: Callable[[], tuple[Tensor, int]]
    operands: tuple[_Projected, ...]
    output_products: list[WeightProduct] = field(default_factory=list)


@dataclass(eq=False)
class FeedForward:
    """One call of a feed-forward layer: `hidden` (rows, width) is X W₁ + b₁, detached; `steps` are the inputs of the
    second to the last product, each with what it is made by, `last` the last product."""

    hidden: Tensor
    steps: tuple[_Projected, ...]
    last: WeightProduct


@dataclass(frozen=True, eq=False)
class _Begun:
    """What may be a feed-forward layer, for it has not come back yet to the width it began with, one of `widths`.

    `hidden` and `steps` are as in `FeedForward`; `inner` are those that began later and have come back.
    """

    hidden: Tensor
    steps: tuple[_Projected, ...]
    widths: frozenset[int]
    inner: tuple[FeedForward, ...] = ()


@dataclass(frozen=True, eq=False)
class _Tag:
    """What is known of where a tensor comes from."""

    data: bool = False
    products: tuple[WeightProduct, ...] = ()
    logits: tuple[_Projected, ...] = ()
    softmax: tuple[Tensor, int, tuple[_Projected, ...]] | None = None
    attention: tuple[LiveAttention, ...] = ()
    hidden: Tensor | None = None
    begun: tuple[_Begun, ...] = ()


_T = TypeVar("_T")
_NOTHING = _Tag()
_SOFTMAX = {functional.softmax, torch.softmax, Tensor.softmax, torch.special.softmax}
_ADDITIVE = {
    *(torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__),
    *(torch.sub, Tensor.sub, Tensor.sub_, Tensor.__sub__, Tensor.__rsub__, Tensor.__isub__),
}
_ACTIVATIONS = {
    *("relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "prelu", "rrelu", "elu", "elu_", "selu", "celu", "gelu"),
    *("silu", "mish", "hardswish", "hardsigmoid", "hardtanh", "hardtanh_", "softplus", "softsign", "logsigmoid"),
    *("tanh", "tanh_", "sigmoid", "sigmoid_", "erf", "glu", "threshold", "threshold_", "clamp", "clamp_", "clamp_min"),
    *("clamp_min_", "clip", "maximum", "abs", "sign", "heaviside", "gt", "ge", "lt", "le", "_threshold"),
}
"""Names of activation functions, and of what they are written with."""
_DIVIDING = {"chunk", "split", "tensor_split", "unbind", "narrow", "select", "__getitem__", "index_select"}
_DIVIDING |= {"cat", "concat", "concatenate", "stack"}
"""Names of functions that take a tensor apart, or put several together."""
_CONVOLUTIONS = {functional.conv1d, functional.conv2d, functional.conv3d}
_CONVOLUTIONS |= {torch.conv1d, torch.conv2d, torch.conv3d}

# The function hands itself over to a mode before it does anything. This copy of it does not, so that a mode can call it
# and see what is in it.
_OPEN_ATTENTION = FunctionType(
    functional.multi_head_attention_forward.__code__,
    {**vars(functional), "has_torch_function": lambda _: False},
    argdefs=functional.multi_head_attention_forward.__defaults__,
)


class AttentionRecorder(TorchFunctionMode):
    """Watches one forward pass; `attention` and `feed_forward` are what it has seen, in order.

    `inputs` are the module's inputs: what is computed from them is data, what is not are weights. `samples` is the
    number of samples.
    """

    def __init__(self, inputs: Sequence[Tensor], samples: int) -> None:
        super().__init__()
        self.samples = samples
        self.attention: list[LiveAttention] = []
        self.feed_forward: list[FeedForward] = []
        self._tags = WeakTensorKeyDictionary()
        for tensor in inputs:
            self._tags[tensor] = _Tag(data=True)

    @property
    def differentiable(self) -> bool:
        """Whether the loss can be differentiated by all heads; not where a module computes some without a graph."""
        return all(call.raw.requires_grad for call in self.attention)

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, arguments: tuple[Any, ...] = (), keywords: Any = None
    ) -> Any:
        function, keywords = as_fill(function, arguments), keywords or {}
        if function is functional.multi_head_attention_forward:
            with self:
                return _OPEN_ATTENTION(*arguments, **keywords)
        if function is functional.scaled_dot_product_attention:
            return self._fused(*arguments, **keywords)
        if getattr(function, "__name__", "") in _ACTIVATIONS:
            return self._activation(function, arguments, keywords)
        result = Call(function, arguments, keywords).run()
        if not _holds_tensors(result):
            return result
        tensors = list(_tensors((*arguments, *keywords.values())))
        if function in _SOFTMAX:
            self._softmax(tensors[0], result, arguments, keywords)
        elif (pair := operands_of(function, arguments, keywords)) is not None:
            return self._product(pair, equation_of(function, arguments, keywords, pair), result)
        elif function is functional.linear:
            self._weighted(tensors[0], of_linear(tensors[1], result), result)
        elif function in _CONVOLUTIONS:
            self._convolution(tensors, arguments, keywords, result)
        else:
            self._pass_on(function, tensors, result)
        return result

    # -- attention ------------------------------------------------------------------------------------------------

    def _fused(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        gqa = {"enable_gqa": True} if enable_gqa else {}
        raw = functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, **gqa
        )
        mask = None if attn_mask is None else attn_mask.detach()
        softmax = partial(_probabilities, query.detach(), key.detach(), mask, is_causal, scale)
        seen = LiveAttention(raw, _as_it_is, softmax, tuple(self._projected(t) for t in (query, key, value)))
        return self._seen(seen, any(self._tag(t).data for t in (query, key, value)))

    def _softmax(self, tensor: Tensor, result: Tensor, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        tag = self._tag(tensor)
        dim = keywords.get("dim", arguments[1] if len(arguments) > 1 else -1)
        found = (result, int(dim), tag.logits) if tag.logits and dim is not None else None
        self._tags[result] = _Tag(data=tag.data, softmax=found)

    def _product(self, pair: tuple[Tensor, Tensor], equation: str | None, result: Tensor) -> Tensor:
        """A product of two tensors: probabilities with values, queries with keys, or data with a weight."""
        left, right = map(self._tag, pair)
        for place, tag in enumerate((left, right)):
            if tag.softmax is None:
                continue
            probabilities, dim, operands = tag.softmax
            found = partial(_kept, probabilities.detach(), dim)
            projected = (*operands, self._projected(pair[1 - place]))
            seen = LiveAttention(result, _arrangement(equation, pair, place), found, projected)
            return self._seen(seen, left.data or right.data)
        dimensions = [t.dim() for t in pair]
        if left.data != right.data or (not left.data and min(dimensions) == 2 < max(dimensions)):
            place = int(right.data) if left.data != right.data else dimensions.index(max(dimensions))
            weighted = partial(of_einsum, equation) if equation else of_matmul
            product = weighted(pair, 1 - place, result)
            if product is not None:
                self._weighted(pair[place], product, result)
                return result
        logits = tuple(self._projected(t) for t in pair) if min(dimensions) > 2 else ()
        self._tags[result] = _Tag(data=left.data or right.data, logits=logits)
        return result

    def _seen(self, seen: LiveAttention, data: bool) -> Tensor:
        """Keep it, and hand over a copy, so that what the module does to that in place leaves the record alone."""
        self.attention.append(seen)
        handed = seen.raw.clone()
        self._tags[handed] = _Tag(data=data, attention=(seen,))
        return handed

    # -- weights --------------------------------------------------------------------------------------------------

    def _convolution(
        self, tensors: list[Tensor], arguments: tuple[Any, ...], keywords: dict[str, Any], result: Tensor
    ) -> None:
        groups = keywords.get("groups", arguments[6] if len(arguments) > 6 else 1)
        weight = tensors[1]
        if groups > 1 and groups == weight.shape[0] and weight.shape[1] == 1:
            self._pass_on(None, tensors[:1], result)  # depthwise: it mixes no channels
        else:
            self._weighted(tensors[0], of_convolution(weight, result, groups), result)

    def _weighted(self, tensor: Tensor, product: WeightProduct, result: Tensor) -> None:
        tag = self._tag(tensor)
        begun: tuple[_Begun, ...] = ()
        if tag.attention:
            for seen in tag.attention:
                seen.output_products.append(product)
        elif tag.hidden is not None and product.pointwise:
            begun = self._fed_forward(tensor, tag, tag.hidden, product)
        self._tags[result] = _Tag(data=tag.data, products=(product,), begun=begun)

    def _fed_forward(self, entering: Tensor, tag: _Tag, hidden: Tensor, product: WeightProduct) -> tuple[_Begun, ...]:
        """Keep the feed-forward layer that ends with a product, if any; what may still be one. The longest counts."""
        step = (entering, tag.products)
        longer = [replace(one, steps=(*one.steps, step)) for one in tag.begun]
        begun = [*longer, _Begun(hidden, (step,), frozenset(p.inputs for p in tag.products))]
        ended = next((k for k, one in enumerate(begun) if product.outputs in one.widths), None)
        if ended is None:
            return tuple(begun)
        layer = FeedForward(begun[ended].hidden, begun[ended].steps, product)
        inner = begun[ended].inner
        self.feed_forward = [*(one for one in self.feed_forward if one not in inner), layer]
        return tuple(replace(one, inner=(*(i for i in one.inner if i not in inner), layer)) for one in begun[:ended])

    def _activation(self, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        tensors = list(_tensors((*arguments, *keywords.values())))
        before = next((t for t in tensors if self._tag(t).products and self._tag(t).data), tensors[0])
        tag = self._tag(before)
        hidden = tag.hidden
        if hidden is None and tag.data and tag.products and all(p.pointwise for p in tag.products):
            hidden = _hidden(before, function, arguments, keywords, tag.products)
            # One row a sample is no sequence of tokens.
            hidden = hidden.detach().clone() if len(hidden) > self.samples else None
        result = function(*arguments, **keywords)
        self._tags[result] = replace(tag, hidden=hidden)
        return result

    # -- what is known of a tensor --------------------------------------------------------------------------------

    def _tag(self, tensor: Tensor) -> _Tag:
        found: _Tag = self._tags.get(tensor, _NOTHING)  # type: ignore[no-untyped-call]
        return found

    def _projected(self, tensor: Tensor) -> _Projected:
        return tensor, self._tag(tensor).products

    def _pass_on(self, function: Callable[..., Any] | None, tensors: Sequence[Tensor], result: Any) -> None:
        """A function that is none of the above: shapes, masks, scales, normalisation, dropout, sums and the like."""
        tags = [(tensor, self._tag(tensor)) for tensor in tensors]
        if all(tag is _NOTHING for _, tag in tags):
            return
        every = [tag for _, tag in tags]
        # The sum of a layer's output and a shortcut is the output of no layer.
        found = [tag.products for tag in every if tag.data or tag.products]
        sums = function in _ADDITIVE and len(found) > 1
        products = () if sums and not all(found) else _united(found)
        divides = getattr(function, "__name__", "") in _DIVIDING
        for output in _tensors((result,)):
            alike = [tag for tensor, tag in tags if tensor.numel() == output.numel()]
            self._tags[output] = _Tag(
                any(tag.data for tag in every),
                products,
                _united(tag.logits for tag in alike),
                next((tag.softmax for tag in alike if tag.softmax), None),
                () if sums else _united(tag.attention for tag in (every if divides else alike)),
                None if sums else next((tag.hidden for tag in alike if tag.hidden is not None), None),
                () if sums else next((tag.begun for tag in alike if tag.begun), ()),
            )


def _hidden(
    before: Tensor,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    products: tuple[WeightProduct, ...],
) -> Tensor:
    """What an activation function is applied to, (rows, width), as it came from the layer."""
    if function is functional.glu:
        dim = keywords.get("dim", arguments[1] if len(arguments) > 1 else -1)
        return before.chunk(2, dim)[1].movedim(dim, -1).flatten(0, -2)
    (product, *others) = products
    if not others and product.output.numel() == before.numel():
        return product.rows(product.output)
    return before.flatten(0, -2)


def _united(groups: Iterable[tuple[_T, ...]]) -> tuple[_T, ...]:
    """Everything in them, each once, in order."""
    return tuple(dict.fromkeys(one for group in groups for one in group))


def _holds_tensors(result: Any) -> bool:
    return isinstance(result, Tensor) or (
        isinstance(result, tuple | list) and any(isinstance(part, Tensor) for part in result)
    )


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors(value)


def _kept(probabilities: Tensor, dim: int) -> tuple[Tensor, int]:
    return probabilities, dim


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


def _arrangement(equation: str | None, pair: tuple[Tensor, Tensor], place: int) -> Callable[[Tensor], Tensor]:
    """What brings the product of probabilities (the operand at `place`) and values into (…, queries, features)."""
    if equation is None:
        return _as_it_is if place == 0 else _transposed
    labels = einsum_labels(equation, pair)
    probabilities, values, out = labels[place], labels[1 - place], labels[2]
    queries = [label for label in out if label in probabilities and label not in values]
    features = [label for label in out if label in values and label not in probabilities]
    batch = [label for label in out if label not in queries and label not in features]
    order = [out.index(label) for label in (*batch, *queries, *features)]

    def arrange(tensor: Tensor) -> Tensor:
        tensor = tensor.permute(order)
        shape = tensor.shape
        middle = len(batch) + len(queries)
        return tensor.reshape(*shape[: len(batch)], math.prod(shape[len(batch) : middle]), math.prod(shape[middle:]))

    return arrange


def _transposed(tensor: Tensor) -> Tensor:
    return tensor.transpose(-1, -2)


def _probabilities(q: Tensor, k: Tensor, mask: Tensor | None, causal: bool, scale: float | None) -> tuple[Tensor, int]:
    """What `scaled_dot_product_attention` multiplies the values by, before dropout, (…, queries, keys), and -1."""
    if k.dim() > 2 and k.shape[-3] not in (1, q.shape[-3]):
        k = k.repeat_interleave(q.shape[-3] // k.shape[-3], -3)
    logits = q @ k.transpose(-1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if causal:
        allowed = torch.ones(logits.shape[-2:], dtype=torch.bool, device=q.device).tril()
        logits = logits.masked_fill(~allowed, -math.inf)
    if mask is not None:
        logits = logits.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else logits + mask
    return logits.softmax(-1), -1
