"""Writing tables and figures of the study of evolved proxies, and its page."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from po_nas.research.evolved_proxies.design import EvolvedStudyConfig
from po_nas.research.evolved_proxies.figures import CAPTIONS, evolved_figures
from po_nas.research.evolved_proxies.results import EvolvedResults
from po_nas.research.evolved_proxies.search_report import search_tables
from po_nas.research.evolved_proxies.tables import evolved_tables
from po_nas.research.pages import figure_links, fill_page, write_figures
from po_nas.runtime.parts import write_atomically

__all__ = ["make_evolved_report", "write_evolved_page"]


def make_evolved_report(rows: pa.Table, searches: pa.Table | None, config: EvolvedStudyConfig, directory: Path) -> str:
    """Write ``tables.md`` and ``figures/*.png`` into the study's directory; the tables' Markdown."""
    results = EvolvedResults.of(rows, list(config.variants), config.learned)
    tables = [*evolved_tables(results, config), *(search_tables(searches) if searches is not None else [])]
    text = "\n".join(table.markdown(3) for table in tables)
    write_atomically(directory / "tables.md", text.encode())
    write_figures(evolved_figures(results, config), directory / "figures")
    return text


def write_evolved_page(tables: str, directory: Path, page: Path, command: str) -> None:
    """Put tables and figures into a page: between the marks of one that is there, else into a new one.

    Figures are copied to ``results/<name of the page>/`` beside it.
    """
    folder = page.parent / "results" / page.stem
    sources = {name: directory / "figures" / f"{name}.png" for name in CAPTIONS}
    copies = {name: folder / source.name for name, source in sources.items() if source.exists()}
    for name, copy in copies.items():
        write_atomically(copy, sources[name].read_bytes())
    body = "\n".join([f"Made by `{command}`.", "", *figure_links(CAPTIONS, copies, page), tables])
    fill_page(page, "po-nas study evolved-proxies", body, "Evolved proxies")
