"""The final formula of many runs: which of them to trust on a space that none of them has seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from po_nas.formula import Call, Node, parse, size, text
from po_nas.research.evolved_proxies.baselines import rank_sum
from po_nas.research.evolved_proxies.design import EvolvedStudyConfig
from po_nas.research.evolved_proxies.measures import judge
from po_nas.research.evolved_proxies.symbolic import problem
from proxies.evolved.functions import ARITIES

__all__ = ["RULES", "formula_of", "picks", "summed"]

Row = Mapping[str, Any]

RULES = ("training", "validation", "ensemble", "sum", "ensemble_validation")
"""The highest fitness; the largest gain over the best single score on a validation space; the sum of the ranks of all
runs' best; their plain sum, which is one formula; the sum of ranks of the best of each validation space."""


def formula_of(words: str) -> Node:
    """The tree of a formula in a result."""
    return parse(words, functions=ARITIES, variables=_Any())


class _Any(frozenset[str]):
    """Any name is a variable: the formula was made from columns that may not be here now."""

    def __contains__(self, name: object) -> bool:
        return True


def picks(config: EvolvedStudyConfig, rows: Sequence[Row], judged: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of the final formulas of every variant and held-out space, judged as those of a run; nothing is chosen by
    what is ``unseen``."""
    runs: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row["method"] in config.variants:
            runs[row["protocol"], row["held_out"], row["method"]].append(row)
    found: list[dict[str, Any]] = []
    for (protocol, held_out, method), members in runs.items():
        normaliser = config.settings(method).normaliser
        for rule, formulas in _chosen(members).items():
            learned = {row["problem"] for row in members if row["role"] in ("train", "held_out", "validation")}
            for name in judged:
                whole = problem(name)
                values = rank_sum(formulas, whole, normaliser)
                role = "unseen" if whole.space == held_out else "all" if name in learned else "other_task"
                found.append(
                    {
                        "protocol": protocol,
                        "held_out": held_out,
                        "validation": "",
                        "method": method,
                        "rule": rule,
                        "seed": -1,
                        "candidate": 0,
                        "formula": " ; ".join(text(formula) for formula in formulas),
                        "size": sum(size(formula) for formula in formulas),
                        "fitness": float("nan"),
                        "problem": name,
                        "space": whole.space,
                        "role": role,
                        **judge(values, whole.accuracy),
                    }
                )
    return found


def _chosen(rows: Sequence[Row]) -> dict[str, list[Node]]:
    """Formulas by rule."""
    best = {row["seed"]: row for row in rows if row["candidate"] == 0}
    if not any(row["validation"] for row in rows):
        top = max(best.values(), key=lambda row: row["fitness"])
        every = [row["formula"] for row in best.values()]
        chosen = {"training": [top["formula"]], "ensemble": every, "sum": [text(summed(map(formula_of, every)))]}
    else:
        gains = _gains(rows)
        first = max(gains, key=lambda key: gains[key])
        of_each = {space: max((k for k in gains if k[0] == space), key=lambda k: gains[k]) for space, _ in gains}
        chosen = {"validation": [first[1]], "ensemble_validation": [words for _, words in of_each.values()]}
    return {rule: [formula_of(words) for words in formulas] for rule, formulas in chosen.items()}


def summed(formulas: Iterable[Node]) -> Node:
    """The sum of formulas as one formula, as flat as can be."""
    terms = list(formulas)
    while len(terms) > 1:
        pairs = [Call("add", (a, b)) for a, b in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[2 * len(pairs) :]
    return terms[0]


def _gains(rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    """By validation space and formula: mean τ on that space, less that of the space's best single score.

    Spaces differ in how well anything orders them, so what counts is how much better than their best score it gets.
    """
    taus: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row["role"] == "validation":
            taus[row["validation"], row["formula"]][row["problem"]] = row["tau"]
    singles = {space: _best_single(problems) for space, problems in _problems_of(taus).items()}
    return {key: float(np.mean(list(found.values()))) - singles[key[0]] for key, found in taus.items()}


def _problems_of(taus: Mapping[tuple[str, str], Mapping[str, float]]) -> dict[str, list[str]]:
    return {space: list(found) for (space, _), found in taus.items()}


def _best_single(names: Sequence[str]) -> float:
    problems = [problem(name) for name in names]
    columns = set.intersection(*({*p.columns} for p in problems))
    found = []
    for column in sorted(columns):
        figures = [judge(rank_sum([column], p, "rank"), p.accuracy)["tau"] for p in problems]
        found.append(float(np.mean(figures)))
    return max(found)
