"""How strongly images are changed while a network is trained, in words that fit every data set."""

from __future__ import annotations

from po_nas.errors import UnknownNameError
from po_nas.training.data import ImageSet
from po_nas.training.recipe import Augmentation

__all__ = ["REGIMES", "augmentation"]

REGIMES = ("plain", "light", "strong", "harsh")


def augmentation(regime: str, kind: ImageSet) -> Augmentation:
    """``plain``: nothing; ``light``: crops of an eighth of the image and, but for digits, mirror images; ``strong``: a
    square of a third cut out too; ``harsh``: of a half, from crops of a quarter. `UnknownNameError` for any other.
    """
    if regime not in REGIMES:
        raise UnknownNameError("augmentation regime", regime, REGIMES)
    if regime == "plain":
        return Augmentation()
    size, harsh = kind.size, regime == "harsh"
    cut = {"light": 0, "strong": size // 3, "harsh": size // 2}[regime]
    return Augmentation(crop=max(1, size // (4 if harsh else 8)), flip=kind.name != "digits", cutout=cut)
