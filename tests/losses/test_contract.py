"""Finding, configuring and extending losses; schedules; bad input."""

from __future__ import annotations

import copy
import math
import pickle
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

import losses
from losses import Context, Hyperparameter, Loss
from losses.schedule import effective_sample_size
from po_nas.commands.losses import app
from po_nas.errors import ConfigError, PoNasError, UnknownNameError
from tests.errors import raised

PAPER = ["mse", "hr", "lr", "mse_sr", "listmle", "ew", "mape", "warp"]


@pytest.fixture
def registered():
    """Names registered by a test, taken back afterwards."""
    before = set(losses.names())
    yield
    for name in set(losses.names()) - before:
        losses.registry.remove(name)


# -- finding and configuring ------------------------------------------------------------------------------------------


def test_names_and_specs():
    assert set(PAPER) <= set(losses.names())
    assert losses.names("*topk") == ["soft_topk"]
    for name in losses.names():
        spec = losses.spec(name)
        assert spec.reference
        assert all(h.allowed for h in spec.hyperparameters)
    assert losses.spec("warp").head == "free"
    assert losses.spec("mape").labels == "fraction"


def test_specs_need_no_torch():
    code = "import losses, sys; print(losses.spec('hr').hyperparameters[0].default, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0.1", "False"]


def test_unknown_name():
    with raised(UnknownNameError, name="listmel", suggestion="listmle"):
        losses.get("listmel")


@pytest.mark.parametrize(
    ("name", "hyperparameters", "key", "value", "remedy"),
    [
        ("hr", {"margn": 1}, "hr.margn", 1, "'margin'"),
        ("mse", {"zzz": 1}, "mse.zzz", 1, "mse"),
        ("hr", {"margin": -0.1}, "hr.margin", -0.1, "≥ 0 (output units)"),
        ("hr", {"margin": "wide"}, "hr.margin", "wide", "number"),
        ("hr", {"margin": True}, "hr.margin", True, "number"),
        ("hr", {"margin": math.nan}, "hr.margin", math.nan, "number"),
        ("lr", {"temperature": 0}, "lr.temperature", 0, "> 0"),
        ("top_vs_rest", {"fraction": 1.0}, "top_vs_rest.fraction", 1.0, "(0, 1)"),
        ("mape", {"rho": 1.5}, "mape.rho", 1.5, "[0, 1]"),
        ("mape", {"lower_bound": 4.5}, "mape.lower_bound", 4.5, "[0, 1) or None"),
        ("warp", {"mode": "exat"}, "warp.mode", "exat", "'exact'"),
        ("warp", {"weight": 3}, "warp.weight", 3, "none, gt"),
        ("ew", {"mode": "expm1", "labels": "standardized"}, "ew.mode", "expm1", "[0, 1]"),
        ("scheduled", {"base": "hr"}, "scheduled.base", "hr", ""),
        ("piecewise", {"warm": 3}, "piecewise.warm", 3, ""),
        ("piecewise", {"warm": {"name": "hr", "margni": 1}}, "hr.margni", 1, "'margin'"),
    ],
)
def test_bad_hyperparameters(name, hyperparameters, key, value, remedy):
    with raised(ConfigError, key=key, value=value) as caught:
        losses.get(name, **hyperparameters)
    assert remedy in caught.value.remedy
    assert isinstance(caught.value, ValueError)


def test_a_loss_is_a_value():
    loss = losses.get("piecewise", focus={"name": "mape", "rho": 0.5})
    again = losses.get("piecewise", **loss.hyperparameters)
    for twin in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss), again):
        assert twin == loss
        assert twin.focus.rho == 0.5
    assert loss.replace(by="budget") != loss
    assert repr(losses.get("hr")) == "hr(margin=0.1)"
    with pytest.raises(AttributeError):
        del loss.focus
    assert "focus" in loss.hyperparameters
    with pytest.raises(AttributeError):
        _ = losses.no_such_thing


# -- adding one's own -------------------------------------------------------------------------------------------------


