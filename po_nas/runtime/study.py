"""Studies: many independent parts, side by side in processes, each kept when it has finished.

A study may stop at any time and goes on where it was. A part that raises, or whose process dies, has failed and stops
no other.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from threadpoolctl import threadpool_limits

from po_nas.errors import RunDirectoryError, StudyError, described
from po_nas.registry import load_plugin
from po_nas.runtime.executors.environment import environment
from po_nas.runtime.parts import Parts
from po_nas.runtime.run_directory import RunDirectory

__all__ = ["Progress", "StudyPart", "complete_parts", "open_study", "run_parts"]

_log = logging.getLogger(__name__)

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_DEATHS = 4
"""Where so many parts end their processes before any other finishes, it is not for the parts."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a study is.

    Attributes:
        done: Parts that have ended; of one that is running, a fraction may count.
        total: Parts that there are.
        failed: A message for each part that failed.
        remarks: What is left out or missing, and why.
        phase: What is being done, where parts are of several kinds.
    """

    done: float
    total: int
    failed: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    phase: str = ""


class StudyPart(Protocol):
    """One part of a study. It can be pickled."""

    @property
    def key(self) -> Mapping[str, Any]:
        """What its result depends on, JSON-serialisable: the name under which it is kept."""

    @property
    def title(self) -> str:
        """What messages call it."""


PartT = TypeVar("PartT", bound=StudyPart)


@contextmanager
def open_study(directory: Path) -> Iterator[Parts]:
    """The finished parts in the directory of a study, which this process holds meanwhile.

    Temporary files that a killed session left are deleted. Raises `RunLockedError` when another process is at it.
    """
    with RunDirectory(directory):
        for pattern in ("*.[0-9]*.tmp", "*/*.[0-9]*.tmp"):
            for torn in directory.glob(pattern):
                torn.unlink(missing_ok=True)
        yield Parts(directory)


def complete_parts(
    every: Sequence[PartT],
    work: Callable[[PartT], str | None],
    parts: Parts,
    *,
    workers: int = 1,
    plugins: Sequence[str] = (),
    progress: Callable[[Progress], None] | None = None,
    remarks: tuple[str, ...] = (),
) -> None:
    """Run the parts of a study that are not finished yet.

    Args:
        every: All parts.
        work: As for `run_parts`.
        parts: Where finished parts are kept.
        workers: As for `run_parts`.
        plugins: As for `run_parts`.
        progress: Told at the beginning and after each part.
        remarks: What `progress` is told is left out.

    Raises:
        StudyError: Parts failed; all others have finished.
    """
    tell = progress or (lambda _: None)
    todo = [part for part in every if part.key not in parts]
    done = len(every) - len(todo)
    failed: dict[str, str] = {}

    def settle(part: PartT, failure: str | None) -> None:
        nonlocal done
        done += 1
        if failure is not None:
            failed[part.title] = failure
        tell(Progress(done, len(every), tuple(f"{title}: {reason}" for title, reason in failed.items()), remarks))

    tell(Progress(done, len(every), (), remarks))
    run_parts(todo, work, parts, settle, workers=workers, plugins=plugins)
    if failed:
        raise StudyError(parts.directory.parent, failed)


def run_parts(
    todo: Sequence[PartT],
    work: Callable[[PartT], str | None],
    parts: Parts,
    settle: Callable[[PartT, str | None], None],
    *,
    workers: int = 1,
    plugins: Sequence[str] = (),
) -> None:
    """Run parts, in their order as far as several workers allow.

    Those that were running when a process died are run again one by one, so that it is known which of them it dies of.

    Args:
        todo: The parts to run.
        work: Runs a part and keeps its rows; returns None, or why it failed, as does what it raises. It is pickled.
        parts: Where `work` keeps finished parts.
        settle: Told of every part that has ended, with None or why it failed.
        workers: Processes of one thread each; one worker is this process, which a part that ends it takes along.
        plugins: What worker processes load first.

    Raises:
        StudyError: Four parts ended their processes and no other has finished.
        RunDirectoryError: A result cannot be written or read.
    """
    if workers <= 1:
        with threadpool_limits(1):
            for part in todo:
                settle(part, _attempt(work, part))
        return
    died: dict[str, str] = {}
    finished = False

    def settled(part: PartT, failure: str | None) -> None:
        nonlocal finished
        finished = finished or failure is None
        settle(part, failure)

    waiting = deque(todo)
    while waiting:
        suspects = deque(_until_a_process_dies(waiting, work, settled, workers, plugins))
        while suspects:
            for part in _until_a_process_dies(suspects, work, settled, 1, plugins, ahead=0):
                if part.key in parts:
                    _log.warning("%s is finished, but its process died afterwards", part.title)
                    settled(part, None)
                    continue
                died[part.title] = "its process died, perhaps for want of memory"
                settle(part, died[part.title])
                if len(died) >= _DEATHS and not finished:
                    raise StudyError(parts.directory.parent, died)


def _until_a_process_dies(
    waiting: deque[PartT],
    work: Callable[[PartT], str | None],
    settle: Callable[[PartT, str | None], None],
    workers: int,
    plugins: Sequence[str],
    ahead: int = 2,
) -> list[PartT]:
    """Run parts, taken from the left; those that were sent when a worker died, else none."""
    running: dict[Future[str | None], PartT] = {}
    try:
        with _processes(min(workers, len(waiting)), plugins) as pool:
            while waiting or running:
                # A few more than there are workers: thousands of waiting ones would be sent at once otherwise.
                while waiting and len(running) < workers + ahead:
                    running[pool.submit(_attempt, work, waiting[0])] = waiting[0]
                    waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    failure = future.result()
                    settle(running.pop(future), failure)
    except BrokenProcessPool:
        for future in [f for f in running if f.done() and not f.cancelled() and f.exception() is None]:
            settle(running.pop(future), future.result())
    return list(running.values())


def _attempt(work: Callable[[PartT], str | None], part: PartT) -> str | None:
    """Run a part; why it failed, or None. As text, for not every error can be sent between processes."""
    try:
        return work(part)
    except RunDirectoryError:
        # The disk is full or a result is damaged: no matter of this part alone.
        raise
    except (Exception, SystemExit) as error:
        _log.info("%s failed", part.title, exc_info=True)
        return " ".join(described(error).split())


@contextmanager
def _processes(workers: int, plugins: Sequence[str]) -> Iterator[ProcessPoolExecutor]:
    """A pool of fresh processes of one thread each, which load `plugins` and never outlive this process.

    An interrupt ends them without a word; what is running is waited for at the end, what waits is dropped.
    """
    with environment(dict.fromkeys(_THREADS, "1")):
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(tuple(plugins),))
        try:
            yield pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin(plugins: Sequence[str]) -> None:
    """First thing in a worker: the main process says what there is to say about an interrupt."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    for plugin in plugins:
        load_plugin(plugin)


def _end_with_the_parent() -> None:
    """A worker whose parent was killed would otherwise wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
