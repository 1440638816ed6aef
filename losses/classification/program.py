"""A formula made ready to be computed: steps in order, parts that occur twice computed once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from losses.classification.functions import FUNCTIONS, Function, parse
from losses.classification.ops_numpy import NUMPY
from po_nas.formula import Call, Node, walk

__all__ = ["Program"]

Floats = NDArray[np.floating[Any]]


class Program:
    """Computes the formula f(y, p) of `formula` (text or tree) elementwise, and its derivative after p.

    ``values`` and ``values_and_slopes`` take NumPy arrays of one shape and floating dtype; ``run`` takes the namespace
    to compute with. The derivative comes forward with the value, by the chain rule. What overflows is inf or NaN, as
    IEEE arithmetic has it; who must not have that looks (`losses.classification.check`).
    """

    __slots__ = ("constants", "node", "steps")

    def __init__(self, formula: str | Node) -> None:
        self.node: Node = parse(formula) if isinstance(formula, str) else formula
        self.constants = tuple(dict.fromkeys(part for part in walk(self.node) if isinstance(part, float)))
        places: dict[Any, int] = {leaf: at for at, leaf in enumerate(("y", "p", *self.constants))}
        steps: list[tuple[Function, tuple[int, ...]]] = []
        _order(self.node, places, steps)
        # No steps: a formula that is a leaf.
        self.steps = tuple(steps) or ((_SAME, (places[self.node],)),)

    def __reduce__(self) -> tuple[Any, ...]:
        return Program, (self.node,)

    def run(self, m: Any, y: Any, p: Any, slopes: bool = False) -> tuple[Any, Any]:
        """Value and, with `slopes`, derivative (else None) of `y` and `p` of one shape, each of that shape."""
        values = [y, p, *(m.number(constant, p) for constant in self.constants)]
        along: list[Any] = [None, 1.0, *(None for _ in self.constants)]
        for function, places in self.steps:
            arguments = [values[place] for place in places]
            value = function.value(m, *arguments)
            values.append(value)
            if slopes:
                along.append(_chained(m, function, value, arguments, [along[place] for place in places]))
        # A formula of constants has no shape of its own.
        zero = 0 * p
        return values[-1] + zero, zero + (0.0 if along[-1] is None else along[-1]) if slopes else None

    def values(self, y: Floats, p: Floats) -> Floats:
        """f(y, p), of the shape of both."""
        with np.errstate(all="ignore"):
            return np.asarray(self.run(NUMPY, y, p)[0])

    def values_and_slopes(self, y: Floats, p: Floats) -> tuple[Floats, Floats]:
        """f(y, p) and its derivative after p, of the shape of both."""
        with np.errstate(all="ignore"):
            value, slope = self.run(NUMPY, y, p, slopes=True)
        return np.asarray(value), np.asarray(slope)


_SAME = Function("same", 1, "$0", lambda m, x: x, lambda m, v, x: (1.0,))


def _order(node: Node, places: dict[Any, int], steps: list[tuple[Function, tuple[int, ...]]]) -> int:
    """The place of a node's value; what it needs goes before it."""
    if not isinstance(node, Call):
        return places[node]
    key = (node.function, tuple(_order(argument, places, steps) for argument in node.arguments))
    if key not in places:
        # Leaves and steps so far all have one.
        places[key] = len(places)
        steps.append((FUNCTIONS[key[0]], key[1]))
    return places[key]


def _chained(m: Any, function: Function, value: Any, arguments: list[Any], along: list[Any]) -> Any:
    """The derivative of a step; None where nothing in it depends on p."""
    if all(one is None for one in along):
        return None
    total = None
    for slope, one in zip(function.slopes(m, value, *arguments), along, strict=True):
        if one is None:
            continue
        part = slope if isinstance(one, float) and one == 1.0 else slope * one
        total = part if total is None else total + part
    return total
