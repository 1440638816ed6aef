"""The functions of formulas: NumPy and torch agree, slopes are slopes, formulas are read and shortened."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from losses import classification
from losses.classification import BINARY, FUNCTIONS, UNARY, Program
from losses.classification.ops_numpy import NUMPY
from losses.classification.ops_torch import TORCH
from po_nas.errors import FormulaError
from po_nas.formula import Call, text
from tests.errors import raised

NAMED = {  # by hand, at x = 0.7 or (0.7, -0.4)
    "neg": -0.7,
    "log": math.log(0.7 + 1e-7),
    "log10": math.log10(0.7 + 1e-7),
    "exp": math.exp(0.7),
    "abs": 0.7,
    "sigmoid": 1 / (1 + math.exp(-0.7)),
    "softsign_slope": 1 / 1.7,
    "softplus": math.log(abs(1 + math.exp(0.7)) + 1e-7),
    "erf": math.erf(0.7),
    "erfc": math.erfc(0.7),
    "sin": math.sin(0.7),
    "sinh": math.sinh(0.7),
    "arsinh": math.asinh(0.7),
    "tanh": math.tanh(0.7),
    "arctan": math.atan(0.7),
    "inv": 1 / (0.7 + 1e-7),
    "i0": sum((0.35**k / math.factorial(k)) ** 2 for k in range(20)),
    "i0e": math.exp(-0.7) * sum((0.35**k / math.factorial(k)) ** 2 for k in range(20)),
    "i1": sum(0.35 ** (2 * k + 1) / math.factorial(k) / math.factorial(k + 1) for k in range(20)),
    "i1e": math.exp(-0.7) * sum(0.35 ** (2 * k + 1) / math.factorial(k) / math.factorial(k + 1) for k in range(20)),
    "max0": 0.7,
    "min0": 0.0,
    "square": 0.49,
    "sqrt": math.sqrt(0.7),
    "softsign": 0.7 / 1.7,
    "tanh_slope": 1 - math.tanh(0.7) ** 2,
    "sigmoid_slope": math.exp(-0.7) / (1 + math.exp(-0.7)) ** 2,
    "add": 0.3,
    "sub": 1.1,
    "mul": -0.28,
    "max": 0.7,
    "min": -0.4,
    "div": 0.7 / (-0.4 + 1e-7),
    "aq": 0.7 / math.sqrt(1.16),
}


def test_the_functions_are_those_of_the_paper():
    assert (len(UNARY), len(BINARY)) == (27, 7)
    assert set(NAMED) == set(FUNCTIONS)
    for name, expected in NAMED.items():
        arguments = [np.array([value]) for value in (0.7, -0.4)][: FUNCTIONS[name].arity]
        assert FUNCTIONS[name].numpy(*arguments)[0] == pytest.approx(expected, rel=1e-12), name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numpy_torch_and_slopes_agree(name):
    function = FUNCTIONS[name]
    rng = np.random.default_rng(0)
    special = np.array([0.0, 1.0, -1.0, 1e-7, -1e-9, 30.0, -30.0, 1e20, -1e20])
    pool = np.concatenate([3 * rng.normal(size=60), special])
    arrays = [rng.permutation(pool) if at else pool for at in range(function.arity)]
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    with np.errstate(all="ignore"):
        value = function.numpy(*arrays)
        slopes = function.slopes(NUMPY, value, *arrays)
    computed = function.torch(*tensors)
    np.testing.assert_allclose(computed.detach().numpy(), value, rtol=1e-9, atol=1e-300)
    gradients = torch.autograd.grad(computed.sum(), tensors)
    from_torch = function.slopes(TORCH, computed.detach(), *(t.detach() for t in tensors))
    for array, slope, other, gradient in zip(arrays, slopes, from_torch, gradients, strict=True):
        slope, other = (np.broadcast_to(np.asarray(s), pool.shape) for s in (slope, other))
        np.testing.assert_allclose(other, slope, rtol=1e-9, atol=1e-300)
        # Where a slope jumps or overflows, torch's differ from each other too.
        usual = (np.abs(array) > 1e-6) & (np.abs(array) < 50) & np.isfinite(gradient.numpy())
        np.testing.assert_allclose(slope[usual], gradient.numpy()[usual], rtol=1e-6, atol=1e-12)


def test_slopes_at_corners():
    zero = np.zeros(1)
    for name, expected in {"abs": 0.0, "sqrt": 0.0, "log": 0.0, "i1": 0.5, "i1e": 0.5, "i0": 0.0}.items():
        assert FUNCTIONS[name].slopes(NUMPY, FUNCTIONS[name].numpy(zero), zero)[0][0] == expected, name
    assert [s[0] for s in FUNCTIONS["max"].slopes(NUMPY, zero, zero, zero)] == [0.5, 0.5]


def test_softplus_and_quotient_do_not_overflow_where_their_values_do_not():
    huge = np.array([1e4, 1e30], np.float32)
    np.testing.assert_array_equal(FUNCTIONS["softplus"].numpy(huge), huge)
    np.testing.assert_allclose(FUNCTIONS["aq"].numpy(huge, huge), [1, 1], rtol=1e-6)


def formulas():
    leaves = st.sampled_from(["y", "p", 1.0, -1.0])
    return st.recursive(
        leaves,
        lambda below: st.one_of(
            st.builds(lambda f, a: Call(f, (a,)), st.sampled_from(UNARY), below),
            st.builds(lambda f, a, b: Call(f, (a, b)), st.sampled_from(BINARY), below, below),
        ),
        max_leaves=6,
    )


Y, P = (np.ascontiguousarray(a) for a in np.broadcast_arrays([[0.0], [1.0], [0.3]], np.linspace(0.02, 0.98, 25)))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(node=formulas())
def test_any_formula(node):
    """Text and back; NumPy as torch; the slope is torch's; what is shorter computes the same."""
    assert classification.parse(text(node)) == node
    program = Program(node)
    value, slope = program.values_and_slopes(Y, P)
    assert value.shape == slope.shape == Y.shape
    p = torch.tensor(P, requires_grad=True)
    computed, own = program.run(TORCH, torch.tensor(Y), p, slopes=True)
    np.testing.assert_allclose(computed.detach(), value, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(own.detach(), slope, rtol=1e-6, atol=1e-9)
    gradient = torch.autograd.grad((computed + 0 * p).sum(), p)[0].numpy()
    # Ties of max and kinks are counted half by both; a slope that is infinite is torch's affair.
    calm = np.isfinite(gradient) & np.isfinite(slope) & (np.abs(value) < 1e12)
    if not {"sqrt", "i0", "i1"} & {part.function for part in _calls(node)}:
        np.testing.assert_allclose(slope[calm], gradient[calm], rtol=1e-4, atol=1e-6)
    shorter = classification.simplified(node)
    again = Program(shorter).values(Y, P)
    finite = np.isfinite(value)
    np.testing.assert_allclose(again[finite], value[finite], rtol=1e-8, atol=1e-8)


def _calls(node):
    from po_nas.formula import walk

    return [part for part in walk(node) if isinstance(part, Call)]


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("y - (-p)", "y + p"),
        ("y + (-p)", "y - p"),
        ("-(-y)", "y"),
        ("(1 - -1) * p", "2 * p"),
        ("y * p - (y * p)", "0"),
        ("-(y - p)", "p - y"),
        ("max(p, p)", "p"),
        ("abs(p) + max0(y)", "p + y"),
        ("tanh(-p) + y", "y - tanh(p)"),
        ("exp(1 * p) * -1", "-exp(p)"),
        ("sqrt(abs(y - p))", "sqrt(y - p)"),
        ("div(1, p)", "inv(p)"),
    ],
)
def test_simplified(long, short):
    assert text(classification.simplified(long)) == short


def test_common_parts_are_computed_once():
    assert len(Program("exp(y * p) + sin(exp(y * p)) - y * p").steps) == 5


def test_a_formula_that_is_none():
    for wrong, part in {"y * q": "q", "gelu(p)": "gelu", "log(y, p)": "log"}.items():
        with raised(FormulaError, formula=wrong, part=part):
            classification.get("formula", formula=wrong)


def test_latex():
    assert classification.latex("-(y * log(p))") == r"-\left(y \, \ln\left(\left|\hat{y}\right|+\epsilon\right)\right)"
    assert all("$" in function.latex for function in FUNCTIONS.values())
