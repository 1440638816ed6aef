"""The primary blocks of a module: what AZ-NAS looks at one after the other."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize

from po_nas.errors import UnsupportedModuleError

__all__ = ["by_position", "candidates", "chain", "channels_last"]

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_NO_WEIGHT = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.GroupNorm, _BatchNorm, parametrize.ParametrizationList)


def candidates(module: nn.Module) -> list[nn.Module]:
    """Modules that may be primary blocks.

    The module is taken apart into its children, and containers (``Sequential``, ``ModuleList``, ``ModuleDict``) into
    theirs as long as they hold composite modules; candidates are the parts that own a weight somewhere inside, and
    composite ones that are no container (a cell of skip connections): the stem and the cells of a cell network, the
    stem and the residual blocks of a ResNet. Where that gives fewer than three, all modules that own a weight are
    candidates. A weight is a parameter of two or more dimensions, of embeddings and normalisation aside.
    """
    owners = [part for part in module.modules() if _owns_weight(part)]

    def counts(part: nn.Module) -> bool:
        composite = not isinstance(part, _CONTAINERS) and any(True for _ in part.children())
        return composite or any(inner in owners for inner in part.modules())

    parts = [part for part in _parts(module) if counts(part)]
    return parts if len(parts) >= 3 else owners


def _owns_weight(part: nn.Module) -> bool:
    if isinstance(part, _NO_WEIGHT):
        return False
    own = list(part.parameters(recurse=False))
    if parametrize.is_parametrized(part):
        own += part.get_submodule("parametrizations").parameters()
    return any(p.dim() > 1 and p.is_floating_point() for p in own)


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        composite = any(True for grandchild in child.children() for _ in grandchild.children())
        if isinstance(child, nn.ModuleList | nn.ModuleDict) or (isinstance(child, nn.Sequential) and composite):
            yield from _parts(child)
        else:
            yield child


def chain(outputs: dict[nn.Module, list[Tensor]], result: Tensor) -> list[Tensor]:
    """The feature tensors of the blocks, in the order of their first calls.

    A block called more than once counts with its last call; the head (a block whose output is the module's output, or
    has no positions where others have) does not count. Raises `UnsupportedModuleError` with fewer than two.
    """
    features = [calls[-1] for calls in outputs.values() if calls[-1] is not result and len(calls[-1]) == len(result)]
    if any(f.dim() > 2 for f in features):
        features = [f for f in features if f.dim() > 2]
    if len(features) < 2:
        reason = "fewer than two blocks have an output that the proxies of AZ-NAS can use"
        raise UnsupportedModuleError("*", reason, "blocks")
    return features


def channels_last(module: nn.Module) -> bool:
    """Whether three-dimensional features are (n, tokens, channels): unless the module has 1-D convolutions."""
    return not any(isinstance(part, nn.Conv1d | nn.ConvTranspose1d) for part in module.modules())


def by_position(features: Tensor, last: bool) -> Tensor:
    """Features (n, channels, …) as (n, channels, positions…); with `last`, three-dimensional ones are tokens."""
    if features.dim() == 2:
        return features.unsqueeze(-1)
    return features.mT if features.dim() == 3 and last else features
