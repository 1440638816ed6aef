"""Search methods: every one a `po_nas.core.searcher.Searcher`."""

from __future__ import annotations

from po_nas.core.searcher import Searcher
from po_nas.registry import Registry

__all__ = ["name_of", "names", "register", "registry"]

registry: Registry[type[Searcher]] = Registry("method", "po_nas.methods")
register = registry.register
names = registry.names


def name_of(kind: type[Searcher]) -> str | None:
    """The name that a class is registered under, None where it has none."""
    place = f"{kind.__module__}:{kind.__qualname__}"
    return next((entry.name for entry in registry.entries() if entry.target in (kind, place)), None)


registry.declare(
    "po_nas.methods",
    ("random", "model_free:RandomSearch", "uniform sampling without replacement", "arXiv 1902.07638"),
    (
        "regularized_evolution",
        "model_free:RegularizedEvolution",
        "tournament selection, mutation, the oldest dies",
        "arXiv 1802.01548",
    ),
    (
        "mo_regularized_evolution",
        "model_free:MORegularizedEvolution",
        "regularised evolution for several objectives: tournaments by front and crowding",
        "arXiv 1802.01548",
    ),
    ("nsga2", "nsga2:NSGA2", "genetic algorithm for several objectives", "DOI 10.1109/4235.996017"),
    ("asha", "halving:ASHA", "asynchronous successive halving over fidelities", "arXiv 1810.05934"),
    ("hyperband", "halving:Hyperband", "successive halving over fidelities in brackets", "arXiv 1603.06560"),
    ("local_search", "model_free:LocalSearch", "hill climbing over neighbours with restarts", "arXiv 2005.02960"),
    ("gp_bo", "gp_bo:GPBO", "Gaussian process over the architecture graph, LogEI", "arXiv 2310.20708"),
    ("pwlnas", "pwlnas:PWLNAS", "evolution guided by a neural predictor, piecewise loss", "arXiv 2506.05869"),
    (
        "po_nas",
        "po_nas:PONAS",
        "Bayesian optimisation on proxy scores weighted per architecture",
        "OpenReview mVh0lIsdUl",
    ),
    (
        "po_nas_transfer",
        "po_nas_transfer:PONASTransfer",
        "po_nas told the tables of the benchmark's other tasks",
        "OpenReview mVh0lIsdUl",
    ),
    (
        "po_nas_paper",
        "po_nas_paper:PONASPaper",
        "a network weighs proxy scores per architecture, greedy, as published",
        "OpenReview mVh0lIsdUl",
    ),
    ("gp_proxies", "proxy_bo:GPProxies", "Gaussian process over encoding and proxy scores", "arXiv 2310.20708"),
    (
        "robot",
        "robot:RoBoT",
        "Bayesian optimisation of one weighting of proxy scores, then greedy use",
        "arXiv 2403.07591",
    ),
    ("zero_cost", "zero_cost:ZeroCost", "the order of proxy scores, alone or fused", "arXiv 2403.19232"),
    ("bananas", "bananas:BANANAS", "ensemble over paths, independent Thompson sampling", "arXiv 1910.11858"),
    ("npenas", "npenas:NPENAS", "a graph predictor ranks mutants of the best", "arXiv 2003.12857"),
    ("weaknas", "weaknas:WeakNAS", "random picks from what a weak predictor ranks top", "arXiv 2102.10490"),
)
registry.rename("gp_metrics", "gp_proxies")
