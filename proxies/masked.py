"""Activation patterns of a network that is made less non-linear: the wrapper NCD around activation proxies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from po_nas.errors import UnsupportedModuleError
from proxies.operators import BATCH_NORMS, Call
from proxies.recording import Captured, Watch, record
from proxies.samples import SampleRows
from proxies.state import State

__all__ = ["MASKED", "masked_codes"]

MASKED = 0.95
"""Share of the inputs of a convolution that is masked, the paper's best on NAS-Bench-201."""

_CONVOLUTIONS: frozenset[Callable[..., Any]] = frozenset({torch.conv1d, torch.conv2d, torch.conv3d})


class _Masking(Watch):
    """Masks the inputs of convolutions, and normalises each sample where the batch was normalised."""

    def __init__(self, generator: torch.Generator, codes: Callable[[int, Tensor], Tensor]) -> None:
        super().__init__(codes=codes)
        self._generator, self._state = generator, generator.get_state()

    def begin(self, captured: Captured, copied: frozenset[int], share: bool) -> None:
        super().begin(captured, copied, share)
        self._generator.set_state(self._state)
        self.convolutions = 0

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, arguments: tuple[Any, ...] = (), keywords: Any = None
    ) -> Any:
        if function in _CONVOLUTIONS:
            self.convolutions += 1
            given, *rest = (keywords.pop("input"),) if keywords and "input" in keywords else arguments
            drawn = torch.rand(given.shape, generator=self._generator)
            mask = (drawn >= MASKED).to(device=given.device, dtype=given.dtype)
            arguments = (given * mask, *rest)
        return super().__torch_function__(function, types, arguments, keywords)

    def normalise(self, call: Call) -> Any:
        places = BATCH_NORMS.get(call.function)
        if places is None:
            return call.run()
        weight, bias = call.get(places[2], "weight"), call.get(places[3], "bias")
        eps = call.get(7, "eps")
        return functional.group_norm(call.get(0, "input"), 1, weight, bias, 1e-5 if eps is None else eps)


def masked_codes(state: State, inputs: tuple[Tensor, ...], seed: int) -> list[Tensor]:
    """Packed codes of the ReLUs (`proxies.patterns.pack`) of a batch that goes through masks.

    Each number that enters a convolution is set to zero with probability 0.95, y = Σ W ⊙ M ⊙ X, M drawn anew for each
    call. Batch normalisation becomes layer normalisation over the channels and positions of a sample, with the scales
    and shifts of the channels. Training mode otherwise. Masks are drawn on the CPU.

    Raises `UnsupportedModuleError` for a network without convolutions (nothing would be masked) or without ReLUs.
    """
    rows = SampleRows(state, inputs, seed)
    masking = _Masking(torch.Generator().manual_seed(seed), rows.of_relu)
    with torch.no_grad():
        captured = record(state, inputs, masking, seed=seed)
    if captured.no_codes is not None:
        raise captured.no_codes
    if not captured.codes:
        raise UnsupportedModuleError("*", f"{type(state.module).__name__} calls no ReLU", "ReLU")
    if not masking.convolutions:
        reason = "the module calls no convolution, so there is nothing to mask"
        raise UnsupportedModuleError("*", reason, "convolutions")
    rows.count_relus(len(captured.codes))
    return captured.codes
