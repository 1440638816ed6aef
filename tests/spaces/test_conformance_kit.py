"""The conformance kit finds what it is meant to find."""

from __future__ import annotations

import builtins
import importlib
import sys

import numpy as np
import pytest

import po_nas.testing
from po_nas.errors import MissingExtraError
from po_nas.spaces.base import Architecture, GraphEncoding, OperationGraph
from po_nas.spaces.cell import NASBench201Space
from po_nas.testing import SpaceConformance
from tests.errors import raised


class OffByOneDistance(NASBench201Space):
    def edit_distance(self, first, second):
        return 2 * super().edit_distance(first, second)


class CappedDistance(NASBench201Space):
    def edit_distance(self, first, second):
        return min(2, super().edit_distance(first, second))


class LopsidedNeighbours(NASBench201Space):
    def neighbours(self, architecture):
        return [near for near in super().neighbours(architecture) if near > architecture]


class NeighbourOfItself(NASBench201Space):
    def neighbours(self, architecture):
        return [*super().neighbours(architecture), architecture]


class TwoStepMutation(NASBench201Space):
    def mutate(self, architecture, rng):
        return super().mutate(super().mutate(architecture, rng), rng)


class ForeignCrossover(NASBench201Space):
    def crossover(self, first, second, rng):
        return self.sample(rng)


class NumpyCodes(NASBench201Space):
    def sample(self, rng):
        return Architecture(self.name, tuple(rng.integers(5, size=6)))


class GlobalRandomness(NASBench201Space):
    def sample(self, rng):
        return self.at(np.random.randint(self.size))  # noqa: NPY002 - the fault


class HashOrder(NASBench201Space):
    def sample(self, rng):
        return self.at(hash(str(rng.integers(self.size))) % self.size)


class LenientStrings(NASBench201Space):
    def from_string(self, text):
        return super().from_string(text.strip("x "))


class NoValidation(NASBench201Space):
    def validate(self, architecture):
        pass


class WideGraph(NASBench201Space):
    def encode_graph(self, architecture):
        graph = super().encode_graph(architecture)
        return GraphEncoding(graph.nodes, graph.adjacency, graph.edges[..., :3], graph.mask)


class BlindVector(NASBench201Space):
    def encode_vector(self, architecture):
        return np.zeros(self.vector_size)


class DanglingOperation(NASBench201Space):
    def operation_graph(self, architecture):
        return OperationGraph(("input", "lost", "output"), ((0, 2),))


class MissingArchitectures(NASBench201Space):
    def enumerate(self):
        return (a for a in super().enumerate() if a.code[0] != 4)


class RawKey(NASBench201Space):
    def canonical(self, architecture):
        return str(architecture.code)


class WithTwins(SpaceConformance):
    def isomorphic(self, architecture, rng):
        e01, e02, e12, e03, e13, e23 = architecture.code
        return Architecture("nasbench201", (e02, e01, 0, e03, e23, e13)) if e12 == 0 else architecture


@pytest.mark.parametrize(
    ("test", "broken"),
    [
        ("test_neighbours", OffByOneDistance),
        ("test_edit_distance_is_the_shortest_path", CappedDistance),
        ("test_neighbours", LopsidedNeighbours),
        ("test_neighbours", NeighbourOfItself),
        ("test_mutation_is_a_neighbour", TwoStepMutation),
        ("test_crossover", ForeignCrossover),
        ("test_string_and_json_round_trips", NumpyCodes),
        ("test_leaves_global_randomness_alone", GlobalRandomness),
        ("test_same_seed_same_architectures_in_another_process", HashOrder),
        ("test_rejects_what_is_no_string_of_the_space", LenientStrings),
        ("test_rejects_what_is_no_json_of_the_space", NoValidation),
        ("test_rejects_another_space", NoValidation),
        ("test_graph_encoding", WideGraph),
        ("test_vector_encoding", BlindVector),
        ("test_operation_graph", DanglingOperation),
        ("test_enumeration", MissingArchitectures),
        ("test_canonical", RawKey),
    ],
)
def test_the_kit_fails_on_a_broken_space(test, broken):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(WithTwins(), test)(space=broken())


class TestClassAttributeMayBeAnInstance(SpaceConformance):
    space = NASBench201Space()


class TestSpaceMayBeAFixture(SpaceConformance):
    @pytest.fixture(params=[NASBench201Space])
    def space(self, request):
        return request.param()


def test_without_pytest_the_kit_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "hypothesis":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "po_nas.testing.spaces")
    monkeypatch.setattr(builtins, "__import__", refuse)
    importlib.reload(po_nas.testing)
    with raised(MissingExtraError, extra="dev"):
        _ = po_nas.testing.SpaceConformance


def test_unknown_attribute():
    with raised(AttributeError, "'Nothing'", "po_nas.testing"):
        _ = po_nas.testing.Nothing
