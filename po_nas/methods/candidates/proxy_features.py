"""Candidates as a Gaussian process sees them: encodings, normalised proxy scores, and the order these give alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from po_nas.methods.candidates.candidate_set import CandidateSet
from po_nas.proxy_scores.transfer import PREFIX
from po_nas.spaces.base import Architecture
from proxies.normalise import NormalScores
from surrogates.candidate_kernels import Similarity
from surrogates.encodings import Encodings
from surrogates.labels import standard_scale
from surrogates.marginalised_gp import ModelHypothesis

__all__ = ["TRUSTED", "ProxyFeatures"]

TRUSTED = (
    *("params", "flops", "nwot", "naswot_authors", "jacov", "synflow", "zen"),
    *("swap", "meco", "zico", "az_expressivity", "az_progressivity", "az_trainability"),
)
"""Proxies whose mean rank orders architectures before anything is known; others enter with weights that are learned.

Chosen from published comparisons (NAS-Bench-Suite-Zero, arXiv 2210.03230; AZ-NAS, arXiv 2403.19232; MeCo, NeurIPS
2023; SWAP, arXiv 2403.04161): those that rarely order the wrong way.
"""
_NGRAMS = 3
F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class ProxyFeatures:
    """m candidates described.

    All trusted proxies together weigh as much in `prior` as what is known of each other task.

    Attributes:
        candidates: Those that have a place; rows after them are only predicted.
        normaliser: The scale of the proxy scores.
        z: Normal scores of k proxies (m, k).
        prior: Weights (k,) of the proxies before anything is observed, summing to 1.
        fused: Mean normal score under these weights (m,), standardised.
        vectors: Vector encodings (m, d).
        sequences: Counts of operation sequences (m, s); the vectors again in a space of named choices, whose
            sequences say nothing more.
        base: The candidates of the first rows.
        added: The architectures of the other rows.
    """

    candidates: CandidateSet
    normaliser: NormalScores
    z: F64
    prior: F64
    fused: F64
    vectors: F64
    sequences: F64
    base: CandidateSet
    added: tuple[Architecture, ...] = ()

    @classmethod
    def of(cls, candidates: CandidateSet) -> ProxyFeatures:
        """The features of candidates, on a scale that is fitted to them."""
        normaliser = NormalScores(candidates.scores, missing="failed")
        z, prior = normaliser.fitted, _prior(candidates.names)
        fused = _prior_mean(z, prior)
        vectors = candidates.encodings.vectors
        by_choice = bool(candidates.space.vector_groups)
        return cls(
            candidates,
            normaliser,
            z,
            prior,
            standard_scale(fused).targets,
            vectors,
            vectors if by_choice else candidates.encodings.ngrams(_NGRAMS).references.toarray(),
            candidates,
        )

    def extended(self, architectures: Sequence[Architecture], z: F64, candidates: CandidateSet) -> ProxyFeatures:
        """These features with those of others at the end, whose normal scores are `z` (a, k).

        Only the others are encoded. Operation sequences that no candidate here has share a column: distances from
        those are exact, among the others they may be too small.
        """
        if not architectures:
            return self
        space, mean = candidates.space, _prior_mean(self.z, self.prior)
        fused = (_prior_mean(z, self.prior) - mean.mean()) / (mean.std() or 1.0)
        vectors = np.concatenate([self.vectors, space.encode_vectors(architectures)])
        if space.vector_groups:
            sequences = vectors
        else:
            added = self.candidates.encodings.ngrams(_NGRAMS)(architectures).toarray()
            sequences = np.concatenate([self.sequences, added])
        return replace(
            self,
            candidates=candidates,
            z=np.concatenate([self.z, z]),
            fused=np.concatenate([self.fused, fused]),
            vectors=vectors,
            sequences=sequences,
            added=(*self.added, *architectures),
        )

    @cached_property
    def graphs(self) -> Encodings:
        """Graph encodings (m) with `z` as proxy scores."""
        graphs = self.base.encodings.graphs
        if self.added:
            others = Encodings.stack(self.base.space.encode_graph(a) for a in self.added)
            pairs = ((getattr(graphs, part), getattr(others, part)) for part in ("nodes", "adjacency", "edges", "mask"))
            graphs = Encodings(*map(torch.cat, pairs))
        return replace(graphs, proxy_scores=torch.as_tensor(self.z, dtype=torch.float32))

    @cached_property
    def similarities(self) -> tuple[Similarity, ...]:
        """Kernels of vector encodings, of operation sequences, and last of proxy scores; columns are computed once.

        In a space of named choices there is none of sequences. Where vectors have places of hyperparameters on a scale
        (`Space.numeric_columns`), these have one of their own, before the last.
        """
        encodings = [Similarity(self.vectors)]
        if self.sequences is not self.vectors:
            encodings.append(Similarity(self.sequences))
        numeric = self.candidates.space.numeric_columns
        if len(numeric):
            encodings.append(Similarity(self.vectors[:, numeric]))
        return (*encodings, Similarity(self.z))

    def reweighted(self, prior: F64) -> ProxyFeatures:
        """The same with other weights (k,) of the proxies before anything is observed, of any sign."""
        return replace(self, prior=prior, fused=standard_scale(_prior_mean(self.z, prior)).targets)

    @property
    def alike(self) -> Similarity:
        """The kernel under which alike architectures trust the same proxies."""
        return self.similarities[0 if self.sequences is self.vectors else 1]

    @property
    def fused_weights(self) -> F64:
        """The weights (k,) of normal scores in `fused`."""
        return np.asarray(self.prior / (_prior_mean(self.z, self.prior).std() or 1.0), dtype=np.float64)

    def without_proxies(self, probability: float) -> ModelHypothesis:
        """The hypothesis that proxies are worth nothing: encodings alone."""
        return ModelHypothesis(self.similarities[:-1], mean=False, probability=probability)


def _prior(names: Sequence[str]) -> F64:
    transferred = np.array([name.startswith(PREFIX) for name in names])
    trusted = np.isin(names, TRUSTED)
    if not trusted.any():
        trusted = ~transferred
    weights = transferred + trusted / max(1, trusted.sum())
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _prior_mean(z: F64, prior: F64) -> F64:
    """The weighted mean (m,) of normal scores `z` (m, k)."""
    alike = prior[prior != 0]
    if len(alike) and np.ptp(alike) == 0 and alike[0] > 0:
        # The plain mean, to the last bit.
        return np.asarray(z[:, prior > 0].mean(axis=1), dtype=np.float64)
    return np.asarray(z @ prior, dtype=np.float64)
