"""Speed of PO-NAS against its targets; writes docs/results/po_nas_speed.md.

    python perf/po_nas_speed.py

One proposal (refit, score the whole of NAS-Bench-201, acquire) when 50 evaluations are known, pre-training of the
encoder on all 15,625 cells, the same with a predictor fused (one proposal in five trains it), and one generation of evolution in the DARTS space: offspring bred from 20 pairs, and
scored by the model with predicted proxy scores. One thread; the fastest of a few rounds counts, since a busy machine only
ever adds time.
"""

from __future__ import annotations

import time

import _page
import numpy as np
import torch

from po_nas import benchmarks, methods, spaces
from po_nas.core.objective import Outcome
from po_nas.core.searcher import Domain, Searcher
from po_nas.evolution import generation
from surrogates.fusion.pretraining import pretrain
from surrogates.fusion.settings import PRESETS
from surrogates.isolation import single_thread

KNOWN, ROUNDS, POOL = 50, 5, 1000


def proposals(name: str, **options: object) -> list[float]:
    """Seconds of `ROUNDS` proposals with `KNOWN` evaluations or a few more, the fastest first."""
    objective = benchmarks.get("nasbench201/cifar10")
    domain = Domain(objective.space, objective.identity, True, 100, objective.distinct, objective.proxies)
    kind = methods.registry.get(name)
    search: Searcher = kind(domain, seed=0, options=kind.Options(**options))
    taken = []
    for number in range(KNOWN + ROUNDS):
        started = time.perf_counter()
        [trial] = search.ask(1)
        taken.append(time.perf_counter() - started)
        search.tell(number, objective.evaluate(trial.architecture))
    return sorted(taken[KNOWN:])


class Linear:
    """Metrics that cost nothing, so that the search alone is timed: linear functions of the vector encoding."""

    names, origin, computed = ("a", "b", "c", "d", "e", "f"), "made up", 0

    def __init__(self, space: spaces.base.Space) -> None:
        self.space = space
        self.weights = np.random.default_rng(1).normal(size=(space.vector_size, len(self.names)))

    def values(self, architectures, names):
        vectors = np.array([self.space.encode_vector(a) for a in architectures])
        return (vectors @ self.weights)[:, [self.names.index(name) for name in names]]


def evolution() -> tuple[int, float, float]:
    """Offspring of a generation, seconds to breed them, and to score them."""
    space = spaces.get("darts")
    metrics = Linear(space)
    kind = methods.registry.get("po_nas")
    search = kind(
        Domain(space, space.canonical, True, 100, None, metrics),
        seed=0,
        options=kind.Options(pool=POOL, evolve_from=90),
    )
    for number in range(KNOWN):
        [trial] = search.ask(1)
        value = float(metrics.values([trial.architecture], ["a"])[0, 0])
        search.tell(number, Outcome.ok(value, 0.0))
    candidates = search.features().candidates
    predicted = search._predicted(KNOWN, candidates, search.observations)
    assert predicted is not None
    bred = scored = float("inf")
    for round_ in range(ROUNDS):
        started = time.perf_counter()
        offspring = generation(
            space,
            candidates.architectures,
            predicted.candidates,
            np.random.default_rng(round_),
            0.5,
            key=space.canonical,
            known=candidates.position,
        )
        bred = min(bred, time.perf_counter() - started)
        started = time.perf_counter()
        with single_thread():
            predicted.offspring(offspring)
        if round_:  # the first one pre-trains the encoder
            scored = min(scored, time.perf_counter() - started)
    return len(offspring), bred, scored


def pretraining() -> float:
    """Seconds to pre-train the encoder on all cells of NAS-Bench-201."""
    objective = benchmarks.get("nasbench201/cifar10")
    domain = Domain(objective.space, objective.identity, True, 100, objective.distinct, objective.proxies)
    kind = methods.registry.get("po_nas")
    features = kind(domain, seed=0, options=kind.Options()).features()
    inputs = features.candidates.encodings.graphs
    started = time.perf_counter()
    with single_thread():
        pretrain(inputs, torch.as_tensor(features.z, dtype=torch.float32), PRESETS["fast"], 0)
    return time.perf_counter() - started


def main() -> None:
    rows = [(name, proposals(name)[0]) for name in ("po_nas", "gp_proxies", "po_nas_paper", "gp_bo")]
    fused = proposals("po_nas", predictor={})
    rows += [("po_nas, predictor trained earlier", fused[0]), ("po_nas, predictor trained for it", fused[-1])]
    offspring, bred, scored = evolution()
    trained = pretraining()
    lines = [
        "# PO-NAS: speed",
        "",
        f"Regenerate with `python perf/po_nas_speed.py`. One thread, {_page.machine('torch')}.",
        "",
        f"One proposal with {KNOWN} evaluations known, over all 15,625 cells of NAS-Bench-201, refit included "
        f"(the fastest of {ROUNDS}; with training, the slowest); target ≤ 0.3 s, with a predictor ≤ 1 s.",
        "",
        *_page.table(("method", "s"), [(name, f"{seconds:.3f}") for name, seconds in rows]),
        "",
        *_page.table(
            ("what", "s", "target"),
            [
                (
                    "pre-training of the encoder on 15,625 cells",
                    f"{trained:.1f}",
                    "≤ 90 (two cores; this is one thread)",
                ),
                (
                    f"DARTS: a generation of {offspring:,} offspring bred (the fastest of {ROUNDS})",
                    f"{bred:.2f}",
                    "",
                ),
                ("the same scored by the model with predicted proxy scores", f"{scored:.2f}", "≤ 3 for 2,580"),
            ],
        ),
    ]
    _page.publish("po_nas_speed", lines)


if __name__ == "__main__":
    main()
