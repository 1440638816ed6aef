"""Time of classification losses beside cross-entropy, and of looking at formulas; writes docs/results/classification_losses.md.

    python perf/classification_losses.py [--write]

One thread, processor time, forward and backward from logits in float32. Times are medians over rounds in which every loss
runs once, so that a busy moment of the machine hits all of them; ratios are to torch's cross-entropy in the same run.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import _page
import numpy as np
import torch
from torch.nn import functional

from losses import classification
from po_nas import spaces
from po_nas.formula import Call, Node, leaves
from po_nas.training.data import image_set
from po_nas.training.network import network_options
from po_nas.training.recipe import recipe

SHAPES = ((128, 10), (96, 100))
ROUNDS, CALLS = 60, 5
FORMULA = "exp(y - p) * aq(p, y) + max(erf(p), i0e(y))"


def variants() -> dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]:
    found = {"torch's cross-entropy": lambda x, y: functional.cross_entropy(x, y)}
    found |= {f"`{name}`": classification.get(name) for name in classification.names() if name != "formula"}
    return found | {
        "`formula`, -(y * log(p))": classification.get("formula"),
        f"`formula`, {FORMULA}": classification.get("formula", formula=FORMULA),
        "`cross_entropy`, label smoothing .1": classification.get("cross_entropy", label_smoothing=0.1),
        "`baikal`, label smoothing .1": classification.get("baikal", label_smoothing=0.1),
    }


def times(n: int, classes: int) -> dict[str, float]:
    """Median seconds of a forward and backward pass of each."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(n, classes, generator=generator, requires_grad=True)
    labels = torch.randint(classes, (n,), generator=generator)
    every = variants()
    seconds: dict[str, list[float]] = {name: [] for name in every}
    for turn in range(ROUNDS + 3):
        for name, loss in every.items():
            started = time.process_time()
            for _ in range(CALLS):
                torch.autograd.grad(loss(logits, labels), logits)
            if turn >= 3:
                seconds[name].append((time.process_time() - started) / CALLS)
    return {name: statistics.median(values) for name, values in seconds.items()}


def network() -> float:
    """Median seconds of forward and backward through the network of the recipe digits, without the loss."""
    space, settings = spaces.get("darts"), recipe("digits")
    architecture = space.sample(np.random.default_rng(0))
    found = space.build(architecture, seed=0, **network_options(space, settings, image_set("digits").options))
    images = torch.randn(settings.batch, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    seconds = []
    for _ in range(20):
        started = time.process_time()
        found(images).sum().backward()
        seconds.append(time.process_time() - started)
    return statistics.median(seconds)


def candidate(rng: np.random.Generator, depth: int) -> Node:
    """A random formula of at most `depth`."""
    if depth == 0 or rng.random() < 0.1:
        return ("y", "p", "p", 1.0, -1.0)[rng.integers(5)]
    names = classification.BINARY if rng.random() < 0.5 else classification.UNARY
    name = names[rng.integers(len(names))]
    return Call(name, tuple(candidate(rng, depth - 1) for _ in range(classification.ARITIES[name])))


def rates() -> dict[str, float]:
    """Formulas per second through each look at them."""
    rng = np.random.default_rng(0)
    found = [node for node in (candidate(rng, 3) for _ in range(4000)) if {"y", "p"} == set(leaves(node))][:800]
    looks: dict[str, Callable[[classification.Program], object]] = {
        "from a tree to steps": lambda program: classification.Program(program.node),
        "steepness": classification.steepness,
        "curve of 1,000 points": classification.curve,
        "curve of 100 points": lambda program: classification.curve(program, 100),
        "values and gradients finite": classification.check,
    }
    programs = [classification.Program(node) for node in found]
    rates = {}
    for name, look in looks.items():
        started = time.process_time()
        for program in programs:
            look(program)
        rates[name] = len(programs) / (time.process_time() - started)
    return rates


def main() -> None:
    measured = {shape: times(*shape) for shape in SHAPES}
    header = ["loss", *(word for n, classes in SHAPES for word in (f"{n} × {classes}, µs", "ratio"))]
    rows = []
    for name in next(iter(measured.values())):
        cells = []
        for found in measured.values():
            cells += [f"{1e6 * found[name]:.0f}", f"{found[name] / next(iter(found.values())):.1f}"]
        rows.append([name, *cells])
    lines = [
        "# Classification losses",
        "",
        f"Regenerate with `python perf/classification_losses.py --write`. One thread, processor time, "
        f"{_page.machine('torch')}. Forward and backward from logits: microseconds, and beside torch's cross-entropy in "
        "the same run.",
        "",
        *_page.table(header, rows),
        "",
        f"Forward and backward through the network of the recipe `digits` (3 cells, 8 channels, batch 64, 8 × 8 pixels), the "
        f"smallest that is trained here, take {1e6 * network():,.0f} µs.",
        "",
        "## Looking at formulas without training",
        "",
        "800 random formulas of depth 3 at most, NumPy:",
        "",
        *_page.table(("what", "formulas per second"), [(name, f"{rate:,.0f}") for name, rate in rates().items()]),
    ]
    _page.publish("classification_losses", lines, "--write" in sys.argv)


if __name__ == "__main__":
    main()
