"""What a loss says of predictions, targets and data that it cannot work with."""

from __future__ import annotations

from po_nas.errors import PoNasError

__all__ = ["LossInputError"]


class LossInputError(PoNasError, ValueError):
    """Predictions, targets or data that a loss cannot work with.

    Args:
        loss: The name of the loss.
        reason: What is wrong, and the remedy.

    Examples:
        >>> import losses, torch
        >>> try:
        ...     losses.get("mape").check(torch.tensor([93.5]))
        ... except losses.LossInputError as error:
        ...     error.loss
        'mape'
    """

    def __init__(self, loss: str, reason: str) -> None:
        self.loss, self.reason = loss, reason
        super().__init__(f"{loss}: {reason}")
