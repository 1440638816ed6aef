"""Where the images of a data set lie on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from po_nas.errors import MissingImagesError
from po_nas.training.data.image_sets import ImageSet
from po_nas.training.data.layouts import Split, image_folder, split_reader

__all__ = ["locate"]

_SYSTEM = {"fashion-mnist": Path("/usr/share/datasets/fashion-mnist")}
"""Where Debian's package puts them."""


def locate(kind: ImageSet, chosen: str | None = None) -> Path | None:
    """The folder of a data set, None for one that comes with a package.

    `chosen`, else ``PO_NAS_IMAGES/NAME``, else the folder ``images/NAME`` of the cache of public data, else where a
    system package puts it. Raises `MissingImagesError`, which says what to do, also where training or test images are
    missing: better now than after the first training.
    """
    folder = _folder(kind, chosen)
    if folder is not None:
        splits: tuple[Split, ...] = ("train", "test")
        for split in splits:
            (image_folder if kind.streamed else split_reader)(kind, folder, split)
    return folder


def _folder(kind: ImageSet, chosen: str | None) -> Path | None:
    if kind.name == "digits":
        return None
    if chosen is not None:
        folder = Path(chosen).expanduser().absolute()
        if not folder.is_dir():
            raise MissingImagesError(kind.name, folder, "is no folder", kind.remedy)
        return folder
    from po_nas.benchmarks.data.places import cache_folder

    root = os.environ.get("PO_NAS_IMAGES")
    places = [Path(root).expanduser().absolute() / kind.name] if root else []
    places.append(cache_folder() / "images" / kind.name)
    if kind.name in _SYSTEM:
        places.append(_SYSTEM[kind.name])
    for place in places:
        if place.is_dir():
            return place
    raise MissingImagesError(kind.name, places[0], "does not exist", kind.remedy)
