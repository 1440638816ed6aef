"""Small networks of many families, built of plain modules, for the pairs of `po_nas.testing.rewrites`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from proxies.isolation import seeded

__all__ = ["CLASSES", "FAMILIES", "Aggregate", "Attention", "Example", "Unrolled", "example"]

CLASSES = 3
_SAMPLES, _WIDTH, _STEPS = 6, 4, 5


@dataclass(frozen=True)
class Example:
    """A network and what it is called with; the first input (n, …) holds the samples, labels are classes (n,)."""

    module: nn.Module
    inputs: tuple[Tensor, ...]
    labels: Tensor | None

    @property
    def batch(self) -> Any:
        """The pair (inputs, labels)."""
        return self.inputs, self.labels


def example(family: str, *, depth: int = 2, activation: type[nn.Module] = nn.ReLU, seed: int = 0) -> Example:
    """A network of a family of `FAMILIES` in double precision, `depth` blocks deep; `seed` draws weights and inputs."""
    with seeded(seed):
        module, inputs = FAMILIES[family](depth, activation)
        for part in module.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                # Not the neutral values, so that a rewrite that forgets them is found out.
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.uniform_(part.bias, -0.5, 0.5)
        inputs = tuple(
            torch.randn(shape, dtype=torch.float64) if isinstance(shape, tuple) else shape for shape in inputs
        )
    return Example(module.double(), inputs, torch.arange(_SAMPLES) % CLASSES)


Activation = type[nn.Module]
_Built = tuple[nn.Module, tuple[Any, ...]]


class _Add(nn.Module):
    """x + body(x), or shortcut(x) + body(x)."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.body(x) + (x if self.shortcut is None else self.shortcut(x))
        return result


class _Pooled(nn.Module):
    """Mean over all dimensions but the first and that of the channels, and a linear head."""

    def __init__(self, width: int, channel: int) -> None:
        super().__init__()
        self.channel = channel
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        channel = self.channel % x.dim()
        logits: Tensor = self.head(x.mean([d for d in range(1, x.dim()) if d != channel]))
        return logits


def _unit(inputs: int, outputs: int, activation: Activation, *, groups: int = 1, size: int = 3) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, size, padding=size // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), activation()]


def _convolutional(depth: int, activation: Activation) -> _Built:
    """Convolutions one after the other: 3 × 3, in groups, 1 × 1; batch normalisation."""
    layers = _unit(3, 4, activation)
    for k in range(depth):
        layers += _unit(4, 4, activation, groups=2) if k % 2 == 0 else _unit(4, 4, activation, size=1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES)), ((_SAMPLES, 3, 6, 6),)


class _Blocks(nn.Module):
    """Stem, blocks in a list, head."""

    def __init__(self, stem: nn.Module, blocks: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(x)
        return logits


def _residual(depth: int, activation: Activation) -> _Built:
    """Residual blocks with batch normalisation and projected shortcuts, an activation behind the sum."""
    blocks: list[nn.Module] = []
    for _ in range(depth):
        body = nn.Sequential(*_unit(4, 4, activation), *_unit(4, 4, activation)[:2])
        blocks.append(nn.Sequential(_Add(body, nn.Conv2d(4, 4, 1)), activation()))
    stem = nn.Sequential(*_unit(3, 4, activation))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES))
    return _Blocks(stem, blocks, head), ((_SAMPLES, 3, 6, 6),)


def _one_dimensional(depth: int, activation: Activation) -> _Built:
    """Convolutions along one dimension, (n, channels, length)."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise([2, *[4] * depth]):
        layers += [nn.Conv1d(inputs, outputs, 3, padding=1), nn.BatchNorm1d(outputs), activation()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, CLASSES)), ((_SAMPLES, 2, 9),)


def _perceptron(depth: int, activation: Activation) -> _Built:
    """Linear layers whose weights have orthonormal rows or columns, so that each has the spectral norm 1."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise([6, 5, *[4] * (depth - 1), CLASSES]):
        layer = nn.Linear(inputs, outputs).double()
        nn.init.orthogonal_(layer.weight)
        layers += [layer, activation()]
    return nn.Sequential(*layers[:-1]), ((_SAMPLES, 6),)


def _tied(depth: int, activation: Activation) -> _Built:
    """One layer called again and again, each time with an activation."""
    mix = nn.Linear(_WIDTH, _WIDTH)
    middle = [part for _ in range(depth) for part in (mix, activation())]
    return nn.Sequential(nn.Linear(6, _WIDTH), activation(), *middle, nn.Linear(_WIDTH, CLASSES)), ((_SAMPLES, 6),)


def _positions(depth: int, activation: Activation) -> _Built:
    """Linear layers and layer normalisation on each position, and mixing over positions, (n, positions, width)."""
    blocks = [
        nn.Sequential(
            _Add(nn.Sequential(nn.LayerNorm(_WIDTH), nn.Linear(_WIDTH, 6), activation(), nn.Linear(6, _WIDTH))),
            _Add(nn.Sequential(nn.LayerNorm([_STEPS, _WIDTH]), _Across(activation))),
        )
        for _ in range(depth)
    ]
    return _Blocks(nn.Linear(3, _WIDTH), list(blocks), _Pooled(_WIDTH, -1)), ((_SAMPLES, _STEPS, 3),)


