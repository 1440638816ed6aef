"""Constraints between choices: a function of the configuration, or a condition as text that is never run as Python."""

from __future__ import annotations

import ast
import hashlib
import inspect
import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any

from po_nas.errors import short
from po_nas.spaces.declared.errors import DeclarationError

__all__ = ["Condition", "Constraint", "Predicate", "constraint", "source_hash"]

_LONGEST = 2_000


def source_hash(function: object) -> str:
    """A hash of the source of a function; empty where there is none to read."""
    try:
        return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]  # type: ignore[arg-type]
    except (OSError, TypeError):
        return ""


class Constraint:
    """What a configuration must fulfil.

    Attributes:
        name: As printed.
    """

    name: str

    def holds(self, configuration: Mapping[str, Any]) -> bool:
        """Whether a configuration fulfils it; `DeclarationError` where that cannot be said."""
        raise NotImplementedError

    def to_json(self) -> Any:
        """What the record of a run holds."""
        raise NotImplementedError


class Predicate(Constraint):
    """A function of the configuration that returns true or false."""

    def __init__(self, function: Callable[[dict[str, Any]], bool]) -> None:
        self.function = function
        self.name = getattr(function, "__qualname__", type(function).__qualname__)

    def holds(self, configuration: Mapping[str, Any]) -> bool:
        """What the function says; it gets a dict of its own."""
        try:
            return bool(self.function(dict(configuration)))
        except Exception as error:
            reason = f"raised {type(error).__name__} ({error}) for {short(dict(configuration))}"
            raise DeclarationError(f"constraint {self.name}", reason) from error

    def to_json(self) -> dict[str, str]:
        """Its name, and a hash of its source where there is any, so that an edited one is noticed."""
        return {"function": self.name, "source": source_hash(self.function)}


class Condition(Constraint):
    """A comparison of choices as text, such as ``depth * max(width) <= 64`` or ``act == "relu" or lr < 0.1``.

    It may use numbers, strings, the names of choices, ``+ - * / // %``, comparisons, ``in``, ``and``, ``or``, ``not``,
    places in lists (``width[-1]``), and sum, min, max, len and abs. One that names a choice which does not exist in a
    configuration holds there.
    """

    def __init__(self, text: str, choices: Collection[str]) -> None:
        self.name = self._text = text
        if len(text) > _LONGEST:
            raise self._error(f"has more than {_LONGEST:,} characters")
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self._error("is no condition") from error
        self._names = {node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name)} - set(_FUNCTIONS)
        for node in ast.walk(self._tree):
            if not isinstance(node, _ALLOWED):
                raise self._error(f"{type(node).__name__} is not allowed in it")
            if isinstance(node, ast.Call) and not (
                isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS and not node.keywords
            ):
                raise self._error(f"the functions are {', '.join(_FUNCTIONS)}")
        for name in sorted(self._names):
            if name not in choices:
                raise self._error(f"{name} is no choice")
        if not self._names:
            raise self._error("names no choice")

    def holds(self, configuration: Mapping[str, Any]) -> bool:
        """Whether the comparison is true, or names what the configuration does not have."""
        if any(name not in configuration for name in self._names):
            return True
        try:
            return bool(_value(self._tree, configuration))
        except (ArithmeticError, TypeError, ValueError, LookupError, RecursionError) as error:
            raise self._error(f"cannot be computed for {short(dict(configuration))} ({error})") from error

    def to_json(self) -> str:
        """The text."""
        return self._text

    def _error(self, reason: str) -> DeclarationError:
        return DeclarationError(f"constraint {short(self._text)}", reason)


def constraint(given: object, choices: Collection[str]) -> Constraint:
    """A constraint from a text, a function, or one that is there already; `DeclarationError` for anything else."""
    if isinstance(given, Constraint):
        return given
    if isinstance(given, str):
        return Condition(given, choices)
    if callable(given):
        return Predicate(given)
    if isinstance(given, Mapping) and "function" in given:
        raise DeclarationError(
            f"constraint {given['function']}", "is code, which the record of a run does not hold; give the space itself"
        )
    raise DeclarationError("constraints", f"{short(given)} is neither a condition as text nor a function")


_FUNCTIONS: dict[str, Callable[..., Any]] = {"sum": sum, "min": min, "max": max, "len": len, "abs": abs}
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_ALLOWED = (
    *(ast.BoolOp, ast.And, ast.Or, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Name, ast.Load, ast.Constant),
    *(ast.Subscript, ast.List, ast.Tuple),
    *_BINARY,
    *_UNARY,
    *_COMPARED,
)


def _value(tree: ast.expr, names: Mapping[str, Any]) -> Any:
    """The value of an expression whose nodes are all allowed."""
    match tree:
        case ast.BoolOp():
            parts = (_value(part, names) for part in tree.values)
            return all(parts) if isinstance(tree.op, ast.And) else any(parts)
        case ast.BinOp():
            pair = _value(tree.left, names), _value(tree.right, names)
            for side in pair:
                if not isinstance(side, int | float):
                    # A text times a number, say, could be endless.
                    raise TypeError(f"{short(side)} is no number")
            return _BINARY[type(tree.op)](*pair)
        case ast.UnaryOp():
            return _UNARY[type(tree.op)](_value(tree.operand, names))
        case ast.Compare():
            left = _value(tree.left, names)
            for compare, node in zip(tree.ops, tree.comparators, strict=True):
                right = _value(node, names)
                if not _COMPARED[type(compare)](left, right):
                    return False
                left = right
            return True
        case ast.Call(func=ast.Name(id=function)):
            return _FUNCTIONS[function](*(_value(argument, names) for argument in tree.args))
        case ast.Name():
            return names[tree.id]
        case ast.Subscript():
            return _value(tree.value, names)[_value(tree.slice, names)]
        case ast.List() | ast.Tuple():
            return [_value(element, names) for element in tree.elts]
        case ast.Constant():
            return tree.value
    raise TypeError(f"{type(tree).__name__} is not allowed")
