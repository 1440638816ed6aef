"""Proxies of any ``torch.nn.Module``: score a network without training it.

    import proxies

    proxies.score(module, (inputs, labels), ["synflow", "nwot"], seed=0)  # {"synflow": …, "nwot": …}
    proxies.names("az_*"), proxies.spec("grasp")

A proxy of your own is one function; see `proxy`. Torch is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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

_LAZY = {
    "Batch": "batch",
    "CacheKey": "cache",
    "Proxy": "engine",
    "ProxyContext": "context",
    "ScoreCache": "cache",
    "ScoreResult": "many",
    "Scores": "engine",
    "evaluate": "engine",
    "graph_features": "cell_features",
    "resolve": "engine",
    "score": "engine",
    "score_many": "many",
    "synthetic_images": "synthetic",
}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Import what needs torch on first use, so that ``import proxies`` stays light."""
    if name in _LAZY:
        return getattr(importlib.import_module(f"proxies.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'proxies' has no attribute {name!r}")
