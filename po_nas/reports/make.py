"""Writing the report of a run into its directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from po_nas.errors import RunDirectoryError
from po_nas.reports.page import render_page
from po_nas.reports.regret import save_figure
from po_nas.reports.run import load_run

__all__ = ["ReportPaths", "make_report"]


@dataclass(frozen=True, slots=True)
class ReportPaths:
    """Where a report was written."""

    figure: Path
    page: Path


def make_report(directory: Path) -> ReportPaths:
    """Write ``report/regret.png`` and ``report/index.html`` of the run in `directory`, finished or not."""
    run = load_run(directory)
    paths = ReportPaths(directory / "report" / "regret.png", directory / "report" / "index.html")
    try:
        paths.figure.parent.mkdir(exist_ok=True)
        save_figure(run, paths.figure)
        paths.page.write_text(render_page(run), encoding="utf-8")
    except OSError as error:
        raise RunDirectoryError(directory, f"its report cannot be written ({error.strerror})") from error
    return paths
