from __future__ import annotations

import importlib
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from po_nas import source_code
from po_nas.source_code import code_hash


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("hashed_")]:
        del sys.modules[name]


def hashed(name, attribute="f"):
    for module in [module for module in sys.modules if module.startswith("hashed_")]:
        del sys.modules[module]
    source_code._of_file.cache_clear()
    importlib.invalidate_caches()
    return code_hash(getattr(importlib.import_module(name), attribute))


def test_a_change_anywhere_in_the_file_changes_it(folder):
    path = folder / "hashed_one.py"
    path.write_text("def g(): return 1\ndef f(): return g()\nclass K:\n    def __call__(self): return 1\nk = K()\n")
    first = hashed("hashed_one")
    assert hashed("hashed_one") == first
    assert hashed("hashed_one", "k") == hashed("hashed_one", "k")
    assert hashed("hashed_one", "f") != hashed("hashed_one", "g")
    path.write_text(path.read_text().replace("return 1", "return 2", 1))
    assert hashed("hashed_one") != first


def test_a_change_in_another_file_of_the_package_changes_it(folder):
    package = folder / "hashed_two"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "a.py").write_text("from .b import g\ndef f(): return g()\n")
    (package / "b.py").write_text("def g(): return 1\n")
    first = hashed("hashed_two.a")
    (package / "b.py").write_text("def g(): return 2\n")
    assert hashed("hashed_two.a") != first


def test_arguments_of_a_partial_count():
    assert code_hash(partial(int, base=2)) != code_hash(partial(int, base=3))
    assert code_hash(hashed) != code_hash(hashed, folder)


class Builder:
    def __init__(self, width):
        self.width = width

    def __call__(self):
        return self.width

    def build(self):
        return self.width


def test_what_functions_and_objects_hold_counts():
    def closed(width):
        def build(extra=0):
            return width + extra

        return build

    def given(width):
        def build(extra=width):
            return extra

        return build

    def recursive(width):
        def build(n):
            return build(n - 1) if n else width

        return build

    for make in (
        closed,
        given,
        recursive,
        Builder,
        lambda width: Builder(width).build,
        lambda width: Builder([{width}]),
    ):
        assert code_hash(make(1)) == code_hash(make(1))
        assert code_hash(make(1)) != code_hash(make(2))
    assert code_hash(closed(1)) != code_hash(given(1))
    # Of what nobody can look into no two are taken for one.
    first = closed(np.random.default_rng(0))
    assert code_hash(first) != code_hash(first)


@pytest.mark.parametrize(
    "make",
    [
        lambda value: np.full(3, value),
        lambda value: np.full((3, 2), value).T,
        lambda value: np.float32(value),
        lambda value: torch.full((3,), float(value)),
        lambda value: torch.full((3,), value, dtype=torch.bfloat16),
        lambda value: torch.full((2, 3), float(value)).T,
        lambda value: torch.nn.CrossEntropyLoss(label_smoothing=value / 10),
        lambda value: torch.nn.CrossEntropyLoss(weight=torch.full((3,), float(value))),
        lambda value: [torch.float32, torch.float64][value - 1],
        lambda value: range(value),
        lambda value: Path("a") / str(value),
        lambda value: torch.nn.Sequential(torch.nn.Flatten(value)),
    ],
)
def test_numbers_count_by_what_they_are(make):
    def around(value):
        return lambda: value

    assert code_hash(around(make(1))) == code_hash(around(make(1)))
    assert code_hash(around(make(1))) != code_hash(around(make(2)))
    held = make(1)
    if isinstance(held, torch.Tensor):
        before = code_hash(around(held))
        held.mul_(5)
        assert code_hash(around(held)) != before


SCALE = 1.0


def test_other_processes_agree(tmp_path):
    """Whatever order a set of texts has there."""
    code = "def f(x): return x in {'a', 'bc', 'def', 'ghij'}\ndef g(x, of=frozenset(('a', 'bc', 'def'))): return of\n"
    (tmp_path / "texts.py").write_text(code)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import texts; from po_nas.source_code import code_hash as h; "
    )
    program += "print(h(texts.f), h(texts.g))"
    found = {
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


def test_functions_of_one_name_are_told_apart_and_so_are_values_of_their_module(monkeypatch):
    assert code_hash(lambda x: x) != code_hash(lambda x: 3 * x)
    assert code_hash(torch.nn.functional.mse_loss) != code_hash(torch.nn.functional.l1_loss)
    assert code_hash(torch.nn.NLLLoss()) != code_hash(torch.nn.MSELoss())

    def scaled(x):
        return SCALE * x

    before = code_hash(scaled)
    assert code_hash(scaled) == before
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    assert code_hash(scaled) != before


def test_what_has_no_source_is_like_nothing_else():
    namespace: dict[str, object] = {"__name__": "nowhere"}
    exec("def f(): return 1", namespace)
    assert code_hash(namespace["f"]) != code_hash(code_hash)
