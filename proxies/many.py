"""Scoring many architectures, in several processes if asked, none of which can stop the others."""

from __future__ import annotations

import math
import multiprocessing
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import torch
from torch import nn

from po_nas.errors import ConfigError, ProxyError, ProxyFailedError, ProxyWorkerError
from po_nas.switches import default_switches
from proxies.batch import Batch, BatchLike
from proxies.cache import ScoreCache
from proxies.engine import Proxy, Scores, evaluate, resolve
from proxies.isolation import seeded
from proxies.passes import Loss
from proxies.shelf import Shelf

__all__ = ["ScoreResult", "score_many"]

T = TypeVar("T")
Names: TypeAlias = tuple[str, ...]

_AHEAD = 4
"""Architectures in flight per worker: enough to keep all busy when one takes long."""

_DIED = "the process that scored it died (killed for its memory, perhaps); it was tried twice"


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """The scores of one item: a finite number or an error for each proxy.

    Attributes:
        index: Position of the item, from 0.
        values: Scores by name.
        errors: By name, why a proxy has no score.

    Examples:
        >>> import proxies, torch
        >>> (result,) = proxies.score_many([torch.nn.Linear(3, 2)], torch.ones(4, 3), "params")
        >>> result.index, result.values, result.errors
        (0, {'params': 8.0}, {})
    """

    index: int
    values: dict[str, float]
    errors: dict[str, ProxyError]


@dataclass(frozen=True)
class _Work:
    """What a worker needs for every item."""

    build: Callable[[Any], nn.Module] | None
    batch: Batch
    proxies: tuple[Proxy, ...]
    seed: int
    init_seed: int
    loss: Loss | None

    def scores(self, item: Any, names: Names) -> Scores:
        chosen = [proxy for proxy in self.proxies if proxy.spec.name in names]
        try:
            if self.build is not None:
                # Switches of torch are the same in every process.
                with default_switches(), seeded(self.init_seed):
                    item = self.build(item)
            if not isinstance(item, nn.Module):
                raise TypeError(f"{type(item).__name__} is no torch.nn.Module")
        except Exception as error:
            reason = f"the network cannot be built: {type(error).__name__}: {error}"
            return Scores({}, {name: ProxyFailedError(name, reason) for name in names})
        return evaluate(item, self.batch, chosen, seed=self.seed, loss=self.loss)


def score_many(
    items: Iterable[T],
    batch: BatchLike,
    wanted: str | Iterable[str],
    *,
    build: Callable[[T], nn.Module] | None = None,
    seed: int = 0,
    init_seed: int = 0,
    loss: Loss | None = None,
    workers: int = 1,
    cache: ScoreCache | None = None,
    key: Callable[[T], str] | None = None,
    space: str = "",
) -> Iterator[ScoreResult]:
    """Score every item by every proxy in `wanted`; results come in the order of the items, as they are ready.

    An item that cannot be built or scored has errors in its result and stops nothing; neither does one that kills its
    process.

    Args:
        items: Modules, or what `build` makes modules of.
        batch: As for `score`; the same for all.
        wanted: Names and wildcards.
        build: Makes a module of an item. It runs with the global generators seeded by `init_seed`, for each item anew,
            so weights do not depend on the order or on `workers`.
        seed: Of the scoring, as for `score`.
        init_seed: Of the weights.
        loss: As for `score`.
        workers: Processes, of one thread each; 1 is this one. With more, `build`, `loss`, proxies and items are
            pickled: functions must live in an importable module, and a script needs the guard
            ``if __name__ == "__main__"``.
        cache: Scores that it has are not computed and new ones are stored, so that a run that was stopped goes on where
            it was. It needs `key` and `space`.
        key: An item's canonical architecture as a string.
        space: Names the search space and whatever else decides the network (width, depth, classes).

    Returns:
        An iterator over results, in the order of the items.

    Raises:
        ConfigError: For a cache without `key` and `space`, and less than one worker.
        ProxyWorkerError: When no worker can start.
        UnknownNameError: For a name that there is not.

    Examples:
        >>> import proxies, torch
        >>> results = proxies.score_many([2, 5], torch.ones(4, 3), "params", build=lambda n: torch.nn.Linear(3, n))
        >>> [result.values["params"] for result in results]
        [8.0, 20.0]
    """
    if cache is not None and (key is None or not space):
        raise ConfigError("cache", str(cache.path), "needs key= (an item's architecture) and space=")
    if workers < 1:
        raise ConfigError("workers", workers, "must be at least 1")
    chosen = tuple(resolve(wanted))
    work = _Work(build, Batch.of(batch), chosen, seed, init_seed, loss)
    kept = None
    if cache is not None and key is not None:
        kept = _Kept(Shelf(cache, space, chosen, work.batch, seed=seed, init_seed=init_seed, loss=loss), key)
    return _results(items, work, workers, kept)


@dataclass(frozen=True)
class _Kept:
    """The cache as `score_many` sees it."""

    shelf: Shelf
    key: Callable[[Any], str]

    def known(self, item: Any, names: Names) -> dict[str, float]:
        """Finite scores; what is known to have none is computed again, for the reason."""
        found = self.shelf.known(self.key(item), names)
        return {name: value for name, value in found.items() if math.isfinite(value)}


