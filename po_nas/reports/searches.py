"""`po_nas.search`, `po_nas.resume` and `po_nas.Session`: those of the runtime, and a report at the end."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from po_nas.runtime import api, session
from po_nas.runtime.arguments import checked_callbacks
from po_nas.runtime.callbacks import Callback
from po_nas.runtime.run_directory import Result
from po_nas.runtime.trial_errors import EvaluationsFailError

__all__ = ["ReportCallback", "Session", "resume", "search", "write_report"]

_log = logging.getLogger(__name__)


def write_report(directory: Path) -> None:
    """Write the report of a run; that it cannot be written is a warning, for the search itself is safe."""
    # Nobody waits for matplotlib before a search begins.
    from po_nas.reports.page import make_report

    try:
        make_report(directory)
    except Exception as error:
        _log.warning("%s has no report (%s); make it with: po-nas report %s", directory, error, directory)


class ReportCallback(Callback):
    """Writes ``report/`` when a run is over."""

    def on_end(self, summary: Mapping[str, Any]) -> None:
        write_report(Path(summary["directory"]))


_Run = TypeVar("_Run", bound=Callable[..., Result])


def _with_report(run: _Run) -> _Run:
    @functools.wraps(run)
    def called(*arguments: Any, callbacks: Sequence[Callback] = (), **options: Any) -> Result:
        try:
            return run(*arguments, callbacks=(*checked_callbacks(callbacks), ReportCallback()), **options)
        except EvaluationsFailError as error:
            write_report(error.directory)
            raise

    return cast(_Run, called)


search = _with_report(api.search)
resume = _with_report(api.resume)


class Session(session.Session):  # noqa: D101 - it is the one below
    __doc__ = session.Session.__doc__
    _always_told = (ReportCallback,)
