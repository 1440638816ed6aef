"""The text form of DARTS genotypes, as the field prints them."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

__all__ = ["format_genotype", "parse_genotype"]

Pairs = Sequence[tuple[str, int]]

_CONCAT = (2, 3, 4, 5)


def format_genotype(normal: Pairs, reduce: Pairs) -> str:
    """``Genotype(normal=[('sep_conv_3x3', 0), …], normal_concat=[2, 3, 4, 5], reduce=[…], reduce_concat=…)``."""
    concat = list(_CONCAT)
    return f"Genotype(normal={list(normal)}, normal_concat={concat}, reduce={list(reduce)}, reduce_concat={concat})"


def parse_genotype(text: str) -> tuple[Pairs, Pairs]:
    """The (operation, input) pairs of both cells; nothing in the text is executed.

    ``*_concat`` may be left out or written ``range(2, 6)``. Raises `ValueError` with the reason.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"it cannot be parsed ({type(error).__name__})") from error
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id != "Genotype" or call.args:
        raise ValueError("expected Genotype(normal=[…], normal_concat=[…], reduce=[…], reduce_concat=[…])")
    values: Mapping[str | None, ast.expr] = {keyword.arg: keyword.value for keyword in call.keywords}
    unknown = values.keys() - {"normal", "normal_concat", "reduce", "reduce_concat"}
    if unknown:
        raise ValueError(f"unknown keyword {min(map(str, unknown))!r}")
    for name in ("normal_concat", "reduce_concat"):
        if name in values and _concat(values[name]) != _CONCAT:
            raise ValueError(f"{name} must be [2, 3, 4, 5]")
    cells = []
    for name in ("normal", "reduce"):
        if name not in values:
            raise ValueError(f"{name} is missing")
        cells.append(_pairs(name, values[name]))
    return cells[0], cells[1]


def _pairs(name: str, expression: ast.expr) -> Pairs:
    try:
        pairs = ast.literal_eval(expression)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"{name} is no literal list") from error
    if not isinstance(pairs, list | tuple) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str) and type(pair[1]) is int
        for pair in pairs
    ):
        raise ValueError(f"{name} must be a list of (operation, input) pairs")
    return [(operation, source) for operation, source in pairs]


def _concat(expression: ast.expr) -> tuple[object, ...] | None:
    try:
        if isinstance(expression, ast.Call) and isinstance(expression.func, ast.Name) and expression.func.id == "range":
            return tuple(range(*map(ast.literal_eval, expression.args))[: len(_CONCAT) + 1])
        value = ast.literal_eval(expression)
        return tuple(value) if isinstance(value, list | tuple) else None
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
