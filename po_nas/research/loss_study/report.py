"""Writing tables and figures of the loss study, and its page."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from po_nas.research.loss_study.design import LossStudyConfig
from po_nas.research.loss_study.figures import loss_figures
from po_nas.research.loss_study.results import LossResults
from po_nas.research.loss_study.tables import loss_tables
from po_nas.research.pages import fill_page, write_figures
from po_nas.runtime.parts import write_atomically

__all__ = ["make_loss_report", "write_loss_page"]


def make_loss_report(rows: pa.Table, config: LossStudyConfig, directory: Path) -> list[Path]:
    """Write ``tables.md`` and every figure that there are results for into the study's directory; the files."""
    results = LossResults.of(rows)
    tables = directory / "tables.md"
    write_atomically(tables, loss_tables(results, config).encode())
    return [tables, *write_figures(loss_figures(results, config), directory).values()]


def write_loss_page(rows: pa.Table, config: LossStudyConfig, page: Path) -> None:
    """Put the tables into a page, and the figures into ``results/<name of the page>/`` beside it."""
    results = LossResults.of(rows)
    write_figures(loss_figures(results, config), page.parent / "results" / page.stem)
    fill_page(page, "po-nas study losses", loss_tables(results, config), "Losses of performance predictors")
