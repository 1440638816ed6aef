"""The measurement beside other packages asks them about the same spaces, and reads their answers right."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import po_nas
from po_nas.testing import analytic_functions

FOLDER = Path(__file__).parents[1] / "perf" / "own_networks"


@pytest.fixture
def others(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "others", raising=False)
    import others

    return others


def flat(config, space):
    """By place, with anything where nothing exists."""
    found = {}
    for name, value in config.items():
        if isinstance(value, list):
            found |= {f"{name}.{k}": one for k, one in enumerate(value)}
        else:
            found[name] = value
    return found


@pytest.mark.parametrize("name", ["conditional", "mixed20", "stages"])
def test_a_flat_answer_is_the_configuration_it_means(name, others):
    if name == "stages":
        space = po_nas.declare(
            "stages",
            block=po_nas.Categorical(["a", "b"]).each(3),
            size=po_nas.Int(1, 4, when={"block": "a"}).each(3),
            depth=po_nas.Ordinal([0, 2, 4]),
            width=po_nas.Float(0.0, 1.0).each("depth"),
        )
    else:
        space = analytic_functions.get(name).space
    choices, rng = space.declaration()["choices"], np.random.default_rng(0)
    slots = others.slots_of(choices)
    for _ in range(40):
        config = space.config_of(space.sample(rng))
        known = flat(config, space)
        given = {slot.key: known.get(slot.key, "anything") for slot in slots}
        found = others.assembled(given, choices)
        assert space.config_of(space.architecture_of(found)) == config
