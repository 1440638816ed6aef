"""The spaces of HW-GPT-Bench."""

from __future__ import annotations

import numpy as np
import pytest

from po_nas import declare, spaces
from po_nas.errors import InvalidArchitectureError
from po_nas.runtime.own_space import space_of
from po_nas.spaces.declared.errors import SpaceChangedError
from po_nas.testing import SpaceConformance
from tests.errors import raised

SIZES = {"s": 1_903_784_282_946, "m": 5.4e23, "l": 1.5e35}
EXAMPLE = "gpt-s-10-384-2-3-4-2-3-4-2-3-4-2-4-8-12-4-8-12-4-8-12-4-True"


class TestConformance(SpaceConformance):
    space = spaces.get("hwgpt_s")

    def construct(self, space):
        return "from po_nas import spaces\nspace = spaces.get('hwgpt_s')"


@pytest.mark.parametrize("scale", SIZES)
def test_sizes_and_strings(scale):
    space = spaces.get(f"hwgpt_{scale}")
    assert space.size == pytest.approx(SIZES[scale], rel=0.02)
    architecture = space.sample(np.random.default_rng(1))
    assert space.from_string(space.to_string(architecture)) == architecture


def test_the_string_of_the_benchmark():
    space = spaces.get("hwgpt_s")
    config = space.config_of(space.from_string(EXAMPLE))
    assert config == {
        "embedding": 384,
        "layers": 10,
        "mlp_ratio": [2, 3, 4, 2, 3, 4, 2, 3, 4, 2],
        "heads": [4, 8, 12, 4, 8, 12, 4, 8, 12, 4],
        "bias": True,
    }
    assert space.to_string(space.architecture_of(config)) == EXAMPLE


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE.replace("gpt-s", "gpt-m"),
        EXAMPLE.replace("True", "true"),
        EXAMPLE.replace("-10-", "-11-"),
        EXAMPLE.replace("-384-", "-385-"),
        EXAMPLE.replace("-384-", "-0384-"),
        EXAMPLE.replace("-2-3", "-5-3", 1),
        EXAMPLE.replace("-4-True", "-16-True"),
        EXAMPLE.replace("-4-True", "-True"),
        EXAMPLE.replace("10", "١٠"),
        "gpt-s-10-True",
    ],
)
def test_near_misses_are_refused(text):
    with raised(InvalidArchitectureError, space="hwgpt_s"):
        spaces.get("hwgpt_s").from_string(text)


def test_a_record_of_the_space_brings_it_back_with_its_networks():
    space = spaces.get("hwgpt_s")
    found = space_of(space.declaration())
    assert found is space
    assert found.has_network
    changed = space.declaration()
    changed["choices"]["layers"] = {"int": [1, 2]}
    with pytest.raises(SpaceChangedError):
        space_of(changed)


def test_a_space_of_ones_own_with_that_name_has_other_networks():
    own = declare("hwgpt_s", layers=spaces.get("hwgpt_s").choices["layers"])
    assert not own.has_network
    assert own.network_identity != spaces.get("hwgpt_s").network_identity
