"""The data sets that can be trained on, by name: image sets of the package, and those that somebody registers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from po_nas.errors import ConfigError
from po_nas.registry import Entry, Registry

__all__ = ["ImageSet", "Made", "image_set", "made_by", "names", "recipes_of", "register", "registry"]

T = TypeVar("T", bound="Callable[[], Any]")


@dataclass(frozen=True, slots=True)
class ImageSet:
    """A data set of square colour or grey images that lie in files.

    Attributes:
        name: As users write it.
        num_classes: Number of classes.
        size: Height and width, pixels.
        mean: Of the training pixels divided by 255, one value for each channel.
        std: Their standard deviation.
        remedy: What to do where the images are missing.
        reference: Who made it.
        label: Columns of a parquet file that may hold the class; the first one there is counts.
        test: Names under which the official test images may lie.
        streamed: Too large for memory: decoded while it is trained on.
    """

    name: str
    num_classes: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    remedy: str = "put them into folders train/CLASS/*.png and test/CLASS/*.png and name the folder: training.data=DIR"
    reference: str = ""
    label: tuple[str, ...] = ("label",)
    test: tuple[str, ...] = ("test",)
    streamed: bool = False

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""
        return len(self.mean)

    @property
    def options(self) -> dict[str, int]:
        """What networks are told of the data. Grey images have become three equal channels."""
        pixels = 3 * self.size * self.size
        return {"num_classes": self.num_classes, "in_channels": 3, "image_size": self.size, "in_features": pixels}


_CIFAR = (
    "download {title} in the Hugging Face parquet layout (train*.parquet, test*.parquet) or as folders "
    "train/CLASS/*.png and test/CLASS/*.png, and name the folder: training.data=DIR (po-nas train: data=DIR)"
)
_FASHION = (
    "install the Debian package dataset-fashion-mnist, or put the four idx files, or parquet files train* and test*, "
    "into a folder and name it: training.data=DIR (po-nas train: data=DIR)"
)
_IMAGENET = (
    "put the images of ImageNet-1k into folders train/CLASS/*.JPEG and val/CLASS/*.JPEG and name the folder above: "
    "training.data=DIR (po-nas train: data=DIR)"
)
_STATISTICS = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
_LISTED = (
    ImageSet("digits", 10, 8, (0.3053,), (0.3760,), "pip install scikit-learn", "scikit-learn, UCI digits"),
    ImageSet("fashion-mnist", 10, 28, (0.2860,), (0.3530,), _FASHION, "Xiao, Rasul and Vollgraf, arXiv 1708.07747"),
    ImageSet("cifar10", 10, 32, *_STATISTICS["cifar10"], _CIFAR.format(title="CIFAR-10"), "Krizhevsky 2009"),
    ImageSet(
        "cifar100",
        100,
        32,
        *_STATISTICS["cifar100"],
        _CIFAR.format(title="CIFAR-100"),
        "Krizhevsky 2009",
        label=("fine_label", "label"),
    ),
    ImageSet(
        "imagenet",
        1000,
        224,
        *_STATISTICS["imagenet"],
        _IMAGENET,
        "Russakovsky et al., arXiv 1409.0575",
        test=("val", "validation"),
        streamed=True,
    ),
)

_RECIPES = {
    "digits": ("digits",),
    "fashion-mnist": ("ponas", "pwlnas"),
    "cifar10": ("ponas", "pwlnas"),
    "cifar100": ("ponas", "pwlnas"),
    "imagenet": ("ponas_imagenet",),
}

Made = Callable[[], "ImageSet | Mapping[str, Any]"]
"""What is registered: a function without arguments."""

registry: Registry[Made | ImageSet] = Registry("data set", "po_nas.data_sets")

for _one in _LISTED:
    registry.add(Entry(_one.name, f"{_one.num_classes} classes, {_one.size} x {_one.size}", _one, _one.reference))

names = registry.names


def register(name: str, *, summary: str, reference: str = "", recipes: tuple[str, ...] = ()) -> Callable[[T], T]:
    """Decorate a function without arguments that makes a data set.

    It returns an `ImageSet` (images in a folder, which users name by ``training.data``), or a mapping with ``train``
    and, where there are some, ``validation`` and ``test`` samples, each as `po_nas.Training` takes them, and further
    arguments of `po_nas.Training` that say what they are: ``task``, ``num_classes``.

    Args:
        name: As in ``benchmark=train/SPACE/NAME``.
        summary: One line.
        reference: Who made it.
        recipes: Recipes that suit it; the first is the default. By default ``images`` or ``own``.
    """
    return registry.register(name, summary=summary, reference=reference, spec=recipes)


def made_by(name: str) -> ImageSet | Mapping[str, Any]:
    """What the function of a data set returned, or its record; `UnknownNameError` with the nearest name."""
    found = registry.get(name)
    if isinstance(found, ImageSet):
        return found
    made = found()
    if isinstance(made, ImageSet):
        return made
    if not isinstance(made, Mapping) or "train" not in made:
        raise ConfigError("data set", name, "must return an ImageSet, or a mapping with train samples")
    return made


def image_set(name: str) -> ImageSet:
    """The record of a data set of images in files; `UnknownNameError` with the nearest name."""
    found = made_by(name)
    if not isinstance(found, ImageSet):
        raise ConfigError("data set", name, "is not one of images in files")
    return found


def recipes_of(name: str) -> tuple[str, ...]:
    """The recipes that suit a data set, the first is the default; what it is made of is not read."""
    entry = registry.entry(name)
    if name in _RECIPES:
        return _RECIPES[name]
    own = entry.spec if isinstance(entry.spec, tuple) and entry.spec else ()
    return own or (("images",) if isinstance(entry.target, ImageSet) else ("own", "images"))
