"""Features of candidates that others join: only these are encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from po_nas.methods.candidates import MetricPool
from po_nas.methods.metric_bo import Features, prior_mean
from po_nas.spaces.base import Architecture
from po_nas.spaces.ngrams import NGramEncoder

__all__ = ["grown"]


def grown(base: Features, architectures: Sequence[Architecture], z: NDArray[np.float64], pool: MetricPool) -> Features:
    """Candidates with others at the end, whose metrics on the scale of `base` are `z` (a, k).

    `base` are candidates that nobody has joined yet, `pool` those that have a place. Operation sequences that no
    candidate of `base` has share a column: distances from those are exact, among the others they may be too small.
    """
    if not architectures:
        return base
    space = base.pool.candidates.space
    mean = prior_mean(base.z, base.prior)
    fused = (prior_mean(z, base.prior) - mean.mean()) / (mean.std() or 1.0)
    vectors = np.stack([space.encode_vector(architecture) for architecture in architectures])
    sequences = _encoder(base)(architectures).toarray()
    return replace(
        base,
        pool=pool,
        z=np.concatenate([base.z, z]),
        fused=np.concatenate([base.fused, fused]),
        vectors=np.concatenate([base.vectors, vectors]),
        sequences=np.concatenate([base.sequences, sequences]),
    )


@lru_cache(maxsize=2)
def _encoder(base: Features) -> NGramEncoder:
    return NGramEncoder(base.pool.candidates.space, base.pool.candidates.architectures, 3)
