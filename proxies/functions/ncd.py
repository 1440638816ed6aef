"""NCD: activation proxies of a network that is made less non-linear, against their negative correlation.

Deep in a space, among architectures with many convolutions, `nwot` and `swap` order networks the wrong way round, which
the paper puts down to too much non-linearity. It masks what enters the convolutions and normalises samples instead of
the batch while scoring (`proxies.masked`), and computes the proxy of what the network does then.

References: Kang, Ma, Chen, Yu, Wang and Huang, Beyond the Limits: Overcoming Negative Correlation of Activation-Based
Training-Free NAS, ICCV 2025.
"""

from __future__ import annotations

from proxies.context import ProxyContext
from proxies.functions.patterns import log_determinant
from proxies.patterns import distinct_columns

__all__ = ["ncd_nwot", "ncd_swap"]


def ncd_nwot(context: ProxyContext) -> float:
    """`nwot` of the network with 95 % of what enters its convolutions masked, and layer for batch normalisation."""
    return log_determinant(context.masked_codes, len(context.inputs))


def ncd_swap(context: ProxyContext) -> float:
    """`swap` of the network with 95 % of what enters its convolutions masked, and layer for batch normalisation."""
    return float(distinct_columns(context.masked_codes))
