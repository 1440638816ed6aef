"""Formulas as immutable trees: read from text, written as text and as LaTeX; pure Python, no values are computed here.

The text is an arithmetic expression in Python's notation, ``log_abs(nwot) - 0.5 * max(flops, params)``, read through
`ast` with an allow-list and never evaluated by Python. Who computes with a formula (evolved proxies in NumPy,
classification losses in torch) brings the functions and their LaTeX.
"""

from __future__ import annotations

import ast
import math
import string
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from po_nas.errors import FormulaError, short

__all__ = ["Call", "Node", "depth", "latex", "leaves", "parse", "size", "substitute", "text", "walk"]


@dataclass(frozen=True, slots=True)
class Call:
    """A function of one or more arguments."""

    function: str
    arguments: tuple[Node, ...]


Node: TypeAlias = Call | str | float
"""A call, the name of a variable or a constant."""

_BINARY: dict[type[ast.operator], str] = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul"}
_SIGNS = {"add": "+", "sub": "-", "mul": "*"}
_ORDER = {"add": 1, "sub": 1, "mul": 2, "neg": 3}
_ATOM = 4
_LONGEST = 10_000
"""Characters; Python's parser and our recursion stay far from their limits."""


def parse(formula: str, *, functions: Mapping[str, int], variables: Collection[str]) -> Node:
    """The tree of a formula's text.

    `functions` maps names to their number of arguments; ``+``, ``-``, ``*`` stand for `add`, `sub` (two arguments),
    `neg` (one) and `mul` where these are among them. Raises `FormulaError`, which names what is not understood, for
    text that is not a formula over these functions and variables.
    """
    if len(formula) > _LONGEST:
        raise FormulaError(formula[:60] + "…", f"it has more than {_LONGEST:,} characters")
    try:
        tree = ast.parse(formula.strip(), mode="eval").body
        return _read(tree, formula, functions, variables)
    except FormulaError:
        raise
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        raise FormulaError(formula, f"it is no arithmetic expression ({error})") from error


def _read(tree: ast.expr, formula: str, functions: Mapping[str, int], variables: Collection[str]) -> Node:
    def call(name: str, arguments: list[ast.expr]) -> Node:
        if name not in functions:
            known = ", ".join(sorted(functions))
            raise FormulaError(formula, f"there is no function {name!r}; there are {known}", name)
        if len(arguments) != functions[name]:
            raise FormulaError(formula, f"{name} takes {functions[name]} argument(s), not {len(arguments)}", name)
        return Call(name, tuple(_read(argument, formula, functions, variables) for argument in arguments))

    match tree:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as value) if abs(value) <= sys.float_info.max:
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if (
            abs(value) <= sys.float_info.max
        ):
            return -float(value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return call("neg", [operand])
        case ast.Name(id=name):
            if name not in variables:
                known = ", ".join(sorted(variables))
                raise FormulaError(formula, f"there is no variable {name!r}; there are {known}", name)
            return name
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() as operator, right=right):
            return call(_BINARY[type(operator)], [left, right])
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return call(name, arguments)
        case _:
            pass
    part = ast.unparse(tree)
    raise FormulaError(formula, f"{short(part)} is not understood", part)


def text(node: Node) -> str:
    """The formula in the notation that `parse` reads; equal trees have equal texts."""
    return _text(node)[0]


def _text(node: Node) -> tuple[str, int]:
    """A text and how tightly it binds."""
    if isinstance(node, str):
        return node, _ATOM
    if isinstance(node, float):
        number = format(node, ".0f") if node.is_integer() and abs(node) < 1e9 else repr(node)
        return number, _ATOM if math.copysign(1.0, node) > 0 else _ORDER["neg"]
    if node.function in _SIGNS and len(node.arguments) == 2:
        order = _ORDER[node.function]
        (left, binds_left), (right, binds_right) = map(_text, node.arguments)
        left = left if binds_left >= order else f"({left})"
        # An expression to the right of a sign of its own order keeps its brackets: a - (b - c), a + (b + c).
        right = right if binds_right > order else f"({right})"
        return f"{left} {_SIGNS[node.function]} {right}", order
    # -2 is a constant, its negation is neg(2).
    if node.function == "neg" and len(node.arguments) == 1 and not isinstance(node.arguments[0], float):
        inner, binds = _text(node.arguments[0])
        return (f"-{inner}" if binds > _ORDER["neg"] else f"-({inner})"), _ORDER["neg"]
    return f"{node.function}({', '.join(text(argument) for argument in node.arguments)})", _ATOM


def latex(node: Node, *, functions: Mapping[str, str], variables: Mapping[str, str] | None = None) -> str:
    r"""The formula as LaTeX, without dollar signs.

    `functions` maps a function to a template in which ``$0``, ``$1`` stand for arguments as they are and ``$a0``,
    ``$a1`` for arguments in brackets where these are needed; ``add``, ``sub``, ``mul`` and ``neg`` need none.
    `variables` maps a variable to its LaTeX; others are set in upright type.
    """
    return _latex(node, functions, variables or {})[0]


def _latex(node: Node, functions: Mapping[str, str], variables: Mapping[str, str]) -> tuple[str, int]:
    if isinstance(node, str):
        upright = node.replace("_", r"\_")
        return variables.get(node, rf"\mathrm{{{upright}}}"), _ATOM
    if isinstance(node, float):
        mantissa, _, exponent = format(node, ".4g").partition("e")
        number = rf"{mantissa}\cdot 10^{{{int(exponent)}}}" if exponent else mantissa
        return number, _ATOM if math.copysign(1.0, node) > 0 else _ORDER["add"]
    parts = [_latex(argument, functions, variables) for argument in node.arguments]

    def inside(at: int, order: int) -> str:
        return parts[at][0] if parts[at][1] >= order else rf"\left({parts[at][0]}\right)"

    if node.function in _SIGNS and len(parts) == 2:
        order = _ORDER[node.function]
        sign = r"\," if node.function == "mul" else _SIGNS[node.function]
        return f"{inside(0, order)} {sign} {inside(1, order + 1)}", order
    if node.function == "neg" and len(parts) == 1:
        return f"-{inside(0, _ATOM)}", _ORDER["add"]
    values = {str(at): part for at, (part, _) in enumerate(parts)}
    values |= {f"a{at}": inside(at, _ATOM) for at in range(len(parts))}
    template = functions.get(node.function)
    if template is None:
        name = node.function.replace("_", r"\_")
        return rf"\mathrm{{{name}}}\left({', '.join(part for part, _ in parts)}\right)", _ATOM
    return _Template(template).substitute(values), _ATOM


class _Template(string.Template):
    idpattern = r"a?[0-9]"


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, parents first, from left to right."""
    yield node
    if isinstance(node, Call):
        for argument in node.arguments:
            yield from walk(argument)


def size(node: Node) -> int:
    """The number of nodes."""
    return sum(1 for _ in walk(node))


def depth(node: Node) -> int:
    """The number of edges from the root to the farthest leaf; 0 for a leaf."""
    return 1 + max(depth(argument) for argument in node.arguments) if isinstance(node, Call) else 0


def leaves(node: Node) -> tuple[str, ...]:
    """Names of the variables, each once, in the order of their first use."""
    return tuple(dict.fromkeys(part for part in walk(node) if isinstance(part, str)))


def substitute(node: Node, variables: Mapping[str, Node]) -> Node:
    """The formula with variables replaced by formulas; others stay."""
    if isinstance(node, Call):
        return Call(node.function, tuple(substitute(argument, variables) for argument in node.arguments))
    return variables.get(node, node) if isinstance(node, str) else node
