"""A reference sample of our own engine's scores, so that an evolved proxy can be computed of one network alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

import proxies
from po_nas import networks, spaces
from po_nas.errors import EvolvedProxyError, UnknownNameError
from proxies.evolved.proxy import OF_NETWORKS, EvolvedProxy
from proxies.evolved.reference import fit
from proxies.synthetic import synthetic_images

__all__ = ["SPACES", "add_reference"]

SPACES = ("nasbench201", "nasbench101", "darts", "transnas_micro", "transnas_macro")
"""Spaces of image classifiers whose networks can be built."""

_FEWEST = 8


def add_reference(
    proxy: EvolvedProxy,
    space: str,
    *,
    sample: int = 32,
    images: int = 32,
    size: int = 32,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> EvolvedProxy:
    """The proxy with a reference named after the space, the new default: scores of `sample` random networks.

    They are built with the defaults of the space and scored on `images` made-up images of `size` pixels, which is what
    ``po-nas proxies score`` does without options. `progress` is told how many are done. Randomness: `seed`.

    Raises `UnknownNameError` for a space without such networks, and `EvolvedProxyError` for a formula over features
    of a graph, over a proxy that this engine does not compute, or where fewer than eight networks have a score.
    """
    if space not in SPACES:
        raise UnknownNameError("space with image networks", space, SPACES)
    unknown = [leaf for leaf in proxy.leaves if leaf not in proxies.registry]
    if unknown:
        raise EvolvedProxyError("", f"{', '.join(unknown)}: no proxy of this engine, so no network can be scored")
    found = spaces.get(space)
    rng = np.random.default_rng(seed)
    drawn = [found.sample(rng) for _ in range(sample)]
    batch = synthetic_images(images, networks.options(space).get("num_classes") or 10, size, seed=seed)
    rows = []
    reasons: dict[str, str] = {}
    for result in proxies.score_many(drawn, batch, proxy.leaves, build=partial(found.build, seed=seed), seed=seed):
        rows.append([result.values.get(leaf, np.nan) for leaf in proxy.leaves])
        reasons |= {leaf: error.reason for leaf, error in result.errors.items()}
        if progress is not None:
            progress(len(rows))
    values = np.array(rows, dtype=np.float64)
    for place, leaf in enumerate(proxy.leaves):
        if np.isfinite(values[:, place]).sum() < min(_FEWEST, sample):
            reason = reasons.get(leaf, "too few scores")
            raise EvolvedProxyError("", f"{leaf} has next to no scores on networks of {space}: {reason}")
    source = f"{sample} random networks of {space}, {images} made-up images of {size} pixels, scored by po-nas"
    columns = {leaf: values[:, place] for place, leaf in enumerate(proxy.leaves)}
    return proxy.with_reference(
        f"{space}{OF_NETWORKS}",
        fit(proxy.style.kind, columns, source=source, missing=proxy.style.missing),
        default=True,
    )
