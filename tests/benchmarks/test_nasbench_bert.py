"""NAS-Bench-BERT against facts that were established independently of this code."""

from __future__ import annotations

import numpy as np
import pytest

from po_nas import benchmarks, networks, search, spaces
from po_nas.benchmarks import data
from po_nas.benchmarks.base import spearman
from po_nas.benchmarks.data.nasbench_bert import PARTS
from proxies.counting import count_parameters

SPACE = spaces.get("nasbench_bert")
PAIRS = (*((194, 438), (221, 391), (299, 489), (60, 222), (198, 315), (97, 387), (174, 405), (229, 307), (259, 487)),)
RHO = {
    "head_confidence": 0.72,
    "scored_params": 0.65,
    "activation_distance": 0.33,
    "head_softmax_confidence": 0.33,
    "synaptic_saliency": 0.28,
    "head_importance": 0.25,
    "synaptic_diversity": 0.24,
}


@pytest.fixture(autouse=True)
def _data(public_data):
    public_data("nasbench_bert")


@pytest.fixture
def rows():
    table = data.table("nasbench_bert")
    return table.read(list(table))


def test_the_trainings(rows):
    glue = rows["glue"]
    assert len(glue) == 500
    assert (glue.argmin(), glue.argmax()) == (287, 179)
    assert glue.min() == pytest.approx(53.665, abs=5e-4)
    assert glue.max() == pytest.approx(75.130, abs=5e-4)
    assert glue.mean() == pytest.approx(68.888, abs=5e-4)
    assert glue.std() == pytest.approx(3.83, abs=6e-3)
    np.testing.assert_allclose(glue, np.mean([rows[part] for part in PARTS], axis=0), atol=1e-9)
    assert rows["rte"][47] == 0
    assert rows["seconds"].mean() == pytest.approx(2_595, abs=1)
    assert np.sort(glue)[-5:].tolist() == sorted(glue[[179, 0, 230, 243, 309]])


def test_what_was_trained_twice(rows):
    first: dict[str, int] = {}
    pairs = [(first[text], k) for k, text in enumerate(rows["arch"]) if first.setdefault(text, k) != k]
    assert sorted(pairs) == sorted(PAIRS)
    gaps = np.array([rows["glue"][a] - rows["glue"][b] for a, b in pairs])
    assert np.sqrt((gaps**2).mean() / 2) == pytest.approx(0.60, abs=0.006)
    assert np.abs(gaps).max() == pytest.approx(2.02, abs=0.006)
    benchmark = benchmarks.get("nasbench_bert/glue")
    for a, b in PAIRS:
        told = benchmark.evaluate(SPACE.from_string(rows["arch"][a]))
        assert told.validation == pytest.approx((rows["glue"][a] + rows["glue"][b]) / 2)
        assert told.cost_s == pytest.approx((rows["seconds"][a] + rows["seconds"][b]) / 2)


def test_the_table(rows):
    benchmark = benchmarks.get("nasbench_bert/glue")
    assert benchmark.distinct == benchmark.space.size == 491
    value, architecture = benchmark.optimum_validation
    assert value == pytest.approx(75.130, abs=5e-4)
    assert SPACE.to_string(architecture) == rows["arch"][179]
    assert set(benchmark.measured) == set(PARTS)
    assert benchmark.evaluate(architecture).metrics["sst"] == rows["sst"][179]


def test_recorded_scores_rank_as_published(rows):
    for name, rho in RHO.items():
        assert spearman(rows[name], rows["glue"]) == pytest.approx(rho, abs=0.006), name
    layers = np.array([SPACE.config_of(SPACE.from_string(text))["layers"] for text in rows["arch"]], dtype=float)
    assert spearman(layers, rows["glue"]) == pytest.approx(0.83, abs=0.006)
    assert benchmarks.score_table("nasbench_bert/glue", "published").values.shape == (491, 15)


def test_recorded_parameters_are_those_of_wide_networks(rows):
    for k in range(0, 500, 29):
        config = SPACE.config_of(SPACE.from_string(rows["arch"][k]))
        wide = SPACE.architecture_of(config | {"width": 256, "feed_forward": [1024] * config["layers"]})
        network = networks.build(wide, device="meta")
        counted = count_parameters(network) - count_parameters(network.classifier)
        assert counted == round(1e6 * rows["scored_params"][k])
    assert (1e6 * rows["scored_params"][179]).round() == 12_840_594


@pytest.mark.parametrize("method", ["po_nas", "regularized_evolution"])
def test_it_can_be_searched(method, tmp_path):
    result = search(benchmark="nasbench_bert/glue", method=method, budget=12, out=tmp_path / "run")
    assert (result.evaluations, result.failed) == (12, 0)
    assert result.validation <= result.optimum_validation