def test_a_plain_function(registered):
    @losses.register("huber", summary="quadratic, then linear")
    def huber(pred, target, *, delta=1.0):
        return torch.nn.functional.huber_loss(pred, target, delta=delta)

    loss = losses.get("huber", delta=0.5)
    pred, target = torch.randn(5), torch.randn(5)
    assert loss(pred, target) == torch.nn.functional.huber_loss(pred, target, delta=0.5)
    assert loss.replace(delta=1.0) == losses.get("huber")
    assert losses.spec("huber").hyperparameters[0].name == "delta"
    with raised(ConfigError, "'delta'", key="huber.delt", value=1):
        losses.get("huber", delt=1)
    with raised(ConfigError, key="huber.delta", value="small"):
        losses.get("huber", delta="small")


def test_a_function_that_demands_a_hyperparameter(registered):
    def demanding(pred, target, *, power):
        return pred.sum() * power

    with raised(ConfigError, key="power"):
        losses.register("demanding", summary="x")(demanding)


def test_a_class(registered):
    power = Hyperparameter("power", 3.0, "of the error", low=1.0)

    @losses.register("lp", summary="a power of the error", hyperparameters=(power,), learning_rate=1e-2)
    class Lp(Loss):
        def formula(self, pred, target, generator):
            return (pred - target).abs().pow(self.power).mean()

    loss = losses.get("lp", power=2.0)
    pred, target = torch.randn(5), torch.randn(5)
    assert loss(pred, target) == pytest.approx(float(losses.get("mse")(pred, target)))
    assert loss.spec.learning_rate == 1e-2
    assert losses.get("piecewise", warm="lp", focus="lp").warm.power == 3.0


def test_what_is_no_loss(registered):
    @losses.register("thing", summary="no loss")
    class Thing:
        pass

    with raised(PoNasError, "'thing'", "losses.Loss"):
        losses.get("thing")


# -- data of the right kind -------------------------------------------------------------------------------------------


def test_bad_input_names_the_item():
    hr = losses.get("hr")
    with raised(ValueError, "hr", "prediction", "list", "torch.Tensor"):
        hr([1.0], torch.ones(1))
    with raised(ValueError, "hr", "torch.int64"):
        hr(torch.ones(2, dtype=torch.long), torch.ones(2))
    with raised(ValueError, "ew", "target[1] = -0.2", "[0, 1]"):
        losses.get("ew").check(torch.tensor([0.5, -0.2]))
    with raised(ValueError, "warp", "target[0] = 93", "[0, 1]", "100"):
        losses.get("warp", weight="exp_gt").check(torch.tensor([93.0]))
    losses.get("warp").check(torch.tensor([93.0]))
    with raised(ValueError, "mape", "target[1] = 0.97", "0.03 ", "lower_bound=0.045"):
        losses.get("mape", lower_bound=0.045).check(torch.tensor([0.9, 0.97, 0.5]))
    with raised(ValueError, "target[0] = 0.96875", "lower_bound=0.03"):
        losses.get("mape", lower_bound=0.03125).check(torch.tensor([0.96875]))


def test_shapes_may_have_any_number_of_dimensions():
    pred, target = torch.randn(4, 1), torch.rand(4, 1)
    for name in losses.names():
        loss = losses.get(name)
        assert loss(pred, target) == loss(pred.squeeze(1), target.squeeze(1))


def test_targets_of_other_types():
    pred = torch.tensor([0.1, 0.4, 0.2])
    assert losses.get("hr")(pred, torch.tensor([3, 1, 2])) == losses.get("hr")(pred, torch.tensor([0.9, 0.1, 0.5]))
    assert losses.get("mse")(pred, torch.rand(3, dtype=torch.float64)).dtype == torch.float64


# -- how much data there is -------------------------------------------------------------------------------------------


