"""Random search."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from po_nas.core.searcher import Proposal, Searcher

__all__ = ["RandomSearch"]


class RandomSearch(Searcher):
    """Samples the space without replacement.

    The draws are those of the space's `sample`, seeded by trial number, so a longer run extends a shorter one.

    References: Li and Talwalkar, Random Search and Reproducibility for Neural Architecture Search, UAI 2019,
    arXiv 1902.07638.
    """

    def propose(self, n: int, rng: np.random.Generator) -> list[Proposal]:
        """`n` unseen samples."""
        chosen: set[Hashable] = set()
        proposals = []
        for _ in range(n):
            architecture = self.draw_unseen(rng, chosen)
            chosen.add(self.domain.identity(architecture))
            proposals.append(Proposal(architecture, "random"))
        return proposals
