from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest
from pydantic import ValidationError

from po_nas import spaces
from po_nas.core.objective import Outcome
from po_nas.errors import ProxiesUnavailableError
from tests.methods.toy import MetricConformance, ToyMetrics, drive, with_metrics

SPACE = spaces.get("transnas_micro")
QUICK = MappingProxyType({"pool": 60, "pretraining": "none", "steps": 5})


class TestPONASPaper(MetricConformance):
    method = "po_nas_paper"
    options = QUICK
    budget = 5


@pytest.mark.slow
class TestPONASPaperEvolving(MetricConformance):
    method = "po_nas_paper"
    options = MappingProxyType(
        {"pool": 40, "pretraining": "none", "steps": 3, "evolve_from": 4, "elite": 3, "pairs": 1, "keep": 4}
    )
    budget = 6
    space_name = "darts"


def linear(weights):
    metrics = ToyMetrics(SPACE)
    return metrics, lambda a: 50 + 5 * float(metrics.values([a], metrics.names)[0] @ weights)


def test_first_come_the_best_means_of_the_scaled_metrics():
    metrics, value = linear(np.ones(3))
    search = with_metrics("po_nas_paper", SPACE, metrics, **QUICK | {"pool": 300})
    trials = drive(search, value, 5)
    assert [t.origin for t in trials] == ["proxies"] * 3 + ["fusion"] * 2
    architectures = search._base.architectures
    raw = metrics.values(architectures, metrics.names)
    means = ((raw - raw.min(0)) / np.ptp(raw, axis=0)).mean(1)
    best = [architectures[i] for i in np.argsort(-means)[:3]]
    assert [t.architecture for t in trials[:3]] == best


@pytest.mark.parametrize("start", ["random", "equal"])
@pytest.mark.parametrize("weights", ["architecture", "global"])
def test_learns_a_weighting_that_is_not_the_mean(weights, start):
    """The mean of the metrics orders the wrong way here; a random order would be right for half of the pairs."""
    metrics, value = linear(np.array([1.0, -1.5, -1.0]))
    rate = 0.02 if weights == "global" else 3e-3
    search = with_metrics(
        "po_nas_paper",
        SPACE,
        metrics,
        **QUICK | {"pool": 300, "weights": weights, "weight_init": start, "steps": 150, "learning_rate": rate},
    )
    rng = np.random.default_rng(0)
    for architecture in rng.choice(np.array(search._base.architectures), 30, replace=False):
        search.tell_custom(architecture, Outcome.ok(value(architecture)))
    fitted = search._fitted(3, search._evolution.now(), search.observations)
    scores = search._scores(fitted, search._evolution.now())[:300]
    true = np.array([value(a) for a in search._base.architectures])
    mean = np.corrcoef(search._means, true)[0, 1]
    assert np.corrcoef(scores, true)[0, 1] > max(0.5, mean + 0.3)


@pytest.mark.parametrize("scaling", ["min_max", "rank"])
def test_equal_weights_are_the_order_of_the_means(scaling):
    metrics, value = linear(np.ones(3))
    search = with_metrics("po_nas_paper", SPACE, metrics, **QUICK | {"weights": "equal", "scaling": scaling})
    trials = drive(search, value, 8)
    order = np.argsort(-search._means)
    assert {t.architecture for t in trials} == {search._base.architectures[i] for i in order[:8]}


def test_searches_share_the_encoder(tmp_path):
    from po_nas.methods.candidates.pool_encoder import pool_encoder

    metrics = ToyMetrics(SPACE)
    folder = str(tmp_path / "encoders")
    options = QUICK | {"pretraining": "fast", "checkpoints": folder, "pool": None, "proxies": ("m0",)}
    options |= {"pool": 64}
    first, second = (with_metrics("po_nas_paper", SPACE, metrics, seed=1, **options) for _ in range(2))
    assert first._encoder is second._encoder
    assert len(list((tmp_path / "encoders").iterdir())) == 1
    assert first._encoder.error < 2.0
    assert pool_encoder(first.domain, first._base, first._normaliser, first.options) is first._encoder


def test_other_losses_can_be_asked_for():
    metrics, value = linear(np.ones(3))
    for loss, chosen in (("hr", {}), ("mape", {}), ("po_nas", {"labels": "standardized"})):
        search = with_metrics("po_nas_paper", SPACE, metrics, **QUICK | {"loss": loss, "loss_options": chosen})
        assert len(drive(search, value, 5)) == 5
    with pytest.raises(ValidationError):
        with_metrics("po_nas_paper", SPACE, metrics, loss="mape", loss_options={"labels": "fraction"})


def test_metrics_must_exist():
    with pytest.raises(ProxiesUnavailableError):
        with_metrics("po_nas_paper", SPACE, None)
