"""Which network a recipe trains on a data set."""

from __future__ import annotations

from typing import Any

from po_nas.errors import ConfigError
from po_nas.training.data.image_sets import ImageSet
from po_nas.training.recipe import Recipe

__all__ = ["network_options"]

_AUXILIARY = {"cifar": 32, "imagenet": 224}
"""Smallest images that the auxiliary head takes, by stem."""


def network_options(recipe: Recipe, kind: ImageSet, *, auxiliary: bool = True) -> dict[str, Any]:
    """Options of the network for ``space.build``; `auxiliary` false leaves the head out that training alone uses."""
    shape = recipe.network
    if shape.auxiliary and kind.size < _AUXILIARY[shape.stem]:
        raise ConfigError(
            "recipe.network.auxiliary",
            True,
            f"needs {_AUXILIARY[shape.stem]} pixels, images of {kind.name} have {kind.size}",
        )
    return {
        "stem": shape.stem,
        "classes": kind.classes,
        "channels": shape.channels,
        "cells": shape.cells,
        "auxiliary": shape.auxiliary and auxiliary,
    }
