"""Training-free search: candidates are evaluated in the order of their proxy scores."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from po_nas.core.searcher import Domain, MethodOptions, Proposal, Searcher
from po_nas.methods.candidates.candidate_set import POOL_OPTION, CandidateSet, require_proxies, scored_candidates
from proxies.fusion import log_rank, mean_rank

__all__ = ["ZeroCost"]

_TRUSTED = ("nwot", "naswot", "naswot_authors", "jacov", "synflow", "zen", "flops", "params")
"""By how well they did over the benchmarks of NAS-Bench-Suite-Zero (arXiv 2210.03230), the steadiest first."""


class _Options(MethodOptions):
    deprecated: ClassVar[Mapping[str, str]] = {"metrics": "proxies", "metric": "proxy"}

    fusion: Literal["log_rank", "mean_rank", "single"] = Field(
        "log_rank",
        description="log_rank: sum of the logarithms of the ranks; mean_rank: mean rank; single: one proxy alone",
    )
    proxies: tuple[str, ...] | None = Field(
        None, description="proxies that are fused; default: all that half of the candidates have"
    )
    proxy: str = Field(
        "auto",
        description=f"for single: the proxy; auto: the first there is of {', '.join(_TRUSTED)}, else the first of all",
    )
    pool: PositiveInt | None = Field(None, description=POOL_OPTION)


class ZeroCost(Searcher):
    """Evaluates architectures in the order of one proxy, or of several that are fused by rank.

    Nothing is learned from the evaluations. Ranks are taken among the candidates. A missing score ranks below all that
    are known; candidates that tie come in an order drawn from the seed. When no candidate is left, others are drawn
    from the space. Raises `ProxiesUnavailableError` when it is made for a search without proxies.

    References: Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021, arXiv 2101.08134; Lee and Ham,
    AZ-NAS, CVPR 2024, arXiv 2403.19232 (``log_rank``).
    """

    Options = _Options
    supports_transfer = True
    options: _Options

    def __init__(self, domain: Domain, *, seed: int, options: MethodOptions | None = None) -> None:
        super().__init__(domain, seed=seed, options=options)
        require_proxies(domain, "zero_cost", self._wanted)

    @property
    def _wanted(self) -> tuple[str, ...] | None:
        o = self.options
        return (o.proxy,) if o.fusion == "single" and o.proxy != "auto" else o.proxies

    def propose(self, rng: np.random.Generator) -> Proposal:
        candidates, order = self._ordered
        gone = set(candidates.positions(self.seen))
        for place in order:
            if place not in gone:
                return Proposal(candidates.architectures[place], self.options.fusion)
        return Proposal(self.draw_unseen(rng), "random")

    @cached_property
    def _ordered(self) -> tuple[CandidateSet, list[int]]:
        candidates = scored_candidates(self.domain, self.seed, "zero_cost", self._wanted, self.options.pool)
        ties = self.stream("ties").permutation(len(candidates))
        return candidates, [int(place) for place in np.lexsort((ties, -self._scores(candidates)))]

    def _scores(self, candidates: CandidateSet) -> NDArray[np.float64]:
        if self.options.fusion == "single":
            names = candidates.names
            name = next((name for name in (self.options.proxy, *_TRUSTED) if name in names), names[0])
            column = candidates.scores[:, names.index(name)]
            return np.where(np.isnan(column), -np.inf, column)
        return (log_rank if self.options.fusion == "log_rank" else mean_rank)(candidates.scores)
