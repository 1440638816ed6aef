"""Scoring one module: which passes are needed, in which order, and what becomes of failures."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import torch
from torch import Tensor, nn

from po_nas.errors import (
    ConfigError,
    ProxyBatchError,
    ProxyError,
    ProxyFailedError,
    ProxyMemoryError,
    ProxyValueError,
    UnsupportedModuleError,
)
from proxies.batch import Batch, BatchLike
from proxies.context import ProxyContext
from proxies.isolation import derive_seed, isolated, seeded
from proxies.passes import Loss, Passes
from proxies.proxy_spec import PASSES, ProxySpec, closure
from proxies.registration import expand, registry, spec

__all__ = ["Proxy", "Scores", "evaluate", "resolve", "score", "with_needs"]

ProxyFunction: TypeAlias = Callable[[ProxyContext], float] | Callable[[Mapping[str, float]], float]


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy ready to be used.

    Attributes:
        spec: Its record.
        function: Of a `ProxyContext`, or of a mapping of scores where the record has `needs`; returns a float.

    Examples:
        >>> import proxies
        >>> (proxy,) = proxies.resolve("params")
        >>> proxy.spec.cost
        'count'
    """

    spec: ProxySpec
    function: ProxyFunction


@dataclass(frozen=True, slots=True)
class Scores:
    """What scoring one module gave: a finite number or an error for each proxy asked for.

    Attributes:
        values: Scores by name.
        errors: By name, why a proxy has no score.

    Examples:
        >>> import proxies, torch
        >>> scores = proxies.evaluate(torch.nn.Linear(3, 2), torch.ones(4, 3), ["params", "snip"])
        >>> scores.values, list(scores.errors)  # snip needs labels
        ({'params': 8.0}, ['snip'])
    """

    values: dict[str, float] = field(default_factory=dict)
    errors: dict[str, ProxyError] = field(default_factory=dict)

    def filled(self, names: Iterable[str]) -> dict[str, float]:
        """All scores by name, NaN where there is an error."""
        return {name: self.values.get(name, math.nan) for name in names}


def resolve(wanted: str | Iterable[str]) -> list[Proxy]:
    """The proxies that names and wildcards stand for.

    Args:
        wanted: A name or wildcard, or several.

    Returns:
        Each once, in the order asked for.

    Raises:
        UnknownNameError: For a name, or a wildcard, that nothing matches.
        PluginError: For a proxy that cannot be loaded.

    Examples:
        >>> import proxies
        >>> [proxy.spec.name for proxy in proxies.resolve(["nwot", "synflow"])]
        ['nwot', 'synflow']
    """
    return [Proxy(spec(name), registry.get(name)) for name in expand(wanted)]


def score(
    module: nn.Module,
    batch: BatchLike,
    wanted: str | Iterable[str],
    *,
    seed: int = 0,
    loss: Loss | None = None,
    on_error: Literal["raise", "nan"] = "raise",
) -> dict[str, float]:
    """Score a module on a batch by every proxy in `wanted` (names and wildcards), in that order.

    Args:
        module: Any module, with the weights it came with. It is left exactly as it was: parameters, buffers, gradients,
            modes, hooks. It is moved nowhere; the batch goes to its device.
        batch: ``(inputs, labels)``; inputs (n, …) are a tensor, or a tuple of the module's arguments; labels, class
            numbers (n,) for the default loss, may be None when no proxy needs them. It is never split or shortened,
            because batch normalisation makes scores depend on it.
        wanted: Names and wildcards.
        seed: Of every random draw (dropout, random inputs and weights); global generators are put back.
        loss: (outputs, labels) → scalar; default: mean cross-entropy.
        on_error: ``"raise"`` raises the first error in the order of `wanted`. With ``"nan"`` a proxy that has no score
            gets NaN, and the others are computed all the same; `evaluate` gives the errors, too.

    Returns:
        Scores by name, in the order of `wanted`, in the unit of each proxy.

    Raises:
        ProxyError: Or one of its children: a proxy has no score for this module and batch. `ProxyMemoryError` when
            the batch does not fit, `ProxyBatchError`, always, when it is no batch.
        UnknownNameError: For a name that there is not.

    Examples:
        >>> import proxies, torch
        >>> network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
        >>> batch = torch.ones(4, 6), torch.tensor([0, 1, 2, 0])
        >>> scores = proxies.score(network, batch, ["params", "synflow", "snip"], seed=0)
        >>> scores["params"], list(scores)
        (83.0, ['params', 'synflow', 'snip'])
    """
    chosen = resolve(wanted)
    scores = evaluate(module, batch, chosen, seed=seed, loss=loss)
    if on_error == "raise":
        for proxy in chosen:
            if proxy.spec.name in scores.errors:
                raise scores.errors[proxy.spec.name]
    return scores.filled(proxy.spec.name for proxy in chosen)


