"""Processes for the many independent parts of a study."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from po_nas.registry import load_plugin
from po_nas.runtime.environment import environment

__all__ = ["processes"]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def processes(workers: int, plugins: Sequence[str] = ()) -> Iterator[ProcessPoolExecutor]:
    """A pool of fresh processes of one thread each, which load `plugins` and never outlive this process.

    An interrupt ends them without a word; what is running is waited for at the end, what waits is dropped. A caller
    turns `concurrent.futures.process.BrokenProcessPool` into words of its own.
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
