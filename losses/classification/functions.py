"""The functions that an evolved loss is made of: 27 of one argument and 7 of two. Pure Python, no torch.

Each is written once, over a namespace of array functions (`losses.classification.ops_numpy`, `ops_torch`), with its
derivatives beside it, so that NumPy and torch compute the same and a gradient needs no second pass. The list and
EPSILON are those of "Neural Loss Function Evolution for Large-Scale Image Classifier Convolutional Neural Networks"
(arXiv 2403.08793).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from po_nas.formula import Node
from po_nas.formula import latex as _latex
from po_nas.formula import parse as _parse

__all__ = ["ARITIES", "BINARY", "EPSILON", "FUNCTIONS", "UNARY", "VARIABLES", "Function", "latex", "parse"]

EPSILON = 1e-7
"""Added to what is divided by or taken the logarithm of; probabilities are kept that far from 0 and 1."""

VARIABLES = ("y", "p")
"""The target of a class (0 or 1, or smoothed) and the predicted probability of that class."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function of a formula.

    `value(m, *x)` computes it elementwise with the namespace `m`; `slopes(m, v, *x)` are its partial derivatives where
    its value is v, one for each argument; where there is none (``abs`` at 0) it is the mean of both sides, where it is
    infinite (``sqrt`` at 0) it is 0. `template` is its LaTeX as `po_nas.formula.latex` takes it.
    """

    name: str
    arity: int
    template: str
    value: Callable[..., Any]
    slopes: Callable[..., tuple[Any, ...]]

    @property
    def latex(self) -> str:
        """LaTeX with a place for each argument."""
        return self.template

    def torch(self, *x: Any) -> Any:
        """The value of tensors; the gradient is torch's own."""
        from losses.classification.ops_torch import TORCH

        return self.value(TORCH, *x)

    def numpy(self, *x: Any) -> Any:
        """The value of NumPy arrays."""
        from losses.classification.ops_numpy import NUMPY

        return self.value(NUMPY, *x)


def _softplus(m: Any, x: Any) -> Any:
    # Beyond 20 nothing but x is left in double precision's first nine digits, and exp would overflow.
    return m.where(x > 20, x, m.log1p(m.exp(m.at_most(x, 20.0)) + EPSILON))


def _i1_over_x(m: Any, i1: Any, x: Any) -> Any:
    tiny = m.abs(x) < 1e-6
    return m.where(tiny, 0 * x + 0.5, i1 / m.where(tiny, 0 * x + 1, x))


def _sqrt_slope(m: Any, v: Any, x: Any) -> tuple[Any]:
    positive = v > 0
    return (m.where(positive, m.sign(x) / (2 * m.where(positive, v, 0 * v + 1)), 0 * v),)


def _larger(m: Any, a: Any, b: Any) -> Any:
    return (m.step(a - b) + 1 - m.step(b - a)) / 2


