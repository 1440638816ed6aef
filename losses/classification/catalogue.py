"""What a classification loss is before it runs, and the built-in ones. Pure Python, no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from losses.metadata import Hyperparameter, resolved
from po_nas.errors import ConfigError

__all__ = ["BUILT_IN", "SMOOTHING", "ClassificationSpec", "evolved", "formula_of", "in_probabilities"]

_EVOLVED = Path(__file__).parent / "evolved.json"
_KEYS = {"name", "formula", "sign", "scale", "limit", "summary", "reference", "about"}
_COMPUTED = {"formula", "sign", "scale", "limit"}


@dataclass(frozen=True, slots=True)
class ClassificationSpec:
    """What there is to know of a classification loss.

    `formula` is what it sums over the classes, in the text of formulas over `y` and `p` where that can say it; `fixed`
    are settings of the class behind it that are not for a user to choose. `reference` is title, venue, arXiv id.
    """

    name: str
    summary: str
    formula: str = ""
    hyperparameters: tuple[Hyperparameter, ...] = ()
    reference: str = ""
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def resolve(self, given: Mapping[str, object]) -> dict[str, Any]:
        """All hyper-parameters by name, `given` over the defaults; `ConfigError` for an unknown or forbidden one."""
        return resolved(self.name, self.hyperparameters, given) | dict(self.fixed)


SMOOTHING = Hyperparameter(
    "label_smoothing",
    0.0,
    "share of the target that is spread evenly over all classes before the loss sees it",
    low=0.0,
    high=1.0,
    high_open=True,
)
"""What every classification loss has."""


def _scale(default: float | None) -> Hyperparameter:
    return Hyperparameter(
        "scale",
        default,
        "factor (None: as steep as cross-entropy where ten classes are predicted alike)",
        low=0.0,
        low_open=True,
        optional=True,
    )


_LIMIT = Hyperparameter(
    "limit",
    1000.0,
    "no sample's gradient after a log-probability exceeds it (None: as it comes); cross-entropy's are at most 1",
    low=0.0,
    low_open=True,
    optional=True,
)


def in_probabilities(scale: float | None) -> tuple[Hyperparameter, ...]:
    """The hyper-parameters of a loss that is computed from probabilities."""
    return (SMOOTHING, _scale(scale), _LIMIT)


BUILT_IN: dict[str, ClassificationSpec] = {
    spec.name: spec
    for spec in (
        ClassificationSpec(
            "cross_entropy",
            "minus the logarithm of the probability of the right class",
            "-(y * log(p))",
            (SMOOTHING,),
            "label smoothing: Rethinking the Inception Architecture for Computer Vision, CVPR 2016, arXiv 1512.00567",
        ),
        ClassificationSpec(
            "focal",
            "cross-entropy that counts less what is predicted well: times (1 - p)^gamma",
            "",
            (SMOOTHING, Hyperparameter("gamma", 2.0, "how much less; 0 is cross-entropy", low=0.0), _scale(1.0)),
            "Focal Loss for Dense Object Detection, ICCV 2017, arXiv 1708.02002",
        ),
        ClassificationSpec(
            "baikal",
            "y / p - log p, found by genetic programming; its least value is not at certainty",
            "div(y, p) - log(p)",
            in_probabilities(1.0),
            "Improved Training Speed, Accuracy, and Data Utilization Through Loss Function Optimization, CEC 2020, "
            "arXiv 1905.11528",
            {"formula": "div(y, p) - log(p)", "sign": 1},
        ),
        ClassificationSpec(
            "ngl",
            "exp(alpha - p (1 + y)) - cos(cos(sin p)), found by genetic programming",
            "",
            (
                SMOOTHING,
                Hyperparameter("alpha", 2.4092, "offset in the exponent"),
                *in_probabilities(1.0)[1:],
            ),
            "Next Generation Loss Function for Image Classification, arXiv 2404.12948",
        ),
        ClassificationSpec(
            "formula",
            "any formula over y and p, summed over the classes",
            "",
            (
                *in_probabilities(None),
                Hyperparameter("formula", "-(y * log(p))", "its text"),
                Hyperparameter("sign", 1, "1, or -1 to minimise what the formula says negated", low=-1, high=1),
            ),
            "the space of functions: arXiv 2403.08793",
        ),
    )
}
"""The specs of the built-in losses by name."""


def formula_of(path: Path | str) -> dict[str, Any]:
    """The hyper-parameters of ``formula`` that a JSON file of one evolved loss holds.

    Keys: ``formula``, and where they are not the defaults ``sign``, ``scale``, ``limit``; ``name``, ``summary``,
    ``reference`` and ``about`` are for the reader. `ConfigError` names what is wrong with it.
    """
    place = Path(path)
    try:
        raw = json.loads(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("loss", place, f"cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError("loss", place, f"is not JSON ({error})") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("formula"), str):
        raise ConfigError("loss", place, 'must hold {"formula": "…", "sign": 1, "scale": …}')
    unknown = sorted(set(raw) - _KEYS)
    if unknown:
        raise ConfigError("loss", place, f"has the unknown key {unknown[0]!r}; known: {', '.join(sorted(_KEYS))}")
    return {key: value for key, value in raw.items() if key in _COMPUTED}


def evolved() -> Iterator[ClassificationSpec]:
    """The specs of the losses that we have evolved."""
    for one in json.loads(_EVOLVED.read_text(encoding="utf-8"))["losses"]:
        fixed = {"formula": one["formula"], "sign": one.get("sign", 1)}
        yield ClassificationSpec(
            one["name"],
            one["summary"],
            one["formula"] if fixed["sign"] == 1 else f"-({one['formula']})",
            in_probabilities(one.get("scale")),
            one.get("reference", ""),
            fixed,
        )
