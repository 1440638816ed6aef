"""Data for training: read, checked, split, and fed to a device."""

from __future__ import annotations

from po_nas.training.data.images import Images, stratified
from po_nas.training.data.layouts import locate
from po_nas.training.data.opened import TrainingData, open_data
from po_nas.training.data_sets import ImageSet, image_set, names

__all__ = ["ImageSet", "Images", "TrainingData", "image_set", "locate", "names", "open_data", "stratified"]