class _Across(nn.Module):
    """A linear layer over positions."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.mix, self.act = nn.Linear(_STEPS, _STEPS), activation()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.mix(x.mT)).mT  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Softmax attention with two heads, written out; x and the result are (n, positions, width)."""

    heads = 2

    def __init__(self, width: int) -> None:
        super().__init__()
        # Without biases: that of the keys cancels, so that its gradient would be rounding noise.
        self.q, self.k, self.v, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
        result: Tensor = self.out((weights @ v).transpose(1, 2).flatten(2))
        return result


def _attention(depth: int, activation: Activation) -> _Built:
    """Transformer blocks, normalisation first."""
    blocks = [
        nn.Sequential(
            _Add(nn.Sequential(nn.LayerNorm(_WIDTH), Attention(_WIDTH))),
            _Add(nn.Sequential(nn.LayerNorm(_WIDTH), nn.Linear(_WIDTH, 6), activation(), nn.Linear(6, _WIDTH))),
        )
        for _ in range(depth)
    ]
    return _Blocks(nn.Linear(3, _WIDTH), list(blocks), _Pooled(_WIDTH, -1)), ((_SAMPLES, _STEPS, 3),)


class Unrolled(nn.Module):
    """A recurrent layer of a kind ("LSTM", "GRU", "RNN_TANH", "RNN_RELU") as two linear layers and a loop.

    x is (n, steps, inputs), the result (n, steps, width). Gates stand in the order of torch's recurrent layers.
    """

    def __init__(self, kind: str, inputs: int, width: int) -> None:
        super().__init__()
        gates = {"LSTM": 4, "GRU": 3}.get(kind, 1)
        self.kind, self.width = kind, width
        self.of_input, self.of_state = nn.Linear(inputs, gates * width), nn.Linear(width, gates * width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = cell = x.new_zeros(len(x), self.width)
        found = []
        for step in range(x.shape[1]):
            a, b = self.of_input(x[:, step]), self.of_state(hidden)
            if self.kind == "LSTM":
                i, f, g, o = (a + b).chunk(4, -1)
                cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
                hidden = o.sigmoid() * cell.tanh()
            elif self.kind == "GRU":
                (ra, za, na), (rb, zb, nb) = a.chunk(3, -1), b.chunk(3, -1)
                z, new = (za + zb).sigmoid(), (na + (ra + rb).sigmoid() * nb).tanh()
                hidden = (1 - z) * new + z * hidden
            else:
                hidden = (a + b).tanh() if self.kind == "RNN_TANH" else torch.relu(a + b)
            found.append(hidden)
        return torch.stack(found, 1)


def _recurrent(kind: str) -> Callable[[int, Activation], _Built]:
    def build(depth: int, activation: Activation) -> _Built:
        """Recurrent layers one above the other, and a head on the last step."""
        layers = [Unrolled(kind, inputs, _WIDTH) for inputs in (3, *[_WIDTH] * (depth - 1))]
        head = nn.Sequential(nn.Linear(_WIDTH, 5), activation(), nn.Linear(5, CLASSES))
        return nn.Sequential(*layers, _Last(), head), ((_SAMPLES, 3, 3),)

    return build


class _Last(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, -1]


class Aggregate(nn.Module):
    """The weighted sum over the neighbours of each node: adjacency (nodes, nodes) times x (nodes, width)."""

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        return adjacency @ x


class _Graph(nn.Module):
    def __init__(self, depth: int, activation: Activation) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(i, _WIDTH) for i in (3, *[_WIDTH] * (depth - 1)))
        self.aggregate, self.act = Aggregate(), activation()
        self.head = nn.Linear(_WIDTH, CLASSES)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.act(self.aggregate(layer(x), adjacency))
        logits: Tensor = self.head(x)
        return logits


def _graph(depth: int, activation: Activation) -> _Built:
    """Graph convolutions; samples are the nodes of a ring with one chord."""
    adjacency = torch.eye(_SAMPLES, dtype=torch.float64)
    for a, b in [*_ring(), (0, 3)]:
        adjacency[a, b] = adjacency[b, a] = 1
    return _Graph(depth, activation), ((_SAMPLES, 3), adjacency / adjacency.sum(1, keepdim=True))


def _ring() -> Iterator[tuple[int, int]]:
    return ((k, (k + 1) % _SAMPLES) for k in range(_SAMPLES))


class _Words(nn.Module):
    def __init__(self, depth: int, activation: Activation) -> None:
        super().__init__()
        self.table = nn.Embedding(7, _WIDTH)
        self.body, _ = _attention(depth, activation)
        self.body.stem = nn.Linear(_WIDTH, _WIDTH)

    def forward(self, words: Tensor) -> Tensor:
        logits: Tensor = self.body(self.table(words))
        return logits


def _words(depth: int, activation: Activation) -> _Built:
    """A transformer on words, which are integers (n, positions)."""
    return _Words(depth, activation), (torch.randint(0, 7, (_SAMPLES, _STEPS)),)


FAMILIES: dict[str, Callable[[int, Activation], _Built]] = {
    "convolutional": _convolutional,
    "residual": _residual,
    "one-dimensional": _one_dimensional,
    "perceptron": _perceptron,
    "tied": _tied,
    "positions": _positions,
    "attention": _attention,
    "LSTM": _recurrent("LSTM"),
    "GRU": _recurrent("GRU"),
    "RNN": _recurrent("RNN_TANH"),
    "ReLU RNN": _recurrent("RNN_RELU"),
    "graph": _graph,
    "words": _words,
}
"""How a network of a family is built, from its depth and activation, with its inputs (a shape: drawn from N(0, 1))."""
