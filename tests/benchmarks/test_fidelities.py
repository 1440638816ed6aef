"""Shorter trainings that tables have on record."""

import numpy as np
import pytest

from po_nas import benchmarks
from po_nas.errors import ConfigError


@pytest.mark.parametrize("task", ["cifar10", "cifar100", "imagenet16-120"])
def test_nasbench201_has_12_epochs(task, public_data):
    public_data("nasbench201")
    found = benchmarks.get(f"nasbench201/{task}")
    short = benchmarks.get(f"nasbench201/{task}", "epochs12")
    assert (found.fidelities.values, found.fidelities.unit, found.fidelities.resumes) == ((12, 200), "epochs", False)
    rng = np.random.default_rng(0)
    for architecture in (found.space.sample(rng) for _ in range(20)):
        low, full = (found.evaluate(architecture, fidelity=f) for f in (12, 200))
        assert low.validation == short.evaluate(architecture).validation != full.validation
        assert low.cost_s == pytest.approx(0.06 * full.cost_s)
        assert full == found.evaluate(architecture)
        if task == "cifar10":
            assert low.cost_s == pytest.approx(short.evaluate(architecture).cost_s)
    assert not short.fidelities
    with pytest.raises(ConfigError, match="fidelity=100: is none of 12, 200"):
        found.evaluate(architecture, fidelity=100)
    assert "12 epochs (6 % of the cost" in found.describe().fidelities


def test_nasbench101_has_four(public_data):
    public_data("nasbench101_sample")
    found = benchmarks.get("nasbench101/cifar10")
    assert found.fidelities.values == (4, 12, 36, 108)
    architecture = found.space.sample(np.random.default_rng(0))
    for epochs in (4, 12, 36):
        short = benchmarks.get("nasbench101/cifar10", f"epochs{epochs}").evaluate(architecture)
        assert found.evaluate(architecture, fidelity=epochs).validation == short.validation
        assert found.evaluate(architecture, fidelity=epochs).cost_s == pytest.approx(short.cost_s)


def test_without_the_public_files_there_are_none():
    found = benchmarks.get("nasbench201/cifar10")
    assert not found.fidelities
    assert any("po-nas data get nasbench201" in note for note in found.describe().notes)
