"""Proxies evolved with several seeds, judged on architectures and on search spaces that evolution never saw."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from po_nas._version import __version__
from po_nas.errors import ProblemError
from po_nas.formula import Node, leaves, parse, text
from po_nas.research.evolved_proxies.symbolic import (
    Generation,
    Problem,
    Settings,
    aggregate,
    evolve,
    expand,
    leaves_of,
    problem,
    tau,
)
from po_nas.research.evolved_proxies.symbolic.problem import constant_columns
from po_nas.runtime.parts import Parts
from po_nas.runtime.study import Progress, complete_parts, open_study
from proxies.evolved.functions import ARITIES
from proxies.evolved.proxy import EvolvedProxy
from proxies.evolved.reference import fit
from proxies.fusion import log_rank

__all__ = ["Baseline", "EvolutionPlan", "Judged", "Outcome", "baselines", "left_out", "make_plan", "run"]

Role = Literal["train", "held-out", "unseen"]
"""Rows that evolution saw; other rows of the same problems; problems that it did not see."""

_LOG_RANK = ("flops", "jacov", "nwot")
_PRESENT = 0.5


@dataclass(frozen=True)
class EvolutionPlan:
    """What is evolved: problems to learn from and problems that are held out (names), seeds 0, 1, …, and settings.

    About `rows` architectures of each problem are learned from, drawn by isomorphism class from `split_seed`; the rest
    are held out. With `stratified` they are drawn evenly from the tenths of accuracy.
    """

    train: tuple[str, ...]
    hold_out: tuple[str, ...] = ()
    seeds: int = 5
    rows: int = 200
    settings: Settings = field(default_factory=Settings)
    split_seed: int = 0
    stratified: bool = False

    def key(self, seed: int) -> dict[str, Any]:
        """What decides the result of a seed."""
        return {
            "study": "metric evolution",
            "version": 1,
            "seed": seed,
            "train": list(self.train),
            "hold_out": list(self.hold_out),
            "rows": self.rows,
            "split_seed": self.split_seed,
            "stratified": self.stratified,
            "settings": json.loads(json.dumps(asdict(self.settings))),
        }


@dataclass(frozen=True)
class _Seed:
    """The evolution with one seed."""

    plan: EvolutionPlan
    seed: int

    @property
    def title(self) -> str:
        return f"seed {self.seed}"

    @property
    def key(self) -> dict[str, Any]:
        return self.plan.key(self.seed)


@dataclass(frozen=True)
class Judged:
    """τ of something on one problem, in one role; `name` is a formula's text or says what it is."""

    name: str
    problem: str
    role: Role
    tau: float


@dataclass(frozen=True)
class Baseline:
    """A proxy that is not evolved, with its τ by problem and role."""

    name: str
    judged: tuple[Judged, ...]


@dataclass(frozen=True)
class Outcome:
    """The result: the proxy of the chosen seed, the τ of all seeds (one row per seed, problem and role), baselines."""

    proxy: EvolvedProxy
    seed: int
    table: pa.Table
    baselines: tuple[Baseline, ...]

    def judged(self) -> list[Judged]:
        """τ of the chosen formula."""
        rows = [row for row in self.table.to_pylist() if row["seed"] == self.seed]
        return [Judged(row["formula"], row["problem"], row["role"], row["tau"]) for row in rows]

    def means(self, role: Role) -> list[float]:
        """Mean τ of every seed over the problems of a role, in the order of the seeds; empty without such problems."""
        found: dict[int, list[float]] = {}
        for row in self.table.to_pylist():
            if row["role"] == role:
                found.setdefault(row["seed"], []).append(row["tau"])
        return [float(np.mean(found[seed])) for seed in sorted(found)]


