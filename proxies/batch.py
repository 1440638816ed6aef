"""The batch that networks are scored on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from po_nas.errors import ProxyBatchError

__all__ = ["Batch", "BatchLike", "check_labels"]

BatchLike: TypeAlias = "Tensor | tuple[Tensor | tuple[Tensor, ...], Tensor | None] | Batch"
"""``(inputs, labels)``; labels may be None, inputs a tuple of the module's arguments."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What the module is called with, and the labels.

    `Batch.of` makes one of whatever `score` takes, and checks it.

    Attributes:
        inputs: Arguments of the module. The first (n, …) holds the n samples; more are passed on as they are.
        labels: What the loss gets: class numbers (n,) for the default one; or None.

    Examples:
        >>> import proxies, torch
        >>> batch = proxies.Batch.of((torch.ones(4, 3), torch.tensor([0, 1, 0, 1])))
        >>> len(batch), batch.labels.tolist()
        (4, [0, 1, 0, 1])
    """

    inputs: tuple[Tensor, ...]
    labels: Tensor | None = None

    @classmethod
    def of(cls, value: BatchLike) -> Batch:
        """Check a batch; `ProxyBatchError` when it is no batch, is empty or holds NaN or infinity."""
        if isinstance(value, Batch):
            return value
        inputs, labels = (value, None) if isinstance(value, Tensor) else _pair(value)
        arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
        if not arguments or not all(isinstance(a, Tensor) for a in arguments):
            reason = "inputs must be a tensor or a tuple of tensors, with the samples in the first"
            raise ProxyBatchError("*", reason, "inputs")
        if labels is not None and not isinstance(labels, Tensor):
            raise ProxyBatchError("*", f"labels must be a tensor or None, not {type(labels).__name__}", "labels")
        if any(a.layout != torch.strided or a.is_nested for a in (*arguments, *(() if labels is None else (labels,)))):
            raise ProxyBatchError("*", "sparse, nested and MKL-DNN tensors are not taken; make them dense", "inputs")
        if arguments[0].dim() == 0 or len(arguments[0]) == 0:
            raise ProxyBatchError("*", f"inputs of shape {tuple(arguments[0].shape)} hold no sample", "inputs")
        if any(a.is_meta for a in (*arguments, *(() if labels is None else (labels,)))):
            raise ProxyBatchError("*", "tensors of the device 'meta' hold no numbers; give real ones", "inputs")
        if any(a.is_floating_point() and not bool(torch.isfinite(a).all()) for a in arguments):
            raise ProxyBatchError("*", "inputs hold NaN or infinity; no score would mean anything", "inputs")
        return cls(tuple(a.detach() for a in arguments), None if labels is None else labels.detach())

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.inputs[0])

    def to(self, device: torch.device, dtype: torch.dtype) -> Batch:
        """The batch on a device, its real numbers in another precision; integers stay what they are."""

        def move(tensor: Tensor) -> Tensor:
            tensor = tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)
            # Memory of numpy's tells constants of a module (`proxies.provenance`).
            foreign = tensor.is_inference() or not tensor.untyped_storage().resizable()
            return tensor.clone() if foreign else tensor

        return Batch(tuple(map(move, self.inputs)), None if self.labels is None else move(self.labels))

    def fingerprint(self) -> str:
        """A hash of everything in the batch (shapes, types, values), for the key of a cached score."""
        digest = hashlib.blake2b(digest_size=12)
        for tensor in (*self.inputs, self.labels):
            if tensor is None:
                digest.update(b"none")
                continue
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def _pair(value: object) -> tuple[Tensor | tuple[Tensor, ...], Tensor | None]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ProxyBatchError("*", "a batch is the pair (inputs, labels); labels may be None", "batch")
    return value[0], value[1]


def check_labels(outputs: Tensor, labels: Tensor) -> None:
    """Check class labels against logits (n, classes, …); `ProxyBatchError` says what is wrong."""
    if labels.is_floating_point() or labels.dtype == torch.bool:
        reason = f"labels of type {labels.dtype} are no class numbers; pass loss= for other targets"
        raise ProxyBatchError("*", reason, "labels")
    expected = (len(outputs), *outputs.shape[2:])
    if tuple(labels.shape) != expected:
        reason = f"labels have the shape {tuple(labels.shape)}, the logits ask for {expected}"
        raise ProxyBatchError("*", reason, "labels")
    low, high, classes = int(labels.min()), int(labels.max()), outputs.shape[1]
    if classes == 1:
        reason = "one output tells no classes apart: the cross-entropy is zero whatever it is; pass loss="
        raise ProxyBatchError("*", reason, "labels")
    if low < 0 or high >= classes:
        reason = f"labels from {low} to {high} are out of range: the module has {classes} outputs"
        raise ProxyBatchError("*", reason, "labels")
