"""How many multiply-accumulates an operator of torch makes. What makes none is free, and the rest is refused by name.

An operator is free when torch itself says so: it is elementwise or a view (by torch's tags and schemas), or makes a
tensor out of none. It is free when it is on a list: it reduces, moves data, pools, resamples, normalises, compares,
sorts, draws or measures a loss. Composite operators are taken apart. Everything else needs a formula: one of those
below, or one registered with `torch.utils.flop_counter.register_flop_formula`.

Elementwise operators are free with two exceptions, so that a product counts alike however it is written. A
multiplication whose result is larger than both of its factors is an outer product, and makes one for each element of
the result. A sum over an index (`index_add`, `scatter_add` and their like) of an elementwise product is a product with
a sparse matrix, and makes one for each element summed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._ops import HigherOrderOperator, OpOverload
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakIdKeyDictionary

from po_nas.errors import UnsupportedModuleError

__all__ = ["Accounts", "is_free", "refused"]

aten = torch.ops.aten


def refused(operator: str, reason: str) -> UnsupportedModuleError:
    """The error of a module whose operations cannot be counted because of one operator."""
    return UnsupportedModuleError("*", f"its operations cannot be counted: {operator} {reason}", "formula", operator)


class Accounts:
    """Decides about the operators of one forward pass, which it has to see in the order in which they run."""

    def __init__(self) -> None:
        # Elementwise products, and what shows the same elements, until they are freed.
        self._products: Any = WeakIdKeyDictionary()

    def decides(self, func: Any) -> bool:
        """Whether an operator is counted, free or refused as it is, so that it need not be taken apart."""
        if not isinstance(func, OpOverload):
            return True
        known = func.overloadpacket in _FORMULAS or func.overloadpacket in flop_registry
        return known or _functional_name(func) in _SUMS_BY_INDEX or is_free(func)

    def multiplications(
        self, func: Any, types: Iterable[type], args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
    ) -> int:
        """Multiply-accumulates of an operator, from its arguments and its result.

        Raises `UnsupportedModuleError`, which carries the operator's name, where they are not known.
        """
        if isinstance(func, HigherOrderOperator):
            if str(func) not in _OF_HIGHER_ORDER:
                raise refused(str(func), "runs functions of its own")
            return _OF_HIGHER_ORDER[str(func)](*args)
        tensors = [leaf for leaf in tree_leaves((args, dict(kwargs))) if isinstance(leaf, Tensor)]
        _check_kinds(func, types, tensors)
        made = self._made(func, args, kwargs, result)
        if made and any(t.is_complex() for t in tensors):
            raise refused(_name(func), "multiplies complex numbers, for which there is no convention")
        return made

    def _made(self, func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> int:
        name = _functional_name(func)
        if name in _SUMS_BY_INDEX and func.namespace == "aten":
            summed = _SUMS_BY_INDEX[name](func, args, kwargs)
            return summed.numel() if summed is not None and summed in self._products else 0
        if name in _MULTIPLIES and func.namespace == "aten":
            return self._elementwise(name, args, result)
        packet = func.overloadpacket
        try:
            if packet in _FORMULAS:
                return _FORMULAS[packet](*args, **kwargs)
            if packet in flop_registry:
                # Torch counts a multiply-add as two.
                return int(flop_registry[packet](*args, **kwargs, out_val=result)) // 2
        except Exception as error:
            raise refused(_name(func), f"has a formula that fails here ({error})") from error
        if not is_free(func):
            raise refused(_name(func), "has no formula; torch.utils.flop_counter.register_flop_formula gives it one")
        if args and isinstance(args[0], Tensor) and args[0] in self._products and (_shows(func) or name in _COPIES):
            self._remember(result)
        return 0

    def _elementwise(self, name: str, args: Sequence[Any], result: Tensor) -> int:
        factors = [a for a in args[-2:] if isinstance(a, Tensor)]
        if len(factors) < 2:
            return 0
        shape = torch.broadcast_shapes(*(f.shape for f in factors))  # type: ignore[no-untyped-call]
        product: int = math.prod(shape)
        if product > max(_distinct(f) for f in factors):
            return product
        if name == "mul" and all(f.numel() > 1 for f in factors):
            self._remember(result)
        return 0

    def _remember(self, result: Any) -> None:
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._products[tensor] = True


def _check_kinds(func: OpOverload, types: Iterable[type], tensors: Iterable[Tensor]) -> None:
    """Refuse tensors whose shape does not tell what is computed."""
    for kind in types:
        if not issubclass(kind, FakeTensor):
            raise refused(_name(func), f"works on a {kind.__name__}, whose operators are its own")
    for tensor in tensors:
        if tensor.is_nested or tensor.is_quantized or tensor.layout != torch.strided:
            what = "nested" if tensor.is_nested else "quantised" if tensor.is_quantized else str(tensor.layout)
            raise refused(_name(func), f"works on a tensor that is not dense ({what})")


def _name(func: OpOverload) -> str:
    return str(func.overloadpacket)


def _functional_name(func: OpOverload) -> str:
    """The name without that of its namespace and without the mark of those that work in place."""
    name = str(func.overloadpacket.__name__)
    return name.rstrip("_") if name.endswith("_") and not name.endswith("__") else name


@cache
def is_free(func: OpOverload) -> bool:
    """Whether an operator makes no multiply-accumulates, whatever it is given (see above for sums and products)."""
    if func.namespace == "profiler" or str(func) in _BOOKKEEPING:
        return True
    if func.namespace not in ("aten", "prims"):
        return False
    name = _functional_name(func)
    if name in _FREE or _shows(func):
        return True
    if not any(not a.is_out and "Tensor" in str(a.type) for a in func._schema.arguments):
        return True
    # One that works in place is tagged by its functional form alone.
    packet = getattr(getattr(torch.ops, func.namespace), name, func.overloadpacket)
    overloads = [func, *(getattr(packet, overload) for overload in packet.overloads())]
    return any(torch.Tag.pointwise in overload.tags for overload in overloads)


def _shows(func: OpOverload) -> bool:
    """Whether the result shows the elements of its argument, or a copy of them."""
    return bool(func.is_view) or torch.Tag.view_copy in func.tags or torch.Tag.inplace_view in func.tags


def _distinct(tensor: Tensor) -> int:
    """Number of elements, those that are the same by expansion once."""
    return math.prod(size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)


# -- formulas ----------------------------------------------------------------------------------------------------------


def _vectors(first: Tensor, second: Tensor) -> int:
    return int(first.numel())


def _matrix_vector(matrix: Tensor, vector: Tensor) -> int:
    return int(matrix.numel())


def _add_matrix_vector(base: Tensor, matrix: Tensor, vector: Tensor, **_: Any) -> int:
    return int(matrix.numel())


def _add_outer(base: Tensor, first: Tensor, second: Tensor, **_: Any) -> int:
    return int(first.numel() * second.numel())


def _sum_of_products(base: Tensor, first: Tensor, second: Tensor, **_: Any) -> int:
    return int(first.numel() * second.shape[2])


def _matrices(first: Tensor, second: Tensor, *_: Any, **__: Any) -> int:
    return int(first.numel() * second.shape[-1])


def _add_matrices(base: Tensor, first: Tensor, second: Tensor, *_: Any, **__: Any) -> int:
    return int(first.numel() * second.shape[-1])


def _convolution_over_time(signal: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> int:
    time, batch, _ = signal.shape
    return int((time + 2 * pad - len(weight) + 1) * batch * weight.numel())


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    """Both products, over all pairs of positions: masks, causal ones too, leave nothing out."""
    return int(query.numel() // query.shape[-1] * key.shape[-2] * (key.shape[-1] + value.shape[-1]))


def _flex_attention(query: Tensor, key: Tensor, value: Tensor, *_: Any) -> int:
    return _attention(query, key, value)


def _recurrent_layer(signal: Tensor, of_input: Tensor, of_hidden: Tensor, *_: Any, **__: Any) -> int:
    """One layer in one direction; packed sequences have one dimension less."""
    return int(signal.numel() // signal.shape[-1] * (of_input.numel() + of_hidden.numel()))


def _recurrent_layers(signal: Tensor, weights: Sequence[Tensor], *_: Any, **__: Any) -> int:
    """All layers and directions: their weights, without biases, are matrices."""
    return int(signal.numel() // signal.shape[-1] * sum(w.numel() for w in weights if w.dim() == 2))


def _bag(
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    *_: Any,
    **__: Any,
) -> int:
    """Sums of rows are free, weighted sums are products."""
    return 0 if per_sample_weights is None else int(indices.numel() * weight.shape[1])


def _grid(theta: Tensor, size: Sequence[int], align_corners: bool) -> int:
    return int(theta.numel() * math.prod(size[2:]))


def _trilinear(
    first: Tensor,
    second: Tensor,
    third: Tensor,
    expand1: Sequence[int],
    expand2: Sequence[int],
    expand3: Sequence[int],
    sumdim: Sequence[int],
    unroll_dim: int = 1,
) -> int:
    """Two factors are multiplied and summed over what the third lacks, then the third comes in."""
    shapes = []
    for tensor, places in ((first, expand1), (second, expand2), (third, expand3)):
        shape = list(tensor.shape)
        for place in sorted(places):
            shape.insert(place, 1)
        shapes.append(shape)
    pair = [max(a, b) for a, b in zip(shapes[0], shapes[1], strict=True)]
    left = [1 if d in sumdim and d in expand3 else size for d, size in enumerate(pair)]
    return math.prod(pair) + math.prod(max(a, b) for a, b in zip(left, shapes[2], strict=True))


_BY_NAME: dict[str, Callable[..., int]] = {
    "dot": _vectors,
    "vdot": _vectors,
    "mv": _matrix_vector,
    "addmv": _add_matrix_vector,
    "addmv_": _add_matrix_vector,
    "addr": _add_outer,
    "addr_": _add_outer,
    "addbmm": _sum_of_products,
    "addbmm_": _sum_of_products,
    "addmm_": _add_matrices,
    "baddbmm_": _add_matrices,
    "_addmm_activation": _add_matrices,
    "_int_mm": _matrices,
    "conv_tbc": _convolution_over_time,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_cudnn_attention": _attention,
    "_scaled_dot_product_fused_attention_overrideable": _attention,
    "mkldnn_rnn_layer": _recurrent_layer,
    "_cudnn_rnn": _recurrent_layers,
    "miopen_rnn": _recurrent_layers,
    "_embedding_bag": _bag,
    "_embedding_bag_forward_only": _bag,
    "affine_grid_generator": _grid,
    "_trilinear": _trilinear,
}
_FORMULAS = {getattr(aten, name): formula for name, formula in _BY_NAME.items() if hasattr(aten, name)}
"""For operators that torch has no formula for, or one that fails where keys have fewer heads than queries."""

_OF_HIGHER_ORDER: dict[str, Callable[..., int]] = {"flex_attention": _flex_attention}


# -- sums by index -----------------------------------------------------------------------------------------------------


def _argument(func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any], name: str) -> Any:
    for place, one in enumerate(func._schema.arguments):
        if one.name == name:
            return args[place] if place < len(args) else kwargs.get(name, one.default_value)
    return None


def _summed(name: str, ways: Sequence[str | None] = (None, "sum", "mean")) -> Callable[..., Tensor | None]:
    """Finds what is summed, the argument called `name`; nothing where elements are replaced or combined otherwise."""

    def find(func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
        found = _argument(func, args, kwargs, name)
        sums = _argument(func, args, kwargs, "accumulate") is not False
        sums = sums and _argument(func, args, kwargs, "reduce") in ways
        return found if sums and isinstance(found, Tensor) else None

    return find


_SUMS_BY_INDEX = {
    "index_add": _summed("source"),
    "scatter_add": _summed("src"),
    "scatter": _summed("src", ["add"]),
    "scatter_reduce": _summed("src"),
    "index_reduce": _summed("source"),
    "index_put": _summed("values"),
    "_unsafe_index_put": _summed("values"),
    "_unsafe_masked_index_put_accumulate": _summed("values"),
    "_index_put_impl": _summed("values"),
    "put": _summed("source"),
    "segment_reduce": _summed("data"),
    "bincount": _summed("weights"),
}
_MULTIPLIES = ("mul", "addcmul")
_COPIES = ("clone", "_to_copy", "copy", "_unsafe_view", "index_select", "index", "_reshape_copy")


# -- what is free, and torch does not say so --------------------------------------------------------------------------

_KINDS = {
    "reduces": """
        all amax amin aminmax any argmax argmin count_nonzero linalg__powsum linalg_vector_norm logsumexp max mean min
        nansum norm prod std std_mean sum var var_mean
    """,
    "moves data": """
        cat stack _stack _chunk_cat block_diag copy _to_copy _copy_from _copy_from_and_resize _unsafe_view _reshape_copy
        _lazy_clone repeat repeat_interleave roll flip rot90 tril triu diag_embed diagonal_scatter select_scatter
        as_strided_scatter constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d
        replication_pad2d replication_pad3d pixel_shuffle pixel_unshuffle channel_shuffle im2col col2im unsafe_split
        unsafe_split_with_sizes index _unsafe_index _unsafe_masked_index index_select index_copy index_fill gather take
        scatter masked_scatter masked_select masked_fill embedding _pack_padded_sequence complex resize resize_as set
        _pin_memory lift as_strided fill zero
    """,
    "makes tensors like others, or random ones": """
        empty_like full_like ones_like zeros_like new_empty new_empty_strided new_full new_ones new_zeros
        _new_zeros_with_same_feature_meta rand_like randint_like randn_like bernoulli binomial cauchy exponential
        geometric log_normal multinomial normal normal_functional poisson random uniform _standard_gamma
        _sample_dirichlet _fused_dropout native_dropout _masked_scale rrelu_with_noise rrelu_with_noise_functional
        linspace logspace range
    """,
    "pools or resamples": """
        _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d avg_pool2d avg_pool3d
        max_pool2d_with_indices max_pool3d_with_indices fractional_max_pool2d fractional_max_pool3d max_unpool2d
        max_unpool3d mkldnn_max_pool2d mkldnn_max_pool3d mkldnn_adaptive_avg_pool2d upsample_linear1d
        upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d upsample_nearest1d upsample_nearest2d
        upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
        _upsample_bilinear2d_aa _upsample_bicubic2d_aa _upsample_lanczos2d_aa grid_sampler_2d grid_sampler_3d
        _grid_sampler_2d_cpu_fallback cudnn_grid_sampler
    """,
    "normalises": """
        native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_functional
        _native_batch_norm_legit_no_training _batch_norm_no_update _batch_norm_with_update
        _batch_norm_with_update_functional cudnn_batch_norm miopen_batch_norm batch_norm_elemt batch_norm_stats
        native_layer_norm native_group_norm native_norm _fused_rms_norm _softmax _log_softmax _safe_softmax
        _masked_softmax _weight_norm_interface renorm embedding_renorm
    """,
    "elementwise, scans and losses": """
        _thnn_fused_lstm_cell _thnn_fused_gru_cell _prelu_kernel glu hardswish log_sigmoid_forward floor_divide
        _transform_bias_rescale_qkv polar linalg_cross abs celu cumsum cumprod cummax cummin _cummax_helper
        _cummin_helper logcumsumexp _logcumsumexp trace dist mse_loss huber_loss smooth_l1_loss soft_margin_loss
        multi_margin_loss multilabel_margin_loss_forward nll_loss_forward nll_loss2d_forward binary_cross_entropy
        binary_cross_entropy_with_logits
    """,
    "compares, sorts, counts and asks": """
        sort topk kthvalue median nanmedian mode _aminmax nonzero nonzero_static unique_consecutive unique_dim
        unique_dim_consecutive _unique _unique2 searchsorted bucketize isin histc allclose is_same_size _is_all_true
        _is_any_true _local_scalar_dense _assert_async _functional_assert_async _assert_scalar _functional_assert_scalar
        _assert_tensor_metadata is_pinned is_set_to _has_same_storage_numel record_stream _fused_sdp_choice
        _nested_tensor_size sym_size sym_stride sym_numel sym_storage_offset sym_is_contiguous is_contiguous
        is_strides_like_format is_non_overlapping_and_dense stride size dim numel storage_offset
    """,
}
_FREE = frozenset(name for names in _KINDS.values() for name in names.split())
_BOOKKEEPING = frozenset({"prim.device.default", "prim.layout.default"})
