"""The best architectures of a run as drawings or tables, and what changed from one incumbent to the next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from po_nas import spaces
from po_nas.errors import InvalidArchitectureError
from po_nas.reports.architecture_svg import draw_cells
from po_nas.reports.run import RunData, TrialData
from po_nas.runtime.escaping import html_text
from po_nas.spaces.base import Space

__all__ = ["best_architectures", "changes", "changes_text", "configuration", "incumbent_changes", "title_of"]

_BEST = 3
"""Architectures that are drawn."""
_CHANGES = 6
"""Changes that are listed of one incumbent; the rest are counted."""

Choices = Mapping[str, Any]
"""Values by the name of the choice, ``width[1]`` for those of a list; the edges of a graph are a set under one name."""


def configuration(run: RunData, architecture: str) -> Choices | None:
    """The choices of an architecture of the run by name, None where its space does not tell them."""
    space = _space(run)
    if space is None:
        try:
            config = json.loads(architecture)
        except (ValueError, RecursionError):
            return None
        return _flat(config) if isinstance(config, dict) else None
    try:
        config = space.config_of(space.from_string(architecture))
    except InvalidArchitectureError:
        return None
    return None if config.keys() == {"architecture"} else _flat(config)


def _space(run: RunData) -> Space | None:
    name = str(run.protocol.get("space"))
    return spaces.get(name) if name in spaces.registry else None


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """The choices by name, those of lists one by one."""
    if isinstance(value, Mapping):
        items = [(f"{name}.{key}" if name else str(key), item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)) and not _are_edges(value):
        items = [(f"{name}[{place}]", item) for place, item in enumerate(value)]
    else:
        return {name: {tuple(edge) for edge in value} if isinstance(value, (list, tuple)) else value}
    return {key: choice for inner, item in items for key, choice in _flat(item, inner).items()}


def _are_edges(value: Sequence[Any]) -> bool:
    """Whether a list is of pairs of nodes, whose order means nothing."""
    return bool(value) and all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(node, int) for node in pair)
        for pair in value
    )


def changes(before: Choices, after: Choices) -> list[str]:
    """What is different between two architectures, one choice each, in words."""
    found = []
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name), after.get(name)
        if isinstance(old, set) and isinstance(new, set):
            found += [f"{name}: {_edge(edge)} removed" for edge in sorted(old - new)]
            found += [f"{name}: {_edge(edge)} added" for edge in sorted(new - old)]
        elif name not in after:
            found.append(f"{name} {_text(old)} gone")
        elif name not in before:
            found.append(f"{name} {_text(new)} new")
        elif old != new:
            found.append(f"{name} {_text(old)} → {_text(new)}")
    return found


def _edge(edge: tuple[int, int]) -> str:
    return f"{edge[0]}→{edge[1]}"


def _text(value: Any) -> str:
    if isinstance(value, set):
        return ", ".join(map(_edge, sorted(value)))
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def incumbent_changes(run: RunData) -> list[tuple[TrialData, float | None, list[str] | None]]:
    """The incumbents of a run in their order: each, its gain over the one before, and what changed from that one.

    The gain is above 0; None for the first, which changes nothing. None in place of the changes, too, where the space
    does not tell the choices.
    """
    found: list[tuple[TrialData, float | None, list[str] | None]] = []
    before: TrialData | None = None
    for trial, value in zip(run.told, run.incumbents(), strict=True):
        if value is None or trial.validation != value or not trial.succeeded:
            continue
        if before is None or before.validation is None:
            found.append((trial, None, None))
        elif value == before.validation:
            continue
        else:
            old, new = configuration(run, before.architecture), configuration(run, trial.architecture)
            told = None if old is None or new is None else changes(old, new)
            found.append((trial, abs(value - before.validation), told))
        before = trial
    return found


def changes_text(told: Sequence[str]) -> str:
    """Changes in one line, the first few of many."""
    if not told:
        return "nothing that is named"
    more = len(told) - _CHANGES
    return "; ".join(told[:_CHANGES]) + (f"; and {more} more" if more > 0 else "")


def best_architectures(run: RunData) -> str:
    """HTML of the best architectures by validation: drawn where the space has graphs, else their choices in a table."""
    ranked = sorted(
        (t for t in run.told if t.succeeded),
        key=lambda t: t.validation or 0.0,
        reverse=run.maximize,
    )[:_BEST]
    space = _space(run)
    if space is None:
        return _table(run, ranked)
    return "".join(_drawn(run, space, trial, place) for place, trial in enumerate(ranked))


def title_of(run: RunData, trial: TrialData) -> str:
    """Number, values and origin of a trial, in words."""
    unit = f" {run.unit}".rstrip()
    parts = [f"evaluation {trial.evaluation}", f"validation {trial.validation:.5g}{unit}"]
    if trial.test is not None:
        parts.append(f"{run.report_label} {trial.test:.5g}{unit}")
    return " · ".join([*parts, trial.origin])


def _drawn(run: RunData, space: Space, trial: TrialData, place: int) -> str:
    try:
        graph = space.operation_graph(space.from_string(trial.architecture))
    except InvalidArchitectureError:
        graph = None
    text = f"<h3>{html_text(title_of(run, trial))}</h3><p><code>{html_text(trial.architecture)}</code></p>"
    if graph is None:
        return text
    return text + draw_cells(graph, f"evaluation {trial.evaluation}", space.operations, f"tip-{place}")


def _table(run: RunData, ranked: Sequence[TrialData]) -> str:
    """A row for each choice, a column for each architecture; the strings where the choices are not known."""
    found = [configuration(run, trial.architecture) for trial in ranked]
    titles = [title_of(run, trial) for trial in ranked]
    told = [choices for choices in found if choices is not None]
    if len(told) < len(found):
        pairs = zip(titles, ranked, strict=True)
        return "".join(
            f"<h3>{html_text(title)}</h3><p><code>{html_text(t.architecture)}</code></p>" for title, t in pairs
        )
    head = "".join(f"<th scope='col'>{html_text(title)}</th>" for title in ("choice", *titles))
    rows = []
    for name in dict.fromkeys(name for choices in told for name in choices):
        values = [_text(choices[name]) if name in choices else "–" for choices in told]
        same = ' class="dim"' if len(set(values)) == 1 else ""
        columns = "".join(f"<td{same}>{html_text(value)}</td>" for value in values)
        rows.append(f"<tr><th scope='row'>{html_text(name)}</th>{columns}</tr>")
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="wide choices" tabindex="0">{table}</div>'
