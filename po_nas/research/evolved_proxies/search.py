"""Searches with an evolved proxy: as the only goal, and as one more proxy of Bayesian optimisation.

The formula is one that was evolved without the space that is searched. Ranks are taken against a sample of random
architectures, whose scores are known and whose accuracies nobody looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from po_nas import benchmarks
from po_nas.benchmarks.base import Benchmark
from po_nas.core.objective import Objective
from po_nas.errors import MissingDataError, UnknownNameError
from po_nas.formula import Node, leaves
from po_nas.proxy_scores.combined import ProxyObjective, with_proxies
from po_nas.proxy_scores.table import RecordedProxies
from po_nas.research.evolved_proxies.design import EvolvedStudyConfig
from po_nas.research.evolved_proxies.selection import formula_of
from po_nas.runtime.budget import Ledger
from po_nas.runtime.config import SearchConfig
from po_nas.runtime.journal import EventList
from po_nas.runtime.loop import Loop
from po_nas.runtime.parts import Parts
from po_nas.runtime.setup import make_executor, make_searcher
from po_nas.runtime.study import Progress, complete_parts, open_study
from po_nas.spaces.base import Architecture
from po_nas.spaces.graph_leaves import GRAPH_LEAVES, graph_leaves
from proxies.evolved.functions import evaluate
from proxies.evolved.reference import fit

__all__ = ["genetic_algorithm", "run_searches", "signals"]

F64: TypeAlias = NDArray[np.float64]

_POPULATION, _TOURNAMENT, _CROSSOVER = 20, 2, 0.9
"""Of the genetic algorithm, as in the family that the method's authors use."""


_SOURCE = "po-nas, evolved proxies among them"


@lru_cache(maxsize=1)
def _loaded(name: str) -> tuple[Benchmark, dict[str, F64]]:
    """A benchmark and the raw scores of its architectures: our own, where a task lacks them those of CIFAR-10."""
    benchmark = benchmarks.get(name)
    family = name.partition("/")[0]
    own = [other for other in benchmarks.scored("own") if other.partition("/")[0] == family]
    tables = [benchmarks.score_table(other, "own") for other in sorted(own, key=lambda other: other != name)]
    tables += [benchmark.score_table("published")] if "published" in benchmark.scores else []
    columns: dict[str, F64] = {}
    for table in tables:
        for column in table.names:
            columns.setdefault(column, table.column(column))
    every = [benchmark.rows.architecture(row) for row in range(len(benchmark.rows))]
    return benchmark, columns | graph_leaves(benchmark.space, every)


def signals(name: str, formulas: Mapping[str, Node], reference: int) -> dict[str, F64]:
    """Values (rows,) of every architecture by name: of formulas, whose leaves are ranked against random architectures.

    A leaf that is not known of the benchmark counts as missing.
    """
    benchmark, columns = _loaded(name)
    n = len(benchmark.rows)
    sample = np.random.default_rng(0).permutation(n)[:reference]
    found = {}
    for label, formula in formulas.items():
        used = {leaf: columns.get(leaf, np.full(n, np.nan)) for leaf in leaves(formula)}
        ranked = fit("rank", {leaf: values[sample] for leaf, values in used.items()})
        ready = {leaf: ranked.transform(leaf, values) for leaf, values in used.items()}
        found[label] = np.broadcast_to(evaluate(formula, ready), (n,)).astype(np.float64)
    return found


def _search(objective: Objective, method: Mapping[str, Any], budget: int, seed: int) -> list[str]:
    """Architectures in the order of evaluation, the best by the search signal first."""
    config = SearchConfig.model_validate(
        {"benchmark": objective.name, "method": dict(method), "budget": {"max_evaluations": budget}, "seed": seed}
    )
    journal = EventList()
    executor = make_executor(config, objective)
    try:
        Loop(objective, make_searcher(config, objective), executor, Ledger(config.budget), journal).run()
    finally:
        executor.close()
    asked = {e["number"]: e["architecture"] for e in journal.events if e["event"] == "ask"}
    told = [(e["metrics"]["validation"], asked[e["number"]]) for e in journal.events if e["event"] == "tell"]
    order = np.argsort([-value for value, _ in told], kind="stable")
    return [told[place][1] for place in order]


def genetic_algorithm(objective: ProxyObjective, budget: int, rng: np.random.Generator) -> Architecture:
    """The best of `budget` evaluations of a generational genetic algorithm with tournaments and one elite."""
    space = objective.space
    known: dict[Architecture, float] = {}

    def value(architecture: Architecture) -> float:
        if architecture not in known:
            known[architecture] = objective.evaluate(architecture, seed=0).validation or -np.inf
        return known[architecture]

    members = [space.sample(rng) for _ in range(_POPULATION)]
    spent = 0
    while True:
        for member in members:
            value(member)
        spent += len(members)
        if spent + _POPULATION > budget:
            return max(known, key=lambda a: known[a])
        children = [max(members, key=value)]
        while len(children) < _POPULATION:
            pair = []
            for _ in range(2):
                drawn = rng.integers(len(members), size=_TOURNAMENT)
                pair.append(max((members[int(i)] for i in drawn), key=value))
            child = space.crossover(pair[0], pair[1], rng) if rng.random() < _CROSSOVER else pair[0]
            children.append(space.mutate(child, rng))
        members = children


