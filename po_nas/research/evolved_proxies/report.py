"""Writing tables and figures of the study of evolved metrics, and its page."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pyarrow as pa

from po_nas.research.evolved_proxies.design import EvolvedStudyConfig
from po_nas.research.evolved_proxies.figures import CAPTIONS, evolved_figures
from po_nas.research.evolved_proxies.results import EvolvedResults
from po_nas.research.evolved_proxies.search_report import search_tables
from po_nas.research.evolved_proxies.tables import evolved_tables
from po_nas.runtime.parts import write_atomically

__all__ = ["BEGIN", "END", "make_evolved_report", "write_evolved_page"]

BEGIN, END = "<!-- tables: made by po-nas study evolved-proxies -->", "<!-- end of tables -->"


def make_evolved_report(rows: pa.Table, searches: pa.Table | None, config: EvolvedStudyConfig, directory: Path) -> str:
    """Write ``tables.md`` and ``figures/*.png`` into the study's directory; the tables' Markdown."""
    results = EvolvedResults.of(rows, list(config.variants), config.learned)
    tables = [*evolved_tables(results, config), *(search_tables(searches) if searches is not None else [])]
    text = "\n".join(table.markdown(3) for table in tables)
    write_atomically(directory / "tables.md", text.encode())
    for name, figure in evolved_figures(results, config).items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
        write_atomically(directory / "figures" / f"{name}.png", buffer.getvalue())
    return text


def write_evolved_page(tables: str, directory: Path, page: Path, command: str) -> None:
    """Put tables and figures into a page: between the marks of one that is there, else into a new one.

    Figures are copied to ``results/<name of the page>/`` beside it.
    """
    folder = page.parent / "results" / page.stem
    links = []
    for name, caption in CAPTIONS.items():
        source = directory / "figures" / f"{name}.png"
        if source.exists():
            write_atomically(folder / source.name, source.read_bytes())
            link = Path(os.path.relpath(folder / source.name, page.parent)).as_posix()
            links += [f"![{name}]({link})", "", f"*{caption}*", ""]
    body = "\n".join([f"Made by `{command}`.", "", *links, tables.rstrip()])
    present = page.read_text(encoding="utf-8") if page.exists() else f"# Evolved metrics\n\n{BEGIN}\n{END}\n"
    head, _, rest = present.partition(BEGIN)
    tail = rest.partition(END)[2]
    write_atomically(page, f"{head}{BEGIN}\n\n{body}\n\n{END}{tail}".encode())
