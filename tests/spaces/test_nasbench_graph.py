"""NAS-Bench-Graph: the published records are exactly the classes of the space."""

from __future__ import annotations

import importlib.util
import itertools
from collections import Counter
from pathlib import Path

import pytest

from po_nas.benchmarks.unpickle import read_pickle_bytes
from po_nas.errors import InvalidArchitectureError
from po_nas.spaces.base import Architecture
from po_nas.spaces.nasbench_graph import WIRINGS, NASBenchGraphProteinsSpace, NASBenchGraphSpace
from po_nas.testing import SpaceConformance
from tests.errors import raised

SPACE = NASBenchGraphSpace()
PROTEINS = NASBenchGraphProteinsSpace()


def renumbered(architecture, rng):
    """The same tree with its layers in another order that is one of the nine wirings."""
    parents, layers = (0, *WIRINGS[architecture.code[0]]), (None, *architecture.code[1:])
    twins = []
    for order in itertools.permutations((1, 2, 3, 4)):
        new = {0: 0, **{old: k for k, old in enumerate(order, 1)}}
        wiring = tuple(new[parents[old]] for old in order)
        if wiring in WIRINGS:
            twins.append((WIRINGS.index(wiring), *(layers[old] for old in order)))
    return Architecture(architecture.space, twins[int(rng.integers(len(twins)))])


class TestConformance(SpaceConformance):
    space = NASBenchGraphSpace

    def isomorphic(self, architecture, rng):
        return renumbered(architecture, rng)


class TestProteinsConformance(SpaceConformance):
    space = NASBenchGraphProteinsSpace

    def isomorphic(self, architecture, rng):
        return renumbered(architecture, rng)


def published_keys(dataset: str) -> set[int]:
    found = importlib.util.find_spec("nas_bench_graph")
    assert found is not None
    assert found.origin is not None
    path = Path(found.origin).parent / "light" / f"{dataset}.bench"
    return set(read_pickle_bytes(path.read_bytes(), path))


@pytest.mark.parametrize(
    ("space", "dataset", "count"), [(SPACE, "cora", 26206), (SPACE, "arxiv", 26206), (PROTEINS, "proteins", 2021)]
)
def test_each_class_holds_one_published_record(space, dataset, count):
    keys = published_keys(dataset)
    classes = Counter(space.canonical(space.from_hash(key)) for key in keys)
    assert len(keys) == len(classes) == count
    assert classes.keys() == {space.canonical(architecture) for architecture in space.enumerate()}


def test_published_integers():
    architecture = SPACE.from_string("0-0-1-2|gcn-gat-skip-fc")
    assert architecture.code == (3, 1, 0, 8, 7)
    assert SPACE.hash_key(architecture) == 31087
    assert SPACE.from_hash(31087) == architecture
    # the two spaces share the integers, not the codes
    assert PROTEINS.from_hash(81478).code == (8, 0, 1, 3, 4)
    assert PROTEINS.hash_key(PROTEINS.from_hash(81478)) == 81478


@pytest.mark.parametrize("key", [-1, 8888, 88888, 90000, 100000])
def test_rejects_integers_outside_the_table(key):
    with pytest.raises(InvalidArchitectureError):
        SPACE.from_hash(key)


def test_proteins_rejects_operations_it_lacks():
    with pytest.raises(InvalidArchitectureError):
        PROTEINS.from_hash(10000)


@pytest.mark.parametrize("text", ["0-0-0-2|gcn-gcn-gcn-gcn", "0-0-0-0|gcn-gcn-gcn", "0-0-0-0|gcn-gcn-gcn-conv"])
def test_rejects_near_misses(text):
    with pytest.raises(InvalidArchitectureError):
        SPACE.from_string(text)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("0-0-0-0|gcn-gat-fc-gin", "0-0-0-0|gin-fc-gat-gcn"),  # siblings in any order
        ("0-1-2-3|skip-gcn-gat-fc", "0-1-2-3|gcn-skip-gat-fc"),  # an inner skip is the identity
        ("0-1-2-3|gcn-gat-fc-skip", "0-1-2-3|skip-gcn-gat-fc"),  # so is a last one without siblings
        ("0-0-1-3|gcn-skip-gat-fc", "0-1-2-3|gcn-gat-fc-skip"),  # the output holds no raw input
        ("0-0-1-2|gcn-gat-skip-fc", "0-0-1-3|gat-gcn-fc-skip"),
    ],
)
def test_skips_that_change_nothing(first, second):
    assert SPACE.canonical(SPACE.from_string(first)) == SPACE.canonical(SPACE.from_string(second))


def test_a_skip_beside_a_layer_is_no_identity():
    beside = SPACE.from_string("0-1-1-2|gcn-gat-skip-fc")
    assert SPACE.canonical(beside) == "gcn(gat(fc),skip)"
    assert SPACE.canonical(beside) != SPACE.canonical(SPACE.from_string("0-1-2-3|gcn-gat-fc-skip"))


def test_four_skips_are_no_architecture():
    with raised(InvalidArchitectureError, "skip", space="nasbench_graph", value=(4, 8, 8, 8, 8)):
        SPACE.validate(Architecture("nasbench_graph", (4, 8, 8, 8, 8)))
    last = SPACE.from_string("0-0-1-3|skip-skip-skip-gcn")
    assert len(SPACE.neighbours(last)) == 8 + 4 * 8 - 1


@pytest.mark.parametrize("space", [SPACE, PROTEINS])
def test_index_is_the_position_in_the_enumeration(space):
    for position, architecture in enumerate(space.enumerate()):
        assert space.index(architecture) == position
        assert space.at(position) == architecture


def test_graph_of_a_known_architecture():
    graph = SPACE.operation_graph(SPACE.from_string("0-0-1-2|gcn-gat-skip-fc"))
    assert graph.labels == ("input", "gcn", "gat", "skip", "fc", "output")
    assert graph.edges == ((0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 5))