@dataclass(frozen=True)
class _Searches:
    """All searches on a benchmark with a seed."""

    benchmark: str
    seed: int
    formula: str
    evaluations: int
    reference: int
    po_nas: int
    """Evaluations of the searches by po_nas; 0 for none."""

    @property
    def title(self) -> str:
        return f"searches on {self.benchmark}, seed {self.seed}"

    @property
    def key(self) -> dict[str, Any]:
        return {"study": "evolved_searches", "version": 1, **vars(self)}


def run_searches(
    config: EvolvedStudyConfig,
    table: pa.Table,
    directory: Path,
    workers: int = 1,
    progress: Callable[[Progress], None] | None = None,
    plugins: Sequence[str] = (),
) -> pa.Table | None:
    """All searches of the configuration, kept like the other runs; None where it has none.

    `table` holds the study's rows, whose final formula without a benchmark's space is used on that benchmark. Raises
    `StudyError` when searches failed, after all others have finished.
    """
    part = config.search
    every = []
    for benchmark in part.benchmarks:
        try:
            _loaded(benchmark)
        except MissingDataError:
            continue
        formula = final_formula(config, table, benchmark.partition("/")[0])
        for seed in range(part.seeds):
            budget = part.po_nas_budget if seed < part.po_nas_seeds else 0
            every.append(_Searches(benchmark, seed, formula, part.evaluations, part.reference, budget))
    with open_study(directory) as parts:
        work = partial(_keep, directory=directory)
        complete_parts(every, work, parts, workers=workers, plugins=plugins, progress=progress)
        return parts.gather([one.key for one in every], directory / "searches.parquet") if every else None


def _keep(searches: _Searches, directory: Path) -> None:
    Parts(directory).write(searches.key, _run(searches))


def final_formula(config: EvolvedStudyConfig, table: pa.Table, held_out: str) -> str:
    """The text of the formula that was chosen without looking at the space `held_out`."""
    label = config.search.formulas_from or config.shipped or next(iter(config.variants))
    for row in table.to_pylist():
        if (row["method"], row["held_out"]) == (label, held_out) and row["rule"] in ("training", "validation"):
            return str(row["formula"])
    raise UnknownNameError("variant with a formula without this space", label, config.variants)


_RIVALS = {
    "flops": "flops",
    "nwot": "nwot",
    "log rank AZ-NAS": "log_abs(az_expressivity) + log_abs(az_progressivity) + log_abs(flops)",
    "log rank flops+nwot": "log_abs(flops) + log_abs(nwot)",
    "log rank flops+jacov+nwot": "log_abs(flops) + log_abs(jacov) + log_abs(nwot)",
}


def _run(searches: _Searches) -> list[dict[str, Any]]:
    name, seed = searches.benchmark, searches.seed
    benchmark, raw = _loaded(name)
    formulas = {"evolved": formula_of(searches.formula)} | {n: formula_of(words) for n, words in _RIVALS.items()}
    values = signals(name, formulas, searches.reference)
    objective = with_proxies(benchmark, RecordedProxies.of(benchmark.rows, values, _SOURCE))
    rows = []

    def add(method: str, signal: str, chosen: str, evaluations: int) -> None:
        architecture = benchmark.space.from_string(chosen)
        test = benchmark.report(architecture)["test"]
        rows.append(
            {
                "benchmark": name,
                "seed": seed,
                "method": method,
                "signal": signal,
                "evaluations": evaluations,
                "architecture": chosen,
                "validation": float(benchmark.validation[benchmark.row(architecture)]),
                "test": float("nan") if test is None else test,
                "optimum": benchmark.optimum_validation[0],
            }
        )

    budget = searches.evaluations
    for signal in values:
        goal = ProxyObjective(objective, signal)
        best = _search(goal, {"name": "regularized_evolution", "population": 50, "sample": 10}, budget, seed)[0]
        add("regularised evolution", signal, best, budget)
        found = genetic_algorithm(goal, budget, np.random.default_rng([seed, 7]))
        add("genetic algorithm", signal, benchmark.space.to_string(found), budget)
    if searches.po_nas:
        recorded = {column: v for column, v in raw.items() if column not in GRAPH_LEAVES}
        usual = benchmark.score_table("own")
        columns = {n: usual.column(n) * s for n, s in zip(usual.names, usual.signs, strict=True)}
        assert set(columns) <= set(recorded)
        for label, given in (("without", columns), ("with", columns | {"evolved": values["evolved"]})):
            source = with_proxies(benchmark, RecordedProxies.of(benchmark.rows, given, _SOURCE))
            best = _search(source, {"name": "po_nas", "proxies": list(given)}, searches.po_nas, seed)[0]
            add("po_nas", label, best, searches.po_nas)
    return rows
