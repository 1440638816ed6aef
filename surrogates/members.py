"""Trained members: what they predict, and how their training went."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch

from po_nas.errors import SurrogateDataError
from po_nas.switches import default_switches
from surrogates.encodings import Encodings, Shape
from surrogates.isolation import single_thread
from surrogates.stack import Stack

__all__ = ["Members", "standardized"]

_ROWS = {"cpu": 640, "cuda": 1 << 16}
"""Architectures times members that are scored at once: as many as stay in a core's cache, or fill a GPU."""

_SMALLEST = 1e-8


@dataclass(frozen=True, eq=False)
class Members:
    """Members that `train_members` has trained together.

    All tensors but `parameters` (members, P) have one entry for each member. `offset` and `scale` turn raw outputs into
    the loss's output scale; `center` and `spread` (members, p) standardise proxy scores, by the training data.
    `stages` are what the outputs mean (`losses.base.Loss.stage`), `free` says which have an arbitrary offset and scale.
    `steps` and `epochs` were taken, `converged` tells whether the training loss had come to rest, `final_loss` is its
    mean over the last 25 steps.
    """

    stack: Stack
    parameters: torch.Tensor
    shape: Shape
    offset: torch.Tensor
    scale: torch.Tensor
    center: torch.Tensor
    spread: torch.Tensor
    stages: tuple[str, ...]
    free: tuple[bool, ...]
    steps: torch.Tensor
    epochs: torch.Tensor
    converged: torch.Tensor
    final_loss: torch.Tensor

    def __len__(self) -> int:
        return len(self.parameters)

    def first(self, count: int) -> Members:
        """The first `count` members alone."""
        kept = {
            field.name: getattr(self, field.name)[:count]
            for field in fields(self)
            if field.name not in {"stack", "shape"}
        }
        return replace(self, **kept)

    @default_switches()
    @torch.no_grad()
    def predict(self, inputs: Encodings) -> torch.Tensor:
        """Predictions (members, k) on the loss's output scale, higher = better, without dropout; one thread."""
        if inputs.shape != self.shape:
            raise SurrogateDataError(f"encodings are {inputs.shape}, those of the training data {self.shape}")
        device = self.parameters.device
        inputs = inputs.to(device)
        if not len(inputs):
            return self.parameters.new_zeros(len(self), 0)
        prepared = self.stack.network.prepare(inputs)
        proxy_scores = None
        if inputs.proxy_scores is not None:
            proxy_scores = (inputs.proxy_scores - self.center[:, None]) / self.spread[:, None]
        rows = max(16, _ROWS.get(device.type, _ROWS["cuda"]) // len(self))
        named = self.stack.split(self.parameters)
        self.stack.network.eval()
        found = []
        with single_thread():
            for start in range(0, len(inputs), rows):
                batch = slice(start, start + rows)
                found.append(
                    self.stack(
                        named,
                        tuple(tensor[batch] for tensor in prepared),
                        None if proxy_scores is None else proxy_scores[:, batch],
                        None,
                        shared=True,
                    )
                )
        return torch.cat(found, dim=1) * self.scale[:, None] + self.offset[:, None]

    def standardized(self, inputs: Encodings, reference: Encodings) -> torch.Tensor:
        """Predictions (members, k) with mean 0 and standard deviation 1 on a reference set, each member on its own.

        Members trained under a ranking loss have arbitrary offsets and scales; this makes them comparable. A member
        that predicts one value for the whole reference set gives zeros.
        """
        return standardized(self.predict(inputs), self.predict(reference))


def standardized(outputs: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Outputs (members, k) with the mean and standard deviation of known ones (members, r) taken out of each row."""
    center, spread = known.mean(1, keepdim=True), known.std(1, correction=0, keepdim=True)
    return torch.where(spread > _SMALLEST, (outputs - center) / spread.clamp_min(_SMALLEST), 0.0)
