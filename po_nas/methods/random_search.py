"""Random search."""

from __future__ import annotations

import numpy as np

from po_nas.core.searcher import Proposal, Searcher

__all__ = ["RandomSearch"]


class RandomSearch(Searcher):
    """Samples the space without replacement.

    The draws are those of the space's `sample`, seeded by trial number, so a longer run extends a shorter one and
    batches do not change it.

    References: Li and Talwalkar, Random Search and Reproducibility for Neural Architecture Search, UAI 2019,
    arXiv 1902.07638.
    """

    def propose(self, rng: np.random.Generator) -> Proposal:
        return Proposal(self.draw_unseen(rng), "random")
