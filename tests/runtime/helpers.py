"""Objectives that misbehave, importable by the subprocesses of the tests."""

from __future__ import annotations

import ctypes
import json
import os
import time
from pathlib import Path

from po_nas import spaces
from po_nas.core.objective import Outcome
from po_nas.testing import ToyObjective


class Misbehaving(ToyObjective):
    """Does `behaviour` on the trials whose architecture's first gene is 0, a quarter of them."""

    def __init__(self, behaviour: str) -> None:
        super().__init__(spaces.get("transnas_micro"))
        self.behaviour = behaviour

    def evaluate(self, architecture, *, seed, fidelity=None):
        if architecture.code[0] == 0:
            match self.behaviour:
                case "raise":
                    raise RuntimeError("CUDA out of memory")
                case "nan":
                    return Outcome.ok(float("nan"))
                case "raw nan":
                    return Outcome({"validation": float("nan")})
                case "hang":
                    time.sleep(3600)
                case "none":
                    return None
                case "negative cost":
                    return Outcome.ok(1.0, cost_s=-5)
                case "exit":
                    raise SystemExit(3)
                case "odd text":
                    raise RuntimeError("bad \udcff")
                case "no text":
                    raise Unprintable
                case "failed with nonsense":
                    return Outcome({}, float("nan"), ValueError("x"))
                case "nan cost":
                    return Outcome.ok(1.0, cost_s=float("nan"))
        return Outcome.ok(self.value(architecture), cost_s=2.0, extra=float("inf"))


class Unprintable(Exception):
    """An exception without a text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Deadly(ToyObjective):
    """Ends the process, in the `way` that is named, at the architecture of one `index`."""

    def __init__(self, way: str, index: int) -> None:
        super().__init__(spaces.get("transnas_micro"))
        self.way, self.index = way, index

    def evaluate(self, architecture, *, seed, fidelity=None):
        if self.space.index(architecture) == self.index:
            match self.way:
                case "exit":
                    os._exit(3)
                case "segfault":
                    ctypes.string_at(0)
        return super().evaluate(architecture, seed=seed, fidelity=fidelity)


class Slow(ToyObjective):
    """Takes a few milliseconds, so that a run can be killed in the middle of it."""

    def __init__(self) -> None:
        super().__init__(spaces.get("transnas_micro"))

    def evaluate(self, architecture, *, seed, fidelity=None):
        time.sleep(0.004)
        return super().evaluate(architecture, seed=seed, fidelity=fidelity)


_TIMES = {
    "elapsed_s",
    "ask_s",
    "objective_s",
    "time",
    "resumed",
    "check",
    "scores_computed",
    "scores_kept",
    "scoring_s",
    "traceback",
}


def trials(directory: Path) -> list[dict]:
    """The journal's trials without anything that depends on the clock on the wall."""
    events = [json.loads(line) for line in (directory / "journal.jsonl").read_text().splitlines()]
    return [{k: v for k, v in e.items() if k not in _TIMES} for e in events if e["event"] in {"ask", "tell", "fail"}]
