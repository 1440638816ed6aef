"""Weights and the score they make."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from po_nas.errors import ConfigError
from surrogates.fusion.encoder import Embeddings
from surrogates.fusion.weights import WeightGenerator, fused_score
from surrogates.isolation import seeded
from tests.errors import raised

from .conftest import embedded, uniform

PRIOR = torch.tensor([1.0, -1.0, 2.0])


def generator(reference=False, **options):
    """With a last layer that is not zero, for an untrained one has nothing to look at."""
    with seeded(0):
        made = WeightGenerator(128, PRIOR, reference=reference, **options)
        if made.scope == "architecture":
            torch.nn.init.normal_(made.last.weight)
    return made


def all_present(embeddings):
    return torch.ones(len(embeddings), 3, dtype=torch.bool)


def test_untrained_weights_are_the_prior():
    for scope in ("architecture", "global", "equal"):
        weights = WeightGenerator(128, PRIOR, scope=scope)(embedded(), all_present(embedded()))
        torch.testing.assert_close(weights, (PRIOR / 4).expand(len(weights), 3))


def test_reference_starts_from_noise():
    with seeded(0), torch.no_grad():
        weights = WeightGenerator(128, PRIOR, attention_keys="pooled", reference=True)(
            embedded(), all_present(embedded())
        )
    assert float((weights - PRIOR / 4).abs().max()) > 0.1
    assert float(weights.std(0).max()) > 1e-3


@pytest.mark.parametrize("keys", ["nodes", "pooled"])
def test_absolute_weights_sum_to_one_and_differ(keys):
    present = uniform(60, 3) > 0.4
    weights = generator(attention_keys=keys)(embedded(), present)
    assert not weights[~present].any()
    torch.testing.assert_close(weights.abs().sum(1), present.any(1).float())
    full = generator(attention_keys=keys)(embedded(), all_present(embedded())).detach()
    assert float(full.std(0).min()) > 1e-3


def test_missing_metrics_leave_the_ratio_of_the_others():
    full = generator()(embedded(), all_present(embedded()))
    present = all_present(embedded())
    present[:, 1] = False
    some = generator()(embedded(), present)
    torch.testing.assert_close(some[:, 0] * full[:, 2], some[:, 2] * full[:, 0])


def test_pooled_keys_do_not_see_nodes_and_node_keys_do():
    plain = embedded()
    moved = Embeddings(plain.nodes.roll(1, 0), plain.mask, plain.pooled)
    present = all_present(plain)
    assert torch.equal(
        generator(attention_keys="pooled")(plain, present), generator(attention_keys="pooled")(moved, present)
    )
    assert not torch.allclose(generator()(plain, present), generator()(moved, present))


def test_the_single_key_is_degenerate():
    """Queries and keys get no gradient, as they do with real keys."""
    for keys in ("nodes", "pooled"):
        made = generator(attention_keys=keys)
        weights = made(embedded(), all_present(embedded()))
        parts = made.query.weight, made.key.weight
        gradients = torch.autograd.grad(weights.square().sum(), parts)
        assert all(bool(one.abs().max() > 1e-7) == (keys == "nodes") for one in gradients)


def test_the_order_and_the_padding_of_nodes_do_not_matter():
    plain, present = embedded(), all_present(embedded())
    expected = generator()(plain, present)
    order = torch.tensor([2, 0, 3, 1])
    turned = Embeddings(plain.nodes[:, order], plain.mask[:, order], plain.pooled)
    torch.testing.assert_close(generator()(turned, present), expected)
    padding = torch.nn.functional.pad
    padded = Embeddings(padding(plain.nodes, (0, 0, 0, 2), value=7.0), padding(plain.mask, (0, 2)), plain.pooled)
    torch.testing.assert_close(generator()(padded, present), expected)


def test_options_that_make_no_sense():
    with raised(ConfigError, "4", key="hidden", value=10):
        WeightGenerator(128, PRIOR, hidden=10, heads=4)
    with raised(ConfigError, "nodes", "pooled", key="attention_keys", value="edges"):
        WeightGenerator(128, PRIOR, attention_keys="edges")
    with raised(ConfigError, "global", key="scope", value="cluster"):
        WeightGenerator(128, PRIOR, scope="cluster")


def test_scores_by_hand():
    weights, z = (
        torch.tensor([[0.5, -0.5], [1.0, 0.0], [0.0, -1.0]]),
        torch.tensor([[0.8, 0.2], [0.3, 0.9], [0.3, 0.9]]),
    )
    present = torch.ones(3, 2, dtype=torch.bool)
    torch.testing.assert_close(fused_score(weights, z, present), torch.tensor([0.8, 0.3, 0.1]))


def test_what_is_missing_is_not_read():
    weights = torch.tensor([[0.5, -0.5], [0.25, 0.75]])
    z = torch.tensor([[0.8, torch.nan], [torch.inf, torch.nan]])
    scores = fused_score(weights, z, torch.isfinite(z))
    torch.testing.assert_close(scores, torch.tensor([0.8, 0.5]))
    weights.requires_grad_()
    (gradient,) = torch.autograd.grad(fused_score(weights, z, torch.isfinite(z)).sum(), weights)
    assert torch.isfinite(gradient).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 1), st.booleans()), min_size=1, max_size=6))
def test_scores_are_convex(entries):
    weights, z, present = (torch.tensor([column]) for column in zip(*entries, strict=True))
    score = fused_score(weights.float(), z.float(), present)
    assert -1e-6 <= float(score) <= 1 + 1e-6
    turned = fused_score(-weights.float(), 1 - z.float(), present)
    torch.testing.assert_close(turned, score)
