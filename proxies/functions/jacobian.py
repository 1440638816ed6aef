"""Proxies of the input Jacobian: for each sample the gradient of the sum of all outputs, in training mode."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from po_nas.errors import ProxyBatchError, UnsupportedModuleError
from proxies.context import ProxyContext

__all__ = ["epe_nas", "jacov"]

_K = 1e-5


def correlations(rows: Tensor) -> Tensor:
    """Pearson correlations of rows (n, d), as (n, n), double; `UnsupportedModuleError` for constant rows."""
    centred = rows.double() - rows.double().mean(1, keepdim=True)
    norms = centred.norm(dim=1, keepdim=True)
    if bool((norms == 0).any()):
        reason = "the outputs do not depend on the inputs of some sample"
        raise UnsupportedModuleError("*", reason, "dependent outputs")
    unit: Tensor = centred / norms
    return torch.mm(unit, unit.mT).clamp(-1.0, 1.0)


def jacov(context: ProxyContext) -> float:
    """−Σ (log(λ + k) + 1 / (λ + k)) over the eigenvalues λ of the correlations of the Jacobian's rows, k = 1e-5.

    The outputs are summed before they are differentiated, so batch statistics couple the samples.

    References: Mellor et al., Neural Architecture Search without Training, version 1, arXiv 2006.04647.
    """
    values = torch.linalg.eigvalsh(correlations(context.input_jacobian)) + _K
    return -float((values.log() + 1 / values).sum())


def epe_nas(context: ProxyContext) -> float:
    """How correlated the Jacobian's rows are within each class.

    For each class c in the batch s_c = Σ log(|correlation| + k) over all pairs of its samples, k = 1e-5. With up to 100
    outputs the score is Σ |s_c|; with more, s_c is divided by the samples of the class and the score is
    Σ over c, d of |s_c − s_d|, divided by the number of classes seen.

    References: Lopes, Alirezazadeh and Alexandre, EPE-NAS: Efficient Performance Estimation Without Training for Neural
    Architecture Search, ICANN 2021, arXiv 2102.08099.
    """
    labels, jacobian = context.labels, context.input_jacobian
    if labels is None or labels.dim() != 1 or labels.is_floating_point() or len(labels) != len(jacobian):
        raise ProxyBatchError("*", "needs one class number for each sample", "labels")
    if len(torch.unique(labels)) == len(labels):
        reason = "no class has two samples in the batch, so there is nothing to correlate"
        raise ProxyBatchError("*", reason, "labels")
    many = context.outputs.shape[1] > 100
    scores = []
    for label in torch.unique(labels):
        rows = jacobian[labels == label]
        total = float((correlations(rows).abs() + _K).log().sum())
        scores.append(total / len(rows) if many else total)
    if not many:
        return float(np.abs(scores).sum())
    each = np.array(scores)
    return float(np.abs(each[:, None] - each[None]).sum() / len(each))
