"""The evolved proxies that come with the package, read from their files on first use."""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files

from proxies.evolved.proxy import EvolvedScore, load

__all__ = ["shipped"]


@cache
def shipped(name: str) -> EvolvedScore:
    """The proxy of the file ``shipped/<name>.json``; `EvolvedProxyError` when it cannot be read."""
    with as_file(files("proxies.evolved") / "shipped" / f"{name}.json") as path:
        proxy = load(path)
    return EvolvedScore(proxy, proxy.default)


def __getattr__(name: str) -> EvolvedScore:
    """``proxies.evolved.shipped_proxies:<name>`` as the registry names them."""
    if name.startswith("__"):
        raise AttributeError(name)
    return shipped(name)
