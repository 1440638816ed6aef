"""The batched trainer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import losses
import surrogates
from losses.base import Loss
from losses.catalogue import BUILT_IN
from po_nas import spaces
from po_nas.errors import ConfigError, SurrogateDataError, TrainingDivergedError
from surrogates.encodings import Encodings
from surrogates.labels import scaled
from surrogates.networks.base import Network
from surrogates.training import TrainingSettings, member_seeds, train_members
from tests.errors import raised

GCN = surrogates.network("gcn", width=16)
SHORT = TrainingSettings(steps=20)


@pytest.fixture(scope="module")
def problem():
    """120 cells and targets in [0.1, 0.9]: the share of 3 x 3 convolutions."""
    space, rng = spaces.get("nasbench201"), np.random.default_rng(0)
    inputs = Encodings.stack(space.encode_graph(space.sample(rng)) for _ in range(120))
    return inputs, 0.1 + 0.8 * inputs.edges[..., 3].sum((1, 2)) / 6


def draws(members, n, total=120, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([rng.choice(total, n, replace=False) for _ in range(members)]))


def fit(problem, loss="mse", members=3, n=40, settings=SHORT, seed=0, network=GCN, **options):
    inputs, targets = problem
    rows = draws(members, n)
    chosen = losses.get(loss) if isinstance(loss, str) else loss
    return train_members(network, inputs, rows, targets[rows], chosen, settings, seed, **options)


@pytest.mark.parametrize(("name", "dropout"), [("mlp", 0.0), ("gcn", 0.0), ("gcn", 0.3), ("gat", 0.0), ("pinat", 0.0)])
def test_together_is_alone(problem, name, dropout):
    inputs, targets = problem
    network = surrogates.network(name, width=16, layers=2, dropout=dropout)
    rows = draws(3, 40)
    together = train_members(network, inputs, rows, targets[rows], losses.get("mse"), SHORT, 7)
    for member, seed in enumerate(member_seeds(7, 3)):
        own = slice(member, member + 1)
        alone = train_members(network, inputs, rows[own], targets[rows[own]], losses.get("mse"), SHORT, [seed])
        torch.testing.assert_close(together.parameters[own], alone.parameters, rtol=1e-2, atol=1e-4)
        torch.testing.assert_close(together.predict(inputs)[own], alone.predict(inputs), rtol=1e-2, atol=1e-3)


def test_same_seed_same_members_and_global_state_is_left_alone(problem):
    network = surrogates.network("gcn", width=16, dropout=0.2)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first, again, other = (fit(problem, seed=seed, network=network) for seed in (1, 1, 2))
    assert torch.equal(first.parameters, again.parameters)
    assert not torch.equal(first.parameters, other.parameters)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert len({tuple(row.tolist()) for row in first.parameters}) == 3


@pytest.mark.parametrize("name", ["mlp", "gcn", "gat", "pinat"])
@pytest.mark.parametrize("loss", ["mse", "hr"])
def test_every_network_learns(problem, name, loss):
    inputs, targets = problem
    settings = TrainingSettings(steps=60, learning_rate=1e-2)
    network = surrogates.network(name, width=16, layers=1)
    for row in fit(problem, loss, members=2, settings=settings, network=network).predict(inputs):
        assert torch.corrcoef(torch.stack([row, targets]))[0, 1] > 0.8


def test_it_reports_how_training_went(problem):
    members = fit(problem, settings=TrainingSettings(steps=60))
    assert members.steps.tolist() == [60] * 3
    assert members.epochs.tolist() == [30.0] * 3  # 40 architectures are two batches of 20
    assert not members.converged.any()
    assert (members.final_loss < 1).all()
    assert members.free == (False,) * 3
    assert members.stages == ("mse",) * 3


def test_members_that_have_converged_stop(problem):
    inputs, targets = problem
    rows = draws(2, 40)
    labels = targets[rows]
    labels[0] = 0.5  # nothing to learn: the loss is zero from the start
    settings = TrainingSettings(steps=400, tolerance=1e-3, learning_rate=1e-3)
    members = train_members(GCN, inputs, rows, labels, losses.get("hr"), settings, 0)
    assert members.steps[0] < members.steps[1]
    assert members.converged[0]
    alone = train_members(GCN, inputs, rows[1:], labels[1:], losses.get("hr"), settings, member_seeds(0, 2)[1:])
    torch.testing.assert_close(members.predict(inputs)[1:], alone.predict(inputs), rtol=1e-2, atol=1e-2)


def test_labels_are_scaled_by_the_members_own_data(problem):
    inputs, targets = problem
    first = fit(problem, "mse")
    # Other targets elsewhere change nothing; another unit changes nothing either.
    rows = draws(3, 40)
    other = targets.clone()
    unseen = torch.ones(120, dtype=torch.bool)
    unseen[rows.flatten()] = False
    other[unseen] = 1e6
    again = train_members(GCN, inputs, rows, 100 * other[rows] - 7, losses.get("mse"), SHORT, 0)
    torch.testing.assert_close(first.predict(inputs), again.predict(inputs), rtol=1e-3, atol=1e-3)
    for row in targets[rows]:
        values = scaled(row, losses.get("mse"), None).values
        assert abs(float(values.mean())) < 1e-5
        assert float(values.std(correction=0)) == pytest.approx(1, abs=1e-4)


def test_fractions_start_at_the_mean_label_and_are_not_scaled(problem):
    inputs, targets = problem
    rows = draws(3, 40)
    labels = scaled(targets[rows[0]], losses.get("mape"), None)
    assert torch.equal(labels.values, targets[rows[0]])
    assert labels.offset == pytest.approx(float(targets[rows[0]].mean()))
    members = fit(problem, "mape", settings=TrainingSettings(steps=150))
    assert (members.predict(inputs) - targets).abs().mean() < 0.05


@pytest.mark.parametrize("loss", ["ew", "mape"])
def test_percentages_are_the_losss_own_error(problem, loss):
    inputs, targets = problem
    rows = draws(2, 20)
    with raised(ValueError, f"{loss}: ", "100"):
        train_members(GCN, inputs, rows, 100 * targets[rows], losses.get(loss), SHORT, 0)


def test_each_member_has_its_own_bound(problem):
    inputs, targets = problem
    rows = torch.stack([targets.argsort()[:40], targets.argsort(descending=True)[:40]])
    together = train_members(GCN, inputs, rows, targets[rows], losses.get("mape"), SHORT, 0)
    for member, seed in enumerate(member_seeds(0, 2)):
        own = slice(member, member + 1)
        alone = train_members(GCN, inputs, rows[own], targets[rows[own]], losses.get("mape"), SHORT, [seed])
        torch.testing.assert_close(together.predict(inputs)[own], alone.predict(inputs), rtol=1e-2, atol=1e-3)


def test_stochastic_losses_draw_from_each_members_generator(problem):
    loss = losses.get("warp", mode="sampled")
    assert loss.stochastic
    first, again = fit(problem, loss), fit(problem, loss)
    assert torch.equal(first.parameters, again.parameters)
    assert torch.isfinite(first.final_loss).all()


@pytest.mark.parametrize("n", [2, 3, 33])
def test_few_architectures_and_uneven_batches(problem, n):
    for loss in ("hr", "mse"):
        members = fit(problem, loss, members=2, n=n)
        assert torch.isfinite(members.predict(problem[0])).all()


def test_held_out_data_choose_the_parameters(problem):
    inputs, targets = problem
    noisy = targets + 0.3 * torch.randn(120, generator=torch.Generator().manual_seed(0))
    careful, careless = (
        fit((inputs, noisy), n=60, settings=TrainingSettings(steps=400, held_out=h, learning_rate=2e-2, tolerance=0.0))
        for h in (0.25, 0.0)
    )
    assert careful.converged.all()
    assert careful.steps.max() < 400 == careless.steps.min()
    correlations = [
        float(torch.corrcoef(torch.stack([members.predict(inputs).mean(0), targets]))[0, 1])
        for members in (careful, careless)
    ]
    assert correlations[0] > correlations[1]
    # Too few to be held out: nothing is.
    few = (fit(problem, n=20, settings=TrainingSettings(steps=20, held_out=share)) for share in (0.25, 0.0))
    assert torch.equal(*(members.parameters for members in few))


def test_warm_start_goes_on(problem):
    first = fit(problem)
    again = fit(problem, initial=first)
    assert (again.final_loss < first.final_loss).all()
    still = fit(problem, settings=TrainingSettings(steps=1, learning_rate=1e-9), initial=first)
    torch.testing.assert_close(still.parameters, first.parameters, rtol=0, atol=1e-6)


def test_another_stage_starts_the_last_layer_afresh(problem):
    first = fit(problem, "hr")
    frozen = TrainingSettings(steps=1, learning_rate=1e-9)
    members = fit(problem, "mape", initial=first, settings=frozen)
    changed = ((members.parameters - first.parameters).abs() > 1e-6).all(0)
    last = torch.zeros_like(changed)
    for part in first.stack.last_layer:
        last[part] = True
    assert torch.equal(changed, last)


def test_members_for_other_data_cannot_be_trained_further(problem):
    with raised(SurrogateDataError, "3 members", "2 members"):
        fit(problem, members=2, initial=fit(problem, members=3))


def test_standardized_members_are_comparable(problem):
    inputs, _ = problem
    members = fit(problem, "hr")
    reference = inputs[:50]
    known = members.standardized(reference, reference)
    torch.testing.assert_close(known.mean(1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(known.std(1, correction=0), torch.ones(3), atol=1e-4, rtol=0)
    assert torch.equal(members.standardized(inputs, reference[:1]), torch.zeros(3, 120))
    assert members.predict(inputs[:0]).shape == (3, 0)


class Plain(Network):
    """What somebody else might write: linear layers of torch, dropout of torch, weights as nn.Linear keeps them."""

    last_layer = "head"

    def __init__(self, shape):
        super().__init__(8, 0.0)
        self.first = torch.nn.Linear(shape.node_features, 8)
        self.drop = torch.nn.Dropout(0.2)
        self.head = torch.nn.Linear(8, 1)

    def prepare(self, inputs):
        return (inputs.nodes.sum(1),)

    def encode(self, *prepared):
        return self.drop(torch.tanh(self.first(prepared[0])))


def test_a_network_of_somebody_else(problem):
    inputs, targets = problem
    before = torch.random.get_rng_state()
    settings = TrainingSettings(steps=150, learning_rate=2e-2)
    first, again = (fit(problem, settings=settings, network=Plain) for _ in range(2))
    assert torch.equal(first.parameters, again.parameters)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first.predict(inputs), first.predict(inputs))
    assert torch.corrcoef(torch.stack([first.predict(inputs)[0], targets]))[0, 1] > 0.7


def test_metrics_are_standardised_by_the_training_data(problem):
    inputs, targets = problem
    informed = Encodings(inputs.nodes, inputs.adjacency, inputs.edges, inputs.mask, 1e6 * targets[:, None] - 3e5)
    members = fit((informed, targets), members=2, settings=TrainingSettings(steps=60))
    rows = draws(2, 40)
    torch.testing.assert_close(members.center, informed.proxy_scores[rows].mean(1))
    assert (members.predict(informed) - members.predict(informed).mean(1, keepdim=True)).abs().max() < 10


class Explosive(Loss):
    spec = BUILT_IN["mse"]

    def formula(self, pred, target, generator):
        return (pred - target).square().mean() + (target.sum() * 0 + (target.amax() > 1e8)) / 0


def test_a_loss_that_is_not_finite(problem):
    with raised(TrainingDivergedError, member=0, step=1):
        fit(problem, Explosive())


@pytest.mark.parametrize(
    ("rows", "targets", "named"),
    [
        (torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 4), ["(2, 3)", "(2, 4)"]),
        (torch.zeros(3, dtype=torch.long), torch.zeros(3), ["(3,)"]),
        (torch.zeros(2, 1, dtype=torch.long), torch.zeros(2, 1), ["1 ", "2"]),
        (torch.zeros(1, 2, dtype=torch.long), torch.tensor([[0.0, float("nan")]]), ["target 1", "member 0", "nan"]),
        (torch.tensor([[0, 120]]), torch.zeros(1, 2), ["0", "119"]),
    ],
)
def test_bad_data(problem, rows, targets, named):
    with raised(SurrogateDataError, *named):
        train_members(GCN, problem[0], rows, targets, losses.get("mse"))


def test_bad_settings(problem):
    with raised(ConfigError, key="steps", value=0):
        TrainingSettings(steps=0)
    with raised(ConfigError, key="learning_rate"):
        TrainingSettings(learning_rate=float("nan"))
    with raised(SurrogateDataError, "2 seeds", "3 members"):
        fit(problem, seed=[1, 2])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("steps", 2.5),
        ("steps", "5"),
        ("steps", True),
        ("steps", 0),
        ("batch", None),
        ("warmup", "a"),
        ("tolerance", None),
        ("learning_rate", float("nan")),
        ("weight_decay", -1.0),
    ],
)
def test_settings_that_are_no_numbers(key, value):
    with raised(ConfigError, key=key):
        surrogates.get("ensemble", settings={key: value})


@pytest.mark.parametrize(
    ("key", "value"), [("width", 0), ("width", 2.5), ("width", "8"), ("layers", 0), ("dropout", 1.0), ("dropout", "a")]
)
@pytest.mark.parametrize("name", ["gcn", "mlp", "pinat"])
def test_networks_of_no_size(name, key, value):
    with raised(ConfigError, key=f"{name}.{key}"):
        surrogates.get(name, network_options={key: value})


def test_seeds(problem):
    with raised(ConfigError, key="seed"):
        fit(problem, seed=-1)
    assert torch.equal(fit(problem, seed=np.int64(3)).parameters, fit(problem, seed=3).parameters)
