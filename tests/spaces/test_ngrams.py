"""Operation n-grams."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from po_nas import spaces
from po_nas.spaces.base import OperationGraph
from po_nas.spaces.ngrams import NGramEncoder, operation_ngrams

CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_3x3~0|none~1|avg_pool_3x3~2|"


def test_the_counts_of_one_cell():
    """input → conv → skip → pool → output, and beside it input → conv → output."""
    space = spaces.get("nasbench201")
    graph = space.operation_graph(space.from_string(CELL))
    conv, skip, pool = "nor_conv_3x3", "skip_connect", "avg_pool_3x3"
    ones = {("input",): 1, (conv,): 2, (skip,): 1, (pool,): 1, ("output",): 1}
    twos = {("input", conv): 2, (conv, skip): 1, (skip, pool): 1, (pool, "output"): 1, (conv, "output"): 1}
    threes = {("input", conv, skip): 1, (conv, skip, pool): 1, (skip, pool, "output"): 1, ("input", conv, "output"): 1}
    assert operation_ngrams(graph, 1) == Counter(ones)
    assert operation_ngrams(graph, 2) == Counter(ones | twos)
    assert operation_ngrams(graph, 3) == Counter(ones | twos | threes)


def test_walks_are_counted_with_their_multiplicity():
    diamond = OperationGraph(("input", "a", "a", "output"), ((0, 1), (0, 2), (1, 3), (2, 3), (0, 3)))
    assert operation_ngrams(diamond, 3)["input", "a", "output"] == 2
    assert operation_ngrams(diamond, 5) == operation_ngrams(diamond, 3)


@pytest.mark.parametrize("name", ["nasbench101", "transnas_micro"])
def test_isomorphic_architectures_are_equal(name):
    """Whatever the canonical key of these spaces merges has the same features; few others do."""
    space, rng = spaces.get(name), np.random.default_rng(0)
    start = [space.sample(rng) for _ in range(150)]
    sample = [*start, *(neighbour for a in start for neighbour in space.neighbours(a)[:8])]
    classes: dict[str, list] = {}
    for architecture in sample:
        found = operation_ngrams(space.operation_graph(architecture), 4)
        classes.setdefault(space.canonical(architecture), []).append(tuple(sorted(found.items())))
    groups = list(classes.values())
    assert all(len(set(group)) == 1 for group in groups)
    assert len(groups) < len(sample), "some must have been merged"
    assert len({group[0] for group in groups}) > 0.5 * len(groups)


def test_permuted_graphs_are_equal():
    rng = np.random.default_rng(0)
    space = spaces.get("nasbench101")
    for _ in range(50):
        graph = space.operation_graph(space.sample(rng))
        order = rng.permutation(len(graph.labels))
        place = {int(node): k for k, node in enumerate(order)}
        shuffled = OperationGraph(
            tuple(graph.labels[node] for node in order), tuple((place[i], place[j]) for i, j in graph.edges)
        )
        assert operation_ngrams(shuffled, 4) == operation_ngrams(graph, 4)


@pytest.mark.parametrize("name", spaces.names())
def test_distances_to_references_are_exact(name):
    """Counts that the references lack go into one column by their norm: no distance to a reference changes."""
    space, rng = spaces.get(name), np.random.default_rng(1)
    references, others = [space.sample(rng) for _ in range(6)], [space.sample(rng) for _ in range(30)]
    encode = NGramEncoder(space, references, 3)
    first, second = encode(references).toarray(), encode(others).toarray()
    np.testing.assert_array_equal(encode.references.toarray(), first)
    assert first.shape[1] == second.shape[1]
    assert (first[:, -1] == 0).all()
    assert (second[:, -1] > 0).any(), "some of the others must have something new"
    count = [operation_ngrams(space.sequence_graph(a), 3) for a in (*references, *others)]
    for r, row in enumerate(first):
        for o, other in enumerate(second):
            a, b = count[r], count[len(references) + o]
            exact = sum((a[key] - b[key]) ** 2 for key in {*a, *b}) ** 0.5
            assert np.linalg.norm(row - other) == pytest.approx(exact, abs=1e-9)


def test_shapes_and_empty_lists():
    space = spaces.get("nasbench201")
    encode = NGramEncoder(space, [space.from_string(CELL)], 2)
    assert encode.references.shape == (1, 11)
    assert encode([]).shape == (0, 11)
    assert encode.references.sum() == 12
    assert encode.references.dtype == np.float64


_SCRIPT = """
import hashlib, numpy as np
from po_nas import spaces
from po_nas.spaces.ngrams import NGramEncoder
space, rng = spaces.get("darts"), np.random.default_rng(3)
found = [space.sample(rng) for _ in range(20)]
print(hashlib.sha256(NGramEncoder(space, found[:10])(found).toarray().tobytes()).hexdigest())
"""


def test_columns_are_the_same_in_every_process():
    digests = {
        subprocess.run(
            [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True, timeout=60,
            cwd=Path(__file__).parents[2], env={"PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    space, rng = spaces.get("darts"), np.random.default_rng(3)
    found = [space.sample(rng) for _ in range(20)]
    here = hashlib.sha256(NGramEncoder(space, found[:10])(found).toarray().tobytes()).hexdigest()
    assert digests == {here}
