"""What a user may say about the trainings of a search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt

from po_nas.core.settings import Settings
from po_nas.training import OLD_NAMES
from po_nas.training.halving import Halving
from po_nas.training.loss import LossChoice

__all__ = ["TrainingOptions"]


class TrainingOptions(Settings):
    """The section ``training`` of a search's configuration; JSON-serialisable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deprecated: ClassVar[Mapping[str, str]] = OLD_NAMES

    data: str | None = Field(None, description="folder of the images; default: where the data set is looked for")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:1")
    recipe: Mapping[str, Any] = Field({}, description="settings of the recipe to change, as training.recipe.epochs=3")
    loss: LossChoice | None = Field(
        None,
        description="classification loss: a name, {name: …} with options, or a JSON file; default: the recipe's",
    )
    samples: PositiveInt | None = Field(None, description="so many of the training images; default: all")
    workers: NonNegativeInt = Field(4, description="processes that decode images, for sets that are streamed")
    halving: Halving | None = Field(None, description="end trainings that have fallen behind, as {first: 1, eta: 3}")
    folder: str | None = Field(
        None, description="where curves, results and checkpoints are kept; default: below the run directory"
    )
    tensorboard: bool = Field(False, description="write learning curves for TensorBoard into that folder")
    proxy_batch: PositiveInt = Field(32, description="images that proxies are computed on")
