"""VKDNW: how even the Fisher information of the weights is spread, and how many layers there are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from po_nas.errors import UnsupportedModuleError
from proxies.context import ProxyContext

__all__ = ["layer_count", "vkdnw", "vkdnw_entropy"]

_CLASSES = 10
"""Classes whose probability is differentiated for each sample; with more of them, as many are drawn."""

_SAMPLES = 16
"""Samples that the matrix is the mean of; with ten classes its rank is up to 144."""


def layer_count(context: ProxyContext) -> float:
    """Number of layers with weights (convolutions, linear and alike). Needs no pass.

    References: Týbl and Neumann, VKDNW, CVPR 2025, arXiv 2502.04975.
    """
    return float(len(context.layers))


def vkdnw(scores: Mapping[str, float]) -> float:
    """Number of layers plus `vkdnw_entropy`, which the paper calls VKDNW single.

    The entropy is at most log 9 ≈ 2.2: networks are ordered by depth first. VKDNW aggregated is a fusion,
    `proxies.fusion.VKDNW`.

    References: Týbl and Neumann, Training-free Neural Architecture Search through Variance of Knowledge of Deep
    Network Weights, CVPR 2025, arXiv 2502.04975.
    """
    return scores["layer_count"] + scores["vkdnw_entropy"]


def vkdnw_entropy(context: ProxyContext) -> float:
    """Entropy of the nine deciles of the eigenvalues of the Fisher information matrix, normalised to sum one.

    The matrix is F = mean over samples of Σ over classes c of p(c) g gᵀ, g = ∂ log p(c) by one weight of each layer,
    and p what the network predicts: no labels. Samples are taken one by one (see `proxies.sample_gradients`).

    Chosen here, where the paper leaves it open or its own choice costs too much: the weight in the middle of each
    layer's stands for it; a weight that no sample's output depends on is left out; with more than ten classes, ten are
    drawn from p for each sample, an unbiased estimate of F. Samples are the first 16 of the batch (the paper: 64 random
    ones; it finds that neither matters much).

    References: Týbl and Neumann, Training-free Neural Architecture Search through Variance of Knowledge of Deep
    Network Weights, CVPR 2025, arXiv 2502.04975.
    """
    samples = context.sample_gradients
    count, generator = min(len(samples), _SAMPLES), context.generator

    def terms(outputs: Tensor) -> Tensor:
        if outputs.dim() != 2 or outputs.shape[1] < 2:
            reason = "the outputs are not one number for each of several classes"
            raise UnsupportedModuleError("*", reason, "classes")
        logs = outputs[0].log_softmax(0)
        probabilities = logs.detach().exp()
        if len(logs) <= _CLASSES:
            weighted: Tensor = probabilities.sqrt() * logs
            return weighted
        drawn = torch.multinomial(probabilities.double().cpu(), _CLASSES, replacement=True, generator=generator)
        chosen: Tensor = logs[drawn.to(logs.device)] / _CLASSES**0.5
        return chosen

    blocks = []
    for gradients in samples.of_terms(terms, count):
        rows = torch.stack([torch.stack([g.reshape(-1)[g.numel() // 2] for g in each]) for each in gradients])
        blocks.append(rows.double().cpu())
    if any(rows.shape[1] != blocks[0].shape[1] for rows in blocks):
        reason = "the module uses its weights in other pieces for other samples"
        raise UnsupportedModuleError("*", reason, "the same layers for all samples")
    jacobian = torch.cat(blocks)
    total = jacobian.mT @ jacobian / count
    used = total.diagonal() > 0
    if not bool(used.any()):
        raise UnsupportedModuleError("*", "the outputs depend on none of the weights that were chosen", "gradients")
    values = torch.linalg.eigvalsh(total[used][:, used]).clamp_min(0)
    deciles = torch.quantile(values, torch.arange(1, 10, dtype=torch.float64) / 10)
    if float(deciles.sum()) == 0:
        reason = "more than nine tenths of the eigenvalues of the Fisher information are zero"
        raise UnsupportedModuleError("*", reason, "Fisher information")
    share = deciles / deciles.sum()
    return -float(torch.xlogy(share, share).sum())
