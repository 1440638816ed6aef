"""Pages that people write, in which a command puts tables and figures between two marks."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from po_nas.compare.figures import png
from po_nas.runtime.parts import write_atomically

__all__ = ["figure_links", "fill_page", "write_figures"]

_END = "<!-- end of tables -->"
_MARKED = re.compile(r"<!-- tables: made by [^\n]* -->\n.*?" + _END, re.DOTALL)


def write_figures(figures: Mapping[str, Figure], folder: Path) -> dict[str, Path]:
    """Write every figure as ``NAME.png`` into a folder; the files by name."""
    paths = {name: folder / f"{name}.png" for name in figures}
    for name, figure in figures.items():
        write_atomically(paths[name], png(figure, 110))
    return paths


def fill_page(page: Path, maker: str, body: str, title: str) -> None:
    """Put `body` between the marks of a page, or into a new one; `maker` is the command that the mark names."""
    marked = f"<!-- tables: made by {maker} -->\n\n{body.strip()}\n\n{_END}"
    text = page.read_text(encoding="utf-8") if page.exists() else f"# {title}\n\n"
    found = _MARKED.search(text)
    text = f"{text}{marked}\n" if found is None else f"{text[: found.start()]}{marked}{text[found.end() :]}"
    write_atomically(page, text.encode())


def figure_links(captions: Mapping[str, str], paths: Mapping[str, Path], page: Path) -> list[str]:
    """Lines of Markdown that show the figures that there are, each with its caption."""
    lines = []
    for name, caption in captions.items():
        if name in paths:
            link = Path(os.path.relpath(paths[name], page.parent)).as_posix()
            lines += [f"![{name}]({link})", "", f"*{caption}*", ""]
    return lines
