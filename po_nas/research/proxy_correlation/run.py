"""How well proxies order architectures: over a whole benchmark and within groups of alike ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import proxies
from po_nas import benchmarks
from po_nas.benchmarks import Origin
from po_nas.benchmarks.base import Benchmark, Described
from po_nas.benchmarks.recorded_scores import in_rows, scored_architectures, task_of
from po_nas.benchmarks.rows import ListedRows
from po_nas.core.proxy_source import ScoringStep, Watch
from po_nas.errors import MissingDataError, UnknownNameError
from po_nas.proxy_scores.computed import ComputedProxies
from po_nas.proxy_scores.packaged import OwnScores
from po_nas.proxy_scores.table import ScoreTable
from po_nas.registry import matching
from po_nas.research import ranking
from po_nas.research.proxy_correlation.strata import groups_of
from po_nas.spaces.pool import PoolSpace
from proxies.evolved.proxy import evolved_over, find
from proxies.fusion import AZ_NAS, VKDNW, libra, log_rank, mean_rank, oriented, single_best

__all__ = [
    "Agreement",
    "Compared",
    "Origin",
    "agreements",
    "as_table",
    "correlate",
    "correlate_computed",
    "correlate_tables",
    "fusion_agreement",
    "fusions",
]

_LARGEST_RESAMPLE = 500
_KNOWN = 50
"""Evaluated architectures that the single best score, and the three of LIBRA, are chosen by."""
_LEAST = 10
"""Architectures below which nothing is said."""
_LOG_RANKS = {"log rank (AZ-NAS)": AZ_NAS, "log rank (VKDNW)": VKDNW}
"""Fusions by the sum of log ranks, with their members."""

Progress = Callable[[int, int], None]
"""Told how much is done, of how much."""


def _unseen(done: int, total: int) -> None:
    """Nobody looks on."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of one score with one task, over the `rows` of a group that have both.

    `coverage` is the share of the group's rows that have the score. `kendall` is τ_b with its bootstrap 95 % interval;
    `precision` is Precision@5 % in %; `against` says whether validation or test was ordered. The sign is as it comes:
    a score that falls with accuracy has a negative τ. `origin` is who computed the score.
    """

    benchmark: str
    score: str
    group: str
    against: str
    rows: int
    coverage: float
    kendall: float
    kendall_low: float
    kendall_high: float
    spearman: float
    ndcg10: float
    precision: float
    origin: Origin = "published"

    @property
    def label(self) -> str:
        """The score, and who computed it if that was our engine."""
        return f"{self.score} (own)" if self.origin == "own" else self.score


@dataclass(frozen=True)
class Compared:
    """One benchmark: what was ordered (higher is better), scores by label (rows,), and how well they do it.

    `fused` is the `fusion_agreement` of the scores of each origin.
    """

    benchmark: str
    truth: NDArray[np.float64]
    columns: Mapping[str, NDArray[np.float64]]
    found: list[Agreement]
    fused: Mapping[Origin, Mapping[str, NDArray[np.float64]]] = field(default_factory=dict)


def agreements(
    benchmark: Benchmark,
    columns: Mapping[str, NDArray[np.float64]],
    *,
    against: str = "test",
    sizes: NDArray[np.float64] | None = None,
    within_groups: bool = True,
    resamples: int = 100,
    seed: int = 0,
) -> list[Agreement]:
    """Every score against a benchmark, over all architectures and, if asked, within the groups of `groups_of`.

    `columns` are scores (rows,) in the benchmark's order, NaN where there is none (such rows are left out of that
    score's figures, failed trainings rank last). `against` is ``"test"`` (validation where no test is recorded) or
    ``"validation"``. The bootstrap resamples rows; above 500 it takes 500 out of n and rescales.
    """
    if against not in ("test", "validation"):
        raise UnknownNameError("split", against, ("test", "validation"))
    use_test = against == "test" and benchmark.test is not None
    truth = _truth(benchmark, against)
    groups = groups_of(benchmark, sizes) if within_groups else {"all": np.ones(len(truth), dtype=bool)}
    found: list[Agreement] = []
    for name, column in columns.items():
        for group, mask in groups.items():
            rows = np.flatnonzero(mask & np.isfinite(column))
            if len(rows) < _LEAST:
                continue
            rng = np.random.default_rng([seed, len(found)])
            found.append(
                _agreement(
                    benchmark.name,
                    name,
                    group,
                    "test" if use_test else "validation",
                    column[rows],
                    truth[rows],
                    len(rows) / mask.sum(),
                    resamples,
                    rng,
                )
            )
    return found


def _truth(benchmark: Benchmark, against: str) -> NDArray[np.float64]:
    use_test = against == "test" and benchmark.test is not None
    values = benchmark.test if use_test and benchmark.test is not None else benchmark.validation
    return values if benchmark.metric.maximize else -values


def _agreement(
    benchmark: str,
    score: str,
    group: str,
    against: str,
    column: NDArray[np.float64],
    truth: NDArray[np.float64],
    coverage: float,
    resamples: int,
    rng: np.random.Generator,
) -> Agreement:
    tau = ranking.kendall(column, truth)
    low, high = _interval(column, truth, tau, resamples, rng)
    return Agreement(
        benchmark,
        score,
        group,
        against,
        len(column),
        float(coverage),
        tau,
        low,
        high,
        ranking.spearman(column, truth),
        ranking.ndcg_at(column, truth, 10),
        ranking.precision_at(column, truth, 5),
    )


def _interval(
    column: NDArray[np.float64], truth: NDArray[np.float64], tau: float, resamples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Normal bootstrap interval of τ, standard error from m out of n rows, scaled by sqrt(m / n)."""
    n = len(column)
    m = min(n, _LARGEST_RESAMPLE)
    draws = [rng.integers(n, size=m) for _ in range(resamples)]
    error = float(np.std([ranking.kendall(column[d], truth[d]) for d in draws], ddof=1)) * np.sqrt(m / n)
    return max(-1.0, tau - 1.96 * error), min(1.0, tau + 1.96 * error)


