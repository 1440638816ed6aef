"""The forms of a declaration, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import po_nas
from po_nas import Categorical, Float, Int, Ordinal, spaces
from po_nas.errors import ConfigError, DuplicateNameError
from po_nas.spaces.declared import Choice, DeclarationError, InfeasibleError
from po_nas.spaces.declared.declaration import changes
from tests.errors import raised


def declared(**choices):
    return po_nas.declare("mine", **choices)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Categorical([]),
        lambda: Categorical("relu"),
        lambda: Categorical(["a", "a"]),
        lambda: Categorical([1, 1.0]),
        lambda: Categorical([1, "1"]),
        lambda: Categorical([dict]),
        lambda: Ordinal([float("nan")]),
        lambda: Int(4, 1),
        lambda: Int(1, 1),
        lambda: Int(0, 4, log=True),
        lambda: Int(1.0, 4),
        lambda: Int(0, 10**7),
        lambda: Float(1, 1),
        lambda: Float(2, 1),
        lambda: Float(0.0, 1.0, log=True),
        lambda: Float(-1.0, 1.0, log=True),
        lambda: Float(0, float("inf")),
        lambda: Float("0", 1),
        lambda: Float(1.0, 1.0 + 1e-15),
        lambda: Float(-1e308, 1e308),
        lambda: Categorical(["relu", "\ud800"]),
        lambda: Int(1, 4).each(0),
        lambda: Int(1, 4).each(2.0),
        lambda: Int(1, 4).each(2).each("depth"),
        lambda: Int(1, 4, when="act"),
        lambda: Int(1, 4, when={"act": []}),
    ],
)
def test_choices_that_are_none(make):
    with pytest.raises(DeclarationError) as caught:
        make()
    assert "\n" not in str(caught.value)


ACT = Categorical(["relu", "gelu"])


@pytest.mark.parametrize(
    ("choices", "where"),
    [
        ({}, "mine"),
        ({"a": 3}, "a"),
        ({"a": Categorical([1])}, "mine"),
        ({"class": Int(1, 2)}, "mine.'class'"),
        ({"a-b": Int(1, 2)}, "mine.'a-b'"),
        ({"a": Int(1, 2, when={"b": 1})}, "mine.a"),
        ({"a": Int(1, 2).each("b")}, "mine.a"),
        ({"a": Int(1, 2, when={"a": 1})}, "mine.a"),
        ({"a": Int(1, 2, when={"b": 1}), "b": Int(1, 2, when={"c": 1}), "c": Int(1, 2).each("a")}, "mine.a"),
        ({"a": Int(1, 2, when={"act": "silu"}), "act": ACT}, "mine.a"),
        ({"a": Int(1, 2, when={"f": 0.5}), "f": Float(0, 1)}, "mine.a"),
        ({"a": Int(1, 2).each("act"), "act": ACT}, "mine.a"),
        ({"a": Int(1, 2).each("d"), "d": Int(-1, 2)}, "mine.a"),
        ({"a": Int(1, 2).each("d"), "d": Float(0, 2)}, "mine.a"),
        ({"a": Int(1, 2, when={"op": "relu"}), "op": ACT.each(2)}, "mine.a"),
        ({"a": Int(1, 2, when={"op": "relu"}).each(3), "op": ACT.each(2)}, "mine.a"),
        ({"a": Int(1, 2).each(1001)}, "mine.a"),
    ],
)
def test_declarations_that_make_no_space(choices, where):
    with raised(DeclarationError, where=where) as caught:
        declared(**choices)
    assert "\n" not in str(caught.value)


def test_names_of_spaces():
    for name in ("", "two words", "nasbench201"):
        with pytest.raises(DeclarationError):
            po_nas.declare(name, a=Int(1, 2))


def test_a_circle_is_spelt_out():
    with raised(DeclarationError, "a -> b -> a"):
        declared(a=Int(1, 2, when={"b": 1}), b=Int(1, 2, when={"a": 1}))


def test_constraints_hardly_ever_met_are_refused_with_the_share():
    with raised(InfeasibleError, "lr < 0.0001", space="mine", passed=0, drawn=2000, share=0.0):
        po_nas.declare("mine", lr=Float(0, 1), constraints="lr < 0.0001")
    space = po_nas.declare("mine", lr=Float(0, 1), constraints="lr < 0.02")
    assert space.config_of(space.sample(np.random.default_rng(0)))["lr"] < 0.02


@pytest.mark.parametrize(
    "constraint",
    [
        "lr <",
        "missing < 1",
        "1 < 2",
        "lr ** 2 < 1",
        "lr.real < 1",
        "__import__('os').system('x') or lr",
        "exec(lr)",
        "[x for x in lr]",
        "lambda: lr",
        "act * 9 == 'relu'",
        "act < 3",
        "lr[0] > 1",
        "lr % 0 < 1",
        "lr < " + "1 + " * 1000 + "1",
        3,
        lambda config: config["nothing"],
        {"function": "f", "source": ""},
    ],
)
def test_constraints_that_are_none(constraint):
    with pytest.raises(DeclarationError) as caught:
        po_nas.declare("mine", lr=Float(0, 1), act=ACT, constraints=[constraint])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("condition", "config", "holds"),
    [
        ("a + 2 * b - 1 <= 4 and not c == 'x'", {"a": 1, "b": 2, "c": "y"}, True),
        ("a < b < 3 or c in ['x', 'z']", {"a": 1, "b": 3, "c": "z"}, True),
        ("w[-1] >= w[0] and sum(w) / len(w) == 2", {"w": [1, 3]}, True),
        ("min(w) % 2 == 0", {"w": [1, 3]}, False),
        ("abs(-a) // 2 == 1", {"a": 3}, True),
        ("c is_not", {}, None),
    ],
)
def test_conditions_as_text(condition, config, holds):
    from po_nas.spaces.declared.constraints import Condition

    if holds is None:
        with pytest.raises(DeclarationError):
            Condition(condition, "abcw")
    else:
        assert Condition(condition, "abcw").holds(config) is holds


def test_as_mapping():
    space = po_nas.declare(
        {
            "declare": "mlp",
            "choices": {
                "depth": {"int": [1, 4], "log": True},
                "width": {"ordinal": [8, 16], "each": "depth"},
                "lr": {"float": [0.001, 0.1], "log": True, "when": {"depth": [1, 2]}},
            },
            "constraints": "sum(width) < 40",
        }
    )
    same = po_nas.declare(
        "mlp",
        depth=Int(1, 4, log=True),
        width=Ordinal([8, 16]).each("depth"),
        lr=Float(1e-3, 1e-1, log=True, when={"depth": [1, 2]}),
        constraints=["sum(width) < 40"],
    )
    assert space.declaration() == same.declaration()
    assert changes(space.declaration(), same.declaration()) == []


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"declare": "a"},
        {"declare": "a", "choices": [1]},
        {"declare": 1, "choices": {"a": {"int": [1, 2]}}},
        {"declare": "a", "choices": {"a": {"int": [1, 2]}}, "other": 1},
        {"declare": "a", "choices": {"a": {"int": [1]}}},
        {"declare": "a", "choices": {"a": {"int": 3}}},
        {"declare": "a", "choices": {"a": {"integer": [1, 2]}}},
        {"declare": "a", "choices": {"a": {"int": [1, 2], "float": [1, 2]}}},
        {"declare": "a", "choices": {"a": {"int": [1, 2], "log": "yes"}}},
        {"declare": "a", "choices": {"a": {"ordinal": [1, 2], "log": True}}},
        {"declare": "a", "choices": {"a": {"each": 3}}},
        {"declare": "a", "choices": {"a": [1, 2]}},
        {"declare": "a", "choices": {"a": {"int": [1, 2]}}, "constraints": 5},
    ],
)
def test_mappings_that_declare_nothing(given):
    with pytest.raises(DeclarationError) as caught:
        po_nas.declare(given)
    assert "\n" not in str(caught.value)


def test_as_class_and_as_function():
    try:

        @po_nas.declare
        class small_class:
            """Two choices."""

            a = Int(1, 3)
            b = Categorical(["x", "y"], when={"a": 2})
            constraints = "a > 1"

        @po_nas.declare
        def small_function():
            return {f"a{k}": Int(1, 2) for k in range(3)}

        assert spaces.get("small_class") is small_class
        assert small_class.size == 3
        assert small_class.constraints[0].name == "a > 1"
        assert spaces.get("small_function").size == 8
        assert spaces.registry.entry("small_class").summary == "Two choices."

        with pytest.raises(DuplicateNameError):
            po_nas.declare(type("small_class", (), {"a": Int(1, 2)}))
        assert po_nas.declare("small_class", a=Int(1, 2)).size == 2  # as in a resumed run
        for wrong in (type("other", (), {"a": 3}), lambda: [1], 3):
            with pytest.raises(DeclarationError):
                po_nas.declare(wrong)
    finally:
        for name in ("small_class", "small_function"):
            if name in spaces.registry:
                spaces.registry.remove(name)


def test_what_changed_is_named():
    def space(**choices: Choice):
        return po_nas.declare("s", **choices).declaration()

    first = space(a=Int(1, 2), b=Float(0, 1))
    assert changes(first, first) == []
    for now, names in (
        (space(a=Int(1, 3), b=Float(0, 1)), ["a"]),
        (space(a=Int(1, 2)), ["b"]),
        (space(a=Int(1, 2), b=Float(0, 1), c=Int(1, 2)), ["c"]),
        (space(b=Float(0, 1), a=Int(1, 2)), ["order"]),
        (po_nas.declare("t", a=Int(1, 2), b=Float(0, 1)).declaration(), ["'t'"]),
        (po_nas.declare("s", a=Int(1, 2), b=Float(0, 1), constraints="a > b").declaration(), ["constraints"]),
    ):
        found = changes(first, now)
        assert len(found) == len(names)
        assert all(name in text for name, text in zip(names, found, strict=True))


def test_an_edited_function_is_noticed():
    def first(config):
        return config["a"] < 5

    def second(config):
        return config["a"] < 3

    second.__qualname__ = first.__qualname__
    pair = [po_nas.declare("s", a=Int(1, 3), constraints=f).declaration() for f in (first, second)]
    assert changes(*pair) != []
    assert changes(pair[0], pair[0]) == []


def test_a_bound_of_a_search_on_a_choice_is_said_to_belong_to_the_declaration(tmp_path):
    space = declared(depth=Int(1, 4))
    settings = {
        "space": space,
        "objective": lambda config: 1.0,
        "method": "random",
        "budget": 2,
        "out": tmp_path / "run",
    }
    with raised(ConfigError, key="constraints.depth"):
        po_nas.search(**settings, constraints={"depth": "<= 2"})
    assert not (tmp_path / "run").exists()
