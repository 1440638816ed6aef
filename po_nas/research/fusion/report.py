"""Writing tables and figures of the study of fusion, and its page."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from po_nas.research.fusion.design import FusionStudyConfig
from po_nas.research.fusion.figures import CAPTIONS, fusion_figures
from po_nas.research.fusion.results import FusionResults
from po_nas.research.fusion.tables import fusion_tables
from po_nas.research.pages import figure_links, fill_page, write_figures
from po_nas.runtime.parts import write_atomically

__all__ = ["make_fusion_report", "write_fusion_page"]

_LINES = "task_means.jsonl"


def make_fusion_report(rows: pa.Table, config: FusionStudyConfig, directory: Path) -> list[Path]:
    """Write ``tables.md``, ``task_means.jsonl`` and ``figures/*.png`` into the study's directory; the files."""
    results = FusionResults.of(rows, config)
    tables, lines = directory / "tables.md", directory / _LINES
    write_atomically(tables, "\n".join(table.markdown(3) for table in fusion_tables(results)).encode())
    write_atomically(lines, results.json_lines().encode())
    return [tables, lines, *write_figures(fusion_figures(results), directory / "figures").values()]


def write_fusion_page(directory: Path, page: Path, command: str) -> None:
    """Put tables and figures of a study's directory into a page: between its marks, or into a new one.

    Figures and means of tasks are copied into ``results/<name of the page>/`` beside it.
    """
    folder = page.parent / "results" / page.stem
    sources = {name: directory / "figures" / f"{name}.png" for name in CAPTIONS}
    copies = {name: folder / source.name for name, source in sources.items() if source.exists()}
    for name, copy in copies.items():
        write_atomically(copy, sources[name].read_bytes())
    write_atomically(folder / _LINES, (directory / _LINES).read_bytes())
    means = f"[means over seeds of every task](results/{page.stem}/{_LINES})"
    tables = (directory / "tables.md").read_text(encoding="utf-8")
    lines = [f"Made by `{command}`; {means}.", "", *figure_links(CAPTIONS, copies, page), tables]
    fill_page(page, "po-nas study fusion", "\n".join(lines), "The ceiling of fusion")
