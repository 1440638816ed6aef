"""Layers in other forms: modules that compute what a layer of torch computes, with its parameters, in another way.

Each is made from the layer whose parameters it takes over, and none is told apart from its layer by its values and
gradients: what differs is how the computation is written down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from po_nas.testing.small_networks import Attention, Unrolled

__all__ = [
    "PRODUCTS",
    "RELUS",
    "Arithmetic",
    "Cells",
    "Checkpointed",
    "Flat",
    "FunctionalConvolution",
    "FunctionalLayerNorm",
    "FunctionalNorm",
    "Fused",
    "Halves",
    "Lookup",
    "Merged",
    "NormAct1d",
    "NormAct2d",
    "OneByOne",
    "Pointwise",
    "Product",
    "Recurrent",
    "Relu",
    "Rows",
    "ScaledDotProduct",
    "Scattered",
    "SequenceFirst",
    "Split",
    "Unfolded",
    "WithAdapter",
]


def _assigned(x: Tensor) -> Tensor:
    x[x < 0] = 0
    return x


RELUS: dict[str, Callable[[Tensor], Tensor]] = {
    "functional.relu": functional.relu,
    "torch.relu": torch.relu,
    "method": lambda x: x.relu(),
    "in place": lambda x: functional.relu(x, inplace=True),
    "relu_": lambda x: x.relu_(),
    "clamp": lambda x: x.clamp(min=0),
    "clamp_min": lambda x: torch.clamp_min(x, 0),
    "maximum": lambda x: torch.maximum(x, x.new_zeros(())),
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "where, the other way round": lambda x: torch.where(x <= 0, torch.zeros_like(x), x),
    "mask": lambda x: x * (x > 0),
    "mask of numbers": lambda x: (x >= 0).to(x.dtype) * x,
    "masked_fill": lambda x: x.masked_fill(~(x > 0), 0.0),
    "assigned": _assigned,
    "threshold": lambda x: functional.threshold(x, 0.0, 0.0),
    "leaky, slope 0": lambda x: functional.leaky_relu(x, 0.0),
}
"""Ways to write ReLU."""


class Relu(nn.Module):
    """ReLU in one of the ways of `RELUS`."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        return RELUS[self.form](x)


def _with_bias(product: Tensor, bias: Tensor | None) -> Tensor:
    return product if bias is None else product + bias


def _addmm(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    rows = x.reshape(-1, x.shape[-1])
    product = rows.mm(weight.t()) if bias is None else torch.addmm(bias, rows, weight.t())
    return product.reshape(*x.shape[:-1], -1)


PRODUCTS: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    "functional.linear": functional.linear,
    "matmul": lambda x, w, b: _with_bias(x @ w.T, b),
    "addmm": _addmm,
    "einsum": lambda x, w, b: _with_bias(torch.einsum("...i,oi->...o", x, w), b),
    "weight first": lambda x, w, b: _with_bias((w @ x.unsqueeze(-1)).squeeze(-1), b),
    "tensordot": lambda x, w, b: _with_bias(torch.tensordot(x, w, ([-1], [1])), b),
}
"""Ways to write a linear layer, of x (…, inputs), weight (outputs, inputs) and bias (outputs,) or None."""


