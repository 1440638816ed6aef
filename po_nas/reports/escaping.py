"""Foreign text in what is shown, one function for each medium.

Names of benchmarks and methods, units, labels, reasons and notes come from users and plug-ins. Whatever they hold, they
are shown as they are: no tag of a page, no command of LaTeX, no table of Markdown, no formula of matplotlib, no style
of a terminal.
"""

from __future__ import annotations

import html
import re
import unicodedata

__all__ = ["html_text", "latex_text", "markdown_cell", "plot_text", "terminal_text"]

_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
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
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|])")


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


def markdown_cell(text: object) -> str:
    """Text in a paragraph or a cell of a table."""
    return _MARKDOWN.sub(r"\\\1", _printable(text))


def plot_text(text: object) -> str:
    """A label of matplotlib: a dollar begins no formula, and an underscore hides it from no legend."""
    shown = _printable(text).replace("$", r"\$")
    # Matplotlib keeps labels that begin with an underscore to itself.
    return f"\u200b{shown}" if shown.startswith("_") else shown


def terminal_text(text: object) -> str:
    """Text in the markup of rich: brackets name no style."""
    from rich.markup import escape

    return escape(_printable(text))
