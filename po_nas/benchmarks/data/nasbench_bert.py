"""NAS-Bench-BERT from public files: 500 trainings of encoders in the order in which they were published."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np

from po_nas import spaces
from po_nas.benchmarks.data.store import Column, Read, numbers
from po_nas.benchmarks.data.text_files import read_csv
from po_nas.errors import DataError
from po_nas.spaces.declared.space import DeclaredSpace

__all__ = ["PARTS", "SCORES", "columns"]

PARTS = ("cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst", "sts")
"""The tasks of which glue is the mean."""

_NAMES = (
    "Synaptic Diversity",
    "Synaptic Saliency",
    "Activation Distance",
    "Jacobian Score",
    "Head Importance",
    "Head Confidence",
    "Head Softmax Confidence",
)
_SIZE = "Number of Parameters"
SCORES = {
    f"{name.lower().replace(' ', '_')}{suffix.lower().replace(' ', '_')}": name + suffix
    for name in _NAMES
    for suffix in ("", " Normalized")
}
"""Recorded proxy scores and their columns in the published file."""


def columns(read: Read) -> Iterator[Column]:
    """Convert the public files.

    `glue` and its parts (points; `cola` is a correlation times 100) of one training of 100,000 steps each; the split is
    not stated. `seconds` is the time of a training. Scores and `scored_params` (million) are of networks of width 256
    and feed-forward width 1,024, whatever the architecture.
    """
    records = json.loads(read("nasbench_bert_benchmark.json"))
    scores = read_csv(read("nasbench_bert_proxies.csv"))
    if [str(record["id"]) for record in records] != scores["ID"]:
        raise DataError("NAS-Bench-BERT: scores and results are of other networks")
    space = cast(DeclaredSpace, spaces.get("nasbench_bert"))
    architectures = [
        space.to_string(space.architecture_of(_configuration(record["hparams"]["model_hparam_overrides"])))
        for record in records
    ]
    yield Column("arch", architectures, "id")
    for part in ("glue", *PARTS):
        yield numbers(part, [record["scores"][part] for record in records], "search", "points")
    yield numbers("seconds", [record["time_to_train"] for record in records], "cost", "s")
    for name, theirs in SCORES.items():
        yield numbers(name, np.array(scores[theirs], dtype=np.float64), "proxy")
    yield numbers("scored_params", np.array(scores[_SIZE], dtype=np.float64) / 1e6, "proxy", "million")


def _configuration(told: Mapping[str, Any]) -> dict[str, Any]:
    layers = told["nas_config"]["encoder_layers"]
    operations = [
        f"DSC{layer['operation_parameter']}" if layer["operation_type"] == "DSC" else layer["operation_parameter"]
        for layer in layers
    ]
    return {
        "width": told["hidden_size"],
        "layers": len(layers),
        "operation": operations,
        "heads": [layer["num_operation_heads"] for layer in layers],
        "feed_forward": [layer["feed_forward_dimension"] for layer in layers],
        "feed_forwards": [layer["num_feed_forward"] for layer in layers],
    }
