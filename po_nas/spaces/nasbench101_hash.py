"""The published isomorphism-invariant hash of NAS-Bench-101 modules."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

__all__ = ["module_hash"]


def module_hash(adjacency: Sequence[Sequence[int]], labels: Sequence[int]) -> str:
    """Hash a labelled directed graph such that the order of its vertices does not matter.

    `adjacency` is the (n, n) 0/1 matrix of a pruned graph; `labels` holds one integer per vertex: -1 for the input, -2
    for the output, the operation's number otherwise. A vertex starts with the digest of its out-degree, in-degree and
    label; n times it takes the digest of the sorted digests of its predecessors, those of its successors, and its own.
    The digest of the sorted list is the published name of the module (32 hexadecimal digits).

    References: Ying et al., NAS-Bench-101: Towards Reproducible Neural Architecture Search, ICML 2019,
    arXiv 1902.09635.
    """
    vertices = range(len(labels))
    targets = [[j for j in vertices if adjacency[i][j]] for i in vertices]
    sources = [[i for i in vertices if adjacency[i][j]] for j in vertices]
    digests = [_md5(str((len(targets[v]), len(sources[v]), int(labels[v])))) for v in vertices]
    for _ in vertices:
        digests = [
            _md5("|".join((_joined(digests, sources[v]), _joined(digests, targets[v]), digests[v]))) for v in vertices
        ]
    return _md5(str(sorted(digests)))


def _joined(digests: Sequence[str], chosen: Sequence[int]) -> str:
    return "".join(sorted([digests[v] for v in chosen]))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
