"""Counts of operations and of consecutive pairs of operations: features of an architecture's graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import csr_array

from po_nas.spaces.base import Architecture, OperationGraph, Space

__all__ = ["NGramEncoder", "operation_ngrams"]

NGram = tuple[str, ...]


def operation_ngrams(graph: OperationGraph, n: int = 2) -> Counter[NGram]:
    """How often each sequence of 1 … `n` operations occurs along the edges of an operation graph.

    These are the label sequences of all walks of up to `n` nodes, so two architectures are alike when they use the same
    operations in the same places relative to each other and to input and output. Isomorphic architectures have equal
    counts. ``n=2`` counts nodes and edges by label.
    """
    after: list[list[int]] = [[] for _ in graph.labels]
    for i, j in graph.edges:
        after[i].append(j)
    counts: Counter[NGram] = Counter()
    # Each walk as its labels and its last node.
    walks: list[tuple[NGram, int]] = [((label,), node) for node, label in enumerate(graph.labels)]
    for length in range(1, n + 1):
        counts.update([labels for labels, _ in walks])
        if length < n:
            walks = [((*labels, graph.labels[node]), node) for labels, last in walks for node in after[last]]
    return counts


class NGramEncoder:
    """Counts over the n-grams of the reference architectures, and one column for all others.

    The last column is the Euclidean norm of the counts that the vocabulary lacks, so the distance between any
    architecture and a reference one is exact. `references` are the reference architectures' own counts, sparse, of
    shape (number of references, size of the vocabulary + 1).
    """

    def __init__(self, space: Space, references: Iterable[Architecture], n: int = 3) -> None:
        self._space, self._n = space, n
        counted = [self._count(architecture) for architecture in references]
        met = dict.fromkeys(ngram for counts in counted for ngram in counts)
        self._columns = {ngram: column for column, ngram in enumerate(met)}
        self.references = self._matrix(counted)

    def __call__(self, architectures: Sequence[Architecture]) -> csr_array:
        """Sparse float64 counts of shape (len(architectures), size of the vocabulary + 1)."""
        return self._matrix([self._count(architecture) for architecture in architectures])

    def _count(self, architecture: Architecture) -> Counter[NGram]:
        return operation_ngrams(self._space.sequence_graph(architecture), self._n)

    def _matrix(self, counted: Sequence[Counter[NGram]]) -> csr_array:
        last = len(self._columns)
        values: list[float] = []
        columns: list[int] = []
        ends = [0]
        for counts in counted:
            other = 0
            for ngram, count in counts.items():
                column = self._columns.get(ngram)
                if column is None:
                    other += count * count
                else:
                    values.append(count)
                    columns.append(column)
            if other:
                values.append(other**0.5)
                columns.append(last)
            ends.append(len(values))
        return csr_array((np.array(values, float), np.array(columns, int), ends), shape=(len(counted), last + 1))
