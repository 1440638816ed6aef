"""Activation patterns of a network that is made less non-linear: the wrapper NCD around activation proxies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from po_nas.errors import UnsupportedModuleError
from proxies.layers import State
from proxies.recording import record

__all__ = ["MASKED", "masked_codes"]

MASKED = 0.95
"""Share of the inputs of a convolution that is masked, the paper's best on NAS-Bench-201."""

_CONVOLUTIONS: frozenset[Callable[..., Any]] = frozenset(
    getattr(home, f"conv{kind}") for home in (functional, torch) for kind in ("1d", "2d", "3d")
)


class _Masking(TorchFunctionMode):
    """Masks the inputs of convolutions, and normalises each sample where the batch was normalised."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator, self.convolutions = generator, 0

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, arguments: tuple[Any, ...] = (), keywords: Any = None
    ) -> Any:
        keywords = keywords or {}
        if function in _CONVOLUTIONS:
            self.convolutions += 1
            given, *rest = (keywords.pop("input"),) if "input" in keywords else arguments
            drawn = torch.rand(given.shape, generator=self.generator)
            mask = (drawn >= MASKED).to(device=given.device, dtype=given.dtype)
            return function(given * mask, *rest, **keywords)
        if function is functional.batch_norm:
            return _layer_norm(*arguments, **keywords)
        return function(*arguments, **keywords)


def _layer_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """With the arguments of batch normalisation, the normalisation of each sample over channels and positions."""
    return functional.group_norm(input, 1, weight, bias, eps)


def masked_codes(state: State, inputs: tuple[Tensor, ...], generator: torch.Generator) -> list[Tensor]:
    """Packed codes of the ReLUs (as `proxies.recording.record` gives them), of a batch that goes through masks.

    Each number that enters a convolution is set to zero with probability 0.95, y = Σ W ⊙ M ⊙ X, M drawn anew for each
    call. Batch normalisation becomes layer normalisation over the channels and positions of a sample, with the scales
    and shifts of the channels. Training mode otherwise. Masks are drawn from `generator` on the CPU.

    Raises `UnsupportedModuleError` for a network without convolutions (nothing would be masked) or without ReLUs.
    """
    masking = _Masking(generator)

    def run() -> Any:
        with masking:
            return state(*inputs)

    with torch.no_grad():
        codes = record(run, codes=True).codes
    if not masking.convolutions:
        raise UnsupportedModuleError(
            "*", "the module calls no convolution, so there is nothing to mask", "convolutions"
        )
    return codes
