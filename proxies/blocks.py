"""The primary blocks of a module: what AZ-NAS looks at one after the other.

They follow from what is computed: `proxies.dataflow.Dataflow` says how. A network of cells says itself which of its
parts are blocks, by `block`, for what is computed does not tell: a cell that is a chain of layers could be several.
"""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from po_nas.errors import UnsupportedModuleError
from proxies.dataflow import Feature
from proxies.recording import Captured
from proxies.state import first_tensor

__all__ = ["block", "features_of", "marked"]

_MARK = "_proxies_block"

_Module = TypeVar("_Module", bound=nn.Module)


def block(part: _Module) -> _Module:
    """Mark a part of a network as a primary block, and return it.

    The blocks of a network with marks are the outputs of its marked parts; where none is marked they follow from what
    is computed.
    """
    part.__dict__[_MARK] = True
    return part


def marked(module: nn.Module) -> list[nn.Module]:
    """The parts that are marked."""
    return [part for part in module.modules() if part.__dict__.get(_MARK)]


def features_of(captured: Captured) -> list[Feature]:
    """What the blocks put out in a pass, in the order of their first calls.

    A marked part called more than once counts with its last call; the head (a block whose output is the module's, or
    has no positions where others have) does not count. Raises `UnsupportedModuleError` with fewer than two.
    """
    watch = captured.watch
    if watch.flow is not None:
        return watch.flow.features(captured.result)
    result = first_tensor(captured.result)
    last = [calls[-1] for calls in captured.outputs.values() if calls[-1] is not result]
    last = [output for output in last if result is not None and len(output) == len(result)]
    if any(output.dim() > 2 for output in last):
        last = [output for output in last if output.dim() > 2]
    if len(last) < 2:
        reason = "fewer than two blocks have an output that the proxies of AZ-NAS can use"
        raise UnsupportedModuleError("*", reason, "blocks")
    return [Feature(f, tuple(f.shape), f.stride(), 0, watch.axis(f)) for f in last]
