"""Every built-in method passes the kit that plug-in authors run."""

from types import MappingProxyType

from po_nas.testing import SearcherConformance


class TestRandom(SearcherConformance):
    method = "random"
    learns = False


class TestRegularizedEvolution(SearcherConformance):
    method = "regularized_evolution"
    options = MappingProxyType({"population": 6, "sample": 3})


class TestLocalSearch(SearcherConformance):
    method = "local_search"
    options = MappingProxyType({"initial": 3})


class TestGPBO(SearcherConformance):
    method = "gp_bo"
    options = MappingProxyType({"initial": 4})
    budget = 8


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
