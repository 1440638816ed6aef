"""Fits and posteriors without a search do not depend on torch's global switches either."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

import losses
import surrogates
from po_nas import spaces
from po_nas.switches import default_switches, plain
from po_nas.testing.switches import SWITCHES, state, switched
from surrogates.acquisition import GPScorer
from surrogates.candidate_kernels import Linear, Similarity, VaryingCoefficients
from surrogates.encodings import Encodings
from surrogates.fusion.checkpoint import load_or_pretrain
from surrogates.fusion.ensemble import FusionEnsemble
from surrogates.fusion.pretraining import pretrain
from surrogates.fusion.settings import FusionSettings, PretrainingSettings
from surrogates.marginalised_gp import MarginalisedGP
from surrogates.training import TrainingSettings, train_members

SMALL = PretrainingSettings(width=4, heads=2, epochs=1, batch=16)


def inputs(count=24):
    space, rng = spaces.get("nasbench201"), np.random.default_rng(0)
    return Encodings.stack(space.encode_graph(space.sample(rng)) for _ in range(count))


def numbers(*shape):
    """On the CPU and in single precision whatever the switches, made in inference mode where that is on."""
    return torch.from_numpy(np.random.default_rng(0).uniform(size=shape).astype(np.float32)).clone()


def members():
    rows = torch.from_numpy(np.arange(24)).repeat(2, 1)
    trained = train_members(
        surrogates.network("pinat", layers=1, width=8),
        inputs(),
        rows,
        numbers(2, 24),
        losses.get("hr"),
        TrainingSettings(steps=3),
    )
    return trained.standardized(inputs(), inputs())


def fusion():
    encoder = pretrain(inputs(), numbers(24, 3), SMALL, 0)
    embeddings, z = encoder.embed(inputs()), numbers(24, 3)
    fitted = FusionEnsemble(members=2, settings=FusionSettings(steps=3)).fit(embeddings, z, numbers(24), 0)
    return fitted.scores(embeddings, z), fitted.weights(embeddings, z), encoder.predict_scores(inputs())


def marginalised():
    rng = np.random.default_rng(0)
    similarity, linear = Similarity(rng.normal(size=(40, 3))), Linear(rng.normal(size=(40, 2)))
    parts = (similarity, linear, VaryingCoefficients(linear, similarity))
    model = MarginalisedGP(parts, rng.normal(size=40), mean_weights=np.array([0.5, 0.5]))
    found = model.predict(range(8), rng.normal(size=8), rng, pending=[20])
    return found.means, found.variances, torch.from_numpy(model.posterior_weights(found))


def scored():
    rng = np.random.default_rng(0)
    blocks = tuple(csr_array(rng.integers(0, 3, size=(20, width)).astype(float)) for width in (3, 4))
    known, waiting = (tuple(csr_array(b[rows]) for b in blocks) for rows in (slice(8), slice(8, 10)))
    scorer = GPScorer(known, rng.normal(size=8), waiting, rng)
    assert scorer.fitted
    return torch.from_numpy(scorer.marginal(blocks)), torch.from_numpy(scorer.joint(blocks))


@pytest.mark.parametrize("compute", [members, fusion, marginalised, scored])
def test_results_are_the_same_under_all_switches(compute):
    expected = compute()
    with switched():
        found = compute()
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("compute", [members, fusion, marginalised, scored])
def test_results_are_the_same_under_each_switch(compute, switch):
    expected = compute()
    with switched(switch):
        found = compute()
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_an_encoder_from_a_file(tmp_path):
    made = load_or_pretrain(tmp_path, inputs(), numbers(24, 3), SMALL, 0)
    with switched():
        read = load_or_pretrain(tmp_path, inputs(), numbers(24, 3), SMALL, 0)
        found = read.embed(inputs()).pooled
    assert len(list(tmp_path.iterdir())) == 1
    assert torch.equal(found, made.embed(inputs()).pooled)


@pytest.mark.parametrize("name", [name for name in SWITCHES if name not in {"deterministic", "threads"}])
def test_each_switch_is_put_back(name):
    before = state()
    with switched(name):
        there = state()
        assert there != before
        with default_switches():
            assert state() == before
        with pytest.raises(ZeroDivisionError), default_switches():
            raise ZeroDivisionError
        assert state() == there
    assert state() == before


def test_precision_that_was_set_in_the_new_way():
    """Then torch refuses to be asked in the old one."""
    if not hasattr(torch.backends.mkldnn, "matmul"):
        pytest.skip("this torch has one way: pip install 'torch>=2.9'")
    places = (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul)
    before = [place.fp32_precision for place in places]
    try:
        places[0].fp32_precision = "bf16"
        with default_switches():
            assert places[0].fp32_precision == "ieee"
        assert places[0].fp32_precision == "bf16"
    finally:
        for place, value in zip(places, before, strict=True):
            place.fp32_precision = value


def test_tensors_of_inference_mode_become_plain():
    with torch.inference_mode():
        made = torch.ones(2)
        found = plain(made)
    assert not found.is_inference()
    assert torch.equal(found, made)
    ordinary = torch.ones(2)
    assert plain(ordinary) is ordinary


def test_torch_is_not_imported_for_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    with default_switches():
        assert "torch" not in sys.modules