class Product(nn.Module):
    """A linear layer in one of the ways of `PRODUCTS`; its parameters have the names `weight` and `bias`, or others."""

    def __init__(self, layer: nn.Linear, form: str, names: tuple[str, str] = ("weight", "bias")) -> None:
        super().__init__()
        self.form, self.names = form, names
        setattr(self, names[0], layer.weight)
        setattr(self, names[1], layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = (getattr(self, name) for name in self.names)
        return PRODUCTS[self.form](x, weight, bias)


class OneByOne(nn.Module):
    """A linear layer on (…, inputs) as a 1 × 1 convolution."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(layer.in_features, layer.out_features, 1, bias=layer.bias is not None)
        _adopt(self.convolution, layer, layer.weight[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        maps = x.reshape(len(x), -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
        result: Tensor = self.convolution(maps)
        return result.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


class Pointwise(nn.Module):
    """A 1 × 1 convolution as a linear layer with channels in the last dimension."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.linear = nn.Linear(layer.in_channels, layer.out_channels, bias=layer.bias is not None)
        _adopt(self.linear, layer, layer.weight[:, :, 0, 0])

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear(x.permute(0, 2, 3, 1))
        return result.permute(0, 3, 1, 2)


def _adopt(new: Any, old: Any, weight: Tensor) -> None:
    """Give a layer the parameters of another, the weight in another shape."""
    new.weight = nn.Parameter(weight.detach().clone(), requires_grad=old.weight.requires_grad)
    new.bias = old.bias


class FunctionalConvolution(nn.Module):
    """A convolution called as a function, its parameters under other names."""

    def __init__(self, layer: nn.Conv1d | nn.Conv2d) -> None:
        super().__init__()
        self.kernel, self.shift = layer.weight, layer.bias
        self.dimensions = len(layer.kernel_size)
        self.settings = (layer.stride, layer.padding, layer.dilation, layer.groups)

    def forward(self, x: Tensor) -> Tensor:
        function: Any = functional.conv2d if self.dimensions == 2 else functional.conv1d
        return function(x, self.kernel, self.shift, *self.settings)  # type: ignore[no-any-return]


class Unfolded(nn.Module):
    """A convolution without groups as patches times a matrix."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.linear = nn.Linear(layer.weight[0].numel(), layer.out_channels, bias=layer.bias is not None)
        _adopt(self.linear, layer, layer.weight.flatten(1))
        self.settings = (layer.kernel_size, layer.dilation, layer.padding, layer.stride)

    def forward(self, x: Tensor) -> Tensor:
        size, dilation, padding, stride = cast("tuple[tuple[int, int], ...]", self.settings)
        patches = functional.unfold(x, size, dilation, padding, stride)
        height = (x.shape[2] + 2 * padding[0] - dilation[0] * (size[0] - 1) - 1) // stride[0] + 1
        return self.linear(patches.mT).mT.unflatten(2, (height, -1))  # type: ignore[no-any-return]


class Flat(nn.Module):
    """A convolution along one dimension as one over images of height 1."""

    def __init__(self, layer: nn.Conv1d) -> None:
        super().__init__()
        size, stride, dilation = (cast("tuple[int]", s) for s in (layer.kernel_size, layer.stride, layer.dilation))
        (padding,) = cast("tuple[int]", layer.padding)
        self.convolution = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            (1, *size),
            (1, *stride),
            (0, padding),
            (1, *dilation),
            layer.groups,
            bias=layer.bias is not None,
        )
        _adopt(self.convolution, layer, layer.weight.unsqueeze(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(x.unsqueeze(2)).squeeze(2)  # type: ignore[no-any-return]


class Split(nn.Module):
    """A convolution in groups as one convolution for each group, side by side."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        g, inputs, outputs = layer.groups, layer.in_channels // layer.groups, layer.out_channels // layer.groups
        settings: Any = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, 1, layer.bias is not None)
        self.parts = nn.ModuleList(nn.Conv2d(inputs, outputs, *settings) for _ in range(g))
        biases = [None] * g if layer.bias is None else layer.bias.detach().chunk(g)
        for part, weight, bias in zip(self.parts, layer.weight.chunk(g), biases, strict=True):
            _adopt(part, layer, weight)
            part.register_parameter("bias", None if bias is None else nn.Parameter(bias.clone()))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([part(x) for part, x in zip(self.parts, x.chunk(len(self.parts), 1), strict=True)], 1)


class FunctionalNorm(nn.Module):
    """Batch normalisation called as a function."""

    def __init__(self, layer: nn.modules.batchnorm._BatchNorm) -> None:
        super().__init__()
        self.scale, self.shift = layer.weight, layer.bias
        self.register_buffer("mean", layer.running_mean)
        self.register_buffer("variance", layer.running_var)
        self.momentum, self.eps = layer.momentum, layer.eps

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = cast("Tensor", self.mean), cast("Tensor", self.variance)
        momentum = 0.1 if self.momentum is None else self.momentum
        return functional.batch_norm(x, mean, variance, self.scale, self.shift, self.training, momentum, self.eps)


class Arithmetic(FunctionalNorm):
    """Batch normalisation by sums and square roots."""

    def forward(self, x: Tensor) -> Tensor:
        dims = [d for d in range(x.dim()) if d != 1]
        shape = [-1 if d == 1 else 1 for d in range(x.dim())]
        mean, variance = cast("Tensor", self.mean), cast("Tensor", self.variance)
        if self.training:
            mean, variance = x.mean(dims), x.var(dims, correction=0)
        scale = self.scale / (variance + self.eps).sqrt()
        return x * scale.view(shape) + (self.shift - mean * scale).view(shape)


