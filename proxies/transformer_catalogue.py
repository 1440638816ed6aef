"""The proxies of transformers that come with the package: what is known of each without importing torch."""

from __future__ import annotations

from proxies.proxy_spec import ProxySpec

__all__ = ["TRANSFORMERS"]

_HEADS = "Serianni and Kalita, Training-free NAS for RNNs and Transformers, ACL 2023, arXiv 2306.00288"
_TFTAS = "Zhou et al., Training-free Transformer Architecture Search, CVPR 2022, arXiv 2203.12217"

_NO_ATTENTION = "no score without attention, or where a fused kernel of another library hides it"
_EXPERTS = "experts in one batched product are not seen"

TRANSFORMERS: tuple[tuple[ProxySpec, str, str], ...] = (
    (
        ProxySpec(
            "attention_confidence",
            ("attention",),
            +1,
            cost="forward",
            failure=f"{_NO_ATTENTION}; follows the scale of the initial weights of values",
            reference=_HEADS,
        ),
        "attention:attention_confidence",
        "largest feature of the heads' outputs",
    ),
    (
        ProxySpec(
            "softmax_confidence",
            ("attention",),
            +1,
            cost="forward",
            failure=f"{_NO_ATTENTION}; falls with the number of tokens; near 1 / tokens with small initial weights",
            reference=_HEADS,
        ),
        "attention:softmax_confidence",
        "largest attention weight of the tokens",
    ),
    (
        ProxySpec(
            "head_importance",
            ("attention_gradients",),
            +1,
            True,
            "backward",
            failure=f"{_NO_ATTENTION}; falls with depth and the number of heads, as does the share of each",
            reference=_HEADS,
        ),
        "attention:head_importance",
        "how the loss would change without a head, to first order",
    ),
    (
        ProxySpec(
            "synaptic_diversity",
            ("attention_gradients",),
            +1,
            True,
            "backward",
            failure=f"{_NO_ATTENTION}; grows with width and depth",
            reference=_TFTAS,
        ),
        "attention:synaptic_diversity",
        "nuclear norms of the weights of attention, times those of their gradients",
    ),
    (
        ProxySpec(
            "dss",
            ("attention_gradients",),
            +1,
            True,
            "backward",
            version=2,
            failure=f"{_NO_ATTENTION}; grows with width and depth; {_EXPERTS}",
            reference=_TFTAS,
        ),
        "attention:dss",
        "synaptic diversity of attention and saliency of feed-forward layers",
    ),
    (
        ProxySpec(
            "w_pca",
            ("feed_forward",),
            +1,
            cost="forward",
            min_samples=2,
            version=2,
            failure=f"{_NO_ATTENTION}; saturates at the number of tokens of the batch; {_EXPERTS}",
            reference="Wang, W-PCA Based Gradient-Free Proxy, ICLR 2025, arXiv 2504.15983",
        ),
        "attention:w_pca",
        "parameters times principal components of the feed-forward layers' hidden states",
    ),
)
