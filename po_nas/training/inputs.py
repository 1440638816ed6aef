"""What a benchmark's networks are scored on when nobody says: their options, and made-up inputs of the right shape."""

from __future__ import annotations

from typing import Any

from po_nas import networks
from po_nas.errors import ConfigError
from po_nas.networks.transnas import TASKS
from po_nas.spaces.base import Space
from po_nas.training.data.image_sets import image_set
from proxies.batch import Batch
from proxies.synthetic import synthetic_images
from proxies.synthetic_graph import synthetic_graph

__all__ = ["inputs_of"]

_IMAGENET16 = 16
_TASKONOMY = 64
"""Height and width in place of the benchmark's 256: scores take a sixteenth of the time."""
_CLASSIFIED = ("class_scene", "class_object", "room_layout")
_NODES, _FEATURES, _TOPICS = 64, 96, 7


def inputs_of(benchmark: str, space: Space, samples: int = 16, seed: int = 0) -> tuple[dict[str, Any], Batch]:
    """Options of the networks of a benchmark, and a made-up batch.

    Images have the size and the number of classes of the task; `samples` of them. TransNAS-Bench-101 gets images of
    64 × 64, and the head of ``class_scene`` for the tasks that are no classification, for a proxy's loss needs labels.
    Graph networks get one graph of 64 nodes. Any other space with networks gets 32 × 32 images of its network's default
    number of classes, or 10. `seed` decides the inputs. `ConfigError` for a space without networks.
    """
    family, _, task = benchmark.partition("/")
    name = space.name
    if name not in networks.names():
        raise ConfigError("metrics.compute", space.name, "has no networks that could be scored")
    if name.startswith("nasbench_graph"):
        options = {"classes": _TOPICS, "features": _FEATURES, "hidden": _FEATURES, "dropout": 0.0}
        return options, synthetic_graph(_NODES, _TOPICS, _FEATURES, seed=seed)
    if name.startswith("transnas"):
        head = task if task in _CLASSIFIED else "class_scene"
        return {"task": head}, synthetic_images(samples, TASKS[head], _TASKONOMY, seed=seed)
    classes: int = networks.options(name).get("classes") or 10
    size = 32
    if family == "train":
        kind = image_set(task.rpartition("/")[2])
        return {"classes": kind.classes}, synthetic_images(samples, kind.classes, min(kind.size, size), seed=seed)
    if family == "nasbench201":
        classes = {"cifar100": 100, "imagenet16-120": 120}.get(task, 10)
        size = _IMAGENET16 if task == "imagenet16-120" else size
    return {"classes": classes}, synthetic_images(samples, classes, size, seed=seed)
