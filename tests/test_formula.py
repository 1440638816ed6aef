"""Formulas: text and tree are one to one, LaTeX brackets what must be, nothing is ever evaluated."""

from __future__ import annotations

import math
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from po_nas.errors import FormulaError
from po_nas.formula import Call, Node, depth, latex, leaves, parse, size, substitute, text, walk

FUNCTIONS = {"add": 2, "sub": 2, "mul": 2, "neg": 1, "aq": 2, "log_abs": 1, "max": 2}
VARIABLES = ("flops", "nwot", "x_1")
LATEX = {"aq": r"\frac{$0}{\sqrt{1+$a1^2}}", "log_abs": r"\ln\left|$0\right|"}


def nodes() -> st.SearchStrategy[Node]:
    leaf: st.SearchStrategy[Node] = st.one_of(
        st.sampled_from(VARIABLES), st.floats(allow_nan=False, allow_infinity=False)
    )

    def calls(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        return st.sampled_from(sorted(FUNCTIONS)).flatmap(
            lambda name: st.tuples(*[inner] * FUNCTIONS[name]).map(lambda arguments: Call(name, arguments))
        )

    return st.recursive(leaf, calls, max_leaves=12)


def value(node: Node, at: dict[str, float]) -> float:
    if isinstance(node, str):
        return at[node]
    if isinstance(node, float):
        return node
    a = [value(argument, at) for argument in node.arguments]
    return {
        "add": lambda: a[0] + a[1],
        "sub": lambda: a[0] - a[1],
        "mul": lambda: a[0] * a[1],
        "neg": lambda: -a[0],
        "aq": lambda: a[0] / math.hypot(1.0, a[1]),
        "log_abs": lambda: math.log(abs(a[0]) + 1.0),
        "max": lambda: max(a),
    }[node.function]()


@given(nodes())
def test_text_and_tree_are_one_to_one(node: Node) -> None:
    assert parse(text(node), functions=FUNCTIONS, variables=VARIABLES) == node


@given(nodes())
def test_the_text_means_in_python_what_the_tree_means(node: Node) -> None:
    at = {"flops": 0.3, "nwot": -1.7, "x_1": 2.0}
    functions = {
        "aq": lambda a, b: a / math.hypot(1.0, b),
        "log_abs": lambda a: math.log(abs(a) + 1.0),
        "max": max,
        "neg": operator.neg,
    }
    try:
        expected = value(node, at)
    except OverflowError:
        return
    found = eval(text(node), {"__builtins__": {}} | functions | at)  # the oracle, in a test alone
    assert found == pytest.approx(expected, nan_ok=True)


@given(nodes())
def test_latex_has_balanced_brackets_and_no_template_left(node: Node) -> None:
    found = latex(node, functions=LATEX, variables={"x_1": "x_1"})
    assert found.count("{") == found.count("}")
    assert found.count(r"\left") == found.count(r"\right")
    assert "$" not in found


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("flops - (nwot - x_1)", r"\mathrm{flops} - \left(\mathrm{nwot} - x_1\right)"),
        ("(flops + nwot) * -2", r"\left(\mathrm{flops} + \mathrm{nwot}\right) \, \left(-2\right)"),
        ("aq(flops, nwot + 1)", r"\frac{\mathrm{flops}}{\sqrt{1+\left(\mathrm{nwot} + 1\right)^2}}"),
        ("max(flops, 1e-7)", r"\mathrm{max}\left(\mathrm{flops}, 1\cdot 10^{-7}\right)"),
        ("-log_abs(nwot)", r"-\ln\left|\mathrm{nwot}\right|"),
    ],
)
def test_latex(formula: str, expected: str) -> None:
    assert latex(
        parse(formula, functions=FUNCTIONS, variables=VARIABLES), functions=LATEX, variables={"x_1": "x_1"}
    ) == (expected)


def test_parts() -> None:
    node = parse("max(flops, nwot) + flops * 2", functions=FUNCTIONS, variables=VARIABLES)
    assert (size(node), depth(node), leaves(node)) == (7, 2, ("flops", "nwot"))
    assert [part for part in walk(node) if isinstance(part, float)] == [2.0]
    assert text(substitute(node, {"flops": "x_1"})) == "max(x_1, nwot) + x_1 * 2"


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("flops +", "no arithmetic expression"),
        ("flop + 1", "no variable 'flop'; there are flops, nwot, x_1"),
        ("exp(flops)", "no function 'exp'"),
        ("max(flops)", r"max takes 2 argument\(s\), not 1"),
        ("flops / nwot", "not understood"),
        ("__import__('os')", "no function"),
        ("flops.real", "not understood"),
        ("True", "not understood"),
        ("1e999", "not understood"),
        ("max(flops, b=nwot)", "not understood"),
        ("(" * 500 + "flops" + ")" * 500, "no arithmetic expression"),
        ("flops+" * 3000 + "flops", "more than"),
    ],
)
def test_what_is_no_formula_is_refused(formula: str, message: str) -> None:
    with pytest.raises(FormulaError, match=message):
        parse(formula, functions=FUNCTIONS, variables=VARIABLES)


@pytest.mark.parametrize("number", ["1e999", "9" * 309, "-" + "9" * 309, "9" * 5000, "-1e400", "0x" + "f" * 400])
def test_numbers_beyond_floats_are_refused(number):
    for formula in (number, f"x + {number}"):
        with pytest.raises(FormulaError):
            parse(formula, functions={"add": 2, "neg": 1}, variables=["x"])
