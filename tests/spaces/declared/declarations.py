"""Declarations that hypothesis makes up: choices of all kinds, nested lists, conditions."""

from __future__ import annotations

from hypothesis import strategies as st

from po_nas.spaces.declared import Categorical, Choice, Float, Int, Ordinal

SCALARS = st.one_of(st.text("abcé \"'", max_size=3), st.integers(-3, 99), st.booleans(), st.none())


@st.composite
def simple(draw) -> Choice:
    kind = draw(st.sampled_from(["categorical", "ordinal", "int", "float", "wide"]))
    if kind == "categorical":
        return Categorical(draw(st.lists(SCALARS, min_size=1, max_size=4, unique_by=str)))
    if kind == "ordinal":
        return Ordinal(draw(st.lists(st.integers(1, 64), min_size=1, max_size=4, unique=True)))
    low = draw(st.integers(1, 9))
    if kind == "float":
        return Float(low / 7, low / 7 + draw(st.floats(1e-3, 1e4)), log=draw(st.booleans()))
    return Int(low, low + draw(st.integers(1, 4) if kind == "int" else st.integers(33, 5000)), log=draw(st.booleans()))


@st.composite
def choices(draw, most: int = 6) -> dict[str, Choice]:
    """Choices that make a space: names a, b, …; each may hang on those before it."""
    found: dict[str, Choice] = {
        "a": draw(st.sampled_from([Int(0, 2), Int(1, 3), Categorical(["x", "y"]), Float(0, 1)]))
    }
    dimensions: dict[str, tuple] = {"a": ()}
    for name in "bcdefgh"[: draw(st.integers(0, most - 1))]:
        choice = draw(simple())
        lengths = [n for n, c in found.items() if isinstance(c, Int) and c.high <= 3 and len(dimensions[n]) < 2]
        if draw(st.integers(0, 4)) == 0:
            choice = Int(draw(st.integers(0, 1)), 2)
        count = draw(st.sampled_from([None, None, 2, *lengths]))
        mine = () if count is None else (count,) if isinstance(count, int) else (*dimensions[count], count)
        able = [n for n, c in found.items() if not c.continuous and mine[: len(dimensions[n])] == dimensions[n]]
        if able and draw(st.booleans()):
            other = draw(st.sampled_from(able))
            positions = draw(st.sets(st.integers(0, min(found[other].count, 4) - 1), min_size=1))
            choice.when = {other: tuple(found[other].value(p) for p in sorted(positions))}
        found[name] = choice if count is None else choice.each(count)
        dimensions[name] = mine
    if found["a"].count == 1:
        found["a"] = Int(1, 2)
    return found