def evaluate(
    module: nn.Module,
    batch: BatchLike,
    wanted: str | Iterable[str] | Sequence[Proxy],
    *,
    seed: int = 0,
    loss: Loss | None = None,
) -> Scores:
    """`score`, but with every failure on record next to the scores that there are.

    Args:
        module: As for `score`.
        batch: As for `score`.
        wanted: Names and wildcards, or proxies from `resolve`.
        seed: As for `score`.
        loss: As for `score`.

    Returns:
        Scores and errors by name.

    Raises:
        ProxyBatchError: When the batch is none.
        ConfigError: When `module` is none.
        UnknownNameError: For a name that there is not.

    Examples:
        >>> import proxies, torch
        >>> scores = proxies.evaluate(torch.nn.Linear(3, 2), torch.ones(4, 3), ["params", "grad_norm"])
        >>> scores.filled(["params", "grad_norm"])
        {'params': 8.0, 'grad_norm': nan}
    """
    if not isinstance(module, nn.Module):
        raise ConfigError("module", module, "is no torch.nn.Module; give an instance of one")
    chosen = _proxies(wanted)
    checked = Batch.of(batch)
    scores = Scores()
    everything = with_needs(chosen)
    try:
        for dtype in ("model", "float64"):
            group = [proxy for proxy in everything if proxy.spec.dtype == dtype and not proxy.spec.needs]
            if group:
                with isolated(module):
                    _evaluate(module, checked, group, torch.float64 if dtype == "float64" else None, seed, loss, scores)
    except UnsupportedModuleError as problem:
        scores.errors.update({p.spec.name: _renamed(problem, p.spec.name) for p in everything if not p.spec.needs})
    for proxy in everything:
        if proxy.spec.needs:
            _derive(proxy, seed, scores)
    order = [proxy.spec.name for proxy in chosen]
    return Scores(
        {name: scores.values[name] for name in order if name in scores.values},
        {name: scores.errors[name] for name in order if name in scores.errors},
    )


def _proxies(wanted: str | Iterable[str] | Sequence[Proxy]) -> list[Proxy]:
    given = [wanted] if isinstance(wanted, str) else list(wanted)
    if given and all(isinstance(item, Proxy) for item in given):
        return [item for item in given if isinstance(item, Proxy)]
    return resolve(str(item) for item in given)


def with_needs(chosen: Sequence[Proxy]) -> list[Proxy]:
    """The proxies and all that they need, each once, every one behind what it needs.

    Raises `UnknownNameError` for a need that nobody has registered, `ConfigError` for proxies that need each other.
    """
    given = {proxy.spec.name: proxy for proxy in chosen}
    found: dict[str, Proxy] = {}
    open_: list[str] = []

    def visit(proxy: Proxy) -> None:
        name = proxy.spec.name
        if name in found:
            return
        if name in open_:
            raise ConfigError("needs", " -> ".join((*open_, name)), "is a circle; no proxy may need itself")
        open_.append(name)
        for need in proxy.spec.needs:
            visit(given[need] if need in given else Proxy(spec(need), registry.get(need)))
        open_.pop()
        found[name] = proxy

    for proxy in chosen:
        visit(proxy)
    return list(found.values())


def _derive(proxy: Proxy, seed: int, scores: Scores) -> None:
    """Score a proxy by the scores of others; one that has none because of them says so."""
    name = proxy.spec.name
    given = scores.filled(proxy.spec.needs)
    try:
        with seeded(derive_seed(seed, f"proxy/{name}")):
            value: Any = cast("Callable[[Mapping[str, float]], float]", proxy.function)(given)
        scores.values[name] = _number(name, value)
    except Exception as error:
        broken = next((need for need in proxy.spec.needs if need in scores.errors), None)
        if broken is None:
            scores.errors[name] = _failure(name, error, "it")
        else:
            problem = scores.errors[broken]
            scores.errors[name] = type(problem)(name, f"needs {broken!r}, which has no score: {problem.reason}")


