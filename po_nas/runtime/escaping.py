"""Foreign text in what is shown, one function for each medium.

Names of benchmarks and methods, units, labels, reasons and notes come from users and plug-ins. Whatever they hold, they
are shown as they are: no tag of a page, no command of LaTeX, no table of Markdown, no formula of matplotlib, no style
of a terminal.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["html_text", "latex_text", "legend_text", "markdown_text", "terminal_text", "without_formulas"]

_TEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    "≥": r"$\geq$",
    "°": r"$^\circ$",
    "×": r"$\times$",
    "∞": r"$\infty$",
    "<": r"$<$",
    ">": r"$>$",
    "−": r"$-$",
    "…": r"\dots{}",
}
_MARKDOWN = re.compile(r"([\\\[\]<>|$])")


def _printable(text: object) -> str:
    """The text in one line, without characters that control a device; lone surrogates are spelt out."""
    shown = str(text).encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(
        " " if character in "\n\r\t\v\f\x85\u2028\u2029" else character
        for character in shown
        if character in "\n\r\t\v\f\x85\u2028\u2029" or unicodedata.category(character) not in {"Cc", "Cf"}
    )


def html_text(text: object) -> str:
    """Text between tags or in a quoted attribute."""
    return html.escape(_printable(text), quote=True)


def latex_text(text: object) -> str:
    """Text of a document."""
    return "".join(_TEX.get(letter, letter) for letter in _printable(text))


def markdown_text(text: object) -> str:
    """Text of a paragraph or of a cell of a table; ``**bold**`` and `code` in backticks stay as they are."""
    pieces = _printable(text).split("`")
    last = len(pieces) - 1
    # Between two backticks nothing has a meaning but the bar, which ends the cell all the same.
    return "`".join(
        piece.replace("|", r"\|") if at % 2 and at < last else _MARKDOWN.sub(r"\\\1", piece)
        for at, piece in enumerate(pieces)
    )


def legend_text(text: object) -> str:
    """A label of a legend; matplotlib keeps those that begin with an underscore to itself."""
    shown = _printable(text)
    return f"\u200b{shown}" if shown.startswith("_") else shown


def without_formulas(figure: Figure) -> Figure:
    """The figure, none of whose texts is read as a formula because of a dollar; numbers on log axes stay formulas."""
    # A search without figures does not wait for these.
    from matplotlib.text import Text
    from matplotlib.ticker import FixedLocator

    of_axes: set[int] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            labels = axis.get_ticklabels()
            if not isinstance(axis.get_major_locator(), FixedLocator):
                of_axes.update(map(id, labels))
            for label in labels:
                label.set_parse_math(id(label) in of_axes)
    for text in figure.findobj(Text):
        if id(text) not in of_axes:
            text.set_parse_math(False)
    return figure


def terminal_text(text: object) -> str:
    """Text of a terminal; it is printed without the markup of rich, so that brackets name no style."""
    return _printable(text)
