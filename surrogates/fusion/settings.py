"""How an encoder is pre-trained, and how weights of proxies are fitted. Pure Python."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from po_nas.errors import ConfigError

__all__ = ["PRESETS", "FusionSettings", "Keys", "PretrainingSettings", "Scope"]

Keys = Literal["nodes", "pooled"]
Scope = Literal["architecture", "global", "equal"]


_RANGES = {
    **dict.fromkeys(("batch", "width", "heads", "hidden"), (1.0, math.inf)),
    **dict.fromkeys(("warmup", "masked"), (0.0, 1.0)),
    "held_out": (0.0, 0.5),
    "learning_rate": (1e-12, math.inf),
}
"""Of the numbers that may not be anything from 0 on."""


def _check(settings: object) -> None:
    for key, value in vars(settings).items():
        low, high = _RANGES.get(key, (0.0, math.inf))
        if not isinstance(value, (str, bool)) and not low <= value <= high:
            raise ConfigError(key, value, f"must be between {low:g} and {high:g}")


@dataclass(frozen=True)
class PretrainingSettings:
    """AdamW, linear warm-up, cosine to zero; the parameters that do best on held-out proxy scores are kept.

    `epochs` 0 leaves the encoder as it was initialised. `masked` is the share of nodes whose features are hidden,
    `reconstruction` and `prediction` weigh the two parts of the loss, `warmup` is a share of the steps, `held_out` a
    share of the architectures. `width` and `heads` are those of the encoder. `reference` has the released code's
    reconstruction: its target is the input after masking, learnt token included, and its mean runs over all nodes, so
    that nobody ever asks for what was hidden.
    """

    epochs: int = 30
    batch: int = 512
    learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    warmup: float = 0.1
    masked: float = 0.2
    reconstruction: float = 0.3
    prediction: float = 0.5
    held_out: float = 0.2
    width: int = 32
    heads: int = 4
    reference: bool = False

    def __post_init__(self) -> None:
        _check(self)


PRESETS = {
    "fast": PretrainingSettings(),
    "paper": PretrainingSettings(epochs=100, batch=32),
    "none": PretrainingSettings(epochs=0),
}
"""``fast`` is the default, ``paper`` has the paper's batches and epochs, ``none`` does not train at all."""


@dataclass(frozen=True)
class FusionSettings:
    """How the weights of proxies are made and fitted.

    `hidden`, `heads`, `attention_keys`, `scope` and `reference` are those of the `WeightGenerator`. AdamW takes at most
    `steps` steps for the common vector of weights and `own_steps` for what each architecture adds, with all training
    data in each, and keeps each member's parameters of the lowest training loss; it stops where that is at most
    `loss_tolerance`, and without progress. Each member leaves out a fifth of the architectures, another one each; how
    much of their own part weights have is what orders those best. With fewer than fifteen architectures there is no own
    part.

    To the loss is added K / n times `prior_strength` |w̄ - w₀|² and `own_strength` times the mean of |wᵢ - w̄|²: w̄ is
    the mean weight of n architectures and w₀ the prior. Few data then leave the weights near the prior. `standardize`
    gives the loss scores with the mean and standard deviation of the labels; the paper's loss reads them as they are.
    `reference` also fits everything at once on all architectures, for `steps` steps, with nothing left out.
    """

    hidden: int = 16
    heads: int = 4
    attention_keys: Keys = "nodes"
    scope: Scope = "architecture"
    prior_strength: float = 1.0
    own_strength: float = 1.0
    steps: int = 60
    own_steps: int = 40
    learning_rate: float = 1e-2
    weight_decay: float = 1e-2
    loss_tolerance: float = 0.0
    standardize: bool = True
    reference: bool = False

    def __post_init__(self) -> None:
        _check(self)
