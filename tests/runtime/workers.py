"""Objectives for worker processes, which do things to the process that evaluates them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from po_nas import spaces
from po_nas.core.objective import Outcome
from po_nas.testing import ToyObjective


class SourceTask(ToyObjective):
    """Tells which process evaluated it, and what that may see; victims (a quarter) first do `act` `times` times.

    Every try of a victim leaves a line with its process in a file of `folder`.
    """

    def __init__(self, folder: Path, act: str = "", times: int = 1, sleep_s: float = 0.0) -> None:
        super().__init__(spaces.get("transnas_micro"))
        self.folder, self.act, self.times, self.sleep_s = str(folder), act, times, sleep_s

    def tries(self, text: str) -> list[int]:
        """The processes that tried an architecture."""
        path = Path(self.folder, text.replace("|", "_"))
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def evaluate(self, architecture, *, seed, fidelity=None):
        text = self.space.to_string(architecture)
        time.sleep(self.sleep_s)
        if self.act and architecture.code[0] == 0:
            tried = len(self.tries(text))
            with Path(self.folder, text.replace("|", "_")).open("a") as file:
                file.write(f"{os.getpid()}\n")
            if tried < self.times:
                self.do()
        devices = os.environ.get("CUDA_VISIBLE_DEVICES") or "-1"
        return Outcome.ok(
            self.value(architecture),
            cost_s=1.0,
            pid=os.getpid(),
            device=float(devices.split(",")[0]),
            threads=float(os.environ.get("OMP_NUM_THREADS") or 0),
        )

    def do(self) -> None:
        match self.act:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                os._exit(9)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "hang":
                time.sleep(3600)
            case "eat":
                eaten = bytearray(400_000_000)
                eaten[::4096] = b"x" * len(eaten[::4096])
                time.sleep(3600)
            case "raise":
                raise RuntimeError("CUDA error: device-side assert triggered")


class Unwell(SourceTask):
    """Cannot be built in the first `times` workers."""

    def __setstate__(self, state):
        self.__dict__.update(state)
        path = Path(self.folder, "built")
        with path.open("a") as file:
            file.write("x")
        if len(path.read_text()) <= self.times:
            raise OSError("the data are not mounted here")


class Unsendable(SourceTask):
    """Holds something that cannot be pickled."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.lock = open(os.devnull)  # noqa: SIM115, PTH123
