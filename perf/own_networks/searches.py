"""One search of a problem by a method: the values of its evaluations, and the seconds of its proposals."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from po_nas import methods
from po_nas.core.objective import Outcome
from po_nas.core.proxy_source import ProxySource
from po_nas.core.searcher import Domain, SharedCache
from po_nas.spaces.declared import DeclaredSpace

OTHERS = ("optuna_tpe", "optuna_gp", "smac")


class Search(NamedTuple):
    """Values in the order of evaluations, higher is better, and CPU seconds of each proposal."""

    values: list[float]
    seconds: list[float]


def ours(
    method: str,
    space: DeclaredSpace,
    function: Callable[[Mapping[str, Any]], float],
    seed: int,
    budget: int,
    proxies: ProxySource | None = None,
    cache: SharedCache | None = None,
    **options: Any,
) -> Search:
    """A search by a method of this package."""
    kind = methods.registry.get(method)
    domain = Domain(
        space, space.canonical, True, budget, space.size, proxies, cache=cache if cache is not None else SharedCache()
    )
    searcher, found = kind(domain, seed=seed, options=kind.Options(**options)), Search([], [])
    for _ in range(budget):
        started = time.process_time()
        [trial] = searcher.ask(1)
        found.seconds.append(time.process_time() - started)
        value = function(space.config_of(trial.architecture))
        searcher.tell(trial.number, Outcome.ok(value))
        found.values.append(value)
    return found


class Other:
    """An optimiser of another package, in a process of its own; `python` is that of its environment."""

    def __init__(self, method: str, python: Path) -> None:
        script = Path(__file__).with_name("others.py")
        self._process = subprocess.Popen(
            [python, script, method],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        )

    def __enter__(self) -> Other:
        return self

    def __exit__(self, *details: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def search(
        self, space: DeclaredSpace, function: Callable[[Mapping[str, Any]], float], seed: int, budget: int
    ) -> Search:
        """A search."""
        found = Search([], [])
        asked = self._said({"declaration": space.declaration(), "seed": seed, "budget": budget})
        while asked:
            # What the space resolves a number to is what is evaluated, as in our searches.
            config = space.config_of(space.architecture_of(asked["config"]))
            value = function(config)
            found.values.append(value)
            found.seconds.append(asked["seconds"])
            asked = self._said({"value": value})
        return found

    def _said(self, message: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} has ended with status {self._process.wait()}")
        return dict(json.loads(line))
