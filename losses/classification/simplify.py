"""A shorter form of a formula, which computes the same."""

from __future__ import annotations

import math

import numpy as np

from losses.classification.functions import FUNCTIONS, parse
from losses.classification.program import Program
from po_nas.formula import Call, Node, size

__all__ = ["simplified"]

_EVEN = {"abs", "square", "log", "log10", "sqrt", "i0", "i0e", "softsign_slope", "tanh_slope", "sigmoid_slope"}
_ODD = {"sinh", "arsinh", "tanh", "arctan", "sin", "erf", "i1", "i1e", "softsign"}
_NOT_NEGATIVE = {"exp", "abs", "sigmoid", "softsign_slope", "softplus", "erfc", "i0", "i0e", "max0", "square", "sqrt"}
_NOT_NEGATIVE |= {"tanh_slope", "sigmoid_slope"}


def simplified(formula: str | Node) -> Node:
    """The formula with constants folded, double signs and what does nothing removed, or itself.

    The result is compared with the formula over the unit square and given back only where both agree to a relative
    1e-9 and where both are finite.
    """
    node = parse(formula) if isinstance(formula, str) else formula
    shorter = _simplified(node)
    return shorter if size(shorter) < size(node) and _same(node, shorter) else node


def _simplified(node: Node) -> Node:
    while isinstance(node, Call):
        arguments = tuple(_simplified(argument) for argument in node.arguments)
        found = _rewritten(Call(node.function, arguments))
        if found == node:
            return node
        node = found
    return node


def _rewritten(node: Call) -> Node:
    name, arguments = node.function, node.arguments
    if all(isinstance(argument, float) for argument in arguments):
        value = float(Program(node).values(np.zeros(1), np.zeros(1))[0])
        return value if math.isfinite(value) else node
    return _of_one(node, name, arguments[0]) if len(arguments) == 1 else _of_two(node, name, *arguments)


def _of_one(node: Call, name: str, x: Node) -> Node:
    inner = _negated(x)
    if name == "neg" and inner is not None:
        return inner
    if name == "neg" and isinstance(x, Call) and x.function == "sub":
        return Call("sub", x.arguments[::-1])
    if name in _EVEN and inner is not None:
        return Call(name, (inner,))
    if name in _ODD and inner is not None:
        return Call("neg", (Call(name, (inner,)),))
    if _not_negative(x) and name in ("abs", "max0"):
        return x
    if _not_negative(x) and name == "min0":
        return 0.0
    if name in ("square", "sqrt", "log", "log10") and isinstance(x, Call) and x.function == "abs":
        return Call(name, x.arguments)
    return node


def _of_two(node: Call, name: str, a: Node, b: Node) -> Node:
    inner = _negated(b)
    match name:
        case "add" if inner is not None:
            return Call("sub", (a, inner))
        case "add" if (left := _negated(a)) is not None:
            return Call("sub", (b, left))
        case "sub" if inner is not None:
            return Call("add", (a, inner))
        case "add" | "sub" if b == 0.0:
            return a
        case "add" if a == 0.0:
            return b
        case "sub" if a == 0.0:
            return Call("neg", (b,))
        case "sub" if a == b:
            return 0.0
        case "max" | "min" if a == b:
            return a
        case "mul" if 0.0 in (a, b):
            return 0.0
        case "mul" if a in (1.0, -1.0):
            return b if a == 1.0 else Call("neg", (b,))
        case "mul" if b in (1.0, -1.0):
            return a if b == 1.0 else Call("neg", (a,))
        case "mul" if a == b:
            return Call("square", (a,))
        case "div" if a == 1.0:
            return Call("inv", (b,))
        case _:
            return node


def _negated(node: Node) -> Node | None:
    """x, of -x; None of anything else. A constant other than 1 is left alone."""
    if isinstance(node, Call) and node.function == "neg":
        return node.arguments[0]
    return 1.0 if node == -1.0 else None


def _not_negative(node: Node) -> bool:
    if isinstance(node, Call):
        return node.function in _NOT_NEGATIVE
    return isinstance(node, str) or node >= 0


def _same(one: Node, other: Node) -> bool:
    y, p = np.meshgrid(np.linspace(0, 1, 11), np.concatenate([[1e-7, 1e-4], np.linspace(0.01, 0.999, 50)]))
    found, expected = Program(other).values(y, p), Program(one).values(y, p)
    finite = np.isfinite(expected)
    return bool(np.array_equal(finite, np.isfinite(found))) and np.allclose(found[finite], expected[finite], 1e-9, 1e-9)


assert set(FUNCTIONS) >= _EVEN | _ODD | _NOT_NEGATIVE
