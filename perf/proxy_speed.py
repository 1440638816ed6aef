"""Speed and memory of scoring against its targets; writes docs/results/proxies_speed.md.

    python perf/proxy_speed.py

Ratios are to one plain forward and backward pass of the same network on the same batch in the same run (CIFAR-10 sized
noise, batch of 64, one CPU thread; seconds of the processor, which a busy machine disturbs less than those of the clock, or of
the clock on a GPU; each figure the median of three). Peak memory is that of a fresh process above what
it had before, for a step of SGD with momentum and for scoring; glibc is told to give freed memory back at once, so that
the peak is what is in use and not what the allocator keeps. On a machine with a GPU a line for it is added.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import _page
import numpy as np
import torch
from torch.nn import functional

import proxies
from po_nas import networks, spaces

_ENV = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}

SIX = ("grad_norm", "snip", "grasp", "fisher", "synflow", "jacov")
THIRTEEN = (*SIX, "epe_nas", "flops", "l2_norm", "nwot", "params", "plain", "zen")
CELLS = ("3 3 3 3 3 3", "3 4 1 2 1 3", "4 0 2 1 3 1")
"""A heavy cell, one of the middle, a light one; operations of the six edges in the order of the space."""


def network(cell: str, device: str = "cpu"):
    space = spaces.get("nasbench201")
    return networks.build(spaces.Architecture(space.name, tuple(map(int, cell.split()))), device=device)


def batch(samples: int = 64, device: str = "cpu"):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(samples, 3, 32, 32, generator=generator)
    return images.to(device), (torch.arange(samples) % 10).to(device)


def step(module, data, optimiser=None) -> None:
    module.zero_grad()
    functional.cross_entropy(module(data[0]), data[1]).backward()
    if optimiser:
        optimiser.step()


def scored(module, data, names) -> None:
    proxies.score(module, data, names, on_error="nan")


def median(action, repeats: int = 3) -> float:
    action()
    seconds, clock = [], time.perf_counter if torch.cuda.is_available() else time.process_time
    for _ in range(repeats):
        started = clock()
        action()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(clock() - started)
    return statistics.median(seconds)


def peak_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1e3


def memory(kind: str, cell: str) -> None:
    """Print the peak of one training step or one scoring, above the state after a small one."""
    module, data = network(cell), batch()
    optimiser = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
    small = tuple(t[:8] for t in data)
    step(module, small, optimiser)
    if kind == "step":
        before = peak_mb()
        step(module, data, optimiser)
    else:
        names = SIX if kind == "six" else THIRTEEN
        scored(module, small, names)
        before = peak_mb()
        scored(module, data, names)
    print(peak_mb() - before)


def measured_memory(kind: str, cell: str) -> float:
    command = [sys.executable, __file__, "memory", kind, cell]
    done = subprocess.run(command, env=os.environ | _ENV, capture_output=True, text=True, check=True)
    return float(done.stdout)


def timing() -> list[tuple[str, str, str]]:
    rows = []
    for cell in CELLS:
        module, data = network(cell), batch()
        plain = median(partial(step, module, data))
        six = median(partial(scored, module, data, SIX)) / plain
        thirteen = median(partial(scored, module, data, THIRTEEN)) / plain
        apart = sum(median(partial(scored, module, data, n), 1) for n in SIX) / plain
        rows.append((f"cell {cell}: forward and backward", f"{plain:.2f} s", ""))
        rows.append((f"cell {cell}: the six of PO-NAS", f"{six:.2f} ×", "≤ 4 ×"))
        rows.append((f"cell {cell}: the six, one after the other", f"{apart:.2f} ×", ""))
        rows.append((f"cell {cell}: the thirteen of NAS-Bench-Suite-Zero", f"{thirteen:.2f} ×", "≤ 7 ×"))
    return rows


def peaks() -> list[tuple[str, str, str]]:
    rows = []
    for cell in CELLS:
        training = measured_memory("step", cell)
        rows.append((f"cell {cell}: peak memory of a training step", f"{training:.0f} MB", ""))
        for kind, name in (("six", "six"), ("thirteen", "thirteen")):
            ratio = measured_memory(kind, cell) / training
            rows.append((f"cell {cell}: peak memory of the {name}", f"{ratio:.2f} ×", "≤ 2 ×"))
    return rows


def processes(count: int = 32) -> list[tuple[str, str, str]]:
    """Efficiency of two processes by the clock, and by processor time, which a busy machine disturbs less."""
    rng, space = np.random.default_rng(0), spaces.get("nasbench201")
    cells = [space.sample(rng) for _ in range(count)]
    wall, spent = {}, {}
    for workers in (1, 2):
        started, used = time.perf_counter(), processor_s()
        results = proxies.score_many(cells, batch(), SIX, build=networks.build, workers=workers)
        assert len(list(results)) == count
        wall[workers], spent[workers] = time.perf_counter() - started, processor_s() - used
    name = f"{count} cells, six proxies, two processes against one, their start included"
    return [
        (f"{name}: efficiency", f"{wall[1] / wall[2] / 2:.2f}", "≥ 0.8"),
        (f"{name}: processor time", f"{spent[2] / spent[1]:.2f} ×", ""),
    ]


def processor_s() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def cache() -> list[tuple[str, str, str]]:
    keys = [proxies.CacheKey("nasbench201", str(k), "snip", 1, "0/0", "f" * 24, "model") for k in range(20_000)]
    with tempfile.TemporaryDirectory() as folder, proxies.ScoreCache(Path(folder) / "scores") as store:
        store.put(dict.fromkeys(keys, 1.0))
        spent = []
        for _ in range(2):
            started = time.perf_counter()
            for key in keys:
                store.get(key)
            spent.append((time.perf_counter() - started) / len(keys) * 1e6)
    return [
        ("cache hit, first time (file)", f"{spent[0]:.1f} µs", "≤ 50 µs"),
        ("cache hit, again (memory)", f"{spent[1]:.1f} µs", "≤ 50 µs"),
    ]


def gpu() -> list[tuple[str, str, str]]:
    if not torch.cuda.is_available():
        return []
    name = torch.cuda.get_device_name()
    rows = []
    for cell in CELLS:
        module, data = network(cell, "cuda"), batch(device="cuda")
        optimiser = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
        peak = {}
        for kind in ("step", "six"):
            torch.cuda.empty_cache()
            base = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            step(module, data, optimiser) if kind == "step" else scored(module, data, SIX)
            peak[kind] = torch.cuda.max_memory_allocated() - base
        spent = median(partial(scored, module, data, SIX), 10) * 1e3
        every = median(partial(scored, module, data, THIRTEEN), 10) * 1e3
        rows.append((f"{name}, cell {cell}: the six", f"{spent:.0f} ms", "≤ 60 ms"))
        rows.append((f"{name}, cell {cell}: the thirteen", f"{every:.0f} ms", ""))
        rows.append((f"{name}, cell {cell}: peak memory of the six", f"{peak['six'] / peak['step']:.2f} ×", "≤ 2 ×"))
    return rows


def main() -> None:
    if sys.argv[1:2] == ["memory"]:
        return memory(*sys.argv[2:])
    torch.set_num_threads(1)
    rows = [*timing(), *peaks(), *processes(), *cache(), *gpu()]
    lines = [
        "# Speed and memory of the proxies",
        "",
        f"Regenerate with `python perf/proxy_speed.py`. One thread, {_page.machine('torch')}. NAS-Bench-201 networks for 32 × 32 images (16 channels, "
        "3 × 5 cells), batch of 64. × is to one forward and backward pass, or to one training step, of the same network.",
        "",
        *_page.table(("what", "measured", "target"), rows, left=3),
    ]
    _page.publish("proxies_speed", lines)
    return None


if __name__ == "__main__":
    main()