def _evaluate(
    module: nn.Module,
    batch: Batch,
    group: Sequence[Proxy],
    dtype: torch.dtype | None,
    seed: int,
    loss: Loss | None,
    scores: Scores,
) -> None:
    """Run the passes in order; score every proxy as soon as its passes are there, then forget what nobody needs."""
    waiting = []
    for proxy in group:
        problem = _unfit(proxy.spec, batch)
        if problem is None:
            waiting.append(proxy)
        else:
            scores.errors[proxy.spec.name] = problem
    needs = {proxy.spec.name: closure(proxy.spec.passes) for proxy in waiting}
    wanted = _union(needs.values())
    try:
        passes = Passes(module, batch, loss=loss, seed=seed, wanted=wanted, dtype=dtype)
    except Exception as error:
        problem = _failure("*", error, "preparing")
        scores.errors.update({proxy.spec.name: _renamed(problem, proxy.spec.name) for proxy in waiting})
        return
    failed: dict[str, ProxyError] = {}
    for step in (None, *(name for name in PASSES if name in wanted)):
        if step is not None and any(step in needs[proxy.spec.name] for proxy in waiting):
            try:
                passes.run(step)
            except Exception as error:
                failed[step] = _failure("*", error, f"the pass {step!r}")
        left = []
        for proxy in waiting:
            name = proxy.spec.name
            broken = next((p for p in PASSES if p in failed and p in needs[name]), None)
            if broken is not None:
                scores.errors[name] = _renamed(failed[broken], name)
            elif needs[name] <= set(passes.results):
                _score_one(proxy, passes, seed, scores)
            else:
                left.append(proxy)
        waiting = left
        passes.release(_union(needs[proxy.spec.name] for proxy in waiting))


def _union(sets: Iterable[Collection[str]]) -> frozenset[str]:
    return frozenset(name for each in sets for name in each)


def _unfit(spec: ProxySpec, batch: Batch) -> ProxyError | None:
    if len(batch) < spec.min_samples:
        reason = f"needs a batch of at least {spec.min_samples} samples, got {len(batch)}"
        return ProxyBatchError(spec.name, reason, "samples")
    if spec.needs_labels and batch.labels is None:
        return ProxyBatchError(spec.name, "needs labels; pass the batch as (inputs, labels)", "labels")
    return None


def _score_one(proxy: Proxy, passes: Passes, seed: int, scores: Scores) -> None:
    name = proxy.spec.name
    context = ProxyContext(proxy.spec, passes)
    try:
        with seeded(derive_seed(seed, f"proxy/{name}")):
            try:
                value: Any = cast("Callable[[ProxyContext], float]", proxy.function)(context)
            finally:
                context.close()
        scores.values[name] = _number(name, value)
    except Exception as error:
        scores.errors[name] = _failure(name, error, "it")


def _number(name: str, value: object) -> float:
    if isinstance(value, Tensor):
        raise ProxyValueError(name, f"returned a tensor of shape {tuple(value.shape)}; return a float, by .item()")
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ProxyValueError(name, f"returned {type(value).__name__} instead of a float")
    number = float(value)
    if not math.isfinite(number):
        raise ProxyValueError(name, f"gave {number}; the score is not defined for this module and batch")
    return number


def _failure(name: str, error: Exception, where: str) -> ProxyError:
    if isinstance(error, ProxyError):
        return _renamed(error, name) if error.proxy == "*" else error
    if _out_of_memory(error):
        return ProxyMemoryError(
            name,
            f"{where} ran out of memory ({_first_line(error)}); use fewer samples, and the same batch for all "
            "architectures that are compared",
        )
    raised = ProxyFailedError(name, f"{where} raised {type(error).__name__}: {_first_line(error)}{_place(error)}")
    raised.add_note("".join(traceback.format_exception(error)))
    # Without its frames, which would keep the graph and its activations alive.
    raised.__cause__ = error.with_traceback(None)
    return raised


def _place(error: Exception) -> str:
    """The last line of the traceback that is neither ours nor torch's, in words: that of a plug-in or of the module."""
    ours = (str(Path(__file__).parent), str(Path(torch.__file__).parent))
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(ours)]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def _renamed(error: ProxyError, name: str) -> ProxyError:
    """The failure of a pass as that of one of its proxies."""
    copy = type(error)(name, error.reason)
    vars(copy).update({key: value for key, value in vars(error).items() if key not in ("proxy", "__notes__")})
    copy.__cause__ = error.__cause__
    for note in getattr(error, "__notes__", ()):
        copy.add_note(note)
    return copy


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
