"""Two workers against one on equal CPU trainings, and what a trial costs beside its training; writes docs/results/executors.md.

    python perf/executor_scaling.py

Needs the extra `ray`, two idle cores and some minutes. Every worker has one thread. A training is a fixed number of steps
of a small convolutional network on made-up images, the same for every trial. Workers are started, and have imported torch,
before the clock runs.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from pathlib import Path

from po_nas import spaces
from po_nas.core import executors
from po_nas.core.executors import Executor, Job
from po_nas.core.objective import Outcome
from po_nas.testing import ToyObjective

_OUT = Path(__file__).parents[1] / "docs" / "results" / "executors.md"
_TRAININGS, _QUICK, _STEPS, _ROUNDS = 8, 200, 60, 3
_WARM, _TRAIN = 1, 2


class SmallTraining(ToyObjective):
    """By its seed: a training, a second in which every worker gets torch ready, or nothing at all."""

    def __init__(self) -> None:
        super().__init__(spaces.get("transnas_micro"))

    def evaluate(self, architecture, *, seed, fidelity=None):
        if seed in {_WARM, _TRAIN}:
            self.train(_STEPS if seed == _TRAIN else 2)
        if seed == _WARM:
            time.sleep(3.0)  # so long that no worker gets two of these
        return Outcome.ok(1.0, cost_s=1.0)

    def train(self, steps: int) -> None:
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            torch.nn.Conv2d(3, 32, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(32, 32, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(32, 10),
        )
        optimizer = torch.optim.SGD(network.parameters(), 0.1)
        images, labels = torch.randn(64, 3, 32, 32), torch.randint(10, (64,))
        for _ in range(steps):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()


def spent(executor: Executor, first: int, count: int, seed: int) -> float:
    """Seconds from the first submission to the last answer."""
    started = time.perf_counter()
    for number in range(first, first + count):
        executor.submit(Job(number, executor.objective.space.to_string(executor.objective.space.at(number)), seed))
    done = 0
    while done < count:
        for completed in executor.poll():
            assert completed.outcome.failure is None, completed.outcome.failure
            done += 1
    return time.perf_counter() - started


def measured(name: str, workers: int, **options) -> tuple[float, float]:
    """Median seconds of the trainings, and milliseconds of a trial that does nothing."""
    kind = executors.registry.get(name)
    executor = kind(SmallTraining(), workers=workers, options=kind.Options(**options))
    try:
        executor.open()
        spent(executor, 0, workers, _WARM)
        trainings = statistics.median(spent(executor, 100 * r, _TRAININGS, _TRAIN) for r in range(_ROUNDS))
        return trainings, spent(executor, 1_000, _QUICK, 0) / _QUICK * 1e3
    finally:
        executor.close()


def main() -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # workers inherit it
    rows = []
    for name, options in (("process", {"cpus_per_trial": 1}), ("ray", {"address": "local"})):
        one, one_ms = measured(name, 1, **options)
        two, two_ms = measured(name, 2, **options)
        rows.append(
            f"| `{name}` | {one:.1f} s | {two:.1f} s | **{one / two:.2f} ×** | ≥ 1.8 × | {one_ms:.1f} ms | {two_ms:.1f} ms |"
        )
    lines = [
        "# Executors: two workers against one",
        "",
        f"Regenerate with `python perf/executor_scaling.py` on an idle machine. {_TRAININGS} equal CPU trainings, median of "
        f"{_ROUNDS} rounds, one thread a worker; {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}. The last two columns: milliseconds per trial of an objective that does nothing "
        f"({_QUICK} of them), which is what a trial costs beside its training.",
        "",
        "| executor | 1 worker | 2 workers | faster | target | per trial, 1 worker | per trial, 2 workers |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]
    _OUT.parent.mkdir(parents=True, exist_ok=True)
    _OUT.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
