"""Training-free search: candidates are evaluated in the order of their proxy scores."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from po_nas.core.searcher import Domain, MethodOptions, Proposal, Searcher
from po_nas.errors import ProxiesUnavailableError, ProxyValueError
from po_nas.methods.candidates.candidate_set import (
    POOL_OPTION,
    CandidateSet,
    require_proxies,
    scored_candidates,
)
from proxies.fusion import libra, log_rank, mean_rank

__all__ = ["ZeroCost"]

_TRUSTED = ("nwot", "naswot", "naswot_authors", "jacov", "synflow", "zen", "flops", "params")
"""By how well they did over the benchmarks of NAS-Bench-Suite-Zero (arXiv 2210.03230), the steadiest first."""
_SIZE = "params"


class _Options(MethodOptions):
    deprecated: ClassVar[Mapping[str, str]] = {"metrics": "proxies", "metric": "proxy"}

    fusion: Literal["log_rank", "mean_rank", "single", "libra"] = Field(
        "log_rank",
        description="log_rank: sum of the logarithms of the ranks; mean_rank: mean rank; single: one proxy alone; "
        "libra: log_rank of up to three that are chosen by what has been evaluated",
    )
    proxies: tuple[str, ...] | None = Field(
        None, description="proxies that are fused; default: all that half of the candidates have"
    )
    proxy: str = Field(
        "auto",
        description=f"for single: the proxy; auto: the first there is of {', '.join(_TRUSTED)}, else the first of all",
    )
    pool: PositiveInt | None = Field(None, description=POOL_OPTION)
    initial: PositiveInt = Field(20, description="for libra: random candidates that are evaluated first")


class ZeroCost(Searcher):
    """Evaluates architectures in the order of one proxy, or of several that are fused by rank.

    Nothing is learned from the evaluations, but with ``fusion="libra"``: then `proxies.fusion.libra` chooses proxies by
    them, anew before each proposal, and needs the score ``params``. Ranks are taken among the candidates. A missing
    score ranks below all that are known; candidates that tie come in an order drawn from the seed. When no candidate is
    left, others are drawn from the space. Raises `ProxiesUnavailableError` when it is made for a search without
    proxies, or for libra without ``params``.

    References: Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021, arXiv 2101.08134; Lee and Ham,
    AZ-NAS, CVPR 2024, arXiv 2403.19232 (``log_rank``); Casarin, Escalera and Lanz, L-SWAG, CVPR 2025, arXiv 2505.07300
    (``libra``).
    """

    Options = _Options
    supports_transfer = True
    options: _Options

    def __init__(self, domain: Domain, *, seed: int, options: MethodOptions | None = None) -> None:
        super().__init__(domain, seed=seed, options=options)
        source = require_proxies(domain, "zero_cost", self._wanted)
        if self.options.fusion == "libra" and _SIZE not in source.names:
            raise ProxiesUnavailableError(
                "zero_cost", domain.space.name, f"fusion=libra needs {_SIZE!r}, which is absent"
            )

    @property
    def _wanted(self) -> tuple[str, ...] | None:
        o = self.options
        return (o.proxy,) if o.fusion == "single" and o.proxy != "auto" else o.proxies

    def propose(self, rng: np.random.Generator) -> Proposal:
        candidates, order = self._ordered
        gone = set(candidates.positions(self.seen))
        if self.options.fusion == "libra":
            if not self.initial_design_done(self.options.initial):
                left = [place for place in range(len(candidates)) if place not in gone]
                if left:
                    return Proposal(candidates.architectures[int(rng.choice(left))], "random")
            order = self._chosen(candidates)
        for place in order:
            if place not in gone:
                return Proposal(candidates.architectures[place], self.options.fusion)
        return Proposal(self.draw_unseen(rng), "random")

    @cached_property
    def _ordered(self) -> tuple[CandidateSet, list[int]]:
        candidates = scored_candidates(self.domain, self.seed, "zero_cost", self._wanted, self.options.pool)
        return candidates, self._sorted(self._scores(candidates))

    def _sorted(self, scores: NDArray[np.float64]) -> list[int]:
        ties = self.stream("ties").permutation(len(scores))
        return [int(place) for place in np.lexsort((ties, -scores))]

    def _chosen(self, candidates: CandidateSet) -> list[int]:
        """The order by the proxies that LIBRA chooses; that of all of them where none can be chosen."""
        told = [o for o in self.successes if self.domain.identity(o.trial.architecture) in candidates.position]
        if not told:
            return self._ordered[1]
        architectures = [o.trial.architecture for o in told]
        sizes = require_proxies(self.domain, "zero_cost").values(architectures, [_SIZE])[:, 0]
        rows = np.flatnonzero(np.isfinite(sizes))
        places = candidates.positions([self.domain.identity(architectures[row]) for row in rows])
        values = [self.score(told[row].outcome) for row in rows]
        try:
            chosen = libra(candidates.scores[places], values, sizes[rows])
        except ProxyValueError:
            return self._ordered[1]
        return self._sorted(chosen(candidates.scores))

    def _scores(self, candidates: CandidateSet) -> NDArray[np.float64]:
        if self.options.fusion == "single":
            names = candidates.names
            name = next((name for name in (self.options.proxy, *_TRUSTED) if name in names), names[0])
            column = candidates.scores[:, names.index(name)]
            return np.where(np.isnan(column), -np.inf, column)
        return (mean_rank if self.options.fusion == "mean_rank" else log_rank)(candidates.scores)
