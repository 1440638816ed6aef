"""Writing the report of an evolution of losses: a page, its tables and figures; and as Markdown for a repository."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from po_nas.compare.figures import png
from po_nas.compare.table import Table
from po_nas.reports.page import STYLE
from po_nas.research.evolved_losses.figures import CAPTIONS, make_figures
from po_nas.research.evolved_losses.results import REFERENCE, Evolved
from po_nas.research.evolved_losses.tables import make_tables
from po_nas.runtime.escaping import html_text
from po_nas.runtime.parts import write_atomically

__all__ = ["PATENT", "make_report", "write_markdown"]

PATENT = (
    "For whoever decides on a release: US patent 12,026,624 B2 (granted 2024 to Cognizant) is on metalearning of loss "
    "functions. Whether it bears on evolving, or on using, such losses is a question for a lawyer; this is no legal "
    "advice."
)
_TITLES = {"phenotypes": "The losses", "funnel": "What the checks leave", "history": "Evolution"}
_STYLE = "main{max-width:74rem}td,th{white-space:nowrap}.figure img{max-width:100%;height:auto}"


def make_report(directory: Path) -> list[Path]:
    """Write ``report.html``, ``report.md``, ``tables/*.md`` and ``figures/*.png`` of the evolution in `directory`."""
    evolved = Evolved.load(directory)
    tables, figures = make_tables(evolved), make_figures(evolved)
    written = [directory / "report.html"]
    images = {name: png(figure) for name, figure in figures.items()}
    write_atomically(written[0], _page(evolved, tables, images).encode())
    for table in tables:
        written.append(directory / "tables" / f"{table.name}.md")
        write_atomically(written[-1], table.markdown().encode())
    written += write_markdown([evolved], directory / "report.md", images_in=directory / "figures")
    return written


def write_markdown(
    studies: Sequence[Evolved], path: Path, introduction: str = "", images_in: Path | None = None
) -> list[Path]:
    """One page with the findings, figures and tables of evolutions; figures in a folder beside it, of its name."""
    folder, written = images_in or path.with_suffix(""), [path]
    lines = [introduction.strip() or "# Evolved losses", ""]
    for evolved in studies:
        lines += [f"## Evolved on {evolved.dataset}", "", *_facts(evolved), ""]
        for name, figure in make_figures(evolved).items():
            image = folder / (f"{name}.png" if images_in else f"{evolved.dataset}-{name}.png")
            write_atomically(image, png(figure))
            written.append(image)
            link = Path(os.path.relpath(image, path.parent)).as_posix()
            lines += [f"![{_TITLES[name]}]({link})", "", f"*{_TITLES[name]}.* {CAPTIONS[name]}", ""]
        lines += [table.markdown(3) for table in make_tables(evolved)]
    lines += ["## A patent", "", PATENT]
    write_atomically(path, ("\n".join(lines).rstrip() + "\n").encode())
    return written


def _facts(evolved: Evolved) -> list[str]:
    """What can be said in sentences."""
    result, config = evolved.result, evolved.config
    trained = sum(member["screen"] is not None for member in result["members"])
    random, mutants = (result["funnel"][kind]["stages"] for kind in ("random", "mutants"))
    said = [
        f"Seed {config['seed']}: {random[0]['met']:,} random graphs and {mutants[0]['met']:,} mutants were looked at, "
        f"{len(result['members']):,} losses trained ({len(result['members']) - trained} of them failed the screen), "
        f"{result['trainings']:,} trainings in all, {result['seconds'] / 60:.0f} minutes of training by the clock.",
    ]
    for dataset in dict.fromkeys(dataset for dataset, _ in evolved.tests):
        where = "the data it was evolved on" if dataset == evolved.dataset else "data that it was not evolved on"
        tests = [t for t in evolved.paired if t.dataset == dataset and t.baseline == REFERENCE]
        best = max(tests, key=lambda t: t.gain)
        said.append(
            f"\nOn {dataset}, {where}: against cross-entropy with label smoothing "
            + "; ".join(f"{t.loss} {t.gain:+.2f} points ({t.verdict}, p = {t.adjusted:.3f})" for t in tests)
            + (". In the mean none is as good." if best.gain < 0 else ".")
        )
    return said


def _page(evolved: Evolved, tables: Sequence[Table], images: Mapping[str, bytes]) -> str:
    """A self-contained HTML page."""
    title = f"Losses evolved on {evolved.dataset}"
    parts = [f"<p>{html_text(text)}</p>" for text in _facts(evolved)]
    for name, image in images.items():
        source = base64.b64encode(image).decode()
        parts.append(
            f"<section><h2>{html_text(_TITLES[name])}</h2><div class='figure'>"
            f'<img alt="{html_text(_TITLES[name])}" src="data:image/png;base64,{source}"></div>'
            f"<p class='dim'>{html_text(CAPTIONS[name])}</p></section>"
        )
    parts += [f"<section><h2>{html_text(table.title)}</h2>{table.html()}</section>" for table in tables]
    parts.append(f"<section><h2>A patent</h2><p>{html_text(PATENT)}</p></section>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html_text(title)}</title><style>{STYLE}{_STYLE}</style></head><body><main><h1>{html_text(title)}</h1>"
        + "".join(parts)
        + "</main></body></html>\n"
    )