def test_mape_takes_its_bound_from_the_training_data():
    targets = torch.tensor([0.5, 0.9, 0.7], dtype=torch.float64)
    bound = losses.get("mape").bind(Context(3, targets))
    batch = torch.tensor([0.5, 0.7], dtype=torch.float64)
    # 0.9 · 0.1 below the errors 0.5 and 0.3
    expected = (0.1 / (0.5 - 0.09) + 0.1 / (0.3 - 0.09)) / 2
    assert float(bound(batch + 0.1, batch)) == pytest.approx(expected)
    # A better one than any in training weighs much, and not infinitely.
    assert torch.isfinite(bound(torch.tensor([0.5]), torch.tensor([0.999])))
    assert losses.get("mape", lower_bound=0.01).bind(Context(3, targets)).smallest is None
    with raised(ValueError, "mape", "target[0] = 50", "100"):
        losses.get("mape").bind(Context(3, 100 * targets))


def test_ew_takes_the_best_of_the_training_data():
    loss = losses.get("ew", mode="best", temperature=0.1).bind(Context(2, torch.tensor([0.5, 0.9])))
    assert loss.best == pytest.approx(0.9)
    assert losses.get("ew").bind(Context(2, torch.tensor([0.5, 0.9]))) == losses.get("ew")


@pytest.mark.parametrize("mode", ["exp", "expm1", "best"])
@pytest.mark.parametrize("temperature", [0.005, 0.1, 1.0])
def test_ew_bound_has_the_ratios_of_ew(mode, temperature):
    """Where the targets leave the unbound one numbers to have ratios of."""
    targets = torch.linspace(0.02, 0.47, 40, dtype=torch.float64)
    loss = losses.get("ew", mode=mode, temperature=temperature)
    bound, unbound = loss.bind(Context(40, targets)).weights(targets), loss.weights(targets)
    assert torch.allclose(bound / bound[-1], unbound / unbound[-1])
    assert loss.bind(Context(2, torch.zeros(2))).weights(torch.zeros(2)).isfinite().all()


EMPHATIC = sorted(name for name in losses.names() if losses.get(name).emphasis)


@pytest.mark.parametrize("bound_first", [True, False])
@pytest.mark.parametrize("targets", [(0.02, 0.47), (0.1, 0.73), (0.1, 0.94), (0.9, 0.91)])
@pytest.mark.parametrize("loss", [*((name, True) for name in EMPHATIC), *((name, False) for name in EMPHATIC)], ids=str)
def test_the_strongest_emphasis_leaves_gradients(loss, targets, bound_first):
    """An optimiser adds 1e-8 to what it divides by, so gradients as small as that train nothing."""
    name, scheduled = loss
    target = torch.linspace(*targets, 60)
    context = Context(60, target)
    if scheduled:
        found = losses.get("scheduled", base=name)
    else:
        found = losses.get(name)
        found = found.replace(**{found.emphasis.parameter: found.emphasis.strongest})
    if bound_first or not scheduled:
        found = found.bind(context)
    pred = target.flip(0).requires_grad_()
    found(pred, target).backward()
    assert pred.grad.abs().max() > 1e-5


def test_effective_sample_size():
    assert effective_sample_size(torch.ones(7)) == pytest.approx(7)
    assert effective_sample_size(torch.tensor([0.0, 2.0, 2.0])) == pytest.approx(2)
    assert effective_sample_size(torch.tensor([1e-200, 1e-200], dtype=torch.float64)) == pytest.approx(2)


@pytest.mark.parametrize(("n", "gamma"), [(16, 2.0), (20, 3.0), (50, 8.3), (78, 13), (100, 17), (156, 26)])
def test_the_schedule_sharpens_with_data(n, gamma):
    bound = losses.get("scheduled").bind(Context(n))
    assert bound.name == bound.stage == "weighted_lr"
    assert bound.gamma == pytest.approx(gamma, rel=0.04)
    assert effective_sample_size(bound.importance(Context(n))) == pytest.approx(12, abs=1e-3)


def test_the_schedule_ends_at_the_strongest():
    assert losses.get("scheduled").bind(Context(5)).gamma == 0
    assert losses.get("scheduled").bind(Context(10_000)).gamma == 50
    assert losses.get("scheduled", strongest=2.5).bind(Context(100)).gamma == 2.5
    assert losses.get("scheduled", base="warp_homotopy").bind(Context(12)).alpha == 0
    assert 0 < losses.get("scheduled", base="warp_homotopy").bind(Context(30)).alpha < 1
    assert losses.get("scheduled", base="warp_homotopy").bind(Context(60)).alpha == 1


