r"""The functions of evolved proxies: total, bounded and vectorised.

Whatever finite numbers go in, finite numbers within ± `LIMIT` come out; there is no division by zero, no logarithm of
nothing and no overflow. Arrays are float64 of any shape and are taken element by element.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from po_nas.formula import Call, Node

__all__ = ["ARITIES", "EPSILON", "FUNCTIONS", "LATEX", "LIMIT", "Function", "bounded", "evaluate"]

F64: TypeAlias = NDArray[np.float64]

LIMIT = 1e100
"""The largest magnitude of any value; its square is still finite."""
EPSILON = 1e-6
"""What `log_abs` adds before it takes the logarithm."""


@dataclass(frozen=True, slots=True)
class Function:
    r"""One function: `apply` to as many arrays as it has arguments.

    `latex` is a template of `po_nas.formula.latex`, empty where the notation knows the function already.
    `commutative` functions do not mind the order of their two arguments.
    """

    name: str
    arity: int
    apply: Callable[..., F64]
    latex: str
    summary: str
    commutative: bool = False


def bounded(values: F64) -> F64:
    """The values within ± `LIMIT`; infinite ones become the bound, NaN stays."""
    return np.minimum(np.maximum(values, -LIMIT), LIMIT)


def _quotient(a: F64, b: F64) -> F64:
    return np.asarray(a / np.sqrt(1.0 + b * b))


FUNCTIONS: Mapping[str, Function] = {
    f.name: f
    for f in (
        Function("add", 2, lambda a, b: bounded(a + b), "", "a + b", True),
        Function("sub", 2, lambda a, b: bounded(a - b), "", "a - b"),
        Function("mul", 2, lambda a, b: bounded(a * b), "", "a * b", True),
        Function("aq", 2, _quotient, r"\frac{$0}{\sqrt{1 + $a1^{2}}}", "analytic quotient a / sqrt(1 + b²)"),
        Function(
            "log_abs",
            1,
            lambda a: np.log(np.abs(a) + EPSILON),
            r"\log\left(\left|$0\right| + \epsilon\right)",
            f"log(|a| + {EPSILON:g})",
        ),
        Function("sqrt_abs", 1, lambda a: np.sqrt(np.abs(a)), r"\sqrt{\left|$0\right|}", "sqrt(|a|)"),
        Function("square", 1, lambda a: bounded(a * a), "$a0^{2}", "a²"),
        Function("neg", 1, lambda a: -a, "", "-a"),
        Function("abs", 1, np.abs, r"\left|$0\right|", "|a|"),
        Function("max", 2, np.maximum, r"\max\left($0, $1\right)", "the larger", True),
        Function("min", 2, np.minimum, r"\min\left($0, $1\right)", "the smaller", True),
    )
}
"""All functions by name."""

ARITIES: Mapping[str, int] = {name: function.arity for name, function in FUNCTIONS.items()}
"""What `po_nas.formula.parse` wants to know."""

LATEX: Mapping[str, str] = {name: function.latex for name, function in FUNCTIONS.items() if function.latex}
"""What `po_nas.formula.latex` wants to know."""


def evaluate(formula: Node, columns: Mapping[str, F64]) -> F64:
    """A formula's values over finite columns of one shape; a formula without variables gives a single number, ().

    Raises `KeyError` for a variable without a column.
    """
    if isinstance(formula, Call):
        return FUNCTIONS[formula.function].apply(*(evaluate(part, columns) for part in formula.arguments))
    if isinstance(formula, str):
        return bounded(columns[formula])
    return bounded(np.asarray(formula, dtype=np.float64))
