"""Proxies of transformers.

Attention and feed-forward layers are found by what is computed (`proxies.attention`), so all ways to write them score
equal. Training mode, the whole batch at once, mean cross-entropy unless the caller gives another loss L. Where there is
no attention, there is no score: `UnsupportedModuleError`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from proxies.context import ProxyContext
from proxies.functions.counts import params

__all__ = ["attention_confidence", "dss", "head_importance", "softmax_confidence", "synaptic_diversity", "w_pca"]

_DOUBLE = torch.float64
_VARIANCE = 0.99


def attention_confidence(context: ProxyContext) -> float:
    """Mean over heads and tokens of |max over features of the head's output|.

    References: Serianni and Kalita, Training-free NAS for RNNs and Transformers, ACL 2023, arXiv 2306.00288; after
    Voita et al., Analyzing Multi-Head Self-Attention, ACL 2019, arXiv 1905.09418.
    """
    calls = context.attention
    total = sum(call.heads * float(call.outputs.amax(-1).abs().mean(dtype=_DOUBLE)) for call in calls)
    return total / sum(call.heads for call in calls)


def softmax_confidence(context: ProxyContext) -> float:
    """Mean over heads and tokens of the largest attention weight.

    References: Serianni and Kalita, Training-free NAS for RNNs and Transformers, ACL 2023, arXiv 2306.00288; after
    Behnke and Heafield, Losing Heads in the Lottery, EMNLP 2020.
    """
    calls = context.attention
    total = sum(call.heads * float(call.largest_probabilities().mean(dtype=_DOUBLE)) for call in calls)
    return total / sum(call.heads for call in calls)


def head_importance(context: ProxyContext) -> float:
    """Mean over heads and samples of |A · ∂L/∂A|, A the output of a head for a sample and L that sample's loss.

    With a loss that is a mean over the samples, the share of a sample in its gradient is that of its own loss.

    References: Serianni and Kalita, Training-free NAS for RNNs and Transformers, ACL 2023, arXiv 2306.00288; after
    Michel, Levy and Neubig, Are Sixteen Heads Really Better than One?, NeurIPS 2019, arXiv 1905.10650.
    """
    gradients = context.attention_gradients.heads
    total, heads = 0.0, 0
    for call, gradient in zip(context.attention, gradients, strict=True):
        product = (call.outputs * gradient).sum((1, 3, 4), dtype=_DOUBLE)
        total += float(product.abs().sum())
        heads += call.heads
    return total / heads


def synaptic_diversity(context: ProxyContext) -> float:
    """Sum over the matrices W of attention (queries, keys, values, output) of ‖W‖ ‖∂L/∂W‖, nuclear norms.

    Matrices that are kept in one are taken apart; one that several calls share counts once.

    References: Zhou et al., Training-free Transformer Architecture Search (TF-TAS), CVPR 2022, arXiv 2203.12217.
    """
    return sum(_nuclear(m.weight) * _nuclear(m.gradient) for m in context.attention_gradients.attention)


def dss(context: ProxyContext) -> float:
    """`synaptic_diversity`, plus the sum over the matrices W of feed-forward layers of Σ |W ∂L/∂W|, their saliency.

    Absolute, because terms of both signs would cancel under the loss of a batch.

    References: Zhou et al., Training-free Transformer Architecture Search (TF-TAS), CVPR 2022, arXiv 2203.12217.
    """
    saliency = sum(
        float((m.weight * m.gradient).abs().sum(dtype=_DOUBLE)) for m in context.attention_gradients.feed_forward
    )
    return synaptic_diversity(context) + saliency


def w_pca(context: ProxyContext) -> float:
    """Number of parameters times the sum over feed-forward layers of the number of principal components.

    Those are the fewest that hold 99 % of the variance of X W₁ + b₁ over all tokens of the batch.

    References: Wang, W-PCA Based Gradient-Free Proxy for Efficient Search of Lightweight Language Models, ICLR 2025,
    arXiv 2504.15983.
    """
    return params(context) * sum(_components(hidden) for hidden in context.hidden_states)


def _nuclear(matrix: Tensor) -> float:
    return float(torch.linalg.matrix_norm(matrix.to(_DOUBLE), "nuc"))


def _components(hidden: Tensor) -> int:
    centred = hidden.to(_DOUBLE)
    centred = centred - centred.mean(0)
    # The smaller of the two matrices with these eigenvalues.
    product = centred.T @ centred if centred.shape[1] <= centred.shape[0] else centred @ centred.T
    variances = torch.linalg.eigvalsh(product).clamp_min(0).flip(0)
    if not bool(variances.sum() > 0):
        return 0
    shares = variances.cumsum(0) / variances.sum()
    return int((shares < _VARIANCE).sum()) + 1
