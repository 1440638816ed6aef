"""The options of methods that maximise an acquisition function."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from surrogates.acquisition import ACQUISITIONS

__all__ = ["acquisition_field", "beta_field"]


def acquisition_field(*choices: str) -> Any:
    """The option `acquisition` of a method that has these functions; the first is the default."""
    return Field(choices[0], description="; ".join(ACQUISITIONS[choice] for choice in choices))


def beta_field(default: float) -> Any:
    """The option `beta`: how much the upper confidence bound explores."""
    return Field(default, gt=0, description="for ucb: mean + sqrt(beta) * standard deviation")
