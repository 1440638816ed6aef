"""When a member has learnt what it can: plateaus of its training loss, or its loss on held-out data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from po_nas.errors import TrainingDivergedError

__all__ = ["PATIENCE", "WINDOW", "Progress"]

WINDOW = 25
"""Steps over which training losses are averaged before anybody looks at them."""

PATIENCE = 4
"""Windows without progress after which a member is left as it is."""


class Progress:
    """The training losses of all members, and which of them have stopped.

    A member stops when the means of its last `PATIENCE` windows differ by at most `tolerance` times the mean of its
    first. With held-out data it stops when its loss on them has not been lowered for as many windows.
    """

    def __init__(self, members: int, tolerance: float, device: torch.device) -> None:
        self._tolerance = tolerance
        self._recent: list[torch.Tensor] = []
        self._windows: list[torch.Tensor] = []
        self._best = torch.full((members,), math.inf, device=device)
        self._stale = torch.zeros(members, device=device)
        self._step = 0
        self.steps = torch.zeros(members, dtype=torch.long, device=device)
        """Steps each member took."""
        self.converged = torch.zeros(members, dtype=torch.bool, device=device)
        """Which members have stopped, or would have at the last step."""
        self.final_loss = torch.full((members,), math.nan, device=device)
        """Mean training loss over each member's last window."""

    def add(self, losses: torch.Tensor) -> bool:
        """Take the losses (members,) of a step; true when a window is full, and `close` must be called."""
        self._recent.append(losses.detach())
        self._step += 1
        return len(self._recent) == WINDOW

    def close(self, loss: str, rates: Sequence[float]) -> None:
        """Close the window; `TrainingDivergedError` names the member and step of a loss that is not finite."""
        losses = torch.stack(self._recent)
        bad = ~torch.isfinite(losses)
        if bad.any():
            row, member = bad.nonzero()[0].tolist()
            raise TrainingDivergedError(member, self._step - len(losses) + row + 1, loss, rates[member])
        running = ~self.converged
        self.steps = torch.where(running, self._step, self.steps)
        self.final_loss = torch.where(running, losses.mean(0), self.final_loss)
        self._windows.append(losses.mean(0))
        self._recent = []
        if len(self._windows) > PATIENCE:
            last = torch.stack(self._windows[-PATIENCE:])
            flat = last.amax(0) - last.amin(0) <= self._tolerance * self._windows[0].abs()
            self.converged = self.converged | flat

    def improved(self, held_out: torch.Tensor) -> torch.Tensor:
        """Whether each running member's loss (members,) on held-out data is its lowest so far."""
        running = self.steps == self._step
        better = running & (held_out < self._best)
        self._best = torch.where(better, held_out, self._best)
        self._stale = torch.where(better, 0.0, self._stale + 1)
        self.converged = self.converged | (self._stale >= PATIENCE)
        return better
