"""Writing the report of a comparison into its directory, and as a page for a repository."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from po_nas.compare.captions import FIGURE_TITLES, caption, headline
from po_nas.compare.figures import make_figures, png
from po_nas.compare.page import render_comparison
from po_nas.compare.protocol import protocol_line
from po_nas.compare.results import Study
from po_nas.compare.tables import TABLES, make_tables
from po_nas.errors import RunDirectoryError
from po_nas.runtime.parts import write_atomically

__all__ = ["ComparisonPaths", "make_comparison_report", "write_markdown"]

_SUFFIXES = (".md", ".tex", ".parquet")
"""The formats of every table."""


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
    """One page with the findings, figures and tables of every study; figures go to a folder beside it, of its name."""
    folder, written = path.with_suffix(""), [path]
    lines = [f"# {studies[0].config['name'] if len(studies) == 1 else 'Comparisons'}", ""]
    if command:
        lines += [f"Made by `{command}`.", ""]
    level = 2 if len(studies) == 1 else 3
    for study in studies:
        name = str(study.config["name"])
        if len(studies) > 1:
            lines += [f"## {name}", ""]
        if study.config["notes"]:
            lines += [str(study.config["notes"]).strip(), ""]
        lines += [sentence + "\n" for sentence in headline(study)]
        lines += [protocol_line(study), ""]
        stem = _file_name(study)
        for key, figure in make_figures(study).items():
            image = folder / f"{stem}-{key}.png"
            written.append(_save(figure, image))
            link = Path(os.path.relpath(image, path.parent)).as_posix()
            lines += [f"![{FIGURE_TITLES[key]}]({link})", "", f"*{FIGURE_TITLES[key]}.* {caption(study, key)}", ""]
        lines += [table.markdown(level) for table in make_tables(study)]
    write_atomically(path, ("\n".join(lines).rstrip() + "\n").encode())
    return written


def _file_name(study: Study) -> str:
    """The study's name as letters, digits and dashes."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in str(study.config["name"]).lower())


def _save(figure: Figure, path: Path) -> Path:
    write_atomically(path, png(figure))
    return path


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())