def fusions(
    columns: Mapping[str, NDArray[np.float64]],
    validation: NDArray[np.float64],
    seed: int = 0,
    evaluations: int = _KNOWN,
) -> dict[str, NDArray[np.float64]]:
    """Scores made one, (rows,) each: ``mean rank``, ``log rank`` of AZ-NAS's four and of VKDNW's five, ``single best``
    and ``LIBRA``.

    Members are scores of known direction that half of the rows with any have; a row without one of them has NaN, and
    ranks are taken among the others, which is transductive. A ``log rank`` is there when all of its members are.
    ``single best`` is the member with the largest |τ_b| over `evaluations` random rows of `validation` (rows,), higher
    = better; ``LIBRA`` the log rank of the three that `proxies.fusion.libra` chooses by those rows and the numbers of
    parameters (score ``params``), where these are known. Randomness: `seed`, which rows.
    """
    known = [n for n in proxies.expand("*") if n in columns and proxies.spec(n).direction is not None]
    scored = np.any([np.isfinite(columns[n]) for n in known], axis=0)
    members = [n for n in known if np.isfinite(columns[n][scored]).mean() >= 0.5]
    found: dict[str, NDArray[np.float64]] = {}

    def fuse(name: str, chosen: Sequence[str], fusion: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> None:
        turned = oriented({member: columns[member] for member in chosen})
        rows = np.flatnonzero(np.isfinite(turned).all(axis=1))
        if len(rows) >= _KNOWN:
            found[name] = np.full(len(turned), np.nan)
            found[name][rows] = fusion(turned[rows])

    if len(members) > 1:
        known_rows = np.flatnonzero(scored & np.isfinite(validation))
        evaluated = np.random.default_rng(seed).permutation(known_rows)[:evaluations]
        fuse("mean rank", members, mean_rank)
        turned = oriented({member: columns[member] for member in members})
        best = single_best(turned[evaluated], validation[evaluated])
        found["single best"] = best.sign * turned[:, best.column]
        sized = evaluated[np.isfinite(columns["params"][evaluated])] if "params" in columns else evaluated[:0]
        if len(sized) > 1:
            three = libra(turned[sized], validation[sized], columns["params"][sized])
            fuse("LIBRA", [members[k] for k in three.columns], lambda scores: log_rank(scores * np.array(three.signs)))
    for name, chosen in _LOG_RANKS.items():
        if set(chosen) <= set(members):
            fuse(name, chosen, log_rank)
    return found


_CHOOSING = ("single best", "LIBRA")
"""Fusions that are chosen by evaluations."""
_DRAWS = 20


def fusion_agreement(
    columns: Mapping[str, NDArray[np.float64]], validation: NDArray[np.float64], truth: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Spearman's ρ of each of `fusions` with `truth` (rows,), over the rows that it has: (1,) numbers.

    Those that are chosen by evaluations have twenty, (20,), one for each draw of 50, and LIBRA one more entry, ``LIBRA,
    all``, chosen by all evaluations, as it was published.
    """

    def rho(column: NDArray[np.float64]) -> float:
        rows = np.isfinite(column) & np.isfinite(truth)
        return ranking.spearman(column[rows], truth[rows])

    drawn = [fusions(columns, validation, seed) for seed in range(_DRAWS)]
    found = {
        name: np.array([rho(one[name]) for one in (drawn if name in _CHOOSING else drawn[:1]) if name in one])
        for name in drawn[0]
    }
    every = fusions(columns, validation, 0, len(validation))
    if "LIBRA" in every:
        found["LIBRA, all"] = np.array([rho(every["LIBRA"])])
    return found


def correlate(
    patterns: Sequence[str],
    *,
    origins: Sequence[Origin] = ("published", "own"),
    against: str = "test",
    within_groups: bool = True,
    resamples: int = 100,
    progress: Progress = _unseen,
) -> tuple[list[Compared], list[str]]:
    """Scores and their fusions of every benchmark that matches, and of those whose data are not here how to get them.

    Evolved proxies that are registered, and whose leaves a benchmark has, are among its scores. `progress` is told how
    many benchmarks are done, of how many.

    Raises `UnknownNameError` for a pattern that no benchmark with such scores matches.
    """
    known: tuple[Origin, ...] = ("published", "own")
    sources = {origin: benchmarks.scored(origin) for origin in known if origin in origins}
    names = [n for n in benchmarks.names() if any(n in known for known in sources.values())]
    compared: list[Compared] = []
    missing: list[str] = []
    for name in _told(matching(f"benchmark with {' or '.join(origins)} scores", patterns, names), progress):
        tables: dict[Origin, ScoreTable] = {}
        for origin in (o for o, known in sources.items() if name in known):
            try:
                benchmark = benchmarks.get(name)
                tables[origin] = benchmark.score_table(origin)
            except MissingDataError as error:
                missing.append(str(error))
        if tables:
            compared.append(_compared(benchmark, tables, against, within_groups, resamples))
    return [one for one in compared if one.found], missing


def correlate_tables(
    tables: Sequence[OwnScores],
    patterns: Sequence[str] = ("*",),
    *,
    against: str = "test",
    within_groups: bool = False,
    resamples: int = 100,
    progress: Progress = _unseen,
) -> tuple[list[Compared], list[str]]:
    """What `correlate` gives, of tables that ``po-nas proxies tabulate`` wrote, beside the published scores.

    A benchmark takes part if it matches, is on the space of a table, and knows ten of its architectures or predicts
    their values. Of a table of several tasks it takes the scores of the task that has its name.

    Raises `UnknownNameError` for a pattern that no benchmark on the spaces of the tables matches.
    """
    specs = {entry.name: benchmarks.spec_of(entry) for entry in benchmarks.registry.entries()}
    on = {name: [t for t in tables if t.space == spec.space] for name, spec in specs.items() if not spec.trained}
    names = matching("benchmark on the spaces of the tables", patterns, [name for name, found in on.items() if found])
    compared: list[Compared] = []
    missing: list[str] = []
    for name in _told(names, progress):
        for table in (table for table in on[name] if task_of(table, name) is not None):
            try:
                benchmark = _recorded(benchmarks.looked_up(name), table)
                own = in_rows(table, benchmark, _LEAST)
            except MissingDataError as error:
                missing.append(str(error))
                continue
            if own is None:
                continue
            found: dict[Origin, ScoreTable] = {}
            if "published" in benchmark.scores:
                found["published"] = benchmark.score_table("published")
            found["own"] = own
            compared.append(_compared(benchmark, found, against, within_groups, resamples))
    return [one for one in compared if one.found], missing


def _told(names: Sequence[str], progress: Progress) -> Iterator[str]:
    """The names; `progress` is told before each, and at the end."""
    for done, name in enumerate(names):
        progress(done, len(names))
        yield name
    progress(len(names), len(names))


def _recorded(objective: Described, scores: OwnScores) -> Benchmark:
    """A table as it is; of a benchmark that predicts, the table of what it predicts of the scored architectures."""
    if isinstance(objective, Benchmark):
        return objective
    architectures = scored_architectures(scores)
    values = np.array([objective.evaluate(a, seed=0).validation for a in architectures], dtype=np.float64)
    space = PoolSpace(objective.space, architectures)
    rows, metric = ListedRows(space, architectures), objective.metric
    return Benchmark(objective.name, space, rows, metric, objective.describe().feedback, values)


def _compared(
    benchmark: Benchmark,
    tables: Mapping[Origin, ScoreTable],
    against: str,
    within_groups: bool,
    resamples: int,
) -> Compared:
    """How well scores by origin, and their fusions, order a benchmark."""
    found: list[Agreement] = []
    shown: dict[str, NDArray[np.float64]] = {}
    fused: dict[Origin, Mapping[str, NDArray[np.float64]]] = {}
    truth, validation = _truth(benchmark, against), _truth(benchmark, "validation")
    for origin, table in tables.items():
        evolved = [proxy for n in evolved_over(table.names) if (proxy := find(n)) and proxy.proxies == proxy.leaves]
        columns = {score: table.column(score) for score in table.names}
        # Seen against the architectures that were scored: a file may hold few of a benchmark's.
        rows = np.flatnonzero(np.isfinite(table.values).any(axis=1))
        for proxy in evolved:
            columns[proxy.name] = np.full(len(truth), np.nan)
            columns[proxy.name][rows] = proxy.fitted({leaf: table.column(leaf)[rows] for leaf in proxy.leaves})
        fused[origin] = fusion_agreement(columns, validation, truth)
        columns |= fusions(columns, validation)
        these = agreements(
            benchmark,
            columns,
            against=against,
            sizes=columns.get("params"),
            within_groups=within_groups,
            resamples=resamples,
        )
        these = [replace(a, origin=origin) for a in these]
        found += these
        shown |= {a.label: columns[a.score] for a in these}
    return Compared(benchmark.name, truth, shown, found, fused)


def _counting(progress: Progress, done: int, total: int) -> Watch:
    """Tells `progress` of every step of a scoring; `done` were done before it."""

    def watch(step: ScoringStep) -> None:
        nonlocal done
        done += step.computed + step.kept
        progress(done, total)

    return watch


def correlate_computed(
    patterns: Sequence[str],
    names: Sequence[str],
    *,
    sample: int = 100,
    against: str = "test",
    cache: str | None = None,
    workers: int = 1,
    seed: int = 0,
    resamples: int = 100,
    progress: Progress = _unseen,
) -> tuple[list[Compared], list[str]]:
    """Proxies computed now, a plug-in's for example, for `sample` random architectures of every benchmark that matches.

    Networks are those of `Benchmark.example_inputs`. Raises `UnknownNameError` for a benchmark or proxy that there is
    not. Randomness: `seed`, which architectures. `progress` is told how many scores are done, of how many.
    """
    tables = [e.name for e in benchmarks.registry.entries() if not getattr(e.spec, "trained", False)]
    chosen = matching("benchmark with a table", patterns, tables)
    compared: list[Compared] = []
    missing: list[str] = []
    each = len(proxies.expand(names)) * sample
    total = len(chosen) * each
    for place, name in enumerate(chosen):
        before = place * each
        progress(before, total)
        try:
            benchmark = benchmarks.get(name)
        except MissingDataError as error:
            missing.append(str(error))
            continue
        network, batch = benchmark.example_inputs()
        live = ComputedProxies(benchmark.space, names, batch, network=network, cache=cache, workers=workers)
        live.watch(_counting(progress, before, total))
        truth = _truth(benchmark, against)
        rows = np.sort(np.random.default_rng(seed).permutation(len(truth))[:sample])
        # As they come, like all other scores here.
        values = live.raw([benchmark.rows.architecture(int(row)) for row in rows], live.names)
        columns = {score: np.full(len(truth), np.nan) for score in live.names}
        for score, column in values.items():
            columns[score][rows] = column
        missing += [f"{name}: some have no {score}: {reason}" for score, reason in live.reasons.items()]
        found = agreements(benchmark, columns, against=against, within_groups=False, resamples=resamples)
        if not found:
            missing.append(f"{name}: no proxy has ten scores")
            continue
        compared.append(Compared(name, truth, columns, found))
    progress(total, total)
    return compared, missing


def as_table(found: list[Agreement]) -> pa.Table:
    """The figures as one tidy table."""
    rows: list[dict[str, Any]] = [asdict(agreement) for agreement in found]
    return pa.Table.from_pylist(rows)
