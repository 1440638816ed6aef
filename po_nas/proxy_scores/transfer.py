"""Evaluations on other tasks as proxies of this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from po_nas.core.proxy_source import ProxySource
from po_nas.core.trial import SourceTask
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.ngrams import NGramEncoder
from proxies.normalise import normal_scores
from surrogates.candidate_kernels import Similarity
from surrogates.isolation import single_thread
from surrogates.marginalised_gp import MarginalisedGP

__all__ = ["PREFIX", "TransferProxies"]

PREFIX = "transfer:"
"""What the name of such a proxy begins with; the name of the task follows."""


class TransferProxies(ProxySource):
    """A proxy per other task: what a Gaussian process, told the evaluations there, expects an architecture to score.

    Of a task whose whole table is there, it is what the table says. It costs no evaluation here, so it is treated as
    any training-free proxy is: methods learn how far to trust it.

    Args:
        source: Other proxies, which come first; or None.
        space: Of the architectures.
        tasks: The evaluations on other tasks.
    """

    def __init__(self, source: ProxySource | None, space: Space, tasks: Sequence[SourceTask]) -> None:
        self._source, self._space = source, space
        self._tasks = {f"{PREFIX}{told.task}": told for told in tasks}
        self._tables = {t.task: dict(zip(t.architectures, t.scores, strict=True)) for t in tasks if t.table}

    @property
    def names(self) -> tuple[str, ...]:
        return (*(() if self._source is None else self._source.names), *self._tasks)

    @property
    def further(self) -> frozenset[str]:
        return frozenset() if self._source is None else self._source.further

    @property
    def origin(self) -> str:
        told = ", ".join(
            f"{'the table of' if t.table else f'{len(t.architectures)} evaluations on'} {t.task}"
            for t in self._tasks.values()
        )
        return told if self._source is None else f"{self._source.origin}; {told}"

    def raw(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        """Scores (n,) by name; those of the source are turned already."""
        found: dict[str, NDArray[np.float64]] = {}
        theirs = [name for name in names if name not in self._tasks]
        if theirs and self._source is not None:
            found |= dict(zip(theirs, self._source.values(architectures, theirs).T, strict=True))
        return found | {n: self._expected(self._tasks[n], architectures) for n in names if n in self._tasks}

    @property
    def computed(self) -> int:
        return 0 if self._source is None else self._source.computed

    def _expected(self, told: SourceTask, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        if told.table:
            known = self._tables[told.task]
            return np.array([known.get(architecture, np.nan) for architecture in architectures], dtype=np.float64)
        everything = (*told.architectures, *architectures)
        encoder = NGramEncoder(self._space, told.architectures)
        vectors = self._space.encode_vectors(everything)
        model = MarginalisedGP([Similarity(vectors), Similarity(encoder(everything).toarray())])
        scores = normal_scores(np.array(told.scores))
        with single_thread():
            found = model.predict(range(len(scores)), scores, np.random.default_rng(0))
        return np.asarray(found.mean.numpy()[len(scores) :], dtype=np.float64)
