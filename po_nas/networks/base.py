"""The networks of one search space: their options, how they are built, and inputs that they take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from po_nas import spaces
from po_nas.core.settings import renamed
from po_nas.errors import ConfigError, UnknownNameError
from po_nas.spaces.base import Architecture

if TYPE_CHECKING:
    import torch
    from torch.nn import Module as Module

    from proxies import Batch

__all__ = ["OLD_OPTIONS", "Networks", "classes_of", "current_options", "known", "positive"]

OLD_OPTIONS = {"classes": "num_classes"}
"""Names that options of networks have now, by those that they had in version 0.1."""


def current_options(given: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Options by the names of today, with a `RenamedWarning` for old ones; one of `names` is no old name."""
    names = set(names)
    return renamed(given, {old: new for old, new in OLD_OPTIONS.items() if old not in names and new in names})


def classes_of(*options: Mapping[str, Any]) -> int | None:
    """The number of classes that the first of some options says, by its name of today or the old one; None for none."""
    names = ("num_classes", *(old for old, new in OLD_OPTIONS.items() if new == "num_classes"))
    return next((found for given in options for name in names if (found := given.get(name)) is not None), None)


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
            images of 32 × 32 pixels (``size=…``) of as many classes as the network has by default (``num_classes=…``;
            10 where it does not say).
        smallest: Called with options, returns the smallest height and width of images that networks with these options
            can be trained on, pixels.
    """

    network: Callable[..., Module]
    inputs: Callable[..., tuple[Mapping[str, Any], Batch]] | None = None
    smallest: Callable[[Mapping[str, Any]], int] = lambda options: 1

    def options(self) -> dict[str, Any]:
        """The options by name with their defaults."""
        parameters = inspect.signature(self.network).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    def example_inputs(self, samples: int = 16, seed: int = 0, **task: Any) -> tuple[Mapping[str, Any], Batch]:
        """Options and a made-up batch; see `po_nas.spaces.base.Space.example_inputs`."""
        return self._makes_inputs(samples, seed, **current_options(task, self.task_options))

    @property
    def task_options(self) -> frozenset[str]:
        """What `example_inputs` takes beside `samples` and `seed`."""
        parameters = inspect.signature(self._makes_inputs).parameters.values()
        return frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)

    @property
    def _makes_inputs(self) -> Callable[..., tuple[Mapping[str, Any], Batch]]:
        return self._images if self.inputs is None else self.inputs

    def _images(
        self, samples: int, seed: int, *, num_classes: int | None = None, size: int = 32
    ) -> tuple[Mapping[str, Any], Batch]:
        from proxies.synthetic import synthetic_images

        known = self.options()
        # Networks that somebody registered may have the option by its old name.
        name = next((name for name in ("num_classes", "classes") if name in known), None)
        count = num_classes or classes_of(known) or 10
        return {name: count} if name else {}, synthetic_images(samples, count, size, seed=seed)

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
        chosen = current_options(chosen, known)
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
