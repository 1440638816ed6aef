"""Values: published golden vectors, and slow definitions of every loss on lists with and without ties."""

from __future__ import annotations

import itertools

import pytest
import torch

import losses
from losses.ranks import better, not_worse, positions, quantiles, top_share
from losses.regression import permuted_differences
from losses.schedule import effective_sample_size
from tests.losses import reference

Y = torch.tensor([0.90, 0.94, 0.70, 0.88], dtype=torch.float64)
S = torch.tensor([0.85, 0.80, 0.75, 0.95], dtype=torch.float64)


def value(name, pred=S, target=Y, generator=None, **hyperparameters):
    return float(losses.get(name, **hyperparameters)(pred, target, generator))


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (value("mse"), 0.007375),
        (value("hr"), 0.1083333333),
        (value("hr", margin=0.01) * 6 * 2 / 16, 0.04125),
        (value("lr"), 0.6908014222),
        ((value("mse_sr", weight=1.0) - value("mse")), 0.1216666667),
        (float(permuted_differences(S - Y, torch.tensor([3, 0, 1, 2]))), 0.105),
        (value("mse_sr"), 0.0195416667),
        (value("listmle") * 4, 3.1266382599),
        (value("listmle"), 0.7816595650),
        (value("ew"), 0.0067296585),
        (value("ew", mode="expm1"), 0.0063540848),
        (value("mape", lower_bound=0.045), 2.8429590018),
        (value("warp") * 4, 4.225),
        (value("warp"), 1.05625),
        (value("warp", margin=0.12) * 4, 0.4916666667),
        (value("warp", margin=0.12), 0.1229166667),
    ],
)
def test_golden_vectors(got, expected):
    assert got == pytest.approx(expected, abs=1e-10)


CASES = [
    ("mse", {}),
    ("mse_sr", {"weight": 0.3}),
    ("hr", {}),
    ("hr", {"margin": 1.0}),
    ("lr", {"temperature": 0.5}),
    ("listmle", {}),
    ("ew", {}),
    ("ew", {"mode": "expm1", "temperature": 0.2}),
    ("ew", {"mode": "best", "temperature": 0.05}),
    ("mape", {"lower_bound": 0.01}),
    ("mape", {"exponent": 0.5}),
    ("mape", {"rho": 1.0, "floor": 0.01}),
    ("warp", {}),
    *(("warp", {"margin": 0.3, "weight": weight}) for weight in ("gt", "exp_gt", "ranking", "exp_z")),
    ("warp_homotopy", {"alpha": 0.5}),
    ("weighted_lr", {}),
    ("weighted_lr", {"gamma": 2.0, "scale": "zscore"}),
    ("top_vs_rest", {}),
    ("top_vs_rest", {"fraction": 0.4}),
    ("lambda_ndcg", {}),
    ("lambda_ndcg", {"fraction": 0.4, "gain": 3.0}),
    ("lambda_precision", {"fraction": 0.4}),
    ("soft_topk", {"fraction": 0.4}),
    ("soft_topk", {"fraction": 0.4, "temperature": 0.3, "mode": "precision"}),
    ("soft_nk", {"fraction": 0.4, "temperature": 0.7}),
    ("diff_kendall", {"slope": 2.0}),
    ("po_nas", {}),
    ("po_nas", {"threshold": 0.0, "align": 1.0, "direction": 2.0}),
    ("po_nas", {"labels": "fraction"}),
]


def lists():
    """Pairs of predictions and accuracies of one to nine architectures; of four accuracies when ties are wanted."""
    for n, ties in itertools.product((1, 2, 3, 6, 9), (False, True)):
        generator = torch.Generator().manual_seed(n)
        target = torch.rand(n, generator=generator, dtype=torch.float64)
        pred = torch.randn(n, generator=generator, dtype=torch.float64)
        yield pred, 0.5 + 0.45 * ((target * 4).floor() / 4 if ties else target)


@pytest.mark.parametrize(("name", "hyperparameters"), CASES, ids=str)
def test_the_slow_definition_agrees(name, hyperparameters):
    slow = getattr(reference, name)
    for pred, target in lists():
        expected = slow(pred.tolist(), target.tolist(), **hyperparameters)
        assert value(name, pred, target, **hyperparameters) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_every_loss_of_its_own_is_compared():
    assert {name for name, _ in CASES} == set(losses.names()) - {"piecewise", "scheduled"}


def test_listmle_is_the_likelihood_of_the_order():
    for pred, target in lists():
        if len(set(target.tolist())) == len(target):
            order = target.argsort(descending=True).tolist()
            expected = reference.plackett_luce(pred.tolist(), order) / len(order)
            assert value("listmle", pred, target) == pytest.approx(expected)


def test_listmle_of_ties_is_exact_where_the_tied_are_predicted_alike():
    """Then every order of the tied ones has the same likelihood."""
    target = torch.tensor([3.0, 1.0, 3.0, 2.0, 1.0, 1.0], dtype=torch.float64)
    pred = torch.tensor([0.4, -1.0, 0.4, 1.3, -1.0, -1.0], dtype=torch.float64)
    expected = reference.plackett_luce(pred.tolist(), [2, 0, 3, 5, 1, 4]) / 6
    assert value("listmle", pred, target) == pytest.approx(expected)


