"""The interactive chart of the page: its data, its controls and its script, all inline."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from po_nas.compare.captions import RECORDED
from po_nas.compare.curves import Band, by_evaluations, by_seconds, plotted_measure, timed
from po_nas.compare.figures import DASHES, PALETTE
from po_nas.compare.measures import MEASURES
from po_nas.compare.results import Study
from po_nas.runtime.escaping import html_text

__all__ = ["CHART_STYLE", "chart"]

CHART_STYLE = """
.controls{display:flex;flex-wrap:wrap;gap:.5rem 1.4rem;align-items:center;margin:.5rem 0}
.controls select,.controls input{font:inherit}
.controls select{max-width:100%;padding:.2rem .3rem}
fieldset{border:0;margin:0;padding:0;display:flex;flex-wrap:wrap;gap:.15rem 1rem}
legend{float:left;padding:0;margin-right:.8rem;line-height:1.75rem;color:var(--dim)}
.controls label,.legend label{display:inline-flex;gap:.35rem;align-items:center;min-height:1.75rem;cursor:pointer}
:focus-visible{outline:2px solid #0072B2;outline-offset:2px}
#chart{display:block;width:100%;height:auto;touch-action:pan-y;background:#fff}
#values{min-height:1.6rem;font-variant-numeric:tabular-nums}
#values table{width:auto;font-size:.88rem}
#values td,#values th{padding:.1rem .9rem .1rem 0;border:0}
.swatch{flex:none}
"""

_SCRIPT = (Path(__file__).parent / "chart.js").read_text(encoding="utf-8")


def chart(study: Study) -> str:
    """Controls, drawing area, data and script. Every control is a native one, and the cursor moves with arrow keys."""
    content = json.dumps(_data(study), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Nothing in a name may end the element that holds the data.
    content = content.replace("<", "\\u003c").replace("&", "\\u0026")
    options = "".join(f"<option>{html_text(name)}</option>" for name in study.benchmarks)
    boxes = "".join(
        f'<label><input type="checkbox" value="{position}" checked>{_swatch(position)}{html_text(name)}</label>'
        for position, name in enumerate(study.methods)
    )
    return (
        '<div id="controls"><div class="controls">'
        f'<label>task <select id="task">{options}</select></label>'
        f"<fieldset><legend>over</legend>{_radio('axis', 'evaluations', True)}"
        f"{_radio('axis', 'seconds', False, 'time')}</fieldset>"
        f"<fieldset><legend>scale</legend>{_radio('scale', 'linear', True)}{_radio('scale', 'log', False)}</fieldset>"
        "</div>"
        f'<fieldset id="methods" class="legend"><legend>methods</legend>{boxes}</fieldset></div>'
        '<div><svg id="chart" viewBox="0 0 900 430" tabindex="0" role="slider" aria-valuenow="0" '
        'aria-label="what was found over time; arrow keys move the cursor, values are told below"></svg></div>'
        '<div id="values" aria-live="polite"></div>'
        "<noscript><p>The chart needs JavaScript; the figures below show the same.</p></noscript>"
        f'<script type="application/json" id="curve-data">{content}</script><script>{_SCRIPT}</script>'
    )


def _radio(group: str, value: str, checked: bool, text: str = "") -> str:
    mark = " checked" if checked else ""
    return f'<label><input type="radio" name="{group}" value="{value}"{mark}>{text or value}</label>'


def _swatch(position: int) -> str:
    return (
        '<svg class="swatch" width="26" height="8" aria-hidden="true">'
        f'<path d="M1 4H25" stroke="{_colour(position)}" stroke-width="3" stroke-dasharray="{_dashes(position)}"/>'
        "</svg>"
    )


def _colour(position: int) -> str:
    return PALETTE[position % len(PALETTE)]


def _dashes(position: int) -> str:
    return " ".join(f"{length:g}" for length in DASHES[position // len(PALETTE) % len(DASHES)])


def _data(study: Study) -> dict[str, Any]:
    tasks = {}
    for benchmark in study.benchmarks:
        protocol = study.record["benchmarks"][benchmark]
        seconds = [_packed(by_seconds(study, benchmark, method)) for method in study.methods] if timed(study) else []
        measure = plotted_measure(study, benchmark)
        tasks[benchmark] = {
            "measure": measure,
            "title": MEASURES[measure].title,
            "unit": protocol.get("unit", "") if MEASURES[measure].in_unit else "",
            "maximize": measure == "hypervolume" or protocol.get("direction") != "minimize",
            "evaluations": [_packed(by_evaluations(study, benchmark, method)) for method in study.methods],
            "seconds": seconds if any(seconds) else None,
        }
    methods = [
        {"name": name, "colour": _colour(k), "dashes": _dashes(k), "reference": name == study.baseline}
        for k, name in enumerate(study.methods)
    ]
    recorded = study.config["executor"]["name"] in RECORDED
    return {
        "methods": methods,
        "tasks": tasks,
        "counted": study.counted,
        "clock": " of evaluation, as recorded" if recorded else " of the search",
    }


def _packed(band: Band | None) -> dict[str, list[float | None]] | None:
    if band is None:
        return None
    columns = {"x": band.x, "l": band.low, "m": band.median, "h": band.high}
    # Five digits are more than a screen shows.
    rounded = {
        name: [None if math.isnan(v) else float(f"{v:.6g}" if name == "x" else f"{v:.5g}") for v in column]
        for name, column in columns.items()
    }
    # Curves are steps, so the places where they change, and the end, are all there is to know.
    steps = list(zip(rounded["l"], rounded["m"], rounded["h"], strict=True))
    last = len(steps) - 1
    kept = [k for k, step in enumerate(steps) if k in (0, last) or step != steps[k - 1]]
    return {name: [column[k] for k in kept] for name, column in rounded.items()}
