"""Functions with a known optimum."""

from __future__ import annotations

import numpy as np
import pytest

from po_nas.errors import UnknownNameError
from po_nas.testing import analytic_functions
from po_nas.testing.analytic_functions import FunctionProxies
from tests.errors import raised


@pytest.mark.parametrize("name", analytic_functions.names)
def test_nothing_is_above_the_optimum(name):
    places = set()
    for instance in range(3):
        function = analytic_functions.get(name, instance)
        space, rng = function.space, np.random.default_rng(instance)
        best = space.architecture_of(function.optimum)
        assert function(function.optimum) == 0
        assert function(space.config_of(best)) == pytest.approx(0, abs=1e-6)
        near = [*space.neighbours(best)[:50], *(space.sample(rng) for _ in range(50))]
        assert all(function(space.config_of(other)) <= 0 for other in near)
        assert analytic_functions.get(name, instance)(space.config_of(near[-1])) == function(space.config_of(near[-1]))
        places.add(best.code)
    assert len(places) == 3


def test_choices_are_counted():
    assert [len(analytic_functions.get(name).space.choices) for name in analytic_functions.names] == [20, 6, 20, 60]


def test_made_up_proxies_are_of_the_stated_worth():
    function = analytic_functions.get("mixed20", 5)
    space, rng = function.space, np.random.default_rng(0)
    architectures = [space.sample(rng) for _ in range(200)]
    scores = FunctionProxies(function).values(architectures, ("partial", "size"))
    again = FunctionProxies(function).values(architectures[::-1], ("partial",))
    assert np.array_equal(scores[::-1, 0], again[:, 0])
    values = [function(space.config_of(architecture)) for architecture in architectures]
    assert 0.4 < np.corrcoef(values, scores[:, 0])[0, 1] < 0.7
    assert FunctionProxies(function, names=("size",)).names == ("size",)


def test_an_unknown_name():
    with raised(UnknownNameError, "mixed2", name="mixed2"):
        analytic_functions.get("mixed2")
