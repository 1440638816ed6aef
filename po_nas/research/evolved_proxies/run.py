"""Running the study of evolved proxies: every cell is a part that is kept, over processes of one thread each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa

from po_nas.errors import MissingDataError
from po_nas.formula import Node, size, text
from po_nas.research.evolved_proxies.baselines import Fitted, fit
from po_nas.research.evolved_proxies.design import Cell, EvolvedStudyConfig, engine_settings
from po_nas.research.evolved_proxies.measures import judge, log_ranks
from po_nas.research.evolved_proxies.selection import RULES, picks
from po_nas.research.evolved_proxies.symbolic import Problem, evolve, problem, scores
from po_nas.runtime.parts import Parts
from po_nas.runtime.study import Progress, complete_parts, open_study

__all__ = ["present_problems", "run_cell", "run_evolved_study"]

_CANDIDATES = 12
"""Formulas of a run's Pareto front that may become the final one."""


def present_problems(config: EvolvedStudyConfig) -> tuple[dict[str, str], tuple[str, ...]]:
    """Problems whose data are here with their spaces, and how to get the others."""
    spaces: dict[str, str] = {}
    missing: dict[str, None] = {}
    for name in config.everything:
        try:
            spaces[name] = problem(name).space
        except MissingDataError as error:
            missing[f"left out: {error}"] = None
    return spaces, tuple(missing)


def run_evolved_study(
    config: EvolvedStudyConfig,
    directory: Path,
    workers: int = 1,
    progress: Callable[[Progress], None] | None = None,
    plugins: Sequence[str] = (),
) -> pa.Table:
    """Run (or go on with) the study; all rows as one table, also written to ``results.parquet``.

    Finished runs are kept and never run again. Problems whose public data are not here are left out and named;
    `MissingDataError` when none is left. Raises `StudyError` when runs failed, after all others have finished, and
    `RunLockedError` when another process is at it.
    """
    spaces, missing = present_problems(config)
    if not any(name in spaces for name in config.learned):
        problem(config.learned[0])
    cells = config.cells(spaces)
    with open_study(directory) as parts:
        work = partial(_keep, directory=directory)
        complete_parts(cells, work, parts, workers=workers, plugins=plugins, progress=progress, remarks=missing)
        sums = {name: list(members) for name, members in config.sums.items()}
        untrained = {"study": "evolved_proxies", "version": 1, "untrained": list(spaces), "sums": sums}
        if untrained not in parts:
            parts.write(untrained, list(_untrained(list(spaces), config.sums)))
        every = [parts.name(cell.key) for cell in cells]
        selected = {"study": "evolved_proxies", "version": 1, "picks": every, "rules": list(RULES)}
        if selected not in parts:
            # The label of a variant is the configuration's, which may have changed since.
            rows = [{**row, "method": cell.method} for cell in cells for row in parts.read(cell.key).to_pylist()]
            parts.write(selected, picks(config, rows, list(spaces)))
        return parts.gather([untrained, *(cell.key for cell in cells), selected], directory / "results.parquet")


def _keep(cell: Cell, directory: Path) -> None:
    Parts(directory).write(cell.key, run_cell(cell))


def _rng(seed: int, *words: str) -> np.random.Generator:
    return np.random.default_rng([seed, *(crc32(word.encode()) for word in words)])


