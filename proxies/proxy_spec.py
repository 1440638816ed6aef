"""What is known about a proxy before it is loaded, and the passes that a proxy can ask for. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from po_nas.errors import ConfigError, UnknownNameError

__all__ = ["PASSES", "CostClass", "Precision", "ProxySpec", "closure"]

CostClass = Literal["count", "forward", "backward", "second_order", "per_sample"]
"""What scoring costs by itself: nothing or a batch of one; a forward pass; a forward and a backward pass; a
Hessian-vector product; a forward and a backward pass for each sample."""

Precision = Literal["model", "float64"]
"""What a proxy's passes are computed in: the precision of the module (at least single), or double."""

PASSES: dict[str, tuple[str, ...]] = {
    "forward": (),
    "relu": ("forward",),
    "activations": ("forward",),
    "nonlinear": ("forward",),
    "blocks": ("forward",),
    "jacobian": ("forward",),
    "block_jacobians": ("blocks",),
    "gradients": ("forward",),
    "activation_gradients": ("activations", "gradients"),
    "nonlinear_gradients": ("nonlinear",),
    "hessian": ("gradients",),
    "attention": (),
    "feed_forward": ("attention",),
    "attention_gradients": ("attention",),
    "half_gradients": (),
    "sample_gradients": (),
    "gaussian": (),
    "noise": (),
    "masked": (),
    "single": (),
    "circle": (),
    "synflow": (),
    "synflow_bn": (),
    "macs": (),
}
"""Every pass, in the order in which they run, with those that it builds on. `ProxyContext` says what each gives."""


def closure(passes: Iterable[str]) -> frozenset[str]:
    """`passes` and all that they build on."""
    found: set[str] = set()
    left = list(passes)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += PASSES[name]
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class ProxySpec:
    """The record of a proxy.

    Attributes:
        name: In the registry.
        passes: Names of `PASSES`.
        direction: +1 where a higher score should mean a better network, -1 where a lower one should, None where it is
            unknown.
        needs_labels: Whether the batch must have labels.
        cost: What scoring costs: ``count``, ``forward``, ``backward``, ``second_order`` or ``per_sample``.
        min_samples: Size of the smallest batch that has a score.
        dtype: Precision: that of the ``model``, or ``float64``.
        failure: Where the proxy is known to break.
        reference: Publication, with its arXiv id.
        version: Belongs to the key of a cached score: raise it when the score changes.
        needs: Other proxies whose scores it is computed from, instead of passes: its function gets them as a mapping,
            NaN for one that has none.

    Raises:
        UnknownNameError: For a pass that there is not.
        ConfigError: For any other value that cannot be used.

    Examples:
        >>> import proxies
        >>> proxies.ProxySpec("mine", passes=("gradients",), direction=+1).min_samples
        1
    """

    name: str
    passes: tuple[str, ...] = ()
    direction: Literal[-1, 1] | None = None
    needs_labels: bool = False
    cost: CostClass = "forward"
    min_samples: int = 1
    dtype: Precision = "model"
    failure: str = ""
    reference: str = ""
    version: int = 1
    needs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.passes:
            if name not in PASSES:
                raise UnknownNameError(f"pass of proxy {self.name!r}", name, PASSES)
        if self.needs and self.passes:
            raise ConfigError("needs", self.needs, f"of proxy {self.name!r} excludes passes; it gets scores alone")
        if self.direction not in (-1, 1, None):
            raise ConfigError("direction", self.direction, f"of proxy {self.name!r} must be +1, -1 or None")
        if self.dtype not in ("model", "float64"):
            raise ConfigError("dtype", self.dtype, f"of proxy {self.name!r} must be 'model' or 'float64'")
        if self.version < 1 or self.min_samples < 1:
            raise ConfigError("version", self.version, f"and min_samples of proxy {self.name!r} must be at least 1")