def _results(items: Iterable[Any], work: _Work, workers: int, kept: _Kept | None) -> Iterator[ScoreResult]:
    names = tuple(proxy.spec.name for proxy in work.proxies)
    crew = _Crew(work, workers) if workers > 1 else None
    waiting: deque[tuple[int, Any, dict[str, float], _Task | None]] = deque()
    source = enumerate(items)
    try:
        while True:
            while len(waiting) < (_AHEAD * workers if crew else 1):
                index, item = next(source, (-1, None))
                if index < 0:
                    break
                known = {} if kept is None else kept.known(item, names)
                missing = tuple(name for name in names if name not in known)
                task = None
                if missing:
                    task = crew.submit(item, missing) if crew else _Task.done(work.scores(item, missing))
                waiting.append((index, item, known, task))
            if not waiting:
                return
            index, item, known, task = waiting.popleft()
            scores = Scores() if task is None else crew.collect(task) if crew else task.scores
            assert scores is not None
            if kept is not None:
                kept.shelf.store(kept.key(item), scores.values)
            values = known | scores.values
            yield ScoreResult(index, {name: values[name] for name in names if name in values}, scores.errors)
    finally:
        if crew is not None:
            crew.close()


class _Task:
    """One item on its way: how it was sent, and what came back."""

    def __init__(self, sent: bytes, names: Names) -> None:
        self.sent, self.names = sent, names
        self.future: Future[Scores] | None = None
        self.scores: Scores | None = None

    @classmethod
    def done(cls, scores: Scores) -> _Task:
        task = cls(b"", ())
        task.scores = scores
        return task

    def failed(self, reason: str) -> None:
        self.scores = Scores({}, {name: ProxyWorkerError(name, reason) for name in self.names})


class _Crew:
    """Worker processes. When one dies, what was in flight is tried again one by one, to find out whose fault it was."""

    def __init__(self, work: _Work, workers: int) -> None:
        try:
            self._payload = pickle.dumps(work)
        except Exception as error:
            raise ProxyWorkerError(
                "*",
                f"cannot be sent to a worker: {error}; define build, loss and proxies in an importable module",
            ) from error
        self._workers = workers
        self._flying: deque[_Task] = deque()
        self._pool = self._start(workers)
        try:
            problem = self._pool.submit(_problem).result()
        except BrokenProcessPool as error:
            self.close()
            raise ProxyWorkerError(
                "*", "no worker process can start; a script must guard its code by if __name__ == '__main__'"
            ) from error
        if problem:
            self.close()
            raise ProxyWorkerError(
                "*", f"a worker cannot load its work: {problem}; define build, loss and proxies in an importable module"
            )

    def _start(self, workers: int) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(self._payload,))

    def submit(self, item: Any, names: Names) -> _Task:
        try:
            task = _Task(pickle.dumps(item), names)
        except Exception as error:
            task = _Task(b"", names)
            task.failed(f"the item cannot be sent to a worker: {error}")
            return task
        self._flying.append(task)
        self._send(task)
        return task

    def _send(self, task: _Task) -> None:
        try:
            task.future = self._pool.submit(_run, task.sent, task.names)
        except BrokenProcessPool:
            self._recover()

    def collect(self, task: _Task) -> Scores:
        if task.scores is None and task.future is not None:
            try:
                task.scores = task.future.result()
            except BrokenProcessPool:
                self._recover()
            except Exception as error:
                task.failed(f"its worker failed: {type(error).__name__}: {error}")
        self._flying = deque(t for t in self._flying if t is not task)
        assert task.scores is not None
        return task.scores

    def _recover(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        alone: ProcessPoolExecutor | None = None
        for task in self._flying:
            if task.scores is not None:
                continue
            future = task.future
            if future is not None and future.done() and not future.cancelled() and future.exception() is None:
                task.scores = future.result()
                continue
            alone = alone or self._start(1)
            try:
                task.scores = alone.submit(_run, task.sent, task.names).result()
            except BrokenProcessPool:
                task.failed(_DIED)
                alone.shutdown()
                alone = None
            except Exception as error:
                task.failed(f"its worker failed: {type(error).__name__}: {error}")
        if alone is not None:
            alone.shutdown()
        self._pool = self._start(self._workers)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


# -- in the worker ----------------------------------------------------------------------------------------------------

_work: _Work | None = None
_trouble = ""


def _begin(payload: bytes) -> None:
    global _work, _trouble
    torch.set_num_threads(1)
    try:
        _work = pickle.loads(payload)
    except Exception as error:
        _trouble = f"{type(error).__name__}: {error}"


def _problem() -> str:
    return _trouble


def _run(sent: bytes, names: Sequence[str]) -> Scores:
    assert _work is not None
    try:
        item = pickle.loads(sent)
    except Exception as error:
        reason = f"the item cannot be read in a worker: {type(error).__name__}: {error}"
        return Scores({}, {name: ProxyWorkerError(name, reason) for name in names})
    return _work.scores(item, tuple(names))
