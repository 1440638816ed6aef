"""What each proxy costs by itself, in forward and backward passes; writes docs/results/proxies_cost.md.

    python perf/proxy_cost.py

NAS-Bench-201's cell of the middle of `proxy_speed.py` (16 channels, 3 × 5 cells, 10 classes), 32 made-up images of
32 × 32, one thread, seconds of the processor, the smaller of two. The unit is one forward and one backward pass of that
network on that batch. Proxies that are asked for together share passes and cost less than their sum.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import _page
import torch
from torch.nn import functional

import proxies
from po_nas import networks, spaces
from proxies.catalogue import CATALOGUE
from proxies.synthetic import synthetic_images

CELL = (3, 4, 1, 2, 1, 3)


def seconds(action: Callable[[], object], repeats: int = 2) -> float:
    """Processor seconds of one call, the smallest."""
    spent = []
    for _ in range(repeats):
        before = time.process_time()
        action()
        spent.append(time.process_time() - before)
    return min(spent)


def main() -> None:
    torch.set_num_threads(1)
    space = spaces.get("nasbench201")
    module = networks.build(spaces.Architecture(space.name, CELL))
    batch = synthetic_images(32)

    def step() -> None:
        module.zero_grad()
        functional.cross_entropy(module(batch.inputs[0]), batch.labels).backward()

    step()
    unit = seconds(step, 5)
    rows = []
    for spec, _, _ in CATALOGUE:
        cost = seconds(partial(proxies.evaluate, module, batch, spec.name)) / unit
        passes = ", ".join(spec.passes) or (f"those of {', '.join(spec.needs)}" if spec.needs else "none")
        rows.append((spec.name, passes, f"{cost:.2f}"))
    lines = [
        "# What each proxy costs",
        "",
        f"Regenerate with `python perf/proxy_cost.py`. One thread, {_page.machine('torch')}. NAS-Bench-201 network of "
        "cell 3 4 1 2 1 3, 32 images of 32 × 32; each proxy alone, in units of one forward and one backward pass of that "
        "network on that batch. Proxies that are asked for together share passes.",
        "",
        *_page.table(("proxy", "passes", "cost"), sorted(rows, key=lambda row: float(row[2])), left=2),
    ]
    _page.publish("proxies_cost", lines)


if __name__ == "__main__":
    main()
