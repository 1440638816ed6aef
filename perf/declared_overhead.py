"""Time of one proposal in declared spaces, against the target of 1 s; with --write, docs/results/declared_overhead.md.

    python perf/declared_overhead.py [--write] [--known 100]

Spaces of 6, 20 and 60 choices of all kinds; 100 random configurations are known, then a few trials are asked for and
told. Seconds are those of the processor on one thread, refit and search for the maximum of the acquisition function
included, of the fastest trial: a busy machine only ever adds time. What is done once for a search (candidates drawn and
scored) is in the first trial, which is reported beside them.
"""

from __future__ import annotations

import argparse
import time

import _page
import numpy as np

from po_nas import methods
from po_nas.core.objective import Outcome
from po_nas.core.searcher import Domain, Searcher
from po_nas.testing import analytic_functions
from po_nas.testing.analytic_functions import FunctionProxies

METHODS = ("random", "regularized_evolution", "gp_bo", "gp_proxies", "po_nas")
SPACES = ("mixed6", "conditional", "mixed20", "mixed60")
TRIALS, TARGET = 4, 1.0


def proposals(method: str, name: str, known: int) -> tuple[float, float]:
    """Seconds of the first proposal with so many evaluations known, and of the fastest of the next ones."""
    function = analytic_functions.get(name)
    space, kind = function.space, methods.registry.get(method)
    domain = Domain(space, space.canonical, True, known + TRIALS, space.size, FunctionProxies(function))
    search: Searcher = kind(domain, seed=0, options=kind.Options())
    rng = np.random.default_rng(0)
    for _ in range(known):
        architecture = space.sample(rng)
        search.tell_custom(architecture, Outcome.ok(function(space.config_of(architecture))))
    taken = []
    for _ in range(1 + TRIALS):
        started = time.process_time()
        [trial] = search.ask(1)
        taken.append(time.process_time() - started)
        search.tell(trial.number, Outcome.ok(function(space.config_of(trial.architecture))))
    return taken[0], min(taken[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write docs/results/declared_overhead.md")
    parser.add_argument("--known", type=int, default=100, help="evaluations that are known")
    parser.add_argument("--methods", nargs="*", default=METHODS)
    given = parser.parse_args()
    rows = []
    for method in given.methods:
        found = [proposals(method, name, given.known) for name in SPACES]
        rows.append((f"`{method}`", *(f"{again:.2f} ({first:.1f})" for first, again in found)))
    lines = [
        "# Declared spaces: time of a proposal",
        "",
        f"Regenerate with `python perf/declared_overhead.py --write`. One thread, {_page.machine('torch', 'botorch')}.",
        "",
        f"Seconds of the processor for one proposal with {given.known} evaluations known, refit and search for the maximum of",
        f"the acquisition function included (the fastest of {TRIALS}; in brackets the first, with what is done once for a",
        f"search). Target: {TARGET:.0f} s at 60 choices. `conditional` has 20 choices, of which seven are lists: 44 places.",
        "",
        *_page.table(("method", *SPACES), rows),
    ]
    _page.publish("declared_overhead", lines, given.write)


if __name__ == "__main__":
    main()
