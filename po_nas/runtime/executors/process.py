"""Worker processes on this machine, one for each GPU: the side that watches them, and what runs in one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, ClassVar

import psutil
from pydantic import Field, PositiveFloat, PositiveInt

from po_nas.errors import WorkerLostError
from po_nas.runtime.executors.base import Answer, ExecutorOptions, Task, Workload, timed_out
from po_nas.runtime.executors.environment import check_share, environment, room, share, visible
from po_nas.runtime.executors.lanes import LaneExecutor, LaneOptions
from po_nas.runtime.executors.messages import READY, answer_of, answered, broken, built, recipe, text_of

__all__ = ["ProcessExecutor", "ProcessOptions", "resident_mb"]

_TICK_S = 0.25
_BEAT = '"beat"'
_BEAT_S = 1.0
"""Seconds between two signs of life."""
_START_S = 300.0
"""Seconds that an interpreter may take to start, from a slow disk."""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class ProcessOptions(LaneOptions):
    """Options of `process`; `cpus_per_trial` is by default the machine's share of a worker."""

    memory_mb: PositiveInt | None = Field(
        None, description="resident memory (10^6 bytes) of a worker and what it starts, beyond which its trial fails"
    )
    silence_s: PositiveFloat = Field(
        300.0, description="a worker without a sign of life for so many seconds is killed and its trial tried again"
    )


