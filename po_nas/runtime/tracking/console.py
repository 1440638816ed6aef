"""Live progress on a terminal, one line per few trials elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from po_nas.core.objective import Outcome
from po_nas.core.trial import Trial
from po_nas.runtime.callbacks import Callback, Progress, RunInfo, ScoringProgress
from po_nas.runtime.escaping import terminal_text

__all__ = ["ConsoleCallback"]

_LINES = 20
"""About how many lines a whole run prints where there is no terminal."""
_FEW = 20
"""Proxy scores for which no bar is shown."""

_SCORING_S = 5.0
"""Seconds of scoring between two lines about it."""


def _told(info: RunInfo) -> str:
    """What the search is told, as far as the benchmark says: metric, data and split, epochs, runs; and the pool."""
    protocol = {key: str(value) for key, value in info.protocol.items()}
    metric, data, split = protocol.get("metric", info.metric.name), protocol.get("dataset"), protocol.get("split")
    epochs = protocol.get("epochs")
    parts = [
        f"{metric} on {data} ({split})" if data and split else metric,
        # A function or a caller that tells values says no split.
        None if split else protocol.get("source", data),
        f"{epochs} epochs" if epochs and epochs.isdigit() else epochs,
        protocol.get("runs"),
    ]
    pool = f"; pool: {protocol['pool']}" if "pool" in protocol else ""
    return ", ".join(part for part in parts if part) + pool


class ConsoleCallback(Callback):
    """Shows evaluations, incumbent, regret, seconds and the time left; while proxies are scored, how far that is."""

    def __init__(self, directory: Path, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stderr)
        self._bar: Bar | None = None
        self._task = TaskID(0)
        self._info: RunInfo | None = None
        self._every = 1
        self._scoring: TaskID | None = None
        self._said: ScoringProgress | None = None

    def on_start(self, info: RunInfo) -> None:
        self._info = info
        config = info.config
        line = Text(terminal_text(config["method"]["name"]), style="bold")
        line.append(" on ", style="not bold").append(terminal_text(config["benchmark"]))
        told = f", seed {config['seed']}; told: {_told(info)}"
        line.append(terminal_text(told), style="not bold")
        self._console.print(line, highlight=False, soft_wrap=True)
        self._every = max(1, (info.max_evaluations or 200) // _LINES)
        if self._console.is_terminal:
            self._bar = Bar(
                TextColumn("{task.fields[count]}"),
                BarColumn(bar_width=24),
                TextColumn("{task.description}", markup=False),
                console=self._console,
            )
            self._task = self._bar.add_task("", total=info.max_evaluations, count=self._count(0, 0.0))
            self._bar.start()

    def _count(self, evaluations: int, full: float | None) -> str:
        limit = self._info.max_evaluations if self._info else None
        if full is None or full == evaluations:
            return f"{evaluations}/{limit or '?'} evaluations"
        return f"{full:.4g}/{limit or '?'} full evaluations, {evaluations} in all"

    def on_score(self, progress: ScoringProgress) -> None:
        """Show a bar of its own while scores are missing, or print a line at the beginning, the end and in between."""
        count, text = self._scoring_text(progress)
        finished = progress.done == progress.wanted
        if self._bar is not None:
            if self._scoring is None and progress.wanted - progress.done < _FEW:
                # A candidate now and then, as evolution finds them.
                return
            if self._scoring is None:
                self._scoring = self._bar.add_task("", count=count)
            self._bar.update(
                self._scoring, total=progress.wanted, completed=progress.done, description=text, count=count
            )
            if finished:
                self._bar.remove_task(self._scoring)
                self._scoring = None
            return
        said = self._said
        long = said is None or progress.elapsed_s - said.elapsed_s >= _SCORING_S
        if long or (finished and said is not None and said.done < said.wanted):
            self._said = progress
            self._console.print(f"{count}  {text}", highlight=False, markup=False, soft_wrap=True)

    def _scoring_text(self, progress: ScoringProgress) -> tuple[str, str]:
        parts = [f"{progress.kept:,} from disk"] if progress.kept else []
        parts.append(f"{progress.elapsed_s:.1f} s")
        if progress.eta_s is not None and progress.done < progress.wanted:
            parts.append(f"{progress.eta_s:.0f} s left")
        return f"{progress.done:,}/{progress.wanted:,} proxy scores", "  ".join(parts)

    def on_tell(self, trial: Trial, outcome: Outcome, progress: Progress) -> None:
        text = self._text(progress)
        if self._bar is not None:
            count, full = self._count(progress.evaluations, progress.full_evaluations), progress.full_evaluations
            completed = progress.evaluations if full is None else full
            self._bar.update(self._task, completed=completed, description=text, count=count)
        elif progress.evaluations % self._every == 0:
            count = self._count(progress.evaluations, progress.full_evaluations).replace("/?", "")
            self._console.print(f"{count}  {text}", highlight=False, markup=False, soft_wrap=True)

    def _text(self, progress: Progress) -> str:
        unit = self._info.metric.unit if self._info else ""
        parts = []
        if progress.incumbent_validation is not None:
            parts.append(f"best {progress.incumbent_validation:.4g} {unit}".rstrip())
        elif progress.full_evaluations is not None and progress.failed < progress.evaluations:
            parts.append("no full evaluation yet")
        else:
            parts.append("no success yet")
        if progress.regret_validation is not None:
            parts.append(f"regret {progress.regret_validation:.3g}")
        if progress.front:
            parts.append(f"front {progress.front}")
            if progress.true_hypervolume:
                parts.append(
                    f"hypervolume {(progress.hypervolume or 0.0) / progress.true_hypervolume:.3f} of the true one"
                )
            else:
                parts.append(f"hypervolume {progress.hypervolume:.4g}")
        if progress.failed:
            parts.append(f"{progress.failed} failed")
        parts.append(f"{progress.elapsed_s:.1f} s")
        if progress.eta_s is not None:
            parts.append(f"{progress.eta_s:.0f} s left")
        return terminal_text("  ".join(parts))

    def on_end(self, summary: Mapping[str, Any]) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was, also after an interruption."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
