"""Networks of declared search spaces: a function of the user's, called with the choices of a configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from po_nas.errors import ProxyBatchError, UnknownNameError, short
from po_nas.spaces.base import Architecture
from po_nas.spaces.declared.errors import DeclarationError
from po_nas.spaces.declared.signature import takes_rest
from po_nas.spaces.declared.space import DeclaredSpace

if TYPE_CHECKING:
    import torch
    from torch.nn import Module as Module

    from proxies import Batch

__all__ = ["DeclaredNetworks", "batch_of"]

_OF_THE_DATA = ("num_classes", "in_channels")
"""Options that follow from the data; a function with ``**rest`` takes them, too."""


class DeclaredNetworks:
    """Implements `po_nas.spaces.networks.SpaceNetworks`; importing it does not import torch.

    Args:
        space: Whose configurations are built.
        function: Called with the choices that exist, by name, and options.
        inputs: A batch that networks take, or a function that returns one; None where there is none.
    """

    def __init__(self, space: DeclaredSpace, function: Callable[..., Any], inputs: object) -> None:
        self._space, self._function, self._inputs = space, function, inputs
        self._rest = [name for name in _OF_THE_DATA if takes_rest(function) and name not in space.choices]

    def options(self) -> dict[str, Any]:
        """The parameters of the function that are no choices, with their defaults."""
        return self._space.network_options

    def example_inputs(self, samples: int = 16, seed: int = 0, **task: Any) -> tuple[Mapping[str, Any], Batch]:
        """No options, and the batch that came with the networks, as it is: `samples` and `seed` change nothing."""
        if self._inputs is None:
            raise DeclarationError(
                self._space.name, "has no example inputs; give example_inputs=… to the search or to @space.network"
            )
        return task, batch_of(self._inputs() if callable(self._inputs) else self._inputs)

    def build(
        self,
        architecture: Architecture,
        *,
        seed: int | torch.Generator = 0,
        device: str | torch.device = "cpu",
        **chosen: Any,
    ) -> Module:
        """The network of `architecture`, freshly initialised; see `po_nas.networks.build`.

        `chosen` are parameters of the function that are no choices, and ``num_classes`` and ``in_channels`` where it
        takes ``**rest``.
        """
        from po_nas.networks.layers import on_meta, seeded

        known = [*self.options(), *self._rest]
        for name in chosen:
            if name not in known:
                raise UnknownNameError(f"option of {self._space.name} networks", name, known)
        self._space.validate(architecture)
        config = self._space.config_of(architecture)
        if str(device) == "meta":
            with on_meta():
                return self._checked(self._function(**config, **chosen), config)
        with seeded(seed):
            network = self._checked(self._function(**config, **chosen), config)
        return network if str(device) == "cpu" else network.to(device)

    def _checked(self, made: object, config: Mapping[str, Any]) -> Module:
        from torch.nn import Module

        if not isinstance(made, Module):
            what = "None" if made is None else f"a {type(made).__name__}"
            reason = f"is {what}, no torch.nn.Module, for {short(dict(config))}"
            raise DeclarationError(f"network of {self._space.name}", reason)
        return made


def batch_of(given: Any) -> Batch:
    """A batch from inputs, a pair of inputs and labels, or what yields batches (a data loader): then the first.

    A tensor is inputs without labels. Arrays of numpy are taken as tensors, their real numbers in single precision.
    Raises `ProxyBatchError` for anything else.
    """
    from torch import Tensor

    from proxies import Batch

    given = _tensors(given)
    if isinstance(given, Iterable) and not isinstance(given, Batch | Tensor | tuple | list | str):
        given = _tensors(next(iter(given), None))
    if isinstance(given, tuple | list) and len(given) == 1:
        (given,) = given
    return Batch.of((given, None) if isinstance(given, Tensor) else given)


def _tensors(given: Any) -> Any:
    """The same with tensors in place of numpy's arrays, also in tuples and lists."""
    import numpy as np
    import torch

    if isinstance(given, tuple | list):
        return type(given)(map(_tensors, given)) if type(given) in (tuple, list) else given
    if not isinstance(given, np.ndarray):
        return given
    if given.dtype.kind not in "fiub":
        raise ProxyBatchError("*", f"an array of {given.dtype} holds no numbers", "inputs")
    return torch.tensor(given, dtype=torch.float32 if given.dtype.kind == "f" else torch.int64)
