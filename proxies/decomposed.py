"""Attention and recurrent layers, which torch computes as one function each, written as the operators that they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from po_nas.errors import UnsupportedModuleError

__all__ = ["DECOMPOSED"]

State = tuple[Tensor, ...]
Cell = Callable[..., State]


# -- attention ------------------------------------------------------------------------------------------------------


def _additive(mask: Tensor | None, like: Tensor, allowed: bool) -> Tensor | None:
    """A mask to be added to scores; `allowed` says whether true means that a position may be seen."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(~mask if allowed else mask, -math.inf)


def _causal(query: Tensor, keys: int) -> Tensor:
    """Which of the `keys` each position (dimension 0) may see."""
    return torch.ones(len(query), keys, dtype=torch.bool, device=query.device).tril()


def _weighted(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, scale: float | None
) -> tuple[Tensor, Tensor]:
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * scale) @ key.transpose(-2, -1)
    share = (scores if mask is None else scores + mask).softmax(-1)
    if dropout:
        share = functional.dropout(share, dropout)
    return share @ value, share


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`scaled_dot_product_attention` by matrix products."""
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = (t.repeat_interleave(groups, -3) for t in (key, value))
    mask = _additive(attn_mask, query, allowed=True)
    if is_causal:
        mask = _additive(_causal(query.transpose(0, -2), key.shape[-2]), query, allowed=True)
    return _weighted(query, key, value, mask, dropout_p, scale)[0]


def multi_head_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """`torch.nn.functional.multi_head_attention_forward`: (positions, samples, width), with q, k and v apart."""
    if static_k is not None or static_v is not None:
        raise UnsupportedModuleError("*", "attention with static keys or values is not understood", "operators")
    batched = query.dim() == 3
    if not batched:
        query, key, value = (t.unsqueeze(1) for t in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    if use_separate_proj_weight:
        weights: Sequence[Any] = (q_proj_weight, k_proj_weight, v_proj_weight)
    else:
        assert in_proj_weight is not None
        weights = in_proj_weight.chunk(3)
    biases: Sequence[Any] = (None, None, None) if in_proj_bias is None else in_proj_bias.chunk(3)
    q, k, v = (functional.linear(t, w, b) for t, w, b in zip((query, key, value), weights, biases, strict=True))
    samples = query.shape[1]
    # So that the hint counts as torch lets it count.
    hinted = is_causal and key_padding_mask is None and not need_weights
    mask = None if hinted else _additive(attn_mask, q, allowed=False)
    if mask is not None and mask.dim() == 3:
        mask = torch.unflatten(mask, 0, (samples, num_heads))
    padding = _additive(key_padding_mask, q, allowed=False)
    extra = 0
    if bias_k is not None and bias_v is not None:
        k, v = (torch.cat([t, b.expand(1, samples, -1)]) for t, b in ((k, bias_k), (v, bias_v)))
        extra += 1
    if add_zero_attn:
        k, v = (torch.cat([t, t.new_zeros(1, *t.shape[1:])]) for t in (k, v))
        extra += 1
    if extra:
        mask = None if mask is None else functional.pad(mask, (0, extra))
        padding = None if padding is None else functional.pad(padding, (0, extra))
    if padding is not None:
        mask = padding[:, None, None] if mask is None else mask + padding[:, None, None]
    if hinted:
        mask = _additive(_causal(q, len(k)), q, allowed=True)
    # (positions, samples, width) to (samples, heads, positions, width of a head)
    heads = [torch.unflatten(t, -1, (num_heads, -1)).permute(1, 2, 0, 3) for t in (q, k, v)]
    mixed, share = _weighted(heads[0], heads[1], heads[2], mask, dropout_p if training else 0.0, None)
    output = functional.linear(mixed.permute(2, 0, 1, 3).flatten(-2), out_proj_weight, out_proj_bias)
    seen = None if not need_weights else share.mean(1) if average_attn_weights else share
    if not batched:
        return output.squeeze(1), None if seen is None else seen.squeeze(0)
    return output, seen


# -- recurrent layers -----------------------------------------------------------------------------------------------


def _lstm_step(x: Tensor, state: State, weights: Sequence[Tensor | None]) -> State:
    w_ih, w_hh, b_ih, b_hh, w_hr = weights
    assert w_ih is not None
    assert w_hh is not None
    gates = functional.linear(x, w_ih, b_ih) + functional.linear(state[0], w_hh, b_hh)
    enter, forget, candidate, leave = gates.chunk(4, -1)
    cell = forget.sigmoid() * state[1] + enter.sigmoid() * candidate.tanh()
    hidden = leave.sigmoid() * cell.tanh()
    return (hidden if w_hr is None else functional.linear(hidden, w_hr)), cell


def _gru_step(x: Tensor, state: State, weights: Sequence[Tensor | None]) -> State:
    w_ih, w_hh, b_ih, b_hh, _ = weights
    assert w_ih is not None
    assert w_hh is not None
    given, kept = functional.linear(x, w_ih, b_ih), functional.linear(state[0], w_hh, b_hh)
    (r_x, z_x, n_x), (r_h, z_h, n_h) = given.chunk(3, -1), kept.chunk(3, -1)
    update = (z_x + z_h).sigmoid()
    candidate = (n_x + (r_x + r_h).sigmoid() * n_h).tanh()
    return (candidate + update * (state[0] - candidate),)


def _plain_step(activation: Callable[[Tensor], Tensor]) -> Cell:
    def step(x: Tensor, state: State, weights: Sequence[Tensor | None]) -> State:
        w_ih, w_hh, b_ih, b_hh, _ = weights
        assert w_ih is not None
        assert w_hh is not None
        return (activation(functional.linear(x, w_ih, b_ih) + functional.linear(state[0], w_hh, b_hh)),)

    return step


def _direction(
    step: Cell, steps: list[Tensor], state: State, weights: Sequence[Tensor | None], reverse: bool
) -> tuple[list[Tensor], State]:
    """Outputs of each step and the last state; steps may have ever fewer rows (a packed sequence)."""
    outputs: list[Tensor] = [steps[0]] * len(steps)
    kept: list[State] = []
    rows = len(steps[-1]) if reverse else len(steps[0])
    current = tuple(s[:rows] for s in state)
    for t in reversed(range(len(steps))) if reverse else range(len(steps)):
        now = len(steps[t])
        if now < rows:
            kept.append(tuple(s[now:] for s in current))
            current = tuple(s[:now] for s in current)
        elif now > rows:
            current = tuple(torch.cat([s, first[rows:now]]) for s, first in zip(current, state, strict=True))
        rows = now
        current = step(steps[t], current, weights)
        outputs[t] = current[0]
    if kept:
        current = tuple(torch.cat([c, *(k[i] for k in reversed(kept))]) for i, c in enumerate(current))
    return outputs, current


def _recurrent(step: Cell, states: int) -> Callable[..., tuple[Tensor, ...]]:
    """A function with the arguments of ``torch.lstm`` and its relatives, padded or packed."""

    def run(*arguments: Any) -> tuple[Tensor, ...]:
        packed = isinstance(arguments[3], list | tuple)
        if packed:
            data, sizes, first, flat, has_biases, layers, dropout, training, bidirectional = arguments
            steps, batch_first = list(data.split(sizes.tolist())), False
        else:
            data, first, flat, has_biases, layers, dropout, training, bidirectional, batch_first = arguments
            steps = list(data.unbind(1 if batch_first else 0))
        first = tuple(first) if states == 2 else (first,)
        directions = 2 if bidirectional else 1
        each = len(flat) // (layers * directions)
        last: list[State] = []
        for layer in range(layers):
            if layer and dropout and training:
                steps = list(torch.split(functional.dropout(torch.cat(steps), dropout), [len(s) for s in steps]))
            found = []
            for way in range(directions):
                k = layer * directions + way
                own = list(flat[k * each : (k + 1) * each])
                w_hr = own.pop() if each == (5 if has_biases else 3) else None
                weights = [*own[:2], *(own[2:4] if has_biases else (None, None)), w_hr]
                outputs, state = _direction(step, steps, tuple(s[k] for s in first), weights, way == 1)
                found.append(outputs)
                last.append(state)
            steps = [torch.cat(at, -1) for at in zip(*found, strict=True)] if bidirectional else found[0]
        output = torch.cat(steps) if packed else torch.stack(steps, 1 if batch_first else 0)
        return output, *(torch.stack(each) for each in zip(*last, strict=True))

    return run


def _cell(step: Cell, states: int) -> Callable[..., Any]:
    def run(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
        after = step(input, tuple(hx) if states == 2 else (hx,), (w_ih, w_hh, b_ih, b_hh, None))
        return after if states == 2 else after[0]

    return run


DECOMPOSED: dict[Callable[..., Any], Callable[..., Any]] = {
    functional.scaled_dot_product_attention: attention,
    functional.multi_head_attention_forward: multi_head_attention,
    torch.lstm: _recurrent(_lstm_step, 2),
    torch.gru: _recurrent(_gru_step, 1),
    torch.rnn_tanh: _recurrent(_plain_step(torch.tanh), 1),
    torch.rnn_relu: _recurrent(_plain_step(torch.relu), 1),
    torch.lstm_cell: _cell(_lstm_step, 2),
    torch.gru_cell: _cell(_gru_step, 1),
    torch.rnn_tanh_cell: _cell(_plain_step(torch.tanh), 1),
    torch.rnn_relu_cell: _cell(_plain_step(torch.relu), 1),
}
"""What stands in for each function. It can be differentiated twice; a recurrent layer is its cell at each step."""