def test_the_top_shrinks_to_a_tenth():
    for n, size in ((16, 8), (24, 12), (60, 12), (100, 12), (200, 20)):
        bound = losses.get("scheduled", base="top_vs_rest").bind(Context(n))
        assert len(bound.importance(Context(n))) == size


@pytest.mark.parametrize(("base", "parameter"), [("mape", "exponent"), ("ew", "temperature")])
def test_schedules_of_weights_by_accuracy(base, parameter):
    loss = losses.get("scheduled", base=base, minimum=15)
    assert loss.spec.labels == "fraction"
    targets = 1 - 0.5 * torch.linspace(0.02, 1, 60) ** 3
    bound = loss.bind(Context(60, targets))
    assert effective_sample_size(bound.importance(Context(60, targets))) >= 15 - 1e-6
    emphasis = bound.emphasis
    assert min(emphasis.none, emphasis.strongest) <= getattr(bound, parameter) <= max(emphasis.none, emphasis.strongest)
    with raised(ValueError, base, "Context"):
        loss.bind(Context(60))
    with raised(ValueError, base, "target[0] = 90", "100"):
        loss(torch.rand(3), torch.tensor([90.0, 91.0, 92.0]))


def test_piecewise_switches_and_says_so():
    loss = losses.get("piecewise", focus="mape")
    targets = torch.rand(51, generator=torch.Generator().manual_seed(0))
    warm, focus = loss.bind(Context(50, targets[:50])), loss.bind(Context(51, targets))
    assert (warm.stage, warm.spec.head, warm.spec.labels) == ("hr", "free", "order")
    assert (focus.stage, focus.spec.head, focus.spec.labels) == ("mape", "calibrated", "fraction")
    assert focus.smallest == pytest.approx(1 - float(targets.max()))
    assert loss.stage == loss.spec.name == "piecewise"
    assert loss.spec.labels == "fraction"


def test_piecewise_by_share_of_the_budget():
    loss = losses.get("piecewise", by="budget", threshold=0.25)
    assert loss.bind(Context(25, None, 100)).stage == "hr"
    assert loss.bind(Context(26, None, 100)).stage == "warp"
    with raised(ValueError, "by='budget'", "by='evaluated'"):
        loss.bind(Context(25))


def test_piecewise_by_effective_sample_size():
    loss = losses.get("piecewise", by="ess", focus="top_vs_rest")
    assert [loss.bind(Context(n)).stage for n in (100, 114, 125)] == ["hr", "hr", "top_vs_rest"]


def test_piecewise_of_three_stages():
    loss = losses.get("piecewise", threshold=20, focus={"name": "piecewise", "warm": "warp", "focus": "top_vs_rest"})
    assert [loss.bind(Context(n)).stage for n in (20, 21, 50, 51)] == ["hr", "warp", "warp", "top_vs_rest"]


def test_a_stage_with_another_label_scale_is_bound_again():
    loss = losses.get("piecewise", warm={"name": "ew", "mode": "best", "labels": "standardized"}, focus="mape")
    assert loss.spec.labels == "fraction"
    fractions = torch.tensor([0.5, 0.7, 0.9])
    bound = loss.bind(Context(3, fractions))
    assert bound.spec.labels == "standardized"
    assert bound.best is None
    standardized = (fractions - fractions.mean()) / fractions.std()
    assert bound.bind(Context(3, standardized)).best == pytest.approx(1.0)


# -- the command line -------------------------------------------------------------------------------------------------


def test_commands():
    listed = CliRunner().invoke(app, ["list", "soft*"]).stdout.splitlines()
    assert [line.split("\t")[0] for line in listed] == ["name", "soft_nk", "soft_topk"]
    described = CliRunner().invoke(app, ["describe", "warp"]).stdout
    for text in ("approximate-rank", "category\tweighted", "margin\t1.0\t≥ 0", "exact, sampled"):
        assert text in described
    assert isinstance(CliRunner().invoke(app, ["describe", "wrap"]).exception, UnknownNameError)
