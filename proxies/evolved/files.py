"""The records of evolved proxies, and the proxies that come with the package. Imports no NumPy."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from po_nas.registry import Entry, Registry
from proxies.proxy_spec import CostClass, ProxySpec

__all__ = ["composed_spec", "declare_shipped"]

_FOLDER = "shipped"


_METHOD = "Phan and Luong, arXiv 2505.15832 (the method)"
_COSTS: tuple[CostClass, ...] = ("count", "forward", "backward", "per_sample", "second_order")


def composed_spec(registry: Registry[Any], name: str, needs: Sequence[str], decides: object) -> ProxySpec:
    """The record of an evolved proxy: labels and cost are those of what it needs.

    `decides` is all that its score depends on besides (JSON-serialisable); the version follows from it.
    """
    known = [registry.entry(need).spec for need in needs if need in registry]
    specs = [spec for spec in known if isinstance(spec, ProxySpec)]
    return ProxySpec(
        name,
        (),
        +1,
        needs_labels=any(spec.needs_labels for spec in specs),
        failure="never where a missing leaf counts as the middle of the reference; else where a leaf fails",
        cost=max((spec.cost for spec in specs), key=_COSTS.index, default="count"),
        min_samples=max((spec.min_samples for spec in specs), default=1),
        needs=tuple(needs),
        reference=_METHOD,
        version=1 + zlib.crc32(json.dumps(decides, sort_keys=True).encode()),
    )


def declare_shipped(registry: Registry[Any]) -> None:
    """Enter the proxies that come with the package; each is read when it is first used. Imports no NumPy."""
    folder = files("proxies.evolved") / _FOLDER
    if not folder.is_dir():
        return
    for resource in sorted(folder.iterdir(), key=lambda r: r.name):
        if resource.name.endswith(".json"):
            state = json.loads(resource.read_text(encoding="utf-8"))
            name = str(state["name"])
            needs = tuple(leaf for leaf in state["leaves"] if not leaf.startswith("g_"))
            sample = state["references"].get(state["default"], {})
            spec = composed_spec(registry, name, needs, [state["formula"], sample])
            summary, target = f"evolved: {state['formula']}", f"proxies.evolved.shipped_proxies:{name}"
            registry.add(Entry(name, summary, target, spec.reference, ("evolved",), spec))
