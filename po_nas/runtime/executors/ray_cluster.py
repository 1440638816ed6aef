"""Workers of a Ray cluster: one actor for each trial that runs at a time."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from typing import Any, ClassVar

from pydantic import Field

from po_nas.errors import ExecutorError, MissingExtraError, WorkerLostError
from po_nas.runtime.executors.base import Answer, ExecutorOptions, Task, Workload, timed_out
from po_nas.runtime.executors.environment import check_share, room
from po_nas.runtime.executors.lanes import LaneExecutor, LaneOptions
from po_nas.runtime.executors.messages import READY, answer_of, answered, broken, built, recipe, text_of

__all__ = ["RayExecutor", "RayOptions"]

_log = logging.getLogger(__name__)

_TICK_S = 0.25
_PROBE_S = 3.0
_GONE_S = 20.0
"""Seconds that the head may be silent. After 60 Ray ends this process, and says so in its own words alone."""


class RayOptions(LaneOptions):
    """Options of `ray`; `cpus_per_trial` is 1 by default."""

    address: str | None = Field(
        None,
        description="a cluster's address, or local for one that ends with the search; default: what runs, else local",
    )


class RayWorker:
    """What runs in an actor: the workload, built once."""

    def __init__(self, text: str) -> None:
        self._recipe = text
        self._workload: Workload | None = None

    def begin(self) -> str:
        """Build the workload; the worker's first words."""
        try:
            self._workload = built(self._recipe)
        except Exception as error:
            return broken(error)
        return READY

    def answer(self, task: str) -> str:
        """Do a task."""
        assert self._workload is not None
        return answered(self._workload, task)


class RayExecutor(LaneExecutor):
    """Actors of Ray Core; each holds its share of GPUs, builds the workload once, and does one task at a time.

    An actor is killed when a trial takes longer than `timeout_s`. That a worker or a machine is lost is Ray's to find
    out; memory is guarded by Ray's own monitor. Ray that runs already in this process is used and left running.
    """

    by_value: ClassVar[bool] = True
    Options: ClassVar[type[ExecutorOptions]] = RayOptions
    options: RayOptions

    def __init__(self, workload: Workload, **settings: Any) -> None:
        super().__init__(workload, **settings)
        try:
            import ray
        except ImportError:
            raise MissingExtraError("executor 'ray'", "ray", "ray") from None
        self._ray: Any = ray
        self._recipe = recipe(self, ray.cloudpickle.dumps)
        self._connected = self._local = False
        self._gone = False
        self._actors: dict[int, Any] = {}

    def prepare(self) -> None:
        """Join the cluster, or start one on this machine."""
        options = self.options
        if not self._ray.is_initialized():
            self._connect(options.address)
            self._connected = True
        threading.Thread(target=self._watch, args=(self._ray.get_runtime_context().gcs_address,), daemon=True).start()
        gpus = float(self._ray.cluster_resources().get("GPU", 0))
        self._per_trial = check_share(options.gpus_per_trial, gpus, "the Ray cluster has")

    def _connect(self, address: str | None) -> None:
        if address is not None and re.fullmatch(r".+:\d+", address) and not _answers(address):
            # Ray would try for minutes.
            raise ExecutorError(f"no Ray cluster at executor.address={address}: nobody answers there")
        try:
            if address != "local":
                self._ray.init(address=address or "auto", logging_level=logging.WARNING)
                return
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            if address is not None:
                raise ExecutorError(f"no Ray cluster at executor.address={address} ({error})") from error
        self._local = True
        self._ray.init(address="local", include_dashboard=False, logging_level=logging.WARNING)

    def _watch(self, head: str) -> None:
        """Knock at the cluster's head now and then: without it, or without a machine, calls of Ray wait forever.

        A machine may join a cluster at any time; the one that was started here has no other.
        """
        answered, lost = time.perf_counter(), ""
        while not self.closing and time.perf_counter() - answered < _GONE_S:
            time.sleep(_PROBE_S)
            if not _answers(head):
                lost = f"the head of the Ray cluster ({head}) does not answer"
            elif self._connected and self._local and not any(node["Alive"] for node in self._ray.nodes()):
                lost = f"the Ray cluster on this machine ({head}) has lost its only node"
            else:
                answered = time.perf_counter()
        if not self.closing:
            self._gone = True
            error = ExecutorError(lost)
            # Ray's own hook for uncaught exceptions tells the head before it prints anything.
            _log.error("%s", error)
            self.give_up(error)

    def room(self) -> int:
        """As many workers as the GPUs of the cluster's machines allow; a trial cannot have GPUs of two."""
        machines = (node["Resources"].get("GPU", 0) for node in self._ray.nodes() if node["Alive"])
        return sum(room(int(gpus), self._per_trial) for gpus in machines)

    def attempt(self, lane: int, task: Task) -> Answer:
        actor = self._actors.get(lane) or self._start(lane)
        text = self._wait(actor.answer.remote(text_of(task)), self.timeout_s)
        if text is None:
            assert self.timeout_s is not None
            self.stop(lane)
            return timed_out(self.timeout_s, self.timeout_s)
        return answer_of(text)

    def _start(self, lane: int) -> Any:
        kind = self._ray.remote(RayWorker).options(
            num_cpus=self.options.cpus_per_trial or 1, num_gpus=self._per_trial, max_restarts=0
        )

        def begin() -> str:
            actor = self._actors[lane] = kind.remote(self._recipe)
            text = self._wait(actor.begin.remote(), None)
            assert text is not None
            return text

        self.start(lane, begin, "a Ray actor {} before it was ready")
        return self._actors[lane]

    def _wait(self, reference: Any, timeout_s: float | None) -> str | None:
        """What an actor answers; None when it takes too long."""
        waited = 0.0
        try:
            while not self.closing:
                tick = _TICK_S if timeout_s is None else min(_TICK_S, timeout_s - waited)
                ready, _ = self._ray.wait([reference], timeout=tick)
                if ready:
                    return str(self._ray.get(reference))
                waited += tick
                if timeout_s is not None and waited >= timeout_s:
                    return None
        except self._ray.exceptions.RayError as error:
            raise WorkerLostError(f"was lost by Ray ({type(error).__name__}: {_first_line(error)})") from error
        raise WorkerLostError("the search is over")

    def stop(self, lane: int) -> None:
        actor = self._actors.pop(lane, None)
        if actor is not None and not self._gone:
            self._ray.kill(actor)

    def close(self) -> None:
        """Kill the actors; end Ray if it was started here."""
        super().close()
        if self._connected and not self._gone:
            self._connected = False
            self._ray.shutdown()


def _answers(address: str) -> bool:
    """Whether somebody listens at ``host:port``."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_S).close()
    except OSError:
        return False
    return True


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
