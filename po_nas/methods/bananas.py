"""BANANAS: Thompson sampling from an ensemble of feed-forward networks over paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

import losses
import surrogates
from po_nas.core.trial import Observation
from po_nas.methods.rounds import MutantOptions, MutantSearcher
from po_nas.spaces.base import Architecture, OperationGraph, Space
from surrogates.encodings import Encodings

__all__ = ["BANANAS", "operation_paths"]


class _Options(MutantOptions):
    members: int = Field(5, ge=2, description="networks of the ensemble")
    width: PositiveInt = Field(20, description="units in a layer")
    layers: PositiveInt = Field(10, description="hidden layers")
    steps: PositiveInt = Field(300, description="most optimiser steps of a training")


class BANANAS(MutantSearcher):
    """An ensemble over the path encoding, and independent Thompson sampling of mutants of the best architectures.

    Each round trains `members` networks by absolute percentage error on all evaluations, makes `candidates` mutants of
    the best `parents`, each of them in turn, and evaluates the `queries` whose draws are largest: one draw for each
    candidate from the normal distribution with the mean and the standard deviation of the members' predictions. The
    path encoding has one entry for each sequence of operations from input to output that an evaluated architecture
    has: 1 where the architecture has it; and one that counts the paths not met yet.

    References: White, Neiswanger and Savani, BANANAS: Bayesian Optimization with Neural Architectures for Neural
    Architecture Search, AAAI 2021, arXiv 1910.11858.
    """

    Options = _Options
    options: _Options

    def predict(
        self, candidates: Sequence[Architecture], usable: Sequence[Observation], seed: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """A draw for each candidate from the normal distribution of the members' predictions."""
        o = self.options
        told, inputs = _encoded(self.domain.space, [ob.trial.architecture for ob in usable], candidates)
        network = surrogates.network("mlp", width=o.width, layers=o.layers)
        loss = losses.get("mape")
        members = self.train(network, usable, loss, members=o.members, steps=o.steps, seed=seed, inputs=told)
        predicted = members.predict(inputs).double().numpy()
        draws: NDArray[np.float64] = rng.normal(predicted.mean(axis=0), predicted.std(axis=0))
        return draws


def operation_paths(graph: OperationGraph) -> Counter[tuple[str, ...]]:
    """How often each sequence of operations leads from an input of the graph to an output, both ends included."""
    after: list[list[int]] = [[] for _ in graph.labels]
    for i, j in graph.edges:
        after[i].append(j)
    # Nodes are in topological order, so the paths from all later nodes are known.
    onward: list[Counter[tuple[str, ...]]] = [Counter() for _ in graph.labels]
    for node in reversed(range(len(graph.labels))):
        label = (graph.labels[node],)
        if not after[node]:
            onward[node][label] = 1
        for following in after[node]:
            for path, count in onward[following].items():
                onward[node][label + path] += count
    starts = set(range(len(graph.labels))) - {j for _, j in graph.edges}
    return sum((onward[node] for node in starts), Counter())


def _encoded(
    space: Space, told: Sequence[Architecture], candidates: Sequence[Architecture]
) -> tuple[Encodings, Encodings]:
    """Path encodings of both; the paths are those of the first."""
    first, second = (
        [operation_paths(space.sequence_graph(architecture)) for architecture in group] for group in (told, candidates)
    )
    columns = {path: column for column, path in enumerate(sorted({path for paths in first for path in paths}))}
    return _vectors(first, columns), _vectors(second, columns)


def _vectors(paths: Iterable[Counter[tuple[str, ...]]], columns: dict[tuple[str, ...], int]) -> Encodings:
    """One node for each architecture, its features the encoding."""
    listed = list(paths)
    nodes = torch.zeros(len(listed), 1, len(columns) + 1)
    for row, found in zip(nodes[:, 0], listed, strict=True):
        for path in found:
            row[columns.get(path, len(columns))] += 1
    pairs = torch.zeros(len(listed), 1, 1)
    return Encodings(nodes, pairs, pairs[..., None], torch.ones(len(listed), 1, dtype=torch.bool))
