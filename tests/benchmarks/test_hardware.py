"""Device measurements of NAS-Bench-201, attached to the benchmark when they have been fetched."""

from __future__ import annotations

import numpy as np
import pytest

from po_nas import benchmarks


def test_they_are_absent_until_fetched():
    assert set(benchmarks.get("nasbench201/cifar10").extras) == {"latency", "params", "flops"}


def test_they_are_looked_up(public_data):
    public_data("nasbench201_hardware")
    task = benchmarks.get("nasbench201/cifar10")
    assert len(task.extras) == 3 + 10 + 23
    cell = task.space.from_string(
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    )
    found = task.report(cell)
    assert found["edgegpu_latency"] == pytest.approx(5.807418537139893)
    assert found["raspi4_latency"] == pytest.approx(10.481976820010459)
    assert task.units["edgegpu_latency"] == "ms"
    assert task.units["edgegpu_energy"] == "mJ"
    assert np.isnan(task.extras["edgetpu_latency"]).sum() == 4_699
    assert ("pixel3_latency", "ms") in task.describe().extras
    other = benchmarks.get("nasbench201/imagenet16-120")
    assert len(other.extras) == 3 + 10
    assert not any(name.startswith("help_") for name in other.extras)