def run_cell(cell: Cell) -> list[dict[str, Any]]:
    """Evolve, or fit a baseline, and judge what came of it on every problem: a row per formula and problem.

    ``role`` says what a problem's rows are to the formula: ``train``, ``held_out`` (the other architectures of a
    problem that was learned from), ``validation``, ``unseen`` (of the held-out space) or ``other_task`` (not learned
    from, of a space that was). Training rows depend on the problem and the seed alone, so that methods are paired.
    """
    settings = engine_settings(cell.settings)
    splits = {
        name: problem(name).split(cell.train, _rng(cell.seed, name), stratified=cell.stratified)
        for name in cell.problems
    }
    train = [splits[name][0] for name in cell.problems]
    rng = _rng(cell.seed, cell.protocol, cell.held_out, cell.method if not cell.evolves else "")
    if cell.shuffled:
        shuffle = _shuffled_spaces if cell.shuffle == "space" else _shuffled_problems
        train = [p for copy in range(cell.copies) for p in shuffle(train, cell.shuffled, copy, rng)]
    candidates: list[tuple[Fitted, float, str]]
    if cell.evolves:
        found = evolve(train, settings, rng)
        members = {text(found.best.formula): found.best}
        if cell.validation:
            members |= {text(f.formula): f for f in found.front[:_CANDIDATES] if text(f.formula) not in members}
        candidates = [
            (_scored(member.formula, settings.normaliser), member.fitness, words) for words, member in members.items()
        ]
    else:
        fitted = fit(cell.method, train, settings, rng)
        candidates = [(fitted, float("nan"), fitted.words)]
    common = {
        "protocol": cell.protocol,
        "held_out": cell.held_out,
        "validation": cell.validation,
        "method": cell.method,
        "rule": "run",
        "seed": cell.seed,
    }
    rows = []
    for number, (fitted, fitness, words) in enumerate(candidates):
        about = {**common, "candidate": number, "formula": words, "size": fitted.size, "fitness": fitness}
        for name in cell.judged:
            for role, part in _roles(name, cell, splits):
                figures = judge(fitted.score(part), part.accuracy)
                rows.append({**about, "problem": name, "space": part.space, "role": role, **figures})
    return rows


def _shuffled_problems(
    problems: Sequence[Problem], share: float, copy: int, rng: np.random.Generator
) -> Iterator[Problem]:
    """The problems, each with some of its columns in random order."""
    for given in problems:
        columns = {
            name: column[rng.permutation(len(column))] if rng.random() < share else column
            for name, column in given.columns.items()
        }
        yield replace(given, name=f"{given.name}, shuffled {copy}", columns=columns)


def _shuffled_spaces(
    problems: Sequence[Problem], share: float, copy: int, rng: np.random.Generator
) -> Iterator[Problem]:
    """The problems as of new spaces: on each of these, some columns are in random order throughout."""
    for space in dict.fromkeys(p.space for p in problems):
        mine = [p for p in problems if p.space == space]
        worthless = {name for name in sorted({c for p in mine for c in p.columns}) if rng.random() < share}
        for given in mine:
            columns = {
                name: column[rng.permutation(len(column))] if name in worthless else column
                for name, column in given.columns.items()
            }
            name = f"{given.name}, shuffled {copy}"
            yield replace(given, name=name, space=f"{space}, shuffled {copy}", columns=columns)


def _scored(formula: Node, normaliser: str) -> Fitted:
    return Fitted(lambda given: scores(formula, given, normaliser), text(formula), size(formula))


def _roles(name: str, cell: Cell, splits: Mapping[str, tuple[Problem, Problem]]) -> Iterator[tuple[str, Problem]]:
    if name in splits:
        yield "train", splits[name][0]
        yield "held_out", splits[name][1]
        return
    whole = problem(name)
    role = {cell.held_out: "unseen", cell.validation: "validation"}.get(whole.space, "other_task")
    yield role, whole


def _untrained(names: Sequence[str], sums: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Any]]:
    """Every column alone, and sums of log ranks, on all architectures of every problem."""
    for name in names:
        whole = problem(name)
        known = {c: v for c, v in whole.columns.items() if np.isfinite(v).mean() >= 0.5}
        orders = {column: log_ranks([values]) for column, values in known.items()}
        orders |= {
            f"log rank {label}": log_ranks([known[m] for m in members if m in known])
            for label, members in sums.items()
            if any(m in known for m in members)
        }
        members = [values for column, values in known.items() if not column.startswith("g_")]
        orders["log rank of all"] = log_ranks(members)
        for method, values in orders.items():
            yield {
                "protocol": "untrained",
                "held_out": "",
                "validation": "",
                "method": method,
                "rule": "run",
                "seed": 0,
                "candidate": 0,
                "formula": method,
                "size": 1,
                "fitness": float("nan"),
                "problem": name,
                "space": whole.space,
                "role": "all",
                **judge(values, whole.accuracy),
            }
