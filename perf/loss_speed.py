"""Time and memory of every loss; writes docs/results/losses.md.

    python perf/loss_speed.py

One thread, processor time. Times are medians over rounds in which every loss runs once, so that a busy moment of the
machine hits all of them; ratios are to mean squared error in the same run. Memory is the growth of a process's peak.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import _page
import torch

import losses

_LARGE, _HUGE = 1_000, 4_000
_TARGET_RATIO, _TARGET_MB = 4.0, 1_000

_MEMORY = """
import json, re, sys
import torch
import losses
def peak():
    # Not getrusage: its peak includes what the parent held before this process began.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024
def run(n):
    generator = torch.Generator().manual_seed(0)
    pred = torch.randn(n, generator=generator, requires_grad=True)
    loss.compute(pred, 0.5 + 0.4 * torch.rand(n, generator=generator), generator).backward()
name, hyperparameters, n = json.loads(sys.argv[1])
loss = losses.get(name, **hyperparameters)
run(64)
before = peak()
run(n)
print(json.dumps(peak() - before))
"""


def variants() -> list[tuple[str, dict[str, object]]]:
    """Every loss with its defaults, and the modes that work differently; mse first."""
    others = sorted(set(losses.names()) - {"mse", "piecewise", "scheduled"})
    modes: list[tuple[str, dict[str, object]]] = [("mse_sr", {"mode": "perm"}), ("warp", {"mode": "sampled"})]
    return sorted([("mse", {}), *((name, {}) for name in others), *modes], key=lambda v: (v[0] != "mse", v[0]))


class Predictor(torch.nn.Module):
    """Four graph convolutions of width 64 over eight nodes, in both directions, and a head."""

    def __init__(self, features: int = 8, width: int = 64, layers: int = 4) -> None:
        super().__init__()
        widths = [features, *[width] * layers]
        pairs = list(itertools.pairwise(widths))
        self.forth = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in pairs)
        self.back = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in pairs)
        self.head = torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.ReLU(), torch.nn.Linear(width, 1))

    def forward(self, nodes: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        for forth, back in zip(self.forth, self.back, strict=True):
            nodes = (torch.relu(adjacency @ forth(nodes)) + torch.relu(adjacency.mT @ back(nodes))) / 2
        return self.head(nodes.mean(1)).squeeze(-1)


def alone(loss: losses.Loss, n: int) -> Callable[[], None]:
    generator = torch.Generator().manual_seed(0)
    pred = torch.randn(n, generator=generator, requires_grad=True)
    target = 0.5 + 0.4 * torch.rand(n, generator=generator)

    def run() -> None:
        pred.grad = None
        loss.compute(pred, target, generator).backward()

    return run


def training_step(loss: losses.Loss, n: int) -> Callable[[], None]:
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        predictor = Predictor()
    optimiser = torch.optim.AdamW(predictor.parameters(), lr=1e-3)
    nodes = torch.rand(n, 8, 8, generator=generator)
    adjacency = torch.rand(n, 8, 8, generator=generator).round().triu(1) + torch.eye(8)
    target = 0.5 + 0.4 * torch.rand(n, generator=generator)

    def run() -> None:
        optimiser.zero_grad()
        loss.compute(predictor(nodes, adjacency), target, generator).backward()
        optimiser.step()

    return run


def medians(runs: list[Callable[[], None]], rounds: int) -> list[float]:
    """Median seconds of each, over rounds in which each runs once after an untimed call."""
    spent: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, times in zip(runs, spent, strict=True):
            run()
            started = time.process_time()
            run()
            times.append(time.process_time() - started)
    return [statistics.median(times) for times in spent]


def memory(name: str, hyperparameters: dict[str, object]) -> float:
    given = json.dumps([name, hyperparameters, _HUGE])
    done = subprocess.run([sys.executable, "-c", _MEMORY, given], capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout))


def page() -> list[str]:
    torch.set_num_threads(1)
    which = variants()
    made = [losses.get(name, **given) for name, given in which]
    small, large = (medians([alone(loss, n) for loss in made], 21) for n in (100, _LARGE))
    steps = medians([training_step(loss, _LARGE) for loss in made], 5)
    peaks = [memory(name, given) for name, given in which]
    rows = []
    for (name, given), a, b, c, peak in zip(which, small, large, steps, peaks, strict=True):
        title = name + "".join(f", {value}" for value in given.values())
        alone_ms, step_ms = (f"{a * 1e3:.2f} ms", f"{b * 1e3:.2f} ms"), f"{c * 1e3:.0f} ms"
        rows.append((title, *alone_ms, f"{b / large[0]:.1f}", step_ms, f"{c / steps[0]:.2f}", f"{peak:.0f} MB"))
    slow = [name for (name, _), c in zip(which, steps, strict=True) if c > _TARGET_RATIO * steps[0]]
    slow_alone = [name for (name, _), b in zip(which, large, strict=True) if b > _TARGET_RATIO * large[0]]
    return [
        "# Time and memory of the losses",
        "",
        f"Regenerate with `python perf/loss_speed.py`. One thread, processor time, {_page.machine('torch')}.",
        "",
        f"Forward and backward of the loss alone, and one training step of a predictor (8 nodes × 64 × 4 layers, both "
        f"directions, AdamW) on {_LARGE:,} architectures; the growth of a process's peak memory at {_HUGE:,}.",
        "",
        *_page.table(
            (
                "loss",
                "alone, n = 100",
                f"alone, n = {_LARGE:,}",
                "÷ mse",
                "training step",
                "÷ mse",
                f"peak, n = {_HUGE:,}",
            ),
            rows,
        ),
        "",
        f"Target: at n = {_LARGE:,} within {_TARGET_RATIO:g} times the time of mse. In a training step "
        f"{'every loss is' if not slow else 'all but ' + ', '.join(slow) + ' are'}. The loss alone is another matter: mse "
        f"is three passes over {_LARGE:,} numbers, a pairwise loss looks at {_LARGE * (_LARGE - 1) // 2:,} pairs; beyond "
        f"{_TARGET_RATIO:g} times are {', '.join(dict.fromkeys(slow_alone)) or 'none'}.",
        "",
        f"Target: below {_TARGET_MB / 1000:g} GB at n = {_HUGE:,}; the largest is {max(peaks):.0f} MB. Pairwise losses go "
        "through the pairs block by block and keep vectors only; sampled WARP alone holds n × n matrices.",
        "",
    ]


if __name__ == "__main__":
    _page.publish("losses", page())
