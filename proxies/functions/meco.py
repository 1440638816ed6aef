"""MeCo: the smallest eigenvalues of the correlations between feature maps."""

from __future__ import annotations

import torch

from po_nas.errors import UnsupportedModuleError
from proxies.context import ProxyContext

__all__ = ["meco"]


def meco(context: ProxyContext) -> float:
    """Σ over the convolutions of the smallest eigenvalue of the Pearson correlations of the output's channels.

    One input from N(0, 1) of the shape of a sample, training mode (statistics of that one sample). Positions are the
    observations; correlations with a channel that is constant are zero. Outputs with a single position are left out.

    References: Jiang, Wang and Bie, MeCo: Zero-Shot NAS with One Data and Single Forward Pass via Minimum Eigenvalue of
    Correlation, NeurIPS 2023.
    """
    total, used = 0.0, 0
    for features in context.single_features:
        channels = features[0].flatten(1).double()
        if channels.shape[1] < 2:
            continue
        centred = channels - channels.mean(1, keepdim=True)
        norms = centred.norm(dim=1, keepdim=True)
        unit = torch.where(norms > 0, centred / norms.clamp_min(torch.finfo(norms.dtype).tiny), 0.0)
        total += float(torch.linalg.eigvalsh(unit @ unit.mT)[0])
        used += 1
    if not used:
        reason = "no convolution has an output with more than one position"
        raise UnsupportedModuleError("*", reason, "convolutions")
    return total
