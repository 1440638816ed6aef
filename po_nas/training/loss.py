"""Which loss a recipe trains under: a registered classification loss, or an evolved one in a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from losses import classification

if TYPE_CHECKING:
    from losses.classification.base import ClassificationLoss

__all__ = ["DEFAULT", "LossChoice", "chosen_loss", "loss_of"]

DEFAULT = "cross_entropy"

LossChoice = str | Mapping[str, Any]
"""A name, or ``{"name": …}`` with hyper-parameters; what a file holds is ``{"name": "formula", "formula": …}``."""


def chosen_loss(choice: LossChoice) -> LossChoice:
    """What a user chose in the form that is kept: the content of a ``.json`` file, a name where nothing else is said.

    Raises a ValueError that says why it cannot be used, and `UnknownNameError`.
    """
    if isinstance(choice, str):
        chosen: dict[str, Any] = {"name": choice}
        if choice.endswith(".json"):
            chosen = {"name": "formula", **classification.formula_of(choice)}
    else:
        chosen = dict(choice)
        if not isinstance(chosen.get("name"), str):
            raise ValueError("needs the name of a loss, as {name: focal, gamma: 1}")
    if chosen == {"name": DEFAULT}:
        return DEFAULT
    classification.get(**chosen)
    return chosen["name"] if len(chosen) == 1 else chosen


def loss_of(choice: LossChoice, label_smoothing: float) -> ClassificationLoss:
    """The loss of a choice that `chosen_loss` returned; its own `label_smoothing` goes before the recipe's."""
    options = {"name": choice} if isinstance(choice, str) else choice
    return classification.get(**{"label_smoothing": label_smoothing, **options})