def test_listmle_of_ties_is_between_their_orders():
    target = torch.tensor([2.0, 2.0, 1.0], dtype=torch.float64)
    pred = torch.tensor([0.9, -0.4, 0.2], dtype=torch.float64)
    orders = [reference.plackett_luce(pred.tolist(), o) / 3 for o in ([0, 1, 2], [1, 0, 2])]
    assert min(orders) < value("listmle", pred, target) < max(orders)


def test_the_homotopy_starts_at_the_hinge_and_reaches_warp():
    generator = torch.Generator().manual_seed(0)
    pred, target = torch.randn(50, generator=generator), torch.rand(50, generator=generator)
    pairs = 50 * 49 / 2
    hinge = value("warp_homotopy", pred, target, alpha=0.0, margin=0.3) * 50 * 50
    assert hinge == pytest.approx(value("hr", pred, target, margin=0.3) * pairs, rel=1e-5)
    warp = value("warp_homotopy", pred, target, alpha=1.0, margin=0.3) * reference.phi(50)
    assert warp == pytest.approx(value("warp", pred, target, margin=0.3), rel=1e-5)


def test_weighted_lr_starts_at_lr():
    assert value("weighted_lr", gamma=0.0) == pytest.approx(value("lr"))


def test_sampled_warp_is_unbiased_for_its_estimate():
    generator = torch.Generator().manual_seed(4)
    pred, target = torch.randn(6, generator=generator), torch.tensor([0.1, 0.5, 0.2, 0.9, 0.5, 0.7])
    loss = losses.get("warp", mode="sampled")
    draws = torch.stack([loss.compute(pred, target, generator) for _ in range(2_000)])
    expected = reference.warp_sampled_expectation(pred.tolist(), target.tolist())
    assert abs(float(draws.mean()) - expected) < 4 * float(draws.std()) / 2_000**0.5


def test_permuted_differences_average_to_all_differences():
    generator = torch.Generator().manual_seed(4)
    perm, every = losses.get("mse_sr", mode="perm", weight=1.0), value("mse_sr", weight=1.0) - value("mse")
    draws = torch.stack([perm.compute(S, Y, generator) - value("mse") for _ in range(1_000)])
    assert abs(float(draws.mean()) - 0.75 * every) < 4 * float(draws.std()) / 1_000**0.5


def test_blocks_of_pairs_add_up():
    """More rows than are handled at once, against the matrix written out."""
    generator = torch.Generator().manual_seed(1)
    pred = torch.randn(900, generator=generator, dtype=torch.float64, requires_grad=True)
    target = (torch.rand(900, generator=generator, dtype=torch.float64) * 200).round()
    ordered = target.unsqueeze(1) > target
    apart = (pred.unsqueeze(1) - pred)[ordered]
    for name, expected in (
        ("hr", (0.1 - apart).relu().mean()),
        ("lr", torch.nn.functional.softplus(-apart).mean()),
        ("diff_kendall", (1 - apart.tanh()).mean()),
    ):
        got = losses.get(name)(pred, target)
        torch.testing.assert_close(got, expected)
        gradients = [torch.autograd.grad(v, pred, retain_graph=True)[0] for v in (got, expected)]
        torch.testing.assert_close(*gradients)


def test_a_second_derivative_of_pairs_is_refused():
    """The gradient is computed with the value; a silent zero would be wrong."""
    pred = S.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(losses.get("lr")(pred, Y), pred, create_graph=True)
    assert not gradient.requires_grad
    with pytest.raises(RuntimeError):
        torch.autograd.grad(gradient.square().sum(), pred)
    (gradient,) = torch.autograd.grad(losses.get("lr")(pred, Y).square(), pred, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()


def test_ranks_with_ties():
    for pred, target in lists():
        y, n = target.tolist(), len(target)
        assert better(target).tolist() == [sum(v > w for v in y) for w in y]
        assert not_worse(target).tolist() == [sum(v >= w for v in y) for w in y]
        assert quantiles(target).tolist() == pytest.approx([reference.quantile(y, i) for i in range(n)])
        tied = pred.round()
        assert positions(tied, target).tolist() == [reference.place(tied.tolist(), y, i) for i in range(n)]
        for k in range(1, n):
            assert float(top_share(target, k).sum()) == pytest.approx(k)


def test_raw_accuracies_hardly_weigh_in_ew():
    """Unless it is given a temperature: the effective sample size tells."""
    target = torch.linspace(0.1, 0.92, 200) ** 0.3
    target = target / target.max() * 0.92
    sizes = [
        effective_sample_size(losses.get("ew", temperature=t).importance(losses.Context(200, target)))
        for t in (1.0, 0.02)
    ]
    assert sizes[0] > 0.97 * 200
    assert sizes[1] < 0.5 * 200
