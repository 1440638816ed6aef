"""The networks of one search space: their options, how they are built, and inputs that they take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from po_nas import spaces
from po_nas.errors import ConfigError, UnknownNameError
from po_nas.spaces.base import Architecture

if TYPE_CHECKING:
    import torch
    from torch.nn import Module as Module

    from proxies import Batch

__all__ = ["Networks", "known", "positive"]


def positive(**values: object) -> None:
    """`ConfigError` unless every value is an integer of at least one."""
    for name, value in values.items():
        if type(value) is not int or value < 1:
            raise ConfigError(name, value, "must be an integer of at least 1")


def known(kind: str, name: str, names: tuple[str, ...]) -> None:
    """`UnknownNameError` with the nearest name unless `name` is one of `names`."""
    if name not in names:
        raise UnknownNameError(kind, name, names)


@dataclass(frozen=True)
class Networks:
    """Implements `po_nas.spaces.networks.SpaceNetworks`; importing it does not import torch.

    Attributes:
        network: A class or function called as ``network(architecture, **options)``; its keyword-only parameters are the
            options.
        inputs: Called as ``inputs(samples, seed, **task)``, returns options of the network and a batch. By default
            images of 32 × 32 pixels (``size=…``) of as many classes as the network has by default (``classes=…``; 10
            where it does not say).
    """

    network: Callable[..., Module]
    inputs: Callable[..., tuple[Mapping[str, Any], Batch]] | None = None

    def options(self) -> dict[str, Any]:
        """The options by name with their defaults."""
        parameters = inspect.signature(self.network).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    def example_inputs(self, samples: int = 16, seed: int = 0, **task: Any) -> tuple[Mapping[str, Any], Batch]:
        """Options and a made-up batch; see `po_nas.spaces.base.Space.example_inputs`."""
        if self.inputs is not None:
            return self.inputs(samples, seed, **task)
        return self._images(samples, seed, **task)

    def _images(
        self, samples: int, seed: int, *, classes: int | None = None, size: int = 32
    ) -> tuple[Mapping[str, Any], Batch]:
        from proxies.synthetic import synthetic_images

        known = self.options()
        classes = classes or known.get("classes") or 10
        options = {"classes": classes} if "classes" in known else {}
        return options, synthetic_images(samples, classes, size, seed=seed)

    def build(
        self,
        architecture: Architecture,
        *,
        seed: int | torch.Generator = 0,
        device: str | torch.device = "cpu",
        **chosen: Any,
    ) -> Module:
        """The network of `architecture`, freshly initialised; see `po_nas.networks.build`."""
        from po_nas.networks.layers import on_meta, seeded

        known = self.options()
        for name in chosen:
            if name not in known:
                raise UnknownNameError(f"option of {architecture.space} networks", name, known)
        if architecture.space in spaces.names():
            spaces.get(architecture.space).validate(architecture)
        if str(device) == "meta":
            with on_meta():
                return self.network(architecture, **chosen)
        with seeded(seed):
            network = self.network(architecture, **chosen)
        return network if str(device) == "cpu" else network.to(device)
