"""A declared space with everything that configurations can have, and how other programs write them."""

from __future__ import annotations

import json

import po_nas
from po_nas import Categorical, Float, Int, Ordinal

SPACE = po_nas.declare(
    "stages",
    depth=Int(1, 3),
    width=Ordinal([8, 16, 32]).each("depth"),
    op=Categorical(["conv", "pool", None]).each("depth"),
    kernel=Int(1, 7, when={"op": "conv"}).each("depth"),
    heads=Int(1, 2).each(2),
    size=Ordinal([0.5, 1.0, 2.0]).each("heads"),
    act=Categorical(["relu", "gelu"]),
    norm=Categorical([True, False, None]),
    lr=Float(1e-3, 1e-1, log=True),
    momentum=Float(0.0, 0.9, when={"act": "relu"}),
)
"""Layers, layers of layers, conditions, conditions on layers, and values of every type."""


def flat(config, first=0, form="{}_{}"):
    """A configuration with a name for each layer, counted from `first`; layers without the choice are left out."""
    found = {}

    def enter(name, value):
        if isinstance(value, list):
            for k, item in enumerate(value):
                enter(form.format(name, k + first), item)
        elif value is not None or not name.startswith("kernel"):
            found[name] = value

    for name, value in config.items():
        enter(name, value)
    return found


def in_lists(config):
    """A configuration with its lists as JSON texts."""
    return {name: json.dumps(value) if isinstance(value, list) else value for name, value in config.items()}


def told(out):
    """What the run in a directory tells: architectures with values, None for failures."""
    events = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    over = [e for e in events if e["event"] in {"tell", "fail"}]
    return [(e["architecture"], e.get("metrics", {}).get("validation")) for e in over]
