"""Methods with models in spaces of named choices."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest
from scipy.sparse import csr_array

import po_nas
from po_nas import methods
from po_nas.core.objective import Outcome
from po_nas.core.searcher import Domain
from po_nas.methods.candidates.choice_search import climbed
from po_nas.testing import SearcherConformance, analytic_functions
from po_nas.testing.analytic_functions import FunctionProxies
from surrogates.acquisition import GPScorer
from surrogates.labels import clipped_scores
from tests.methods.toy import MetricConformance, drive

SMALL = {"gp_bo": {"initial": 4}, "po_nas": {"initial": 4, "evolve_from": 5, "pool": 40}}


def search(method, function, budget=8, seed=0):
    kind, space = methods.registry.get(method), function.space
    domain = Domain(space, space.canonical, True, budget, space.size, FunctionProxies(function))
    return kind(domain, seed=seed, options=kind.Options(**SMALL[method]))


@pytest.mark.parametrize("method", SMALL)
def test_an_interrupted_search_goes_on_as_if_nothing_had_happened(method):
    function = analytic_functions.get("conditional", 1)

    def value(architecture):
        return function(function.space.config_of(architecture))

    whole = drive(search(method, function), value, 8)
    assert len({t.architecture for t in whole}) == 8
    again = search(method, function)
    for trial in whole[:6]:
        again.restore(trial)
        again.tell(trial.number, Outcome.ok(value(trial.architecture)))
    assert drive(again, value, 2) == whole[6:]


def test_what_joins_the_candidates_of_po_nas_is_bounded():
    function = analytic_functions.get("mixed6", 1)
    found = search("po_nas", function)
    drive(found, lambda a: function(function.space.config_of(a)), 8)
    assert found.explain()["proxies"]["offspring_measured"] == 30


def test_the_climb_goes_beyond_what_sampling_finds():
    space = po_nas.declare(
        "s", **{f"x{k}": po_nas.Float(0.0, 1.0) for k in range(5)}, op=po_nas.Categorical(["a", "b"])
    )
    rng = np.random.default_rng(0)
    known = [space.sample(rng) for _ in range(20)]
    vectors = space.encode_vectors(known)
    targets = clipped_scores(-np.square(vectors - 0.4).sum(1))
    nothing = (csr_array((0, space.vector_size)),)
    scorer = GPScorer((csr_array(vectors),), targets, nothing, rng, groups=space.vector_groups)
    best = known[int(np.argmax(targets))]
    found = climbed(space, scorer, [best], rng, key=space.canonical, known={space.canonical(a) for a in known})
    assert not set(found) & set(known)
    assert len(found) == len(set(found)) == 60
    values = scorer.marginal((csr_array(space.encode_vectors(found)),))
    assert (np.diff(values) <= 1e-9).all()
    sampled = [space.sample(rng) for _ in range(500)]
    assert values[0] > scorer.marginal((csr_array(space.encode_vectors(sampled)),)).max()


@pytest.mark.slow
class TestGPBOByChoice(SearcherConformance):
    method = "gp_bo"
    options = MappingProxyType(SMALL["gp_bo"])
    budget = 8

    def space(self):
        return analytic_functions.get("conditional").space


@pytest.mark.slow
class TestPONASByChoice(MetricConformance):
    method = "po_nas"
    options = MappingProxyType(SMALL["po_nas"])
    budget = 8

    def space(self):
        return analytic_functions.get("conditional").space
