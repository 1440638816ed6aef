"""A table that can be written as Markdown, LaTeX, HTML and Parquet; ``**text**`` in a cell is bold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from po_nas.runtime.escaping import html_text, latex_text, markdown_text

__all__ = ["Table"]

_BOLD = re.compile(r"\*\*(.+?)\*\*")
_LETTERS = 120
"""Letters of a small type that a page has room for."""


@dataclass(frozen=True)
class Table:
    """`name` is its file's; `note` is printed below it, protocol included. `data` are the numbers, one row each."""

    name: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    data: Sequence[dict[str, Any]] = field(default_factory=tuple)
    labels: int = 1
    """How many of the first columns are labels, set left; the others are numbers, set right."""
    texts: int = 0
    """How many of the last columns are words, set left."""

    def _left(self) -> list[bool]:
        """Which columns are set left."""
        width = len(self.header)
        return [column < self.labels or column >= width - self.texts for column in range(width)]

    def markdown(self, level: int = 2) -> str:
        """Heading, table and note."""
        align = ["---" if left else "---:" for left in self._left()]
        lines = [_row(self.header), "|" + "|".join(align) + "|", *(_row(row) for row in self.rows)]
        note = f"\n{markdown_text(self.note)}\n" if self.note else ""
        return f"{'#' * level} {markdown_text(self.title)}\n\n" + "\n".join(lines) + f"\n{note}"

    def latex(self, prefix: str = "") -> str:
        r"""A ``table`` environment with booktabs rules, the note below; needs ``\usepackage{booktabs}``.

        Too many columns are broken into tabulars one below the other, each with the labels. `prefix` tells the label
        from those of other studies.
        """
        body = [line for columns in self._abreast() for line in self._tabular(columns)]
        note = [r"\par\medskip", rf"\parbox{{\linewidth}}{{{_tex(self.note)}}}"] if self.note else []
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_tex(self.title)}}}",
            rf"\label{{tab:{prefix}{self.name}}}",
            r"\footnotesize",
            *body,
            *note,
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def _abreast(self) -> list[list[int]]:
        """Columns that stand side by side on paper."""
        cells = [self.header, *self.rows]
        widths = [max(len(row[column].replace("**", "")) + 2 for row in cells) for column in range(len(self.header))]
        labels = list(range(self.labels))
        room = _LETTERS - sum(widths[column] for column in labels)
        blocks: list[list[int]] = []
        for column in range(self.labels, len(self.header)):
            if not blocks or sum(widths[k] for k in blocks[-1]) + widths[column] > room:
                blocks.append([])
            blocks[-1].append(column)
        return [[*labels, *block] for block in blocks or [[]]]

    def _tabular(self, columns: Sequence[int]) -> list[str]:
        left = self._left()
        return [
            rf"\begin{{tabular}}{{{''.join('l' if left[column] else 'r' for column in columns)}}}",
            r"\toprule",
            " & ".join(_tex(self.header[column]) for column in columns) + r" \\",
            r"\midrule",
            *(" & ".join(_tex(row[column]) for column in columns) + r" \\" for row in self.rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]

    def html(self) -> str:
        """The table alone, in a box that scrolls sideways, and the note."""
        head = "".join(f"<th scope='col'>{_html(text)}</th>" for text in self.header)
        body = "".join(
            "<tr>"
            + "".join(
                f"<th scope='row'>{_html(text)}</th>" if column < self.labels else f"<td>{_html(text)}</td>"
                for column, text in enumerate(row)
            )
            + "</tr>"
            for row in self.rows
        )
        note = f"<p class='dim note'>{_html(self.note)}</p>" if self.note else ""
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        label = html_text(self.title)
        return f'<div class="wide" tabindex="0" role="region" aria-label="{label}">{table}</div>{note}'

    def parquet(self) -> pa.Table:
        """The numbers, unrounded; the cells as printed where there are no others."""
        if self.data:
            return pa.Table.from_pylist(list(self.data))
        return pa.Table.from_pylist([dict(zip(self.header, row, strict=True)) for row in self.rows])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(markdown_text, cells)) + " |"


def _html(text: str) -> str:
    found = re.sub(r"`(.+?)`", r"<code>\1</code>", _BOLD.sub(r"<b>\1</b>", html_text(text)))
    # A narrow screen may break family/task where it has a joint.
    return re.sub(r"(?<=\w)/(?=\w)", "/<wbr>", found)


def _tex(text: str) -> str:
    pieces = _BOLD.split(text)
    escaped = [latex_text(piece.replace("`", "")) for piece in pieces]
    return "".join(rf"\textbf{{{piece}}}" if position % 2 else piece for position, piece in enumerate(escaped))
