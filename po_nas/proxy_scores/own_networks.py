"""Proxy scores of a user's own networks: what they cannot have is left out, with a sentence, and the search goes on."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from po_nas.core.objective import Objective, ObjectiveWrapper
from po_nas.errors import ProxyBatchError, UnsupportedModuleError
from po_nas.networks.declared import batch_of
from po_nas.proxy_scores.combined import with_computed_proxies
from po_nas.proxy_scores.computed import ComputedProxies
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.declared.errors import DeclarationError
from po_nas.spaces.declared.space import DeclaredSpace
from po_nas.spaces.derived import DerivedSpace
from proxies.batch import BatchLike
from proxies.profiling import evaluating

__all__ = ["LeftOutWarning", "buildable", "declared_space", "with_example_inputs", "with_own_proxies"]

_log = logging.getLogger(__name__)

_PROBED = 3


class LeftOutWarning(UserWarning):
    """Proxies that these networks or inputs cannot have; `proxy` and `reason` say which and why."""

    def __init__(self, proxy: str, reason: str) -> None:
        self.proxy, self.reason = proxy, reason
        super().__init__(f"proxy {proxy!r} is left out: {reason}")


def declared_space(space: Space) -> DeclaredSpace | None:
    """The declared space that a space is, or is a part of."""
    while isinstance(space, DerivedSpace):
        space = space.base
    return space if isinstance(space, DeclaredSpace) else None


class _WithExampleInputs(ObjectiveWrapper):
    """An objective whose networks are scored on a given batch."""

    def __init__(self, objective: Objective, inputs: Any, network: Mapping[str, Any]) -> None:
        super().__init__(objective)
        self._inputs, self._network = inputs, network

    def example_inputs(self, samples: int = 16) -> tuple[Mapping[str, Any], Any]:
        return self._network, self._inputs


def with_example_inputs(objective: Objective, given: Any, network: Mapping[str, Any] | None = None) -> Objective:
    """The same objective, whose networks are scored on a batch: inputs, inputs and labels, or a loader's first batch.

    `network` are the options that networks are scored with. Raises `ProxyBatchError` for what is no batch.
    """
    return _WithExampleInputs(objective, batch_of(given), dict(network or {}))


def buildable(space: Space, options: Mapping[str, Any] | None = None) -> list[Architecture]:
    """A few sampled architectures, of which one can be built at least, with `options` of the networks.

    Raises `DeclarationError` with the reason otherwise.
    """
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(_PROBED)]
    for number, architecture in enumerate(drawn, 1):
        try:
            space.build(architecture, **(options or {}))
        except DeclarationError:
            raise
        except Exception as error:
            if number == len(drawn):
                told = str(error).partition("\n")[0]
                reason = f"raised {type(error).__name__} ({told}) for {space.to_string(architecture)}"
                raise DeclarationError(f"network of {space.name}", reason) from error
        else:
            break
    return drawn


def _check_inputs(space: Space, drawn: Sequence[Architecture], options: Mapping[str, Any], batch: BatchLike) -> None:
    """Raise `ProxyBatchError` with the reason where the networks of all these architectures raise on the batch."""
    reason = ""
    for architecture in drawn:
        try:
            network = space.build(architecture, **options)
            with evaluating(network, batch) as inputs:
                network(*inputs)
        except UnsupportedModuleError as error:
            reason = f"{error.reason}, for {space.to_string(architecture)}"
        except Exception:
            _log.debug("%s cannot be built", architecture, exc_info=True)
        else:
            return
    if reason:
        raise ProxyBatchError("*", f"the example inputs do not fit the networks of {space.name}: {reason}", "inputs")


def with_own_proxies(
    objective: Objective, names: str | Sequence[str], *, samples: int, cache: str | Path | None, workers: int
) -> Objective:
    """`with_computed_proxies` for networks of which nobody knows which proxies they can have.

    A proxy that fails for each of three sampled architectures is left out with a `LeftOutWarning`; when all are, the
    objective is the one that was given. Raises `DeclarationError` for a space without networks or example inputs, and
    for a function that builds none of the three; `ProxyBatchError` for inputs on which none of the three can run.
    """
    options, batch = objective.example_inputs(samples)
    probe = ComputedProxies(objective.space, names, batch, network=options)
    drawn = buildable(objective.space, options)
    _check_inputs(objective.space, drawn, options, batch)
    scores = probe.values(drawn, probe.names)
    kept = [name for name, column in zip(probe.names, scores.T, strict=True) if np.isfinite(column).any()]
    for name in probe.names:
        if name not in kept:
            left_out = LeftOutWarning(name, probe.reasons.get(name, "it has no finite score"))
            # The warning is shown once by Python's default filter, the log has every one.
            _log.info("%s", left_out)
            warnings.warn(left_out, stacklevel=2)
    if not kept:
        return objective
    return with_computed_proxies(objective, kept, batch, network=options, samples=samples, cache=cache, workers=workers)
