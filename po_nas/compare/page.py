"""The report of a comparison as one self-contained HTML page."""

from __future__ import annotations

import base64
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from po_nas.compare.captions import FIGURE_TITLES, caption, headline
from po_nas.compare.chart import CHART_STYLE, chart
from po_nas.compare.figures import png
from po_nas.compare.protocol import protocol_line, summary_line
from po_nas.compare.results import Study
from po_nas.compare.table import Table
from po_nas.reports.architecture_svg import draw_cells
from po_nas.reports.page import STYLE
from po_nas.runtime.escaping import html_text, without_formulas

__all__ = ["render_comparison"]

_STYLE = (
    STYLE
    + """
main{max-width:72rem}
.note{font-size:.86rem;max-width:62rem}.note code{word-break:normal}
td,th{white-space:nowrap}
.prose td,.prose th{white-space:normal;min-width:7rem}
.wide th[scope=row]{width:auto}
thead th{vertical-align:bottom}
td b{color:#0b3d66}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.92rem;margin:.6rem 0}
nav a{color:#0b5a92}
@media(max-width:40rem){.wide th[scope=row]{white-space:normal}
.wide th[scope=row]+th[scope=row]{min-width:0}}
.figure{overflow-x:auto}.figure svg,.figure img{max-width:100%;min-width:30rem;height:auto}
h3{font-size:1rem;margin:1.2rem 0 .3rem}
.found{margin:.7rem 0 1.4rem}
.warn{background:#fff4e5;border-radius:.5rem;padding:.6rem .9rem}
"""
    + CHART_STYLE
)
_WORDY = {"failures", "protocol", "published"}
_WITH_FIGURE = {"ranks": "critical_difference", "win_tie_loss": "win_tie_loss"}
"""Tables that come right after the first, and the figure above each."""


def render_comparison(study: Study, tables: Sequence[Table], figures: Mapping[str, Figure]) -> str:
    """The page: what was found first, then curves that can be asked, tables, architectures and the protocol.

    It needs no network. The one script draws the curves.
    """
    title = str(study.config["name"])
    named = {table.name: table for table in tables}
    first = named.get("hypervolume") or named.get("regret") or named.get("validation")
    sections: list[tuple[str, str, str]] = []
    if "anytime_evaluations" in figures:
        note = f"<p class='dim note'>{html_text(caption(study, 'anytime_evaluations'))}</p>"
        sections.append(("curves", "Curves", chart(study) + note))
    if first is not None:
        sections.append((first.name, first.title, first.html()))
    for table in [*(named[name] for name in _WITH_FIGURE if name in named), *tables]:
        if table is first or table.name == "protocol" or table.name in {key for key, *_ in sections}:
            continue
        figure = _WITH_FIGURE.get(table.name, "")
        drawing = _drawn(study, figure, figures[figure]) if figure in figures else ""
        body = f'<div class="prose">{table.html()}</div>' if table.name in _WORDY else table.html()
        sections.append((table.name, table.title, drawing + body))
    if "trust" in figures:
        sections.append(("trust", FIGURE_TITLES["trust"], _drawn(study, "trust", figures["trust"])))
    if study.benchmarks:
        sections.append(("architectures", "Architectures found", _architectures(study)))
    sections += [
        (
            f"figure-{name}",
            FIGURE_TITLES[name],
            f"<details><summary>show</summary>{_drawn(study, name, figure)}</details>",
        )
        for name, figure in figures.items()
        if name.startswith("anytime")
    ]
    if "protocol" in named:
        sections.append(("protocol", named["protocol"].title, f'<div class="prose">{named["protocol"].html()}</div>'))
    links = "".join(f'<a href="#about-{key}">{html_text(heading)}</a>' for key, heading, _ in sections)
    body = "".join(
        f'<section id="about-{key}"><h2>{html_text(heading)}</h2>{content}</section>'
        for key, heading, content in sections
    )
    notes = f"<p>{html_text(study.config['notes'])}</p>" if study.config["notes"] else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html_text(title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{html_text(title)}</h1>{_cards(study)}{notes}"
        + "".join(f"<p>{html_text(sentence)}</p>" for sentence in headline(study))
        + _warnings(study)
        + f"<p class='dim note'>{html_text(protocol_line(study).replace('**', '').replace('`', ''))}</p>"
        + f"<nav aria-label='sections'>{links}</nav>{body}</main></body></html>\n"
    )


