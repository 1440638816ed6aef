"""What a loss says of predictions, targets and data that it cannot work with."""

from __future__ import annotations

from po_nas.errors import PoNasError

__all__ = ["LossInputError"]


class LossInputError(PoNasError, ValueError):
    """Predictions, targets or data that a loss cannot work with; `loss` is its name, `reason` has the remedy, too."""

    def __init__(self, loss: str, reason: str) -> None:
        self.loss, self.reason = loss, reason
        super().__init__(f"{loss}: {reason}")
