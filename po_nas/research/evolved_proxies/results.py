"""Reading the rows of the study of evolved proxies: figures by method and space, over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["Entry", "EvolvedResults", "short"]

F64: TypeAlias = NDArray[np.float64]

_SHORT = {
    "nasbench101": "NB101",
    "nasbench201": "NB201",
    "nasbench301": "NB301",
    "transnas_micro": "TNB micro",
    "transnas_macro": "TNB macro",
}


def short(name: str) -> str:
    """A space or a problem in few letters."""
    space, slash, task = name.partition("/")
    return _SHORT.get(space, space) + (f" {task}" if slash else "")


@dataclass(frozen=True)
class Entry:
    """A line of the table of unseen spaces: figures (seeds,) by space, each a mean over the space's problems.

    `kind` is ``single``, ``untrained``, ``fitted``, ``run`` or ``pick``.
    """

    label: str
    kind: str
    by_space: Mapping[str, F64]

    @property
    def means(self) -> list[float]:
        """Mean over seeds, space by space."""
        return [float(np.mean(values)) for values in self.by_space.values()]

    @property
    def mean(self) -> float:
        """Mean over spaces."""
        return float(np.mean(self.means))

    @property
    def seeds(self) -> F64:
        """Mean over spaces of every seed, (seeds,)."""
        count = min(len(values) for values in self.by_space.values())
        return np.asarray(np.mean([values[:count] for values in self.by_space.values()], axis=0))


@dataclass(frozen=True)
class EvolvedResults:
    """The rows of the study, and the problems that were learned from."""

    rows: list[dict[str, Any]]
    learned: tuple[str, ...]
    variants: tuple[str, ...]

    @classmethod
    def of(cls, table: pa.Table, variants: Sequence[str], learned: Sequence[str]) -> EvolvedResults:
        """The table that `run_evolved_study` returns; `learned` are the names of the problems learned from."""
        rows = table.to_pylist()
        there = {row["problem"] for row in rows}
        return cls(rows, tuple(name for name in learned if name in there), tuple(variants))

    @cached_property
    def spaces(self) -> tuple[str, ...]:
        """Spaces of the problems that were learned from."""
        of = {row["problem"]: row["space"] for row in self.rows}
        return tuple(dict.fromkeys(of[name] for name in self.learned))

    def untrained(self, method: str, figure: str = "tau", problems: Sequence[str] | None = None) -> dict[str, float]:
        """A figure of an untrained order by problem, over all its architectures."""
        names = self.learned if problems is None else problems
        return {
            row["problem"]: row[figure]
            for row in self.rows
            if row["protocol"] == "untrained" and row["method"] == method and row["problem"] in names
        }

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Scores that were judged alone."""
        found = dict.fromkeys(row["method"] for row in self.rows if row["protocol"] == "untrained")
        return tuple(name for name in found if not name.startswith("log rank"))

    @cached_property
    def sums(self) -> tuple[str, ...]:
        """Untrained sums of log ranks."""
        found = dict.fromkeys(row["method"] for row in self.rows if row["protocol"] == "untrained")
        return tuple(name for name in found if name.startswith("log rank"))

    @cached_property
    def fitted(self) -> tuple[str, ...]:
        """Baselines that were fitted."""
        found = dict.fromkeys(row["method"] for row in self.rows if row["protocol"] != "untrained")
        return tuple(name for name in found if name not in self.variants)

    def runs(self, protocol: str, method: str, role: str, figure: str = "tau") -> dict[str, F64]:
        """A figure by problem over seeds (seeds,), of each run's best formula."""
        found: dict[str, dict[int, float]] = defaultdict(dict)
        for row in self.rows:
            if (
                (row["protocol"], row["method"], row["role"]) == (protocol, method, role)
                and row["rule"] == "run"
                and row["candidate"] == 0
                and row["problem"] in self.learned
            ):
                found[row["problem"]][row["seed"]] = row[figure]
        return {name: np.array([found[name][s] for s in sorted(found[name])]) for name in self.learned if name in found}

    def unseen(self, figure: str = "tau", *, every_column: bool = False) -> list[Entry]:
        """All methods on spaces that they have not learned from, in the order in which tables list them."""
        entries = []
        for method in self.columns:
            found = self._by_space({name: np.array([v]) for name, v in self.untrained(method, figure).items()})
            if len(found) == len(self.spaces) or every_column:
                entries.append(Entry(method, "single", found))
        for method in self.sums:
            found = self._by_space({name: np.array([v]) for name, v in self.untrained(method, figure).items()})
            entries.append(Entry(method, "untrained", found))
        for method in self.fitted:
            entries.append(Entry(method, "fitted", self._by_space(self.runs("unseen_space", method, "unseen", figure))))
        for method in self.variants:
            entries.append(Entry(method, "run", self._by_space(self.runs("unseen_space", method, "unseen", figure))))
            entries += self._picked(method, figure)
        return [entry for entry in entries if entry.by_space]

    def _by_space(self, values: Mapping[str, F64]) -> dict[str, F64]:
        of = {row["problem"]: row["space"] for row in self.rows}
        found = {}
        for space in self.spaces:
            # A problem that lacks the score counts as no order at all.
            mine = [values.get(name) for name in self.learned if of[name] == space]
            known = [v for v in mine if v is not None]
            if known:
                zero = np.zeros(len(known[0]))
                found[space] = np.mean([zero if v is None else v for v in mine], axis=0)
        return found

    def _picked(self, method: str, figure: str) -> list[Entry]:
        chosen: dict[str, dict[str, F64]] = defaultdict(dict)
        for row in self.rows:
            if (
                row["protocol"] == "unseen_space"
                and row["method"] == method
                and row["rule"] != "run"
                and row["role"] == "unseen"
                and row["problem"] in self.learned
            ):
                chosen[row["rule"]][row["problem"]] = np.array([row[figure]])
        return [Entry(f"{method}: {rule}", "pick", self._by_space(values)) for rule, values in chosen.items()]

    def formulas(self, protocol: str, method: str) -> list[dict[str, Any]]:
        """Final formulas of a variant: a row per held-out space and rule."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for row in self.rows:
            if row["protocol"] == protocol and row["method"] == method and row["rule"] != "run":
                found.setdefault((row["held_out"], row["rule"]), row)
        return list(found.values())
