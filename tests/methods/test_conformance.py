"""Every built-in method passes the kit that plug-in authors run."""

from types import MappingProxyType

import pytest

from po_nas.core.searcher import Domain, Proposal
from po_nas.methods.model_free import RegularizedEvolution
from po_nas.testing import SearcherConformance


class TestRandom(SearcherConformance):
    method = "random"
    learns = False


class TestRegularizedEvolution(SearcherConformance):
    method = "regularized_evolution"
    options = MappingProxyType({"population": 6, "sample": 3})


class TestMORegularizedEvolution(SearcherConformance):
    method = "mo_regularized_evolution"
    options = MappingProxyType({"population": 6, "sample": 3})


class TestNSGA2(SearcherConformance):
    method = "nsga2"
    options = MappingProxyType({"population": 5})


class TestASHA(SearcherConformance):
    method = "asha"
    learns = False


class TestASHAOfManyRungs(SearcherConformance):
    method = "asha"
    learns = False
    options = MappingProxyType({"eta": 2, "lowest": 3})


class TestHyperband(SearcherConformance):
    method = "hyperband"
    learns = False
    budget = 40


class TestSuccessiveHalving(SearcherConformance):
    method = "hyperband"
    learns = False
    options = MappingProxyType({"brackets": 1})


class TestLocalSearch(SearcherConformance):
    method = "local_search"
    options = MappingProxyType({"initial": 3})


class TestGPBO(SearcherConformance):
    method = "gp_bo"
    options = MappingProxyType({"initial": 4})
    budget = 8


@pytest.mark.slow
class TestGPBOInALargeSpace(SearcherConformance):
    """Candidates come from evolution where the space cannot be enumerated."""

    method = "gp_bo"
    options = MappingProxyType({"initial": 4, "population": 12, "generations": 3, "ngrams": 2})
    budget = 8
    space_name = "darts"


class TestPWLNAS(SearcherConformance):
    method = "pwlnas"
    options = MappingProxyType({"initial": 4, "queries": 2, "candidates": 6, "steps": 5, "population": 4})
    budget = 8


class Forgetful(RegularizedEvolution):
    """Counts its own trials alone."""

    def propose(self, rng):
        if self.asked < 4:
            return Proposal(self.draw_unseen(rng), "initial")
        return super().propose(rng)


def test_the_kit_notices_who_ignores_the_warm_start():
    class Kit(SearcherConformance):
        budget = 12

        def searcher(self, objective, seed):
            domain = Domain(objective.space, objective.identity, objective.metric.maximize, self.budget)
            return Forgetful(domain, seed=seed, options=Forgetful.Options(population=6, sample=3))

    Kit().test_warm_start()
    with pytest.raises(AssertionError, match="warm-start"):
        Kit().test_initial_design_counts_the_warm_start()
