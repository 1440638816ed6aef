"""Pre-training: what it learns, what it leaves out, and that it repeats."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from po_nas.errors import ConfigError, SurrogateDataError
from surrogates.fusion.pretraining import _loss, pretrain
from surrogates.fusion.settings import PRESETS, PretrainingSettings
from tests.errors import raised

from .conftest import encodings, uniform

SMALL = PretrainingSettings(epochs=15, batch=64, width=8)


def counted(inputs):
    """Metrics that the graph decides: features of edges, summed over all of them."""
    sums = inputs.edges.sum((1, 2))
    return (sums / sums.amax(0).clamp_min(1))[:, :3]


def same(one, other):
    states = one.model.state_dict(), other.model.state_dict()
    return all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_it_learns_metrics_of_architectures_it_has_not_seen():
    inputs = encodings(count=600)
    metrics = counted(inputs)
    found = pretrain(inputs[:500], metrics[:500], SMALL, 0)
    missed = (found.predict_scores(inputs[500:]) - metrics[500:]).square().mean(0) / metrics.var(0)
    assert float(missed.max()) < 0.5
    assert found.error < 0.5


def test_embeddings_are_standardised_and_padding_is_zero():
    inputs = encodings("nasbench101", 60)
    found = pretrain(inputs, uniform(60, 2), replace(SMALL, epochs=1), 0).embed(inputs)
    real = found.nodes[found.mask]
    for values in (real, found.pooled):
        assert float(values.mean(0).abs().max()) < 1e-3
        spread = values.std(0, correction=0)
        assert bool(((spread - 1).abs() < 1e-2).logical_or(spread < 1e-3).all())
    assert not found.nodes[~found.mask].any()


def test_it_repeats_and_draws_from_nobody_else():
    inputs, metrics = encodings(), uniform(60, 2)
    settings = replace(SMALL, epochs=2)
    before = torch.get_rng_state()
    first = pretrain(inputs, metrics, settings, 3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(1)
    assert same(first, pretrain(inputs, metrics, settings, 3))
    assert not same(first, pretrain(inputs, metrics, settings, 4))


def test_missing_metrics_are_left_out():
    """Whatever a missing entry would have been, and a metric that nobody has, change nothing for the others."""
    inputs, metrics = encodings(), uniform(60, 3)
    metrics[::3, 0] = torch.nan
    metrics[:, 2] = torch.nan
    found = pretrain(inputs, metrics, replace(SMALL, epochs=2), 0)
    assert torch.isfinite(found.predict_scores(inputs)).all()
    known = metrics[~torch.isnan(metrics[:, 0]), 0]
    torch.testing.assert_close(found.model.score_scale[:, 0], torch.stack([known.mean(), known.std(correction=0)]))
    assert 0 < found.error < 10


def test_no_epochs_leave_the_encoder_as_it_was():
    inputs = encodings()
    found = pretrain(inputs, uniform(60, 2), PRESETS["none"], 0)
    trained = pretrain(inputs, uniform(60, 2), replace(PRESETS["none"], epochs=1), 0)
    assert found.error != found.error
    weight = "encoder.layers.0.project.weight"
    assert not torch.equal(found.model.state_dict()[weight], trained.model.state_dict()[weight])
    other = pretrain(inputs, uniform(60, 2, seed=9), PRESETS["none"], 0)
    assert torch.equal(found.embed(inputs).nodes, other.embed(inputs).nodes)


def test_the_target_of_hidden_nodes_is_what_was_hidden():
    """The released code asks for the masked input: there the features of hidden nodes do not matter."""
    inputs = encodings()
    model = pretrain(inputs, uniform(60, 1), PRESETS["none"], 0).model
    graphs = model.prepare(inputs)
    hidden = torch.zeros_like(inputs.mask)
    hidden[:, 2] = True
    other = graphs._replace(nodes=torch.where(hidden[..., None], graphs.nodes + 1, graphs.nodes))
    targets, present = torch.zeros(60, 1), torch.ones(60, 1)
    for reference in (False, True):
        settings = PretrainingSettings(reference=reference)
        losses = [float(_loss(model, one, hidden, targets, present, settings)) for one in (graphs, other)]
        assert (losses[0] == losses[1]) == reference


@pytest.mark.parametrize("shape", [(59, 2), (60, 0), (60,)])
def test_metrics_that_do_not_fit(shape):
    with raised(SurrogateDataError, shape, "60"):
        pretrain(encodings(), torch.zeros(shape))


def test_bad_values():
    with raised(SurrogateDataError, "NaN"):
        pretrain(encodings(), torch.full((60, 1), torch.inf))
    with raised(ConfigError, key="masked", value=1.5):
        PretrainingSettings(masked=1.5)
    found = pretrain(encodings(), uniform(60, 1), PRESETS["none"])
    with raised(SurrogateDataError, found.shape):
        found.embed(encodings("nasbench101", 5))
