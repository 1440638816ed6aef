"""What several families of networks share: building blocks, and how initial weights are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from po_nas.spaces.cell import EDGES, live_edges
from proxies.blocks import block

__all__ = ["BasicBlock", "EdgeCell", "FactorizedReduce", "on_meta", "relu_conv_bn", "seeded"]


def relu_conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """ReLU, convolution without bias, batch normalisation: (b, c, h, w) to (b, d, h / stride, w / stride)."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), convolution, nn.BatchNorm2d(outputs))


class FactorizedReduce(nn.Module):
    """Halve the resolution by two strided 1 x 1 convolutions, the second on the map shifted by one pixel.

    (b, c, h, w) to (b, d, ⌈h / 2⌉, ⌈w / 2⌉); the first convolution makes ⌊d / 2⌋ channels, the second the rest. Maps of
    odd size are padded by a zero row and column. `affine` as in batch normalisation.
    """

    def __init__(self, inputs: int, outputs: int, affine: bool = True) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs - outputs // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        height, width = x.shape[-2:]
        shifted = x[:, :, 1:, 1:]
        if height % 2 or width % 2:
            shifted = functional.pad(shifted, (0, width % 2, 0, height % 2))
        normalised: Tensor = self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))
        return normalised


class BasicBlock(nn.Module):
    """Two 3 x 3 `relu_conv_bn` beside a shortcut, summed: (b, c, h, w) to (b, d, h / stride, w / stride).

    Where the block keeps the shape the shortcut is the identity, else the module that is passed in.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: nn.Module) -> None:
        super().__init__()
        self.first = relu_conv_bn(inputs, outputs, 3, stride)
        self.second = relu_conv_bn(outputs, outputs, 3)
        self.shortcut = nn.Identity() if stride == 1 and inputs == outputs else shortcut
        block(self)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.shortcut(x) + self.second(self.first(x))
        return total


_LAST = 3


class EdgeCell(nn.Module):
    """Four nodes, each the sum of the operations on its incoming edges: (b, c, h, w) to (b, d, h / stride, w / stride).

    `make` returns the module of an operation's number for an edge from the given node. Operations that a ``none``
    makes useless are made, for they count as parameters, but not computed unless `dead` asks for it. A cell without a
    path gives zeros. `outputs` and `stride` say what the zeros look like.
    """

    def __init__(
        self, code: tuple[int, ...], make: Callable[[int, int], nn.Module], outputs: int, stride: int, dead: bool
    ) -> None:
        super().__init__()
        self.outputs, self.stride = outputs, stride
        self.edges = nn.ModuleDict()
        for (source, target), operation in zip(EDGES, code, strict=True):
            if operation:
                self.edges[f"{source}_{target}"] = make(operation, source)
        computed = [bool(operation) for operation in code] if dead else live_edges(code)
        self.computed = tuple(edge for edge, used in zip(EDGES, computed, strict=True) if used)
        block(self)

    def forward(self, x: Tensor) -> Tensor:
        nodes: list[Tensor | None] = [x, None, None, None]
        for source, target in self.computed:
            before, sofar = nodes[source], nodes[target]
            term = self.edges[f"{source}_{target}"](self._zeros(x) if before is None else before)
            nodes[target] = term if sofar is None else sofar + term
        result = nodes[_LAST]
        return self._zeros(x) if result is None else result

    def _zeros(self, x: Tensor) -> Tensor:
        """Zeros of the shape of all nodes but the first, tied to `x` so that gradients exist (and are zero)."""
        stride = self.stride
        zeros = x[:, :, ::stride, ::stride] * 0
        missing = self.outputs - zeros.shape[1]
        if not missing:
            return zeros
        return torch.cat([zeros, zeros.new_zeros(len(zeros), missing, *zeros.shape[2:])], dim=1)


@contextmanager
def seeded(seed: int | torch.Generator) -> Iterator[None]:
    """Give torch's global CPU generator a seed, and its old state back afterwards.

    Layers draw their initial weights from it when they are made; there is no way to hand them a generator. Of a
    generator one number is drawn as the seed. Tensors are made on the CPU whatever torch's default device is. Not for
    several threads at once, which would share the global generator.
    """
    if isinstance(seed, torch.Generator):
        seed = int(torch.randint(2**63 - 1, (), generator=seed, device=seed.device))
    default = torch.get_default_device()
    with torch.random.fork_rng(devices=[]), nullcontext() if default.type == "cpu" else torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        yield


def on_meta() -> AbstractContextManager[object]:
    """Make modules whose tensors have shapes and no storage; initialisers then draw nothing."""
    device: AbstractContextManager[object] = torch.device("meta")
    return device
