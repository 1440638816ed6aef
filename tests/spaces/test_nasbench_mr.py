"""The multi-resolution networks of NAS-Bench-MR."""

from __future__ import annotations

import numpy as np
import pytest

from po_nas.errors import InvalidArchitectureError
from po_nas.spaces.base import Architecture
from po_nas.spaces.nasbench_mr import NASBenchMRSpace, flops, parameters, stages
from po_nas.testing import SpaceConformance
from tests.errors import raised

SPACE = NASBenchMRSpace()
LARGEST = "128_128-2_1_4_128-2_2_4_4_128_128-2_3_4_4_4_128_128_128-2_4_4_4_4_4_128_128_128_128-128"
SMALLEST = "16_16-1_1_1_16-1_2_1_1_16_16-1_3_1_1_1_16_16_16-1_4_1_1_1_1_16_16_16_16-16"
BEST_OF_SEGMENTATION = "96_128-1_1_1_48-1_2_1_1_128_8-1_3_1_1_1_128_128_120-4_4_4_4_4_4_128_128_128_128-64"


class TestConformance(SpaceConformance):
    space = NASBenchMRSpace


def test_the_size_of_the_space():
    assert SPACE.size == 4**14 * 16**13


@pytest.mark.parametrize(
    ("text", "params", "operations"),
    [
        (LARGEST, 28_290_994, 13_727_426_866),
        (SMALLEST, 82_658, 40_917_842),
        (BEST_OF_SEGMENTATION, 24_971_570, 8_631_924_914),
    ],
)
def test_recorded_sizes(text, params, operations):
    code = SPACE.from_string(text).code
    assert (parameters(code), flops(code)) == (params, operations)


def test_the_meaning_of_the_code():
    architecture = SPACE.from_string(BEST_OF_SEGMENTATION)
    assert architecture.code[:5] == (96, 128, 1, 1, 48)
    assert stages(architecture.code)[1] == (1, (1, 1), (128, 8))
    config = SPACE.config_of(architecture)
    assert config["stem"] == [96, 128]
    assert config["stages"][3] == {"modules": 4, "blocks": [4] * 4, "channels": [128] * 4}
    assert config["head"] == 64


def test_an_edit_is_one_step():
    smallest = SPACE.from_string(SMALLEST)
    near = SPACE.neighbours(smallest)
    # Each of 13 channels can move both ways, each of 14 counts one way.
    assert len(near) == 13 * 2 + 14
    assert SPACE.edit_distance(smallest, SPACE.from_string(LARGEST)) == 13 * 14 + 4 * 1 + 10 * 3


def test_sizes_grow_along_every_integer():
    rng = np.random.default_rng(0)
    for _ in range(20):
        architecture = SPACE.sample(rng)
        for other in SPACE.neighbours(architecture):
            larger = sum(other.code) > sum(architecture.code)
            for count in (parameters, flops):
                assert (count(other.code) > count(architecture.code)) == larger


@pytest.mark.parametrize(
    "text",
    [
        BEST_OF_SEGMENTATION.replace("-1_2_", "-1_3_"),
        BEST_OF_SEGMENTATION.replace("96", "096"),
        BEST_OF_SEGMENTATION.replace("96", "٩٦"),
        BEST_OF_SEGMENTATION.replace("96", "90"),
        BEST_OF_SEGMENTATION.replace("96", "136"),
        BEST_OF_SEGMENTATION.replace("-4_4_4", "-5_4_4"),
        BEST_OF_SEGMENTATION.removesuffix("-64"),
        BEST_OF_SEGMENTATION + "\n",
    ],
)
def test_near_misses_are_refused(text):
    with raised(InvalidArchitectureError, space="nasbench_mr"):
        SPACE.from_string(text)


def test_a_code_is_of_integers_of_python():
    code = SPACE.from_string(SMALLEST).code
    with raised(InvalidArchitectureError, space="nasbench_mr"):
        SPACE.validate(Architecture("nasbench_mr", (16.0, *code[1:])))
