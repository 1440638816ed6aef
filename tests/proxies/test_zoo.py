"""Networks of the families that people use: a score or a sentence, never anything else, and the page says which."""

from __future__ import annotations

import functools
import importlib.util
import math
import re
from pathlib import Path

import pytest

from po_nas.errors import ProxyError, ProxyFailedError
from po_nas.testing.surroundings import changes, state
from tests.proxies.zoo import ZOO, entry

ROOT = Path(__file__).parents[2]


@functools.cache
def script():
    spec = importlib.util.spec_from_file_location("proxies_zoo", ROOT / "docs/proxies_zoo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCORES = {}


def evaluated(name, made=None):
    """The scores of a network of the zoo, computed once."""
    if name not in SCORES:
        SCORES[name] = script().evaluated(made or entry(name))
    return SCORES[name]


@pytest.mark.parametrize("name", ZOO)
def test_every_cell_is_a_number_or_says_why_not(name):
    made = entry(name)
    before = state(made.module, *made.inputs, made.labels)
    found = evaluated(name, made)
    assert not changes(before, state(made.module, *made.inputs, made.labels))
    assert found.values.keys() | found.errors.keys() == set(script().NAMES)
    assert all(math.isfinite(value) for value in found.values.values())
    for proxy, problem in found.errors.items():
        assert isinstance(problem, ProxyError)
        assert problem.reason, proxy
        assert not isinstance(problem, ProxyFailedError), "no refusal, but whatever went wrong inside"


def without_digits(page):
    """The page, every score replaced by #: kernels round differently on other machines."""
    return re.sub(r"(?<=\| )-?\d[\d.e+-]*(?= \|)", "#", page)


def test_the_page_is_current():
    written = script().PAGE.read_text(encoding="utf-8")
    page = script().page({name: evaluated(name) for name in ZOO})
    assert without_digits(page) == without_digits(written), "run python docs/proxies_zoo.py"
    assert without_digits(page).count("#") > 150
