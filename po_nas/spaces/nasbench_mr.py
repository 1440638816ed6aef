"""The space of NAS-Bench-MR: multi-resolution convolutional networks of four stages."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import InvalidArchitectureError
from po_nas.spaces.base import Architecture, GraphEncoding, OperationGraph, Space

__all__ = ["NASBenchMRSpace", "Stage", "convolutions", "flops", "parameters", "stages"]

_STAGES = 4
_WIDTHS = tuple(range(8, 129, 8))
_COUNTS = (1, 2, 3, 4)
_LENGTH = 27
_CLASSES = 50
"""Outputs of the networks whose sizes are recorded."""
_PIXELS = 128
"""Height and width of the images for which operations are recorded."""

Stage = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Modules of a stage, residual blocks on each of its branches, channels of each branch."""

Convolution = tuple[int, int, int, int]
"""Kernel, input channels, output channels, height and width of the output."""


def _variables() -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Name, values and group of each integer of the code, in its order."""
    yield from (("stem1", _WIDTHS, "stem"), ("stem2", _WIDTHS, "stem"))
    for stage in range(1, _STAGES + 1):
        yield f"modules{stage}", _COUNTS, "modules"
        for name, values, group in (("blocks", _COUNTS, "blocks"), ("channels", _WIDTHS, f"channels{stage}")):
            yield from ((f"{name}{stage}{branch}", values, group) for branch in range(1, stage + 1))
    yield "head", _WIDTHS, "head"


_NAMES, _VALUES, _GROUPS = zip(*_variables(), strict=True)
_BRANCHES = tuple((stage, branch) for stage in range(1, _STAGES + 1) for branch in range(stage))
"""Stage, from 1, and branch, from 0, of each node between the input and the output."""


def stages(code: Sequence[int]) -> list[Stage]:
    """The four stages of a code."""
    found: list[Stage] = []
    at = 2
    for count in range(1, _STAGES + 1):
        blocks, channels = code[at + 1 : at + 1 + count], code[at + 1 + count : at + 1 + 2 * count]
        found.append((code[at], tuple(blocks), tuple(channels)))
        at += 1 + 2 * count
    return found


def convolutions(code: Sequence[int], size: int = _PIXELS) -> list[Convolution]:
    """All convolutions with batch normalisation, those of the head's first layer included, for square images."""
    halves = [-(-size // 2)]
    for _ in range(_STAGES):
        halves.append(-(-halves[-1] // 2))
    at = halves[1:]
    found: list[Convolution] = [(3, 3, code[0], halves[0]), (3, code[0], code[1], at[0])]
    widths: tuple[int, ...] = (code[1],)
    for modules, blocks, channels in stages(code):
        for _ in range(modules):
            for new, (width, count) in enumerate(zip(channels, blocks, strict=True)):
                if new < len(widths):
                    found.append((3, widths[new], width, at[new]))
                    if new:
                        found.append((3, widths[new - 1], width, at[new]))
                    if new + 1 < len(widths):
                        found.append((1, widths[new + 1], width, at[new + 1]))
                else:
                    found.append((3, channels[new - 1], width, at[new]))
                found += 2 * count * [(3, width, width, at[new])]
            widths = channels
    found.append((1, sum(widths), code[-1], at[_STAGES - 1]))
    return found


def parameters(code: Sequence[int], num_classes: int = _CLASSES) -> int:
    """Parameters of the network of a code; with 50 classes the number that NAS-Bench-MR recorded."""
    body = sum(k * k * a * b + 2 * b for k, a, b, _ in convolutions(code))
    return body + code[-1] * num_classes + num_classes


def flops(code: Sequence[int]) -> int:
    """Operations as NAS-Bench-MR counted them, for images of 128 x 128 pixels and 50 classes.

    One for each multiplication of a convolution, two for each number that a batch normalisation puts out, one for each
    class; for the network of image classification, whatever the task.
    """
    body = sum((k * k * a * b + 2 * b) * size * size for k, a, b, size in convolutions(code))
    return body + code[-1] * _CLASSES + _CLASSES


_SMALLEST = tuple(values[0] for values in _VALUES)
_LARGEST = tuple(values[-1] for values in _VALUES)
_SIZES = tuple(
    (math.log(count(_SMALLEST)), math.log(count(_LARGEST)) - math.log(count(_SMALLEST)))
    for count in (parameters, flops)
)
"""Logarithm of the smallest number in the space, and by how much that of the largest exceeds it."""


class NASBenchMRSpace(Space):
    """NAS-Bench-MR: a stem and four stages, stage k with k branches at falling resolutions; 4^14 · 16^13 networks.

    The code holds the 27 integers of the benchmark: channels of the two convolutions of the stem; for each stage the
    number of its modules, the residual blocks on each branch, the channels of each branch; channels of the head.
    Modules and blocks are 1 to 4, channels multiples of 8 from 8 to 128. Every code is another network.

    The elementary edit moves one integer one step up or down, so the edit distance is the number of steps. Sampling is
    uniform, crossover takes each integer from either parent. Strings are those of the benchmark's list of networks: six
    groups of numbers, ``96_128-1_1_1_48-…-64``, of which the second of each stage's group is its number of branches.

    References: Ding et al., Learning Versatile Neural Architectures by Propagating Network Codes, ICLR 2022, arXiv
    2103.13253.
    """

    name = "nasbench_mr"
    size = math.prod(map(len, _VALUES))
    enumerable = False
    operations = ("modules", "blocks", "channels")
    reference = "Ding et al., ICLR 2022, arXiv 2103.13253"

    @property
    def graph_shape(self) -> tuple[int, int, int]:
        """(12, 8, 3): input, ten pairs of stage and branch, output; features of a node; features of an edge."""
        return len(_BRANCHES) + 2, 8, 3

    @property
    def vector_size(self) -> int:
        """29: the 27 integers, parameters, operations."""
        return _LENGTH + len(_SIZES)

    @property
    def vector_groups(self) -> tuple[tuple[int, ...], ...]:
        """Stem, modules, blocks, channels of each stage, head, and the two sizes."""
        groups = [tuple(k for k, group in enumerate(_GROUPS) if group == name) for name in dict.fromkeys(_GROUPS)]
        return (*groups, tuple(range(_LENGTH, self.vector_size)))

    def sample(self, rng: np.random.Generator) -> Architecture:
        drawn = rng.integers([len(values) for values in _VALUES])
        return self._of(values[int(k)] for values, k in zip(_VALUES, drawn, strict=True))

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """All codes with one integer one step lower or higher."""
        code = architecture.code
        return [
            self._of((*code[:at], value, *code[at + 1 :]))
            for at, values in enumerate(_VALUES)
            for value in (code[at] - values[0], code[at] + values[0])
            if value in values
        ]

    def crossover(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
        """Each integer from either parent with probability one half."""
        sides = rng.random(_LENGTH) < 0.5
        return self._of(a if side else b for a, b, side in zip(first.code, second.code, sides, strict=True))

    def edit_distance(self, first: Architecture, second: Architecture) -> int:
        """Number of steps by which the integers differ, all together."""
        pairs = zip(first.code, second.code, _VALUES, strict=True)
        return sum(abs(a - b) // values[0] for a, b, values in pairs)

    def canonical(self, architecture: Architecture) -> str:
        """The code as text: no two codes mean the same."""
        return " ".join(map(str, architecture.code))

    def to_string(self, architecture: Architecture) -> str:
        code = architecture.code
        groups = [code[:2]]
        groups += [(modules, len(blocks), *blocks, *channels) for modules, blocks, channels in stages(code)]
        return "-".join("_".join(map(str, group)) for group in [*groups, code[-1:]])

    def from_string(self, text: str) -> Architecture:
        expected = "expected six groups of numbers, such as 16_16-1_1_1_16-…-16"
        groups = [group.split("_") for group in text.split("-")]
        if len(groups) != _STAGES + 2 or not all(n.isascii() and n.isdecimal() for group in groups for n in group):
            raise InvalidArchitectureError(self.name, text, expected)
        numbers = [[int(number) for number in group] for group in groups]
        for branches, group in enumerate(numbers[1:-1], 1):
            if len(group) != 2 + 2 * branches or group.pop(1) != branches:
                raise InvalidArchitectureError(self.name, text, f"stage {branches} has {branches} branches; {expected}")
        architecture = self._of(itertools.chain.from_iterable(numbers))
        self.validate(architecture)
        if self.to_string(architecture) != text:
            raise InvalidArchitectureError(self.name, text, expected)
        return architecture

    def validate(self, architecture: Architecture) -> None:
        code = architecture.code
        self._check_name(architecture)
        if not isinstance(code, tuple) or len(code) != _LENGTH:
            raise InvalidArchitectureError(self.name, code, f"expected {_LENGTH} integers")
        for name, value, values in zip(_NAMES, code, _VALUES, strict=True):
            if type(value) is not int or value not in values:
                allowed = f"{values[0]} to {values[-1]} in steps of {values[0]}"
                raise InvalidArchitectureError(self.name, code, f"{name} is {value!r}, expected {allowed}")

    def config_of(self, architecture: Architecture) -> dict[str, Any]:
        """``stem``, ``stages`` (modules, blocks and channels of each branch), ``head``."""
        found = [
            {"modules": modules, "blocks": list(blocks), "channels": list(channels)}
            for modules, blocks, channels in stages(architecture.code)
        ]
        return {"stem": list(architecture.code[:2]), "stages": found, "head": architecture.code[-1]}

    def encode_vector(self, architecture: Architecture) -> NDArray[np.float64]:
        """Counts on a linear scale, channels, parameters and operations on a logarithmic one, each from 0 to 1."""
        vector: NDArray[np.float64] = self.encode_vectors([architecture])[0]
        return vector

    def encode_vectors(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """The same of n architectures, (n, 29)."""
        found = np.empty((len(architectures), self.vector_size))
        for row, architecture in zip(found, architectures, strict=True):
            code = architecture.code
            row[:_LENGTH] = [
                _width(value) if values is _WIDTHS else (value - 1) / 3
                for value, values in zip(code, _VALUES, strict=True)
            ]
            for column, (count, (low, span)) in enumerate(zip((parameters, flops), _SIZES, strict=True), _LENGTH):
                row[column] = (math.log(count(code)) - low) / span
        return found

    def encode_graph(self, architecture: Architecture) -> GraphEncoding:
        """The dense graph; nodes are the input, the branches of stage 1, those of stage 2, …, the output.

        Features of a node: it is the input, it is the output, stage / 4, branch / 4, modules / 4, blocks / 4, and
        channels on a logarithmic scale: of the branch and of the head, and of the first convolution of the stem.
        Features of an edge: it exists, resolution falls along it, resolution grows along it.
        """
        n, f, e = self.graph_shape
        code = architecture.code
        nodes = np.zeros((n, f), np.float32)
        nodes[0] = (1, 0, 0, 0, 0, 0, _width(code[1]), _width(code[0]))
        nodes[-1] = (0, 1, 1, 0, 0, 0, _width(code[-1]), 0)
        described = stages(code)
        for node, (stage, branch) in enumerate(_BRANCHES, 1):
            modules, blocks, channels = described[stage - 1]
            place = (stage, branch, modules, blocks[branch])
            nodes[node] = (0, 0, *(value / 4 for value in place), _width(channels[branch]), 0)
        edges = np.zeros((n, n, e), np.float32)
        for i, j in _edges():
            fall = _branch(j) - _branch(i)
            edges[i, j] = (1, fall > 0, fall < 0)
        return GraphEncoding(nodes, edges[:, :, 0].copy(), edges, np.ones(n, bool))

    def operation_graph(self, architecture: Architecture) -> OperationGraph:
        """Branches of all stages, labelled by modules, blocks and channels: ``2x3 blocks of 64``."""
        code = architecture.code
        labels = [
            f"{modules}x{count} blocks of {width}"
            for modules, blocks, channels in stages(code)
            for count, width in zip(blocks, channels, strict=True)
        ]
        # What has no node of its own stands at the ends, each of which has a node that is labelled by convention.
        stem, head = f"stem of {code[0]} and {code[1]}", f"head of {code[-1]}"
        last = len(labels) + 2
        inner = [(i + 1, j + 1) for i, j in _edges() if i and j <= len(_BRANCHES)]
        ends = [(0, 1), (1, 2), *((i + 1, last) for i, j in _edges() if j > len(_BRANCHES)), (last, last + 1)]
        return OperationGraph(("input", stem, *labels, head, "output"), tuple(sorted(inner + ends)))

    def sequence_graph(self, architecture: Architecture) -> OperationGraph:
        """The same graph with channels rounded to powers of two, without modules: few labels, met again and again."""
        graph = self.operation_graph(architecture)
        code = architecture.code
        labels = [
            f"{count} blocks of {_octave(width)}"
            for _, blocks, channels in stages(code)
            for count, width in zip(blocks, channels, strict=True)
        ]
        ends = f"stem of {_octave(code[1])}", f"head of {_octave(code[-1])}"
        return OperationGraph(("input", ends[0], *labels, ends[1], "output"), graph.edges)

    def _of(self, code: Any) -> Architecture:
        return Architecture(self.name, tuple(code))


def _width(channels: int) -> float:
    """Where a number of channels lies between 8 and 128, on a logarithmic scale."""
    return math.log2(channels / 8) / 4


def _octave(channels: int) -> int:
    return int(2 ** round(math.log2(channels)))


def _branch(node: int) -> int:
    return _BRANCHES[node - 1][1] if 1 <= node <= len(_BRANCHES) else 0


def _edges() -> list[tuple[int, int]]:
    """Edges between nodes of the dense graph: between branches of neighbouring resolutions, one stage to the next."""
    numbered = list(enumerate(_BRANCHES, 1))
    inner = [
        (i, j)
        for (i, (stage, branch)), (j, (later, other)) in itertools.product(numbered, repeat=2)
        if later == stage + 1 and abs(branch - other) <= 1
    ]
    last = len(_BRANCHES) + 1
    return [(0, 1), *inner, *((i, last) for i, (stage, _) in numbered if stage == _STAGES)]
