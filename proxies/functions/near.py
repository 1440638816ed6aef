"""NEAR: effective ranks of what enters the activation functions and of what leaves them."""

from __future__ import annotations

import torch
from torch import Tensor

from proxies.context import ProxyContext
from proxies.isolation import derive_seed
from proxies.nonlinear import of_samples

__all__ = ["near"]

_DRAWS = 32
"""Submatrices that a rank is the mean of, the paper's number."""


def near(context: ProxyContext) -> float:
    """Σ over the calls of activation functions of erank(Z) + erank(H), Z what goes in and H what comes out.

    erank is the exponential of the entropy of the singular values, normalised to sum one; that of a matrix of zeros is
    zero. Rows are samples, columns units. Features with positions have a row for each position of each sample, and of
    the many rows as many as there are columns, one after the other, are taken from a random place, 32 times; the rank
    is the mean. Where there are no more rows than columns all are taken. Training mode, no labels.

    Chosen here: Z and H are cut at the same places, which is the same for all calls of one shape.

    References: Husistein, Reiher and Eckhoff, NEAR: A Training-Free Pre-Estimator of Machine Learning Model
    Performance, ICLR 2025, arXiv 2408.08776.
    """
    places: dict[tuple[int, int], Tensor] = {}
    # A tensor that enters several functions has its rank computed once.
    ranks: dict[tuple[int, torch.Size, tuple[int, ...], int], float] = {}
    calls = of_samples(context.nonlinear_calls, len(context.inputs))
    total = 0.0
    for tensor, units in ((t, call.units) for call in calls for t in (call.before, call.after)):
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), units)
        if key not in ranks:
            rows = tensor.movedim(units, -1).flatten(0, -2)
            count, width = rows.shape
            if (count, width) not in places:
                last = max(0, count - width)
                draws = _DRAWS if last else 1
                places[count, width] = torch.randint(last + 1, (draws,), generator=_generator(context, count, width))
            ranks[key] = _mean_rank(rows, places[count, width])
        total += ranks[key]
    return total


def _generator(context: ProxyContext, count: int, width: int) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(context.seed, f"near/{count}/{width}"))


def _mean_rank(rows: Tensor, places: Tensor) -> float:
    width = min(rows.shape)
    chosen = places.to(rows.device)[:, None] + torch.arange(width, device=rows.device)
    matrices = rows[chosen].double()
    return float(effective_rank(torch.linalg.svdvals(matrices)).mean())


def effective_rank(singular: Tensor) -> Tensor:
    """exp of the entropy of singular values (…, k), normalised to sum one; zero where all are zero."""
    total = singular.sum(-1, keepdim=True)
    share = torch.where(total > 0, singular / total.clamp_min(torch.finfo(singular.dtype).tiny), 0.0)
    return torch.where(total.squeeze(-1) > 0, torch.exp(-torch.xlogy(share, share).sum(-1)), 0.0)
