"""The spaces of ViT-Bench-101: vision transformers of AutoFormer's kind and of PiT's."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from po_nas.spaces.declared.choices import Categorical, Int, Ordinal
from po_nas.spaces.declared.registered import RegisteredSpace

__all__ = ["AutoFormerSpace", "PiTSpace", "autoformer", "parameters", "pit", "stages_of"]

_IMAGE = 224
_PATCH = 16
_COLOURS = 3


class AutoFormerSpace(RegisteredSpace):
    """AutoFormer-like vision transformers: width, layers, heads and MLP ratio of each layer; 1,056,964,608 of them.

    A declared space.

    References: Wei et al., Auto-Prox, AAAI 2024, arXiv 2312.09059; Chen et al., AutoFormer, ICCV 2021, arXiv
    2107.00651.
    """

    reference = "Wei et al., Auto-Prox, AAAI 2024, arXiv 2312.09059"


class PiTSpace(RegisteredSpace):
    """Pooling-based vision transformers of three stages: features of a head, MLP ratio, heads, layers; 1,600 of them.

    A declared space. `heads` and `layers` are those of the three stages, such as ``2-4-8``: the lists of ten that the
    benchmark drew from. The width of a stage is `head_size` times its heads.

    References: Wei et al., Auto-Prox, AAAI 2024, arXiv 2312.09059; Heo et al., Rethinking Spatial Dimensions of Vision
    Transformers, ICCV 2021, arXiv 2103.16302.
    """

    reference = "Wei et al., Auto-Prox, AAAI 2024, arXiv 2312.09059"


def _triples(text: str) -> Categorical:
    return Categorical(["-".join(digits) for digits in text.split()])


def autoformer() -> AutoFormerSpace:
    """The space of AutoFormer's kind."""
    return AutoFormerSpace(
        "vit_autoformer",
        {
            "width": Ordinal([192, 216, 240]),
            "layers": Int(12, 14),
            "heads": Ordinal([3, 4]).each("layers"),
            "mlp_ratio": Ordinal([3.5, 4.0]).each("layers"),
        },
    )


def pit() -> PiTSpace:
    """The space of PiT's kind."""
    return PiTSpace(
        "vit_pit",
        {
            "head_size": Ordinal([16, 24, 32, 40]),
            "mlp_ratio": Ordinal([2, 4, 6, 8]),
            "heads": _triples("222 224 228 244 248 288 444 448 488 888"),
            "layers": _triples("166 184 246 264 266 282 284 346 364 382"),
        },
    )


def stages_of(text: str) -> tuple[int, ...]:
    """The numbers of the three stages in a text such as ``2-4-8``."""
    return tuple(map(int, text.split("-")))


def _block(width: int, ratio: float) -> int:
    hidden = int(width * ratio)
    return 4 * width**2 + 9 * width + 2 * width * hidden + hidden


def parameters(space: str, config: Mapping[str, Any], num_classes: int) -> int:
    """Parameters of the network of a configuration of one of the two spaces, for images of 224 x 224 pixels."""
    if space == "vit_autoformer":
        width: int = config["width"]
        places = (_IMAGE // _PATCH) ** 2 + 1
        found: int = (_COLOURS * _PATCH**2 + 1) * width + width + places * width
        found += sum(_block(width, ratio) for ratio in config["mlp_ratio"])
        return found + 2 * width + (width + 1) * num_classes
    widths: list[int] = [config["head_size"] * heads for heads in stages_of(config["heads"])]
    places = ((_IMAGE - _PATCH) // (_PATCH // 2) + 1) ** 2
    found = (places + _COLOURS * _PATCH**2 + 2) * widths[0]
    layers: Iterable[tuple[int, int]] = zip(widths, stages_of(config["layers"]), strict=True)
    found += sum(count * _block(width, config["mlp_ratio"]) for width, count in layers)
    found += sum((11 + before) * after for before, after in itertools.pairwise(widths))
    return found + 2 * widths[-1] + (widths[-1] + 1) * num_classes
