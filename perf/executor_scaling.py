"""Two workers against one on equal CPU trainings, and what a trial costs beside its training; writes docs/results/executors.md.

    python perf/executor_scaling.py

Needs the extra `ray`, two idle cores and some minutes. Every worker has one thread. A training is a fixed number of steps
of a small convolutional network on made-up images, the same for every trial. Workers are started, and have imported torch,
before the clock runs.
"""

from __future__ import annotations

import logging
import multiprocessing
import statistics
import time

import _page
import ray

from po_nas import spaces
from po_nas.core.objective import Outcome
from po_nas.core.trial import Trial
from po_nas.runtime import executors
from po_nas.runtime.executors import Executor
from po_nas.runtime.executors.objective_tasks import ObjectiveWorkload, evaluation
from po_nas.testing import ToyObjective

_TRAININGS, _QUICK, _STEPS, _ROUNDS = 8, 200, 120, 3
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
        images, labels = torch.randn(32, 3, 16, 16), torch.randint(10, (32,))
        for _ in range(steps):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()


def spent(executor: Executor, first: int, count: int, seed: int) -> float:
    """Seconds from the first submission to the last answer."""
    started = time.perf_counter()
    space = spaces.get("transnas_micro")
    for number in range(first, first + count):
        executor.submit(evaluation(Trial(number, space.at(number), "random", seed), space))
    done = 0
    while done < count:
        for completed in executor.poll():
            assert completed.answer.failure is None, completed.answer.failure
            done += 1
    return time.perf_counter() - started


class Bare:
    """The same trainings in processes that know of no executor: what the machine itself allows."""

    def __init__(self, workers: int) -> None:
        self.pool = multiprocessing.get_context("spawn").Pool(workers)
        self.workers = workers

    def trainings(self) -> float:
        started = time.perf_counter()
        self.pool.map(_bare, [_TRAININGS // self.workers] * self.workers, chunksize=1)
        return time.perf_counter() - started

    def close(self) -> None:
        self.pool.terminate()


def _bare(count: int) -> None:
    for _ in range(count):
        SmallTraining().train(_STEPS)


class Executed:
    """Trainings on an executor."""

    def __init__(self, name: str, workers: int, **options) -> None:
        kind = executors.registry.get(name)
        self.executor = kind(ObjectiveWorkload(SmallTraining()), workers=workers, options=kind.Options(**options))
        self.executor.open()
        self.first = 0
        spent(self.executor, 0, workers, _WARM)

    def trainings(self) -> float:
        self.first += 100
        return spent(self.executor, self.first, _TRAININGS, _TRAIN)

    def nothing(self) -> float:
        """Milliseconds of a trial that does nothing."""
        return spent(self.executor, 10_000, _QUICK, 0) / _QUICK * 1e3

    def close(self) -> None:
        self.executor.close()


def measured(make) -> list[str]:
    """Cells of a row: seconds with one and with two workers, in turns, their ratio, milliseconds per empty trial."""
    both = [make(1), make(2)]
    try:
        for one in both:
            one.trainings()
        rounds = [[one.trainings() for one in both] for _ in range(_ROUNDS)]
        ratios = [slow / fast for slow, fast in rounds]
        medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
        empty = [f"{one.nothing():.1f} ms" if isinstance(one, Executed) else "" for one in both]
        spread = f"**{statistics.median(ratios):.2f} ×** ({min(ratios):.2f}–{max(ratios):.2f})"
        return [*(f"{seconds:.1f} s" for seconds in medians), spread, *empty]
    finally:
        for one in reversed(both):
            one.close()


def main() -> None:
    ray.init("local", num_cpus=3, include_dashboard=False, logging_level=logging.WARNING)  # idle ones count, too
    rows = [
        ("bare processes", "", measured(Bare)),
        ("`process`", "", measured(lambda n: Executed("process", n, cpus_per_trial=1))),
        ("`ray`", "≥ 1.8 ×", measured(lambda n: Executed("ray", n))),
    ]
    lines = [
        "# Executors: two workers against one",
        "",
        f"Regenerate with `python perf/executor_scaling.py` on an idle machine. {_TRAININGS} equal CPU trainings, "
        f"{_ROUNDS} rounds with one and with two workers in turns, medians (range of the ratio), one thread a worker; "
        f"{_page.machine()}. Bare processes, which share nothing and ask nobody, are what the machine itself allows. The last "
        f"two columns: milliseconds per trial of an objective that does nothing ({_QUICK} of them), which is what a "
        "trial costs beside its training.",
        "",
        *_page.table(
            (
                "trainings in",
                "1 worker",
                "2 workers",
                "faster",
                "target",
                "per trial, 1 worker",
                "per trial, 2 workers",
            ),
            [(name, *cells[:3], target, *cells[3:]) for name, target, cells in rows],
        ),
    ]
    _page.publish("executors", lines)


if __name__ == "__main__":
    main()
