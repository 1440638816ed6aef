"""MeCo and MeCo-opt: the smallest eigenvalues of the correlations between feature maps."""

from __future__ import annotations

import torch
from torch import Tensor

from po_nas.errors import UnsupportedModuleError
from proxies.context import ProxyContext
from proxies.isolation import derive_seed

__all__ = ["meco", "meco_opt"]

_CHANNELS = 8
"""Channels that MeCo-opt samples of a layer, the paper's number."""


def meco(context: ProxyContext) -> float:
    """Σ over the convolutions of the smallest eigenvalue of the Pearson correlations of the output's channels.

    One input from N(0, 1) of the shape of a sample, training mode (statistics of that one sample). Positions are the
    observations; correlations with a channel that is constant are zero. Outputs with a single position are left out.

    References: Jiang, Wang and Bie, MeCo: Zero-Shot NAS with One Data and Single Forward Pass via Minimum Eigenvalue of
    Correlation, NeurIPS 2023.
    """
    return sum(float(torch.linalg.eigvalsh(matrix)[0]) for matrix in _correlations(context))


def meco_opt(context: ProxyContext) -> float:
    """`meco` on 8 random channels of each convolution, times an eighth of the number of channels.

    So the eigenvalues of wide layers, which are zero for more channels than positions, say something, and wide layers
    count more. Of a layer with fewer channels all are taken, with weight one. Chosen here: layers with the
    same number of channels have the same ones drawn.

    References: Jiang, Wang and Bie, MeCo: Zero-Shot NAS with One Data and Single Forward Pass via Minimum Eigenvalue of
    Correlation, NeurIPS 2023 (MeCo-opt).
    """
    total = 0.0
    for matrix in _correlations(context):
        channels = len(matrix)
        kept = min(channels, _CHANNELS)
        generator = torch.Generator().manual_seed(derive_seed(context.seed, f"meco_opt/{channels}"))
        chosen = torch.randperm(channels, generator=generator)[:kept].to(matrix.device)
        total += float(torch.linalg.eigvalsh(matrix[chosen][:, chosen])[0]) * channels / kept
    return total


def _correlations(context: ProxyContext) -> list[Tensor]:
    """Correlations of the channels of each convolution with more than one position, (channels, channels), double."""
    found = []
    for features in context.single_features:
        channels = features[0].flatten(1).double()
        if channels.shape[1] < 2:
            continue
        centred = channels - channels.mean(1, keepdim=True)
        norms = centred.norm(dim=1, keepdim=True)
        unit = torch.where(norms > 0, centred / norms.clamp_min(torch.finfo(norms.dtype).tiny), 0.0)
        found.append(unit @ unit.mT)
    if not found:
        reason = "no convolution has an output with more than one position"
        raise UnsupportedModuleError("*", reason, "convolutions")
    return found
