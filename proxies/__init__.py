"""Proxies of any ``torch.nn.Module``: score a network without training it.

    import proxies

    proxies.score(module, (inputs, labels), ["synflow", "nwot"], seed=0)  # {"synflow": …, "nwot": …}
    proxies.names("az_*"), proxies.spec("grasp")

A proxy of your own is one function; see `proxy`. Torch is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from po_nas.registry import lazy
from proxies.evolved.files import declare_shipped
from proxies.proxy_spec import PASSES, ProxySpec
from proxies.registration import expand, names, proxy, registry, spec

if TYPE_CHECKING:
    from proxies.batch import Batch
    from proxies.cache import CacheKey, ScoreCache
    from proxies.cell_features import graph_features
    from proxies.context import ProxyContext
    from proxies.engine import Proxy, Scores, evaluate, resolve, score
    from proxies.many import ScoreResult, score_many
    from proxies.synthetic import synthetic_images

__all__ = [
    "PASSES",
    "Batch",
    "CacheKey",
    "Proxy",
    "ProxyContext",
    "ProxySpec",
    "ScoreCache",
    "ScoreResult",
    "Scores",
    "evaluate",
    "expand",
    "graph_features",
    "names",
    "proxy",
    "register",
    "registry",
    "resolve",
    "score",
    "score_many",
    "spec",
    "synthetic_images",
]

register = proxy
declare_shipped(registry)


def __dir__() -> list[str]:
    return sorted(__all__)


# Torch is imported on first use, so that ``import proxies`` stays light.
__getattr__ = lazy(
    __name__,
    batch="Batch",
    cache="CacheKey ScoreCache",
    cell_features="graph_features",
    context="ProxyContext",
    engine="Proxy Scores evaluate resolve score",
    many="ScoreResult score_many",
    synthetic="synthetic_images",
)