def make_plan(
    train: Sequence[str], hold_out: Sequence[str] = (), *, seeds: int, rows: int, settings: Settings
) -> EvolutionPlan:
    """A plan whose names are expanded and whose leaves are settled, everything being checked.

    Leaves that are left open become the columns that are there and vary on the problems to learn from, and are there on
    half of those held out. Raises `UnknownNameError`, `MissingDataError`, `ProblemError`.
    """
    names = tuple(expand(train))
    if not names:
        raise ProblemError("there is no problem to learn from; see --train")
    held = tuple(expand(hold_out))
    both = [name for name in held if name in names]
    if both:
        raise ProblemError(f"{', '.join(both)}: to learn from and held out at the same time")
    plan = EvolutionPlan(names, held, seeds, rows, settings)
    parts = _parts(plan)
    found = leaves_of([learned for learned, _ in parts], settings)
    if settings.leaves is None and held:
        others = [problem(name) for name in held]
        found = tuple(leaf for leaf in found if np.mean([_has(p, leaf) for p in others]) >= _PRESENT)
        if not found:
            raise ProblemError("the problems that are held out lack all columns of those to learn from; name --leaf")
    return replace(plan, settings=replace(settings, leaves=found))


def _has(found: Problem, leaf: str) -> bool:
    return leaf in found.columns and bool(np.isfinite(found.columns[leaf]).mean() >= _PRESENT)


def left_out(plan: EvolutionPlan) -> dict[str, str]:
    """Columns of the problems to learn from that are no leaves although nobody excluded them, and why."""
    chosen = set(plan.settings.leaves or ())
    found: dict[str, list[str]] = {}
    learned = [part for part, _ in _parts(plan)]
    for name in sorted({column for p in learned for column in p.columns} - chosen):
        if name.startswith("g_") and not plan.settings.graph_features:
            continue
        for p in learned:
            if name not in p.columns or not np.isfinite(p.columns[name]).any():
                found.setdefault(name, []).append(f"missing on {p.name}")
            elif name in constant_columns(p):
                found.setdefault(name, []).append(f"constant on {p.name}")
        found.setdefault(name, []).append("missing on problems that are held out") if name not in found else None
    return {name: ", ".join(reasons) for name, reasons in found.items()}


