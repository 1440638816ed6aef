"""Candidates in groups of alike architectures, with a name for each that a person can read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from po_nas.methods.candidates.proxy_features import ProxyFeatures

__all__ = ["Cluster", "clusters"]

_CLUSTERS = 6
_DESCRIBED = 300
"""Members of a cluster that are counted for its name."""


@dataclass(frozen=True)
class Cluster:
    """Places of the candidates that belong to it, and which operations it has more and less of than the others."""

    label: str
    members: NDArray[np.intp]


def clusters(features: ProxyFeatures, rng: np.random.Generator) -> list[Cluster]:
    """Up to six clusters by k-means over counts of operation sequences, largest first; randomness: `rng`."""
    counts = features.sequences
    spread = counts.std(axis=0)
    scaled = counts[:, spread > 0] / spread[spread > 0]
    k = min(_CLUSTERS, len(counts))
    _, labels = kmeans2(scaled, k, minit="++", seed=rng)
    groups = [np.flatnonzero(labels == number) for number in range(k)]
    groups = sorted((group for group in groups if len(group)), key=len, reverse=True)
    shares = [_operations(features, group, rng) for group in groups]
    everywhere = _operations(features, np.arange(len(counts)), rng)
    return [Cluster(_label(share, everywhere), group) for share, group in zip(shares, groups, strict=True)]


def _operations(features: ProxyFeatures, members: NDArray[np.intp], rng: np.random.Generator) -> Counter[str]:
    """Mean number of each operation in an architecture of the group."""
    listed = features.candidates
    drawn = members if len(members) <= _DESCRIBED else rng.choice(members, _DESCRIBED, replace=False)
    counted: Counter[str] = Counter()
    for place in drawn:
        graph = listed.space.sequence_graph(listed.architectures[place])
        counted.update(label for label in graph.labels if label not in ("input", "output"))
    return Counter({label: count / len(drawn) for label, count in counted.items()})


def _label(share: Counter[str], everywhere: Counter[str]) -> str:
    """The operation that stands out most upwards, and the one that does downwards."""
    differences = {name: share[name] - everywhere[name] for name in sorted(everywhere)}
    if not differences:
        return "no operations"
    more, less = max(differences, key=differences.__getitem__), min(differences, key=differences.__getitem__)
    parts = [f"{share[more]:.1f} × {more}"] if differences[more] > 0 else []
    parts += [f"{share[less]:.1f} × {less}"] if differences[less] < 0 and less != more else []
    return ", ".join(parts) or "as the others"
