"""The image data sets that can be trained on: classes, sizes, statistics, and how to come by them."""

from __future__ import annotations

from dataclasses import dataclass

from po_nas.errors import UnknownNameError

__all__ = ["ImageSet", "image_set", "names"]


@dataclass(frozen=True, slots=True)
class ImageSet:
    """A data set of square colour or grey images.

    `size` is height and width in pixels, `mean` and `std` are those of the training pixels divided by 255, one value
    for each channel. `label` are the columns that may hold the class in a parquet file, the first one there is taken;
    `test` the names under which the official test images may lie. `streamed` sets are too large for memory and are
    decoded while they are trained on.
    """

    name: str
    num_classes: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    remedy: str
    reference: str
    label: tuple[str, ...] = ("label",)
    test: tuple[str, ...] = ("test",)
    streamed: bool = False

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""
        return len(self.mean)


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
_SETS = {one.name: one for one in _LISTED}


def names() -> list[str]:
    """Names of the data sets."""
    return list(_SETS)


def image_set(name: str) -> ImageSet:
    """The record of a data set; `UnknownNameError` with the nearest name."""
    if name not in _SETS:
        raise UnknownNameError("image data set", name, _SETS)
    return _SETS[name]
