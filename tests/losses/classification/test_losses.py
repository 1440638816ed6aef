"""Classification losses: their values from the formulas of their papers, gradients at the edges, normalisation."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from losses import classification
from losses.classification import catalogue
from po_nas.errors import ConfigError, UnknownNameError
from tests.errors import raised

from .test_functions import formulas


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.randn(12, 10, generator=generator), torch.randint(10, (12,), generator=generator)


def test_values_of_the_papers(batch):
    logits, labels = batch
    p, y = logits.double().softmax(1), functional.one_hot(labels, 10).double()
    expected = {
        "cross_entropy": -(y * p.log()).sum(1),
        "focal": -(y * (1 - p) ** 2 * p.log()).sum(1),
        "baikal": -(p.log() - y / p).sum(1),
        "ngl": (torch.exp(2.4092 - p * (1 + y)) - torch.cos(torch.cos(torch.sin(p)))).sum(1),
    }
    for name, values in expected.items():
        found = classification.get(name)(logits, labels, reduction="none")
        torch.testing.assert_close(found.double(), values, rtol=2e-3, atol=1e-4)
    assert set(expected) | {"formula"} | {spec.name for spec in catalogue.evolved()} == set(classification.names())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torchs_to_the_last_bit(batch, smoothing):
    logits, labels = batch
    loss = classification.get("cross_entropy", label_smoothing=smoothing)
    for dtype in (torch.float32, torch.bfloat16):
        x, z = (logits.to(dtype).requires_grad_() for _ in range(2))
        ours, theirs = loss(x, labels), functional.cross_entropy(z.float(), labels, label_smoothing=smoothing)
        assert torch.equal(ours, theirs)
        assert torch.equal(torch.autograd.grad(ours, x)[0], torch.autograd.grad(theirs, z)[0])


def test_a_formula_of_cross_entropy_is_cross_entropy(batch):
    logits, labels = batch
    for smoothing in (0.0, 0.1):
        x, z = (logits.clone().requires_grad_() for _ in range(2))
        ours = classification.get("formula", formula="y * log(p)", sign=-1, label_smoothing=smoothing)(x, labels)
        theirs = functional.cross_entropy(z, labels, label_smoothing=smoothing)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            torch.autograd.grad(ours, x)[0], torch.autograd.grad(theirs, z)[0], rtol=1e-3, atol=1e-5
        )


def test_focal_without_focus_is_cross_entropy(batch):
    torch.testing.assert_close(classification.get("focal", gamma=0)(*batch), functional.cross_entropy(*batch))


NORMALISED = [
    ("focal", {"gamma": 3}),
    ("baikal", {}),
    ("ngl", {}),
    ("formula", {"formula": "erfc(y * p) - sin(y - p)"}),
]


@pytest.mark.parametrize(("name", "options"), NORMALISED, ids=str)
def test_normalised_losses_begin_as_steep_as_cross_entropy(name, options):
    logits = torch.zeros(3, 10, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 4, 9])
    ours = torch.autograd.grad(classification.get(name, scale=None, **options)(logits, labels), logits)[0]
    theirs = torch.autograd.grad(functional.cross_entropy(logits, labels), logits)[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_scale_and_sign(batch):
    plain, twice = (classification.get("formula", formula="exp(y - p)", scale=s) for s in (1, 2))
    turned = classification.get("formula", formula="exp(y - p)", scale=1, sign=-1)
    torch.testing.assert_close(2 * plain(*batch), twice(*batch))
    assert torch.equal(-plain(*batch), turned(*batch))
    assert classification.steepness("-(y * log(p))") == pytest.approx(-1, rel=1e-5)
    assert classification.steepness("y * p") > 0


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    name=st.sampled_from([name for name in classification.names() if name != "formula"]),
    raw=st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=6),
    label=st.integers(0, 1),
    smoothing=st.floats(0, 0.9),
)
def test_finite_over_the_simplex(name, raw, label, smoothing):
    logits = torch.tensor([raw], requires_grad=True)
    value = classification.get(name, label_smoothing=smoothing)(logits, torch.tensor([label]))
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


def test_certainly_wrong_samples_still_learn():
    """Where the softmax is at its bound the gradient is that of the bound, and no larger than the limit."""
    logits = torch.tensor([[-1e4, 1e4, 0.0]], requires_grad=True)
    label = torch.tensor([0])
    (gradient,) = torch.autograd.grad(classification.get("baikal")(logits, label), logits)
    assert gradient[0, 0] < -100
    (gradient,) = torch.autograd.grad(classification.get("baikal", limit=1)(logits, label), logits)
    assert -1 <= gradient[0, 0] < -0.5
    (gradient,) = torch.autograd.grad(classification.get("formula")(logits, label), logits)
    assert gradient[0, 0] == pytest.approx(-0.5, abs=0.01)


def test_a_saturated_inner_function_has_no_gradient_rather_than_none():
    """tanh(exp(exp(5 / p))) is one; its slope is infinity times zero."""
    loss = classification.get("formula", formula="tanh(exp(exp(inv(p)))) - y * log(p)", scale=1)
    logits = torch.tensor([[-3.0, 0.0, 3.0]], requires_grad=True)
    value = loss(logits, torch.tensor([0]))
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(node=formulas(), smoothing=st.sampled_from([0.0, 0.1]))
def test_a_formula_that_passes_the_check_is_finite_everywhere(node, smoothing):
    complaint = classification.check(node)
    loss = classification.get("formula", formula=_text(node), scale=1.0, label_smoothing=smoothing)
    corners = torch.tensor([[1e4, -1e4, 0], [-1e4, 1e4, 1e4], [0, 0, 0], [0.5, -3, 9], [-16.2, 0, -16.2]])
    logits = torch.cat([corners, torch.randn(20, 3, generator=torch.Generator().manual_seed(0)) * 5]).requires_grad_()
    values = loss(logits, torch.arange(25) % 3, reduction="none")
    (gradient,) = torch.autograd.grad(values.sum(), logits)
    # The limit holds whatever the formula.
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() <= 3001
    if complaint is None:
        assert torch.isfinite(values).all()
    if not torch.isfinite(values).all():
        assert complaint


def _text(node):
    from po_nas.formula import text

    return text(node)


def test_check_says_where():
    assert classification.check("-(y * log(p))") is None
    assert "y = 0, p = 1e-07" in classification.check("inv(-p)")
    assert "inf" in classification.check("exp(exp(inv(p)))")
    assert "gradient" in classification.check("tanh(exp(exp(inv(p))))")


def test_curve():
    """Baikal's least loss is at p = 0.707 and NGL's at 0.566, cross-entropy with smoothing of 0.1 has it at 0.95."""
    p, values = classification.curve("-(y * log(p))")
    assert p.shape == values.shape == (1000,)
    assert (p[0], p[-1]) == (1 - 1e-7, 1e-7)
    assert (np.diff(values) > 0).all()
    least = {"baikal": 0.707, "ngl": 0.566}
    for name, expected in least.items():
        p, values = classification.curve(classification.get(name))
        assert p[values.argmin()] == pytest.approx(expected, abs=2e-3)
    p, values = classification.curve(classification.get("cross_entropy", label_smoothing=0.1))
    assert p[values.argmin()] == pytest.approx(0.95, abs=1e-3)
    formula = classification.get("formula", formula="y * log(p)", sign=-1, label_smoothing=0.1, scale=1)
    _, smooth = classification.curve(formula)
    # At the ends log p has lost a half to its epsilon.
    np.testing.assert_allclose(smooth[1:-1], values[1:-1], atol=1e-3)
    _, own = classification.curve(classification.get("formula", formula="sinh(y - p)", scale=1))
    np.testing.assert_allclose(classification.curve("sinh(y - p)")[1], own, atol=1e-12)


def test_errors():
    with raised(UnknownNameError, name="fokal", suggestion="focal"):
        classification.get("fokal")
    with raised(ConfigError, "'gamma'", key="focal.gama", value=1):
        classification.get("focal", gama=1)
    with raised(ConfigError, key="formula.sign", value=0):
        classification.get("formula", sign=0)
    with raised(ConfigError, key="formula.scale", value=None):
        classification.get("formula", formula="y + 1")
    assert classification.get("formula", formula="y + 1", scale=1)(torch.zeros(2, 3), torch.tensor([0, 1])) == 4
    with raised(ConfigError, key="baikal.formula", value="p"):
        classification.get("baikal", formula="p")


def test_a_file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"name": "mine", "formula": "exp(y - p)", "sign": 1, "scale": 2, "about": {"seed": 1}}))
    assert classification.formula_of(path) == {"formula": "exp(y - p)", "sign": 1, "scale": 2}
    for content, named in {"[]": '"formula"', "{": "JSON", '{"formula": "p", "sing": 1}': "'sing'"}.items():
        path.write_text(content)
        with raised(ConfigError, named, key="loss", value=path):
            classification.formula_of(path)
    with raised(ConfigError, os.strerror(errno.ENOENT), key="loss", value=tmp_path / "none.json"):
        classification.formula_of(tmp_path / "none.json")


def test_shipped_evolved_losses(tmp_path, monkeypatch):
    for spec in catalogue.evolved():
        assert classification.check(spec.formula) is None
        assert classification.steepness(spec.formula) < 0
        assert spec.reference
    path = tmp_path / "evolved.json"
    one = {"name": "ours", "formula": "y * log(p)", "sign": -1, "scale": 1.5, "summary": "a test", "reference": "here"}
    path.write_text(json.dumps({"losses": [one]}))
    monkeypatch.setattr(catalogue, "_EVOLVED", path)
    (spec,) = catalogue.evolved()
    assert (spec.name, spec.formula, spec.fixed) == ("ours", "-(y * log(p))", {"formula": "y * log(p)", "sign": -1})
    classification._declare([spec], "evolved")
    try:
        loss = classification.get("ours")
        assert loss.hyperparameters["scale"] == 1.5
        assert "formula" not in loss.hyperparameters
        assert loss(torch.zeros(1, 4), torch.tensor([2])) == pytest.approx(1.5 * math.log(4), rel=1e-5)
    finally:
        classification.registry.remove("ours")


def test_it_starts_without_torch():
    code = (
        "import sys; from losses import classification as c; c.names(); c.latex('y'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["formula", "focal", "ngl", "baikal", "cross_entropy"])
def test_it_compiles_in_one_graph(batch, name):
    options = {"formula": "exp(y - p) * i1(p) - aq(y, p) + max(y, erf(p))", "scale": 1} if name == "formula" else {}
    loss = classification.get(name, label_smoothing=0.1, **options)
    compiled = torch.compile(loss, fullgraph=True)
    x, z = (batch[0].clone().requires_grad_() for _ in range(2))
    ours, plain = compiled(x, batch[1]), loss(z, batch[1])
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(torch.autograd.grad(ours, x)[0], torch.autograd.grad(plain, z)[0])