class ProcessExecutor(LaneExecutor):
    """Spawned worker processes; each builds the workload once and sees its own GPUs alone.

    A worker is killed, with all that it started, when a trial takes longer than `timeout_s`, or more memory than
    `memory_mb` (then the trial fails), or when it is silent (then the trial is tried again). Workers end by themselves
    when the search is killed.
    """

    Options: ClassVar[type[ExecutorOptions]] = ProcessOptions
    options: ProcessOptions

    def __init__(self, workload: Workload, **settings: Any) -> None:
        super().__init__(workload, **settings)
        self._recipe = recipe(self)
        self._gpus = visible()
        here = "this machine shows" if "CUDA_VISIBLE_DEVICES" not in os.environ else "CUDA_VISIBLE_DEVICES shows"
        self._per_trial = check_share(self.options.gpus_per_trial, len(self._gpus), here)
        # Looked at now: while a worker starts, its own variables are in the environment.
        self._threads_given = any(name in os.environ for name in _THREADS)
        self._workers: dict[int, _Worker] = {}

    def room(self) -> int:
        return room(len(self._gpus), self._per_trial)

    def attempt(self, lane: int, task: Task) -> Answer:
        options = self.options
        worker = self._workers.get(lane) or self._start(lane)
        started = time.perf_counter()
        worker.send(text_of(task))
        while (text := self._hear(worker, options.silence_s)) is None:
            seconds = time.perf_counter() - started
            if self.timeout_s is not None and seconds > self.timeout_s:
                self.stop(lane)
                return timed_out(self.timeout_s, seconds)
            if options.memory_mb is not None and (used := worker.resident_mb()) > options.memory_mb:
                self.stop(lane)
                reason = f"memory: {used:.0f} MB in use, executor.memory_mb is {options.memory_mb}"
                return Answer.failed(reason, seconds, seconds)
        return answer_of(text)

    def _hear(self, worker: _Worker, silence_s: float) -> str | None:
        """The next answer, None when there is none yet. Raises `WorkerLostError`."""
        if self.closing:
            raise WorkerLostError("the search is over")
        text = worker.hear(_TICK_S)
        if text is None and worker.silent_s > silence_s:
            raise WorkerLostError(f"gave no sign of life for {silence_s:g} s")
        return text

    def _start(self, lane: int) -> _Worker:
        options = self.options

        def begin() -> str:
            worker = self._workers[lane] = _Worker(self._recipe, self._variables(lane))
            while (text := self._hear(worker, max(options.silence_s, _START_S))) is None:
                pass
            return text

        what = "a worker process {} before it was ready; its last words are above. A script that searches needs the "
        self.start(lane, begin, what + 'guard: if __name__ == "__main__"')
        return self._workers[lane]

    def _variables(self, lane: int) -> dict[str, str]:
        """What the environment of a lane's worker has of its own."""
        found = {"CUDA_VISIBLE_DEVICES": share(self._gpus, lane, self._per_trial)} if self._gpus else {}
        threads = self.options.cpus_per_trial
        if threads is None and not self._threads_given:
            threads = max(1, _cores() // self.workers)
        return found if threads is None else {**found, **dict.fromkeys(_THREADS, str(threads))}

    def stop(self, lane: int) -> None:
        worker = self._workers.pop(lane, None)
        if worker is not None:
            worker.kill()


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, recipe: str, variables: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        # Not a daemon: those may not have children, and data loaders are.
        self._process = context.Process(target=_serve, args=(theirs, recipe), daemon=False)
        with environment(variables):
            self._process.start()
        theirs.close()
        self._heard = time.perf_counter()

    @property
    def silent_s(self) -> float:
        """Seconds since the last sign of life."""
        return time.perf_counter() - self._heard

    def send(self, text: str) -> None:
        """Send a task."""
        try:
            self._pipe.send_bytes(text.encode())
        except OSError:
            raise WorkerLostError(self._end()) from None

    def hear(self, seconds: float) -> str | None:
        """What the process says within so many seconds, None for nothing new; `WorkerLostError` when it has ended."""
        try:
            if self._pipe.poll(seconds):
                text = self._pipe.recv_bytes().decode()
                self._heard = time.perf_counter()
                return None if text == _BEAT else text
        except (EOFError, OSError):
            raise WorkerLostError(self._end()) from None
        # Children of a dead worker may hold its end of the pipe open.
        if not self._process.is_alive() and not self._pipe.poll():
            raise WorkerLostError(self._end())
        return None

    def _end(self) -> str:
        self._process.join(5)
        code = self._process.exitcode
        if code is None:
            return "closed its pipe"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def resident_mb(self) -> float:
        """Memory of the process and its children."""
        assert self._process.pid is not None
        return resident_mb(self._process.pid)

    def kill(self) -> None:
        """End the process and everything in its group."""
        assert self._process.pid is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._pipe.close()


class _Voice:
    """The worker's end of the pipe, which two of its threads write to."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._lock = pipe, threading.Lock()

    def say(self, text: str) -> None:
        with self._lock:
            self._pipe.send_bytes(text.encode())

    def beat(self) -> None:
        """Give signs of life; when nobody listens any more (the search was killed), end this process at once."""
        while True:
            try:
                self.say(_BEAT)
            except OSError:
                # With it whatever it started: data loaders, say.
                os.killpg(0, signal.SIGKILL)
            time.sleep(_BEAT_S)


def _serve(pipe: Connection, recipe: str) -> None:
    """What runs in a worker process: build the workload once, then do the tasks that come until the pipe is closed."""
    # A group of its own: it can be killed with all that it starts, and Ctrl-C is for the search to handle.
    os.setsid()
    voice = _Voice(pipe)
    threading.Thread(target=voice.beat, daemon=True).start()
    try:
        workload = built(recipe)
    except Exception as error:
        voice.say(broken(error))
        return
    voice.say(READY)
    while True:
        try:
            task = pipe.recv_bytes().decode()
        except (EOFError, OSError):
            return
        voice.say(answered(workload, task))


def resident_mb(pid: int) -> float:
    """Resident memory of a process in 10^6 bytes, with what its children have to themselves; 0 when it has ended."""
    total = 0
    try:
        process = psutil.Process(pid)
        total += process.memory_info().rss
        for child in process.children(recursive=True):
            with suppress(psutil.Error):
                total += child.memory_full_info().uss
    except psutil.Error:
        pass
    return total / 1e6


def _cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity else os.cpu_count() or 1
