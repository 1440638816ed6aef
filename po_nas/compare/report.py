"""Writing the report of a comparison into its directory, and as a page for a repository."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from PIL import Image

from po_nas.compare.captions import FIGURE_TITLES, caption, headline
from po_nas.compare.figures import make_figures, png
from po_nas.compare.page import render_comparison
from po_nas.compare.protocol import protocol_line
from po_nas.compare.results import Study
from po_nas.compare.table import Table
from po_nas.compare.tables import TABLES, make_tables
from po_nas.errors import RunDirectoryError
from po_nas.runtime.escaping import markdown_text
from po_nas.runtime.parts import write_atomically

__all__ = ["ComparisonPaths", "make_comparison_report", "write_markdown"]

_SUFFIXES = (".md", ".tex", ".parquet")
"""The formats of every table."""
_PAGE_FIGURES = ("anytime_evaluations", "critical_difference", "trust")
_ALL_BUDGETS = frozenset({"hypervolume", "regret", "validation", "rank", "tests_hypervolume", "tests_validation"})
_READABLE = 12
"""Rows of a table that one still reads. A longer one, or one of another measure, has the whole budget alone."""
_CUT = (
    "This page is a selection. Hypervolume, regret and rank are shown after parts of the budget as well where that "
    f"takes no more than {_READABLE} rows, other measures after all of it. All rows, tables and figures are in the "
    "`report.html` that the command writes."
)


@dataclass(frozen=True, slots=True)
class ComparisonPaths:
    """Where a report was written."""

    page: Path
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]


def make_comparison_report(study: Study, directory: Path) -> ComparisonPaths:
    """Write ``report.html``, ``tables/*.{md,tex,parquet}`` and ``figures/*.png``; the study may be unfinished.

    Raises `RunDirectoryError` when something cannot be written.
    """
    tables, figures = make_tables(study), make_figures(study)
    written: list[Path] = []
    for table in tables:
        texts = (table.markdown().encode(), table.latex(f"{_file_name(study)}:").encode())
        for suffix, data in zip(_SUFFIXES, (*texts, _parquet(table.parquet())), strict=True):
            written.append(directory / "tables" / f"{table.name}{suffix}")
            write_atomically(written[-1], data)
    drawn = [_save(figure, directory / "figures" / f"{name}.png") for name, figure in figures.items()]
    # What an earlier report had and this one has not would be taken for part of it.
    names = [directory / "tables" / f"{name}{suffix}" for name in TABLES for suffix in _SUFFIXES]
    names += [directory / "figures" / f"{name}.png" for name in FIGURE_TITLES]
    for stale in {*names} - {*written, *drawn}:
        try:
            stale.unlink(missing_ok=True)
        except OSError as error:
            raise RunDirectoryError(stale, f"is of an earlier report and stays ({error.strerror})") from error
    page = directory / "report.html"
    write_atomically(page, render_comparison(study, tables, figures).encode())
    return ComparisonPaths(page, tuple(written), tuple(drawn))


def write_markdown(studies: Sequence[Study], path: Path, command: str = "") -> list[Path]:
    """One page to read, with findings, figures and main tables of every study; returns what was written.

    Figures go to a folder beside it, of its name. The report in the directory of a study has everything.
    """
    folder, written = path.with_suffix(""), [path]
    lines = [f"# {markdown_text(studies[0].config['name'] if len(studies) == 1 else 'Comparisons')}", ""]
    if command:
        lines += [f"Made by `{command}`.", ""]
    lines += [_CUT, ""]
    level = 2 if len(studies) == 1 else 3
    for study in studies:
        name = str(study.config["name"])
        if len(studies) > 1:
            lines += [f"## {markdown_text(name)}", ""]
        if study.config["notes"]:
            lines += [markdown_text(str(study.config["notes"]).strip()), ""]
        lines += [markdown_text(sentence) + "\n" for sentence in headline(study)]
        lines += [markdown_text(protocol_line(study)), ""]
        stem, figures = _file_name(study), make_figures(study)
        for key in (key for key in _PAGE_FIGURES if key in figures):
            image = folder / f"{stem}-{key}.png"
            written.append(_save(figures[key], image, colours=128))
            link = Path(os.path.relpath(image, path.parent)).as_posix()
            lines += [
                f"![{FIGURE_TITLES[key]}]({link})",
                "",
                f"*{FIGURE_TITLES[key]}.* {markdown_text(caption(study, key))}",
                "",
            ]
        lines += [table.markdown(level) for table in _page_tables(study)]
    write_atomically(path, ("\n".join(lines).rstrip() + "\n").encode())
    return written


def _page_tables(study: Study) -> list[Table]:
    """The tables of a page; without those that say again what another says."""
    found = {table.name: _short(table, study) for table in make_tables(study)}
    found.pop("win_tie_loss", None)  # The tests and mean ranks say more.
    if "regret" in found:
        del found["validation"]  # It is the optimum minus the regret.
    return list(found.values())


def _short(table: Table, study: Study) -> Table:
    """A table without the protocol, which a page says once, and mostly with the rows of the whole budget alone."""
    rows, note = table.rows, table.note.replace(protocol_line(study), "").strip()
    every = table.name in _ALL_BUDGETS and len(rows) <= _READABLE
    if table.header[1:2] == ("evaluations",) and not every:
        rows = [row for row in rows if row[1] == str(study.reported[-1])]
    return replace(table, rows=rows, note=note)


def _file_name(study: Study) -> str:
    """The study's name as letters, digits and dashes."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in str(study.config["name"]).lower())


def _save(figure: Figure, path: Path, *, colours: int | None = None) -> Path:
    """Write a figure as PNG; with `colours` as one with a palette, which is a fraction of the size."""
    content = png(figure)
    if colours is not None:
        with Image.open(io.BytesIO(content)) as picture:
            small = picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
        buffer = io.BytesIO()
        small.save(buffer, format="PNG", optimize=True)
        content = buffer.getvalue()
    write_atomically(path, content)
    return path


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())
