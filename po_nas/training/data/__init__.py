"""Image data sets for training: read, checked, split, and fed to a device."""

from __future__ import annotations

from po_nas.training.data.image_sets import ImageSet, image_set, names
from po_nas.training.data.images import Images, stratified
from po_nas.training.data.layouts import locate
from po_nas.training.data.opened import ImageData, open_data

__all__ = ["ImageData", "ImageSet", "Images", "image_set", "locate", "names", "open_data", "stratified"]
