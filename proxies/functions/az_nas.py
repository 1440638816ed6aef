"""The four proxies of AZ-NAS, which look at the primary blocks of a network one after the other.

What the blocks are is said in `proxies.blocks`; features and gradients are of the batch in training mode. AZ-NAS adds
up the logarithms of their ranks: `proxies.fusion.log_rank`.

References: Lee and Ham, AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search, CVPR 2024,
arXiv 2403.19232.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor
from torch.nn import functional

from po_nas.errors import UnsupportedModuleError
from proxies.context import ProxyContext

__all__ = ["az_complexity", "az_expressivity", "az_progressivity", "az_trainability"]


def az_expressivity(context: ProxyContext) -> float:
    """Σ over the blocks of the entropy of the normalised spectrum of the covariance of their channels.

    Every position of every sample is an observation.
    """
    return sum(_entropies(context))


def az_progressivity(context: ProxyContext) -> float:
    """The smallest gain in that entropy from a block to the next."""
    entropies = _entropies(context)
    return min(after - before for before, after in itertools.pairwise(entropies))


def az_trainability(context: ProxyContext) -> float:
    """Mean over the blocks after the first of 2 − σ − 1 / σ, σ the spectral norm of the block's mean Jacobian.

    For a block, v has random signs of the shape of its features and Jᵀv the shape of the block before; since v is
    white, the mean over positions of (Jᵀv) vᵀ estimates the Jacobian's mean action on the channels. Where the block
    changes the resolution by r, the r × r positions that belong together count as channels.
    """
    terms = []
    for signs, pulled in context.block_gradients:
        outer, inner = (t.unsqueeze(-1) if t.dim() == 2 else t for t in (signs, pulled))
        if outer.dim() != inner.dim():
            reason = "a block turns positions of a plane into a sequence, or the other way round"
            raise UnsupportedModuleError("*", reason, "blocks with positions of one kind")
        out_rows, in_rows = _rows(outer, inner.shape[2:]), _rows(inner, outer.shape[2:])
        sigma = float(torch.linalg.matrix_norm(in_rows.mT @ out_rows / len(out_rows), 2))
        if sigma == 0:
            raise UnsupportedModuleError("*", "a block does not depend on the block before it", "dependent blocks")
        terms.append(2 - sigma - 1 / sigma)
    return math.fsum(terms) / len(terms)


def az_complexity(context: ProxyContext) -> float:
    """Multiply-accumulates of one sample."""
    return float(context.macs)


def _entropies(context: ProxyContext) -> list[float]:
    found = []
    for features in context.block_features:
        rows = features.movedim(1, -1).flatten(0, -2)
        centred = rows - rows.mean(0)
        values = torch.linalg.eigvalsh((centred.mT @ centred).double() / len(rows)).clamp_min(0)
        share = values / values.sum()
        if not bool(torch.isfinite(share).all()):
            raise UnsupportedModuleError("*", "the features of a block are constant", "varying features")
        found.append(-float(torch.xlogy(share, share).sum()))
    return found


def _rows(tensor: Tensor, other: torch.Size) -> Tensor:
    """Positions as rows (m, channels), at the coarser of its own and the `other` resolution."""
    shape = tensor.shape[2:]
    factors = [max(1, math.ceil(mine / theirs)) for mine, theirs in zip(shape, other, strict=True)]
    if any(f > 1 for f in factors):
        coarse = [min(mine, theirs) for mine, theirs in zip(shape, other, strict=True)]
        missing = [c * f - mine for c, f, mine in zip(coarse, factors, shape, strict=True)]
        tensor = functional.pad(tensor, [side for m in reversed(missing) for side in (0, m)])
        for d, factor in enumerate(factors):
            # Split each spatial dimension into position and place within it, and move the place to the channels.
            tensor = torch.unflatten(tensor, 2 + d, (-1, factor)).movedim(3 + d, 1).flatten(1, 2)
    return tensor.movedim(1, -1).flatten(0, -2)
