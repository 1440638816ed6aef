"""`Training`: the built-in trainer on data of the caller's, as the objective of a search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from po_nas.errors import ConfigError

if TYPE_CHECKING:
    from po_nas.spaces.base import Space
    from po_nas.training.objective import TrainingObjective

__all__ = ["Training"]


class Training:
    """Trains the networks of any space on your data, as ``objective=`` of a search.

    Samples and targets are a pair of tensors or arrays, a `TensorDataset`, a map-style `Dataset` of such pairs, or a
    `DataLoader`. Floats as targets are regression, integers are classes; samples and targets of integers of one shape
    are tokens, each target being the next one. Tokens may come as one tensor of integers: sequences (n, t), or one text
    (t,), which is cut into pieces of `context` + 1. Or the name of a registered data set.

    Networks are told what they take of: ``in_channels``, ``image_size`` (of images (n, c, h, w)), ``in_features`` (of
    vectors; of images the product), ``vocab_size``, ``context_length`` (of tokens), ``num_classes``, ``out_features``
    (of numbers that are predicted).

    Args:
        train: What weights are fitted to.
        validation: What the search optimises the metric of; default: a share of `train` (the setting ``validation`` of
            the recipe, 0.2 of each class). A share in its place sets that.
        test: What is looked at once, after each training, for the report alone.
        task: ``classification``, ``regression`` or ``next_token``; default: what the targets look like.
        metric: ``accuracy`` (%); ``r2`` or ``rmse``; ``perplexity`` or ``accuracy``. Default: the first of the task.
        num_classes: Number of classes or tokens; default: the largest in the data and one, which for data sets and
            loaders is not known unless they have ``classes``.
        context: Length of the pieces that one text is cut into.
        recipe: The name of a recipe (`po_nas.training.recipe.names`).
        settings: Settings of the recipe, such as ``epochs=5``, ``batch=32``, ``learning_rate=0.01``,
            ``optimizer="sgd"``, ``network={"drop_path": 0.1}``; and options of trainings, such as ``device="cpu"``,
            ``halving={"first": 1, "eta": 3}``, ``samples``, ``workers``, ``tensorboard``, ``folder``, and ``data``, the
            folder of a registered set of images.

    Raises:
        ConfigError: For settings that there are not, and values that cannot be used.
        UnknownNameError: For a recipe or data set that there is not.
        SamplesError: For what is no data.

    Examples:
        >>> import po_nas, torch
        >>> space = po_nas.declare("perceptron", width=po_nas.Ordinal([2, 4, 8]))
        >>> @space.network
        ... def build(width, in_features=1, num_classes=2):
        ...     hidden = torch.nn.Linear(in_features, width)
        ...     return torch.nn.Sequential(hidden, torch.nn.ReLU(), torch.nn.Linear(width, num_classes))
        >>> x = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
        >>> training = po_nas.Training(train=(x, (x[:, 0] > 0).long()), epochs=1, device="cpu")
        >>> result = po_nas.search(space=space, objective=training, method="random", budget=2, out="runs/trained")
        >>> result.evaluations, result.failed
        (2, 0)
    """

    def __init__(
        self,
        train: Any,
        validation: Any = None,
        test: Any = None,
        *,
        task: str | None = None,
        metric: str | None = None,
        num_classes: int | None = None,
        context: int | None = None,
        recipe: str | None = None,
        **settings: Any,
    ) -> None:
        from po_nas.core.settings import validated
        from po_nas.training.data_sets import recipes_of
        from po_nas.training.objective import TrainingOptions

        own = set(TrainingOptions.model_fields) - {"recipe", "loss"}
        options = {"workers": 0} | {name: settings.pop(name) for name in own & settings.keys()}
        self._options = validated(TrainingOptions, options)
        if isinstance(validation, float):
            settings["validation"], validation = validation, None
        self._settings: Mapping[str, Any] = settings
        self._recipe = recipe or (recipes_of(train)[0] if isinstance(train, str) else "own")
        self._given = {"train": train, "validation": validation, "test": test, "kind": task}
        self._given |= {"metric": metric, "classes": num_classes, "context": context}
        self._source = self._read()
        if "batch" in settings and getattr(self._source, "has_own_batches", False):
            raise ConfigError("batch", settings["batch"], "is that of your DataLoader; set it there")
        # Now, not when the search has begun.
        self._source.check(self._chosen(""), self._options.samples)

    def _read(self) -> Any:
        from po_nas.training.data.layouts import locate
        from po_nas.training.data.opened import ImageFiles
        from po_nas.training.data.own_data import OwnData, own_data_settings
        from po_nas.training.data_sets import ImageSet, made_by

        train, folder = self._given["train"], self._options.data
        made = made_by(train) if isinstance(train, str) else None
        if folder is not None and not isinstance(made, ImageSet):
            raise ConfigError("data", folder, "is the folder of a registered set of images in files")
        if not isinstance(train, str):
            return OwnData(**self._given)
        assert made is not None
        beside = {name: value for name, value in self._given.items() if name != "train" and value is not None}
        if beside:
            remedy = f"goes with samples of your own; {train} is a registered data set"
            raise ConfigError(next(iter(beside)), "", remedy)
        if isinstance(made, ImageSet):
            return ImageFiles(made, locate(made, folder))
        return OwnData(**own_data_settings(made), name=train)

    def _chosen(self, space: str) -> Any:
        from po_nas.training.recipe import recipe

        return recipe(self._recipe, self._settings, prefix="", space=space)

    def on(self, space: Space, *, folder: Path | None = None) -> TrainingObjective:
        """The objective that trains networks of a space.

        `folder` keeps curves, results and checkpoints, unless the options name a place.
        """
        from po_nas.training.objective import TrainingObjective

        options = self._options
        if folder is not None and options.folder is None:
            options = options.model_copy(update={"folder": str(folder)})
        chosen, name = self._chosen(space.name), f"train/{space.name}/{self._source.name.replace(' ', '_')}"
        return TrainingObjective(
            space, self._source, chosen, options, name=name, feedback=self._recipe, prefix="network."
        )