_FUNCTIONS = (
    Function("neg", 1, "-$a0", lambda m, x: -x, lambda m, v, x: (-1.0,)),
    Function(
        "log",
        1,
        r"\ln\left(\left|$0\right|+\epsilon\right)",
        lambda m, x: m.log(m.abs(x) + EPSILON),
        lambda m, v, x: (m.sign(x) / (m.abs(x) + EPSILON),),
    ),
    Function(
        "log10",
        1,
        r"\log_{10}\left(\left|$0\right|+\epsilon\right)",
        lambda m, x: m.log10(m.abs(x) + EPSILON),
        lambda m, v, x: (m.sign(x) / ((m.abs(x) + EPSILON) * math.log(10)),),
    ),
    Function("exp", 1, r"e^{$0}", lambda m, x: m.exp(x), lambda m, v, x: (v,)),
    Function("abs", 1, r"\left|$0\right|", lambda m, x: m.abs(x), lambda m, v, x: (m.sign(x),)),
    Function(
        "sigmoid",
        1,
        r"\sigma\left($0\right)",
        lambda m, x: m.sigmoid(x),
        lambda m, v, x: (v * (1 - v),),
    ),
    Function(
        "softsign_slope",
        1,
        r"\frac{1}{1+\left|$0\right|}",
        lambda m, x: 1 / (1 + m.abs(x)),
        lambda m, v, x: (-m.sign(x) * v * v,),
    ),
    Function(
        "softplus",
        1,
        r"\ln\left(\left|1+e^{$0}\right|+\epsilon\right)",
        _softplus,
        lambda m, v, x: (m.sigmoid(x),),
    ),
    Function(
        "erf",
        1,
        r"\operatorname{erf}\left($0\right)",
        lambda m, x: m.erf(x),
        lambda m, v, x: (2 / math.sqrt(math.pi) * m.exp(-x * x),),
    ),
    Function(
        "erfc",
        1,
        r"\operatorname{erfc}\left($0\right)",
        lambda m, x: m.erfc(x),
        lambda m, v, x: (-2 / math.sqrt(math.pi) * m.exp(-x * x),),
    ),
    Function("sin", 1, r"\sin\left($0\right)", lambda m, x: m.sin(x), lambda m, v, x: (m.cos(x),)),
    Function("sinh", 1, r"\sinh\left($0\right)", lambda m, x: m.sinh(x), lambda m, v, x: (m.cosh(x),)),
    Function(
        "arsinh",
        1,
        r"\operatorname{arsinh}\left($0\right)",
        lambda m, x: m.arcsinh(x),
        lambda m, v, x: (1 / m.hypot(1 + 0 * x, x),),
    ),
    Function("tanh", 1, r"\tanh\left($0\right)", lambda m, x: m.tanh(x), lambda m, v, x: (1 - v * v,)),
    Function("arctan", 1, r"\arctan\left($0\right)", lambda m, x: m.arctan(x), lambda m, v, x: (1 / (1 + x * x),)),
    Function("inv", 1, r"\frac{1}{$0+\epsilon}", lambda m, x: 1 / (x + EPSILON), lambda m, v, x: (-v * v,)),
    Function("i0", 1, r"I_0\left($0\right)", lambda m, x: m.i0(x), lambda m, v, x: (m.i1(x),)),
    Function(
        "i0e",
        1,
        r"e^{-\left|$0\right|}I_0\left($0\right)",
        lambda m, x: m.i0e(x),
        lambda m, v, x: (m.i1e(x) - m.sign(x) * v,),
    ),
    Function(
        "i1",
        1,
        r"I_1\left($0\right)",
        lambda m, x: m.i1(x),
        lambda m, v, x: (m.i0(x) - _i1_over_x(m, v, x),),
    ),
    Function(
        "i1e",
        1,
        r"e^{-\left|$0\right|}I_1\left($0\right)",
        lambda m, x: m.i1e(x),
        lambda m, v, x: (m.i0e(x) - m.sign(x) * v - _i1_over_x(m, v, x),),
    ),
    Function("max0", 1, r"\max\left($0,0\right)", lambda m, x: m.at_least(x, 0.0), lambda m, v, x: (m.step(x),)),
    Function("min0", 1, r"\min\left($0,0\right)", lambda m, x: m.at_most(x, 0.0), lambda m, v, x: (m.step(-x),)),
    Function("square", 1, r"{$a0}^2", lambda m, x: x * x, lambda m, v, x: (2 * x,)),
    Function("sqrt", 1, r"\sqrt{\left|$0\right|}", lambda m, x: m.sqrt(m.abs(x)), _sqrt_slope),
    Function(
        "softsign",
        1,
        r"\frac{$0}{1+\left|$0\right|}",
        lambda m, x: x / (1 + m.abs(x)),
        lambda m, v, x: (1 / (1 + m.abs(x)) ** 2,),
    ),
    Function(
        "tanh_slope",
        1,
        r"\left(1-\tanh^2\left($0\right)\right)",
        lambda m, x: 1 - m.tanh(x) ** 2,
        lambda m, v, x: (-2 * m.tanh(x) * v,),
    ),
    Function(
        "sigmoid_slope",
        1,
        r"\sigma'\left($0\right)",
        lambda m, x: m.sigmoid(x) * m.sigmoid(-x),
        lambda m, v, x: (v * (1 - 2 * m.sigmoid(x)),),
    ),
    Function("add", 2, "$0+$1", lambda m, a, b: a + b, lambda m, v, a, b: (1.0, 1.0)),
    Function("sub", 2, "$0-$a1", lambda m, a, b: a - b, lambda m, v, a, b: (1.0, -1.0)),
    Function("mul", 2, r"$a0\,$a1", lambda m, a, b: a * b, lambda m, v, a, b: (b, a)),
    Function(
        "max",
        2,
        r"\max\left($0,$1\right)",
        lambda m, a, b: m.maximum(a, b),
        lambda m, v, a, b: (_larger(m, a, b), _larger(m, b, a)),
    ),
    Function(
        "min",
        2,
        r"\min\left($0,$1\right)",
        lambda m, a, b: m.minimum(a, b),
        lambda m, v, a, b: (_larger(m, b, a), _larger(m, a, b)),
    ),
    Function(
        "div",
        2,
        r"\frac{$0}{$1+\epsilon}",
        lambda m, a, b: a / (b + EPSILON),
        lambda m, v, a, b: (1 / (b + EPSILON), -v / (b + EPSILON)),
    ),
    Function(
        "aq",
        2,
        r"\frac{$0}{\sqrt{1+{$a1}^2}}",
        # hypot, because the square may overflow where the root does not.
        lambda m, a, b: a / m.hypot(1 + 0 * b, b),
        lambda m, v, a, b: (1 / m.hypot(1 + 0 * b, b), -v * b / (1 + b * b)),
    ),
)

FUNCTIONS: dict[str, Function] = {function.name: function for function in _FUNCTIONS}
"""All functions by name."""
UNARY = tuple(name for name, function in FUNCTIONS.items() if function.arity == 1)
BINARY = tuple(name for name, function in FUNCTIONS.items() if function.arity == 2)
ARITIES = {name: function.arity for name, function in FUNCTIONS.items()}
_TEMPLATES = {name: function.template for name, function in FUNCTIONS.items()}


def parse(formula: str) -> Node:
    """The tree of a formula over `y` and `p`; `FormulaError` that names what is not understood."""
    return _parse(formula, functions=ARITIES, variables=VARIABLES)


def latex(formula: str | Node) -> str:
    """A formula as LaTeX without dollar signs, with ŷ for `p`."""
    node = parse(formula) if isinstance(formula, str) and formula not in VARIABLES else formula
    return _latex(node, functions=_TEMPLATES, variables={"y": "y", "p": r"\hat{y}"})
