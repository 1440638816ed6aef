"""The spaces of HW-GPT-Bench: decoder-only language models of three scales."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from po_nas.errors import InvalidArchitectureError
from po_nas.spaces.base import Architecture
from po_nas.spaces.declared.choices import Categorical, Int, Ordinal
from po_nas.spaces.declared.registered import RegisteredSpace

__all__ = ["CONTEXT", "HEAD_SIZE", "SCALES", "VOCABULARY", "HWGPTSpace", "Scale", "large", "medium", "small"]

HEAD_SIZE = 64
VOCABULARY = 50_254
CONTEXT = 1_024


@dataclass(frozen=True, slots=True)
class Scale:
    """The values of the choices of one scale, ascending, and the batch for which its operations are counted."""

    embedding: tuple[int, ...]
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    batch: int
    mlp_ratio: tuple[int, ...] = (2, 3, 4)


SCALES: Mapping[str, Scale] = {
    "s": Scale((192, 384, 768), (10, 11, 12), (4, 8, 12), 8),
    "m": Scale((256, 512, 1024), (22, 23, 24), (8, 12, 16), 4),
    "l": Scale((320, 640, 1280), (34, 35, 36), (8, 16, 20), 1),
}

_STRING = re.compile(r"gpt-([sml])((?:-[0-9]{1,4}){2,})-(True|False)", re.ASCII)


class HWGPTSpace(RegisteredSpace):
    """One scale of HW-GPT-Bench: embedding, layers, heads and MLP ratio of each layer, biases or none.

    A declared space; heads have 64 features each, whatever the embedding. Strings are those of the benchmark,
    ``gpt-s-10-384-2-3-…-4-8-…-True``: scale, layers, embedding, MLP ratios, heads, biases.

    References: Sukthanker et al., HW-GPT-Bench, NeurIPS 2024 Datasets and Benchmarks, arXiv 2405.10299.
    """

    reference = "Sukthanker et al., HW-GPT-Bench, NeurIPS 2024, arXiv 2405.10299"

    @property
    def scale(self) -> str:
        """s, m or l."""
        return self.name[-1]

    def to_string(self, architecture: Architecture) -> str:
        """The string of the benchmark."""
        config = self.config_of(architecture)
        numbers = (config["layers"], config["embedding"], *config["mlp_ratio"], *config["heads"])
        return "-".join(map(str, ("gpt", self.scale, *numbers, config["bias"])))

    def from_string(self, text: str) -> Architecture:
        """Parse a string of the benchmark."""
        match = _STRING.fullmatch(text)
        if match is None or match[1] != self.scale:
            example = f"gpt-{self.scale}-layers-embedding-ratios…-heads…-True"
            raise InvalidArchitectureError(self.name, text, f"expected {example}")
        layers, embedding, *rest = (int(number) for number in match[2].split("-")[1:])
        if len(rest) != 2 * layers:
            raise InvalidArchitectureError(self.name, text, f"{layers} layers need {layers} ratios and as many heads")
        config: dict[str, Any] = {"embedding": embedding, "layers": layers}
        config |= {"mlp_ratio": rest[:layers], "heads": rest[layers:], "bias": match[3] == "True"}
        architecture = self.architecture_of(config)
        if self.to_string(architecture) != text:
            raise InvalidArchitectureError(self.name, text, "numbers are written without leading zeros")
        return architecture


def _space(name: str) -> HWGPTSpace:
    scale = SCALES[name]
    return HWGPTSpace(
        f"hwgpt_{name}",
        {
            "embedding": Ordinal(scale.embedding),
            "layers": Int(scale.layers[0], scale.layers[-1]),
            "mlp_ratio": Ordinal(scale.mlp_ratio).each("layers"),
            "heads": Ordinal(scale.heads).each("layers"),
            "bias": Categorical([True, False]),
        },
    )


def small() -> HWGPTSpace:
    """The scale s, up to 191 million parameters."""
    return _space("s")


def medium() -> HWGPTSpace:
    """The scale m, up to 506 million parameters."""
    return _space("m")


def large() -> HWGPTSpace:
    """The scale l, up to 1,073 million parameters."""
    return _space("l")