@lru_cache(maxsize=2)
def _parts(plan: EvolutionPlan) -> tuple[tuple[Problem, Problem], ...]:
    """Rows to learn from and the others, of each problem; the same for all seeds."""
    found = []
    spaces: dict[str, int] = {}
    for name in plan.train:
        whole = problem(name)
        # Tasks that list the same architectures are split alike.
        rng = np.random.default_rng([plan.split_seed, spaces.setdefault(whole.space, len(spaces))])
        # A small problem keeps a quarter for the judgement.
        found.append(whole.split(min(plan.rows, 3 * len(whole) // 4), rng, stratified=plan.stratified))
    return tuple(found)


def run(
    plan: EvolutionPlan,
    directory: Path,
    *,
    workers: int = 1,
    name: str = "evolved",
    progress: Callable[[Progress], None] | None = None,
    plugins: Sequence[str] = (),
) -> Outcome:
    """Evolve with every seed, or go on where an earlier call stopped; finished seeds are kept.

    The formula of the seed with the best mean τ on held-out rows of the problems that were learned from is chosen:
    nothing of the problems that are held out enters. `progress` is also told of every generation of a seed that runs in
    this process, as a fraction. Raises `RunLockedError` when another process is at it, and `StudyError` when seeds
    failed, after all others have finished.
    """
    tell = progress or (lambda _: None)
    latest = Progress(0, plan.seeds)

    def told(now: Progress) -> None:
        nonlocal latest
        latest = now
        tell(now)

    def generation(found: Generation) -> None:
        tell(replace(latest, done=latest.done + found.number / (plan.settings.generations + 1)))

    every = [_Seed(plan, seed) for seed in range(plan.seeds)]
    with open_study(directory) as parts:
        if sum(one.key not in parts for one in every) <= 1:
            workers = 1
        work = partial(_evolve, directory=directory, progress=generation if workers <= 1 else None)
        complete_parts(every, work, parts, workers=workers, plugins=plugins, progress=told)
        table = parts.gather([one.key for one in every], directory / "results.parquet")
    seed = _chosen(table)
    return Outcome(_metric(plan, table, seed, name), seed, table, tuple(baselines(plan)))


def _evolve(one: _Seed, directory: Path, progress: Callable[[Generation], None] | None) -> None:
    """One seed, judged and kept."""
    plan, seed = one.plan, one.seed
    found = evolve([learned for learned, _ in _parts(plan)], plan.settings, np.random.default_rng(seed), progress)
    best = found.best
    shared = {
        "seed": seed,
        "formula": text(best.formula),
        "fitness": best.fitness,
        "size": best.size,
        "seconds": best.seconds,
        "evaluated": found.evaluated,
    }
    rows = [
        shared | {"problem": p.name, "role": role, "tau": tau(best.formula, p, plan.settings.normaliser)}
        for role, p in _everywhere(plan)
    ]
    Parts(directory).write(one.key, rows)


def _everywhere(plan: EvolutionPlan) -> Iterator[tuple[Role, Problem]]:
    for learned, other in _parts(plan):
        yield "train", learned
        yield "held-out", other
    for name in plan.hold_out:
        yield "unseen", problem(name)


def _chosen(table: pa.Table) -> int:
    held: dict[int, list[float]] = {}
    for row in table.to_pylist():
        if row["role"] == "held-out":
            held.setdefault(row["seed"], []).append(row["tau"])
    return max(sorted(held), key=lambda seed: float(np.mean(held[seed])))


def _metric(plan: EvolutionPlan, table: pa.Table, seed: int, name: str) -> EvolvedProxy:
    """The formula of a seed with a reference for each search space, from the rows that were learned from."""
    rows = [row for row in table.to_pylist() if row["seed"] == seed]
    formula: Node = parse(rows[0]["formula"], functions=ARITIES, variables=plan.settings.leaves or ())
    used = leaves(formula)
    references = {}
    for learned, _ in _parts(plan):
        if learned.space not in references:
            missing = np.full(len(learned), np.nan)
            columns = {leaf: learned.columns.get(leaf, missing) for leaf in used}
            source = f"{learned.name}, {len(learned)} architectures; {learned.source}"
            references[learned.space] = fit(
                plan.settings.normaliser, columns, source=source, missing=plan.settings.missing
            )
    training: Mapping[str, Any] = {
        "po_nas": __version__,
        "problems": list(plan.train),
        "hold_out": list(plan.hold_out),
        "seed": seed,
        "seeds": plan.seeds,
        "rows": plan.rows,
        "settings": plan.key(seed)["settings"],
        "sources": {p.name: p.source for _, p in _everywhere(plan)},
        "tau": {f"{row['problem']} ({row['role']})": round(row["tau"], 4) for row in rows},
    }
    return EvolvedProxy(name, formula, references, "", training)


def baselines(plan: EvolutionPlan) -> Iterator[Baseline]:
    """The single column, turned up or down, with the best aggregate τ on the rows learned from; and log ranks.

    The latter is the untrained sum of the logarithms of the ranks of flops, jacov and nwot, or those of them that a
    problem has, over the rows that are judged.
    """
    everywhere = list(_everywhere(plan))
    learned = [p for role, p in everywhere if role == "train"]
    settings = plan.settings
    candidates = settings.leaves or leaves_of(learned, settings)
    taus = np.array([[tau(leaf, p) for p in learned] for leaf in candidates])
    signed = np.concatenate([taus, -taus])
    best = int(np.argmax(aggregate(signed, settings.aggregate, settings.sd_weight)))
    leaf, sign = candidates[best % len(candidates)], 1 if best < len(candidates) else -1
    label = f"best single proxy: {'' if sign > 0 else '-'}{leaf}"
    yield Baseline(label, tuple(Judged(label, p.name, role, sign * tau(leaf, p)) for role, p in everywhere))
    label = "log ranks of flops, jacov, nwot"
    yield Baseline(label, tuple(Judged(label, p.name, role, _log_ranks(p)) for role, p in everywhere))


def _log_ranks(found: Problem) -> float:
    columns = [found.columns[name] for name in _LOG_RANK if name in found.columns]
    if not columns:
        return 0.0
    fused = log_rank(np.stack(columns, axis=1), missing="middle")
    scored = Problem(found.name, found.space, found.accuracy, {"fused": fused}, found.classes)
    return tau("fused", scored, "raw")
