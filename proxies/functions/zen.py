"""The Zen-score."""

from __future__ import annotations

import math

from po_nas.errors import UnsupportedModuleError
from proxies.context import ProxyContext

__all__ = ["zen"]


def zen(context: ProxyContext) -> float:
    """log Δ + Σ log σ̄: Δ = mean over samples of ‖f(x) − f(x + 0.01 ε)‖₂, σ̄² = mean batch variance of a normalisation.

    f is the last feature map before global pooling; weights, x and ε are drawn from N(0, 1), biases are zero and
    normalisation has scale one (see `proxies.gaussian`); training mode. The sum runs over the batch normalisations in
    the network, so that the product of the scales that they divide by is put back. Labels and images are not used, only
    their shape. Shortcuts stay where they are (the paper removes them). Without batch normalisation the sum is empty
    and the score is the paper's Φ-score.

    References: Lin et al., Zen-NAS: A Zero-Shot NAS for High-Performance Deep Image Recognition, ICCV 2021,
    arXiv 2102.01063.
    """
    seen = context.gaussian
    difference = (seen.features.double() - seen.perturbed.double()).flatten(1)
    largest = float(difference.abs().max())
    scales = [float(v.double().mean()) for v in seen.variances]
    if largest == 0 or 0.0 in scales:
        reason = "the last feature map does not depend on the input"
        raise UnsupportedModuleError("*", reason, "dependent outputs")
    # Squares would overflow before the numbers themselves do.
    delta = math.log(largest) + math.log(float((difference / largest).norm(dim=1).mean()))
    return delta + sum(math.log(scale) for scale in scales) / 2
