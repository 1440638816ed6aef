"""The evolved metrics that come with the package, read from their files on first use."""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files

from proxies.evolved.metric import EvolvedProxy, load

__all__ = ["shipped"]


@cache
def shipped(name: str) -> EvolvedProxy:
    """The metric of the file ``shipped/<name>.json``; `EvolvedMetricError` when it cannot be read."""
    with as_file(files("proxies.evolved") / "shipped" / f"{name}.json") as path:
        metric = load(path)
    return EvolvedProxy(metric, metric.default)


def __getattr__(name: str) -> EvolvedProxy:
    """``proxies.evolved.shipped_metrics:<name>`` as the registry names them."""
    if name.startswith("__"):
        raise AttributeError(name)
    return shipped(name)
