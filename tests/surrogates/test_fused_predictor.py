"""The surrogate that fuses a predictor with proxies: what is out of fold, what counts, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import surrogates
from po_nas import spaces
from po_nas.errors import ConfigError, SurrogateDataError
from surrogates.candidate_kernels import Similarity
from surrogates.encodings import Encodings
from surrogates.fused_predictor import out_of_fold
from surrogates.marginalised_gp import MarginalisedGP
from tests.errors import raised

QUICK = {"settings": {"steps": 60}, "network_options": {"width": 16}, "members": 3}
KNOWN = 40


def correlation(first, second) -> float:
    return float(np.corrcoef(np.asarray(first), np.asarray(second))[0, 1])


@pytest.fixture(scope="module")
def cells():
    """120 cells with one proxy that is noise, and targets that are noise."""
    space, rng = spaces.get("nasbench201"), np.random.default_rng(0)
    proxies = rng.normal(size=(120, 1))
    inputs = Encodings.stack((space.encode_graph(space.sample(rng)) for _ in range(120)), proxies)
    return inputs, torch.from_numpy(rng.normal(size=120)).float()


def fitted(name, inputs, targets, **options):
    return surrogates.get(name, **QUICK | options).fit(inputs[:KNOWN], targets[:KNOWN], reference=inputs)


def test_what_is_learned_by_heart_is_not_what_counts(cells):
    inputs, noise = cells
    ensemble = fitted("ensemble", inputs, noise, loss="mse", settings={"steps": 200}, network_options={"width": 32})
    found = out_of_fold(ensemble, inputs, np.arange(KNOWN))
    in_sample = ensemble.standardized(inputs).numpy()
    assert correlation(in_sample[:KNOWN], noise[:KNOWN]) > 0.7
    assert correlation(found[:KNOWN], noise[:KNOWN]) < 0.4
    assert found[KNOWN:] == pytest.approx(in_sample[KNOWN:])


def test_with_too_few_to_leave_some_out_there_is_no_predictor(cells):
    inputs, targets = cells
    surrogate = surrogates.get("fused_predictor", **QUICK).fit(inputs[:5], targets[:5])
    surrogate.posterior(inputs)
    assert surrogate.predictor_weight == 0.0
    assert out_of_fold(surrogate.ensemble, inputs, np.arange(5)) is None


@pytest.mark.parametrize("seed", range(3))
def test_the_data_decide_how_far_a_predictor_is_believed(seed):
    rng = np.random.default_rng(seed)
    truth, nothing = rng.normal(size=(2, 60))
    model = MarginalisedGP([Similarity(rng.normal(size=(60, 4)))])
    told = range(25)

    def predicted(predictor):
        return model.predict(told, truth[:25], np.random.default_rng(0), (), predictor)

    good, bad, none = predicted(truth + 0.3 * nothing), predicted(nothing), predicted(None)
    assert good.predictor_weight > 0.6
    assert bad.predictor_weight < 0.35
    assert none.predictor_weight == 0.0
    assert correlation(good.mean[25:], truth[25:]) > 0.8 > correlation(none.mean[25:], truth[25:])


def test_a_proxy_that_knows_is_used_and_can_be_left_out(cells):
    inputs, targets = cells
    telling = Encodings(inputs.nodes, inputs.adjacency, inputs.edges, inputs.mask, 1e3 * targets[:, None] ** 3)
    found = {}
    for parts in ("both", "proxies", "predictor"):
        surrogate = fitted("fused_predictor", telling, targets, parts=parts)
        found[parts] = correlation(surrogate.posterior(telling[KNOWN:]).mean, targets[KNOWN:])
        assert (surrogate.ensemble.trained is None) == (parts == "proxies")
    assert found["both"] > 0.8
    assert found["proxies"] > 0.8
    assert abs(found["predictor"]) < 0.5


def test_what_cannot_be_fused_is_refused(cells):
    inputs, targets = cells
    bare = Encodings(inputs.nodes, inputs.adjacency, inputs.edges, inputs.mask)
    with pytest.raises(SurrogateDataError, match="without proxy scores"):
        fitted("fused_predictor", bare, targets, parts="proxies")
    with raised(ConfigError, "parts", "half"):
        surrogates.get("fused_predictor", parts="half")