def _cards(study: Study) -> str:
    evaluations = sum(len(search) for search in study.searches.values())
    seeds = sorted({key[2] for key in study.searches})
    done, planned = study.record["finished"], study.record["searches"]
    cards = [
        ("methods", str(len(study.methods))),
        ("benchmarks", str(len(study.benchmarks))),
        ("seeds", str(len(seeds))),
        ("searches done", f"{done:,}" if done == planned else f"{done:,} of {planned:,}"),
        ("evaluations", f"{evaluations:,}"),
    ]
    body = "".join(f'<div class="card"><b>{html_text(v)}</b><span>{html_text(k)}</span></div>' for k, v in cards)
    return f'<div class="cards">{body}</div>'


def _warnings(study: Study) -> str:
    said = []
    if not study.finished:
        said.append(f"Not finished: {summary_line(study)}. These are partial results.")
    if study.record["failed"]:
        said.append(f"{len(study.record['failed'])} searches failed; see “What failed or was left out”.")
    said += [f"{name} was left out: {reason}" for name, reason in study.record["missing"].items()]
    return "".join(f'<p class="warn">{html_text(text)}</p>' for text in said)


def _drawn(study: Study, name: str, figure: Figure) -> str:
    note = f"<p class='dim note'>{html_text(caption(study, name))}</p>"
    # Curves of many searches are smaller as a picture.
    drawing = _png(name, figure) if name.startswith("anytime") else _svg(name, figure)
    return f'<div class="figure" tabindex="0">{drawing}</div>{note}'


def _png(name: str, figure: Figure) -> str:
    content = base64.b64encode(png(figure, 100)).decode()
    return f'<img alt="{html_text(FIGURE_TITLES[name])}" src="data:image/png;base64,{content}">'


def _svg(name: str, figure: Figure) -> str:
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": f"po-nas {name}", "svg.fonttype": "none", "font.family": "sans-serif"}):
        without_formulas(figure).savefig(buffer, format="svg", metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    used = set(re.findall(r"#([\w-]+)", svg))
    # Groups are numbered in every figure anew; only what is referred to keeps its name.
    svg = re.sub(r' id="([^"]+)"', lambda found: found.group(0) if found.group(1) in used else "", svg)
    label = html_text(FIGURE_TITLES[name])
    return re.sub("<svg ", f'<svg role="img" aria-label="{label}" ', svg, count=1)


def _architectures(study: Study) -> str:
    """Per benchmark the best architecture that any search ended with, drawn, and who ended there."""
    from po_nas import spaces

    parts = []
    for place, benchmark in enumerate(study.benchmarks):
        ends = {method: study.found(benchmark, method) for method in study.methods}
        every = [(method, *row) for method, rows in ends.items() for row in rows]
        if not every:
            continue
        sign = study.sign(benchmark, "validation")
        best = max(every, key=lambda row: sign * row[3])
        shares = Counter(method for method, _, architecture, _ in every if architecture == best[2])
        who = ", ".join(f"{method} ({count} of {len(ends[method])})" for method, count in shares.items())
        protocol = study.record["benchmarks"][benchmark]
        unit = protocol.get("unit", "")
        test = _test_of(study, benchmark, best[0], best[1])
        about = f"validation {best[3]:.4g} {unit}".rstrip() + (f", test {test:.4g} {unit}".rstrip() if test else "")
        text = (
            f"<h3>{html_text(benchmark)}</h3><p>{html_text(about)}; searches that ended with it: {html_text(who)}</p>"
            f"<p><code>{html_text(best[2])}</code></p>"
        )
        name = protocol.get("space")
        if name in spaces.registry:
            space = spaces.get(str(name))
            graph = space.operation_graph(space.from_string(best[2]))
            text += draw_cells(graph, benchmark, space.operations, f"tip-{place}")
        parts.append(f'<div class="found">{text}</div>')
    return "".join(parts) or "<p>No search has found one.</p>"


def _test_of(study: Study, benchmark: str, method: str, seed: int) -> float | None:
    search = study.searches[benchmark, method, seed]
    value = float(search.columns["test"][search.incumbent[-1]])
    return None if np.isnan(value) else value