class _NormAct(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation with the activation inside, as image models of many libraries have it."""

    act: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(x))  # type: ignore[no-any-return]


class NormAct1d(_NormAct, nn.BatchNorm1d):
    """`nn.BatchNorm1d` with an activation."""


class NormAct2d(_NormAct, nn.BatchNorm2d):
    """`nn.BatchNorm2d` with an activation."""


class FunctionalLayerNorm(nn.Module):
    """Layer normalisation called as a function; its parameters are called `weight` and `bias` all the same."""

    def __init__(self, layer: nn.LayerNorm) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.shape, self.eps = layer.normalized_shape, layer.eps

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, list(self.shape), self.weight, self.bias, self.eps)


class Lookup(nn.Module):
    """An embedding called as a function, or as an index; its parameter is called `weight` all the same."""

    def __init__(self, layer: nn.Embedding, index: bool) -> None:
        super().__init__()
        self.weight, self.index = layer.weight, index

    def forward(self, words: Tensor) -> Tensor:
        return self.weight[words] if self.index else functional.embedding(words, self.weight)


class Rows(nn.Module):
    """A layer on each row of ``x.reshape(n * t, …)``; a tensor of two dimensions stays as it is."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.inner(x.reshape(-1, x.shape[-1]))
        return result.reshape(*x.shape[:-1], -1)


class SequenceFirst(Rows):
    """A layer on (positions, n, …)."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() < 3:
            return self.inner(x)  # type: ignore[no-any-return]
        return self.inner(x.transpose(0, 1)).transpose(0, 1)  # type: ignore[no-any-return]


class Halves(Rows):
    """A layer on one half of the samples, and then on the other."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.inner(part) for part in x.chunk(2)])


class Checkpointed(nn.Module):
    """A part whose activations are computed again in the backward pass."""

    def __init__(self, inner: nn.Module, reentrant: bool) -> None:
        super().__init__()
        self.inner, self.reentrant = inner, reentrant

    def forward(self, *arguments: Any) -> Any:
        return checkpoint(self.inner, *arguments, use_reentrant=self.reentrant)


class WithAdapter(nn.Module):
    """A linear layer and a low-rank adapter that adds zero, as at the beginning of fine-tuning by LoRA."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.base = layer
        self.down = nn.Linear(layer.in_features, 2, bias=False).to(layer.weight)
        self.up = nn.Linear(2, layer.out_features, bias=False).to(layer.weight)
        with torch.no_grad():
            self.down.weight.copy_(torch.linspace(-1, 1, self.down.weight.numel()).view_as(self.down.weight))
            self.up.weight.zero_()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.base(x) + self.up(self.down(x))
        return result


class ScaledDotProduct(Attention):
    """Attention by `functional.scaled_dot_product_attention`."""

    def __init__(self, layer: Attention) -> None:
        nn.Module.__init__(self)
        self.q, self.k, self.v, self.out = layer.q, layer.k, layer.v, layer.out

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        result: Tensor = self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return result


class Merged(nn.Module):
    """Attention by `nn.MultiheadAttention`, which has query, key and value in one matrix."""

    def __init__(self, layer: Attention, batch_first: bool) -> None:
        super().__init__()
        width = layer.out.in_features
        self.inner = nn.MultiheadAttention(width, layer.heads, bias=False, batch_first=batch_first)
        self.inner.in_proj_weight = nn.Parameter(torch.cat([p.weight.detach() for p in (layer.q, layer.k, layer.v)]))
        self.inner.out_proj.weight = layer.out.weight
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.batch_first else x.transpose(0, 1)
        result: Tensor = self.inner(x, x, x, need_weights=not self.batch_first)[0]
        return result if self.batch_first else result.transpose(0, 1)


class Recurrent(nn.Module):
    """A recurrent layer of torch: `nn.LSTM`, `nn.GRU` or `nn.RNN`."""

    def __init__(self, layer: Unrolled) -> None:
        super().__init__()
        inputs, width = layer.of_input.in_features, layer.width
        if layer.kind in ("LSTM", "GRU"):
            inner: Any = getattr(nn, layer.kind)(inputs, width, batch_first=True)
        else:
            inner = nn.RNN(inputs, width, nonlinearity=layer.kind.removeprefix("RNN_").lower(), batch_first=True)
        inner.weight_ih_l0, inner.weight_hh_l0 = layer.of_input.weight, layer.of_state.weight
        inner.bias_ih_l0, inner.bias_hh_l0 = layer.of_input.bias, layer.of_state.bias
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)[0]  # type: ignore[no-any-return]


class Cells(nn.Module):
    """A recurrent layer as a loop over `nn.LSTMCell`, `nn.GRUCell` or `nn.RNNCell`."""

    def __init__(self, layer: Unrolled) -> None:
        super().__init__()
        inputs, width = layer.of_input.in_features, layer.width
        if layer.kind in ("LSTM", "GRU"):
            cell: Any = getattr(nn, f"{layer.kind}Cell")(inputs, width)
        else:
            cell = nn.RNNCell(inputs, width, nonlinearity=layer.kind.removeprefix("RNN_").lower())
        cell.weight_ih, cell.weight_hh = layer.of_input.weight, layer.of_state.weight
        cell.bias_ih, cell.bias_hh = layer.of_input.bias, layer.of_state.bias
        self.cell, self.width, self.pair = cell, width, layer.kind == "LSTM"

    def forward(self, x: Tensor) -> Tensor:
        hidden = x.new_zeros(len(x), self.width)
        state: Any = (hidden, hidden) if self.pair else hidden
        found = []
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
            found.append(state[0] if self.pair else state)
        return torch.stack(found, 1)


class Scattered(nn.Module):
    """The sum over neighbours edge by edge."""

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        to, source = adjacency.nonzero(as_tuple=True)
        return torch.zeros_like(x).index_add(0, to, x[source] * adjacency[to, source].unsqueeze(-1))


class Fused(nn.Module):
    """A linear layer and the ReLU behind it in one module."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias).relu()
