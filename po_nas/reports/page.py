"""The report of a run: its figure and one self-contained HTML page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from po_nas.core.goals import SIGNAL
from po_nas.core.settings import flat
from po_nas.errors import RunDirectoryError
from po_nas.reports.architectures import best_architectures, changes_text, incumbent_changes
from po_nas.reports.figures import draw_regret, draw_trust, save_figure
from po_nas.reports.front import draw_front, hypervolume_text
from po_nas.reports.run import RunData, TrialData, evaluations_text, load_run
from po_nas.runtime.escaping import html_text, without_formulas
from po_nas.runtime.trusted_plugins import Trust

__all__ = ["STYLE", "ReportPaths", "make_report", "render_page"]

_SHORTEST_S = 0.01
"""Seconds of an evaluation from which on they are shown."""

STYLE = """
:root{color-scheme:light;--line:#d9dde3;--soft:#f4f6f8;--ink:#1b2733;--dim:#5b6875}
*{box-sizing:border-box}
body{margin:0;font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:var(--ink);background:#fff}
main{max-width:62rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.5rem;line-height:1.25;margin:.2rem 0 .3rem}
h2{font-size:1.12rem;margin:2.2rem 0 .6rem}
p{margin:.4rem 0}.dim{color:var(--dim)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem;margin:1rem 0}
.card{background:var(--soft);border-radius:.6rem;padding:.7rem .9rem}
.card b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums}
.card span{color:var(--dim);font-size:.86rem}
.wide{overflow-x:auto}
.wide:focus-visible{outline:2px solid #0072B2}
.plot svg{width:100%;height:auto;max-width:46rem;min-width:34rem}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.32rem .7rem .32rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600}
.trials td:not(:last-child),.improvements td:nth-child(-n+4){white-space:nowrap}
.trials td:nth-child(2){white-space:normal}
.improvements th:not(:last-child){white-space:nowrap}
.failures td:first-child{min-width:14rem}
h3{font-size:1rem;margin:1.4rem 0 .3rem}
.choices thead th{vertical-align:bottom;min-width:9rem}.choices th[scope=row]{width:auto}
th[scope=row]{width:34%}td{overflow-wrap:anywhere}
tr.best td{background:#fff4e5}
code{font:.86rem/1.4 ui-monospace,SFMono-Regular,Menlo,monospace;word-break:break-all}
details summary{cursor:pointer;margin:.6rem 0}
@media(max-width:40rem){
.trials tr{display:grid;grid-template-columns:2rem repeat(var(--columns),minmax(0,1fr)) minmax(0,1.3fr);
border-bottom:1px solid var(--line)}
.trials th,.trials td{padding-right:.3rem}.trials th{font-size:.74rem}
.trials th,.trials td{border:0}.trials td:not(:last-child){white-space:normal}
.trials td:last-child,.trials th:last-child{grid-column:1/-1;padding-top:0}
tr.best{background:#fff4e5}
}
"""


def render_page(run: RunData) -> str:
    """The page: what was found, beside what there was to find; the curve; the architecture; trials; protocol.

    It needs no network and no script.
    """
    config, best = run.config, run.incumbent()
    title = f"{config['method']['name']} on {config['benchmark']}"
    sections = [_cards(run, best), *_front(run)]
    sections.append(_section("Search", f'<div class="plot wide" tabindex="0">{_plot(run)}</div>'))
    if best is not None:
        sections.append(_section("Best architectures", best_architectures(run)))
        sections.append(_section("How the incumbent improved", _improvements(run)))
    if (trust := run.trust()) is not None:
        sections.append(_section("Proxies it trusted", _trust(trust)))
    if failures := run.failures():
        sections.append(_section("Failed evaluations", _failures(run, failures)))
    sections += [
        _section("Trials", _trials(run, best)),
        _section("Protocol", _pairs({key.replace("_", " "): value for key, value in flat(run.protocol).items()})),
        _section("Configuration", _pairs(flat(config)) + "<h2>Versions</h2>" + _pairs(run.versions)),
    ]
    state = f"ended: {run.ended}" if run.ended else "not finished"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html_text(title)}</title><style>{STYLE}</style></head><body><main>"
        f"<h1>{html_text(title)}</h1>"
        f'<p class="dim">seed {config["seed"]} · {len(run.told)} evaluations · {html_text(state)}</p>'
        + "".join(sections)
        + "</main></body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{html_text(title)}</h2>{body}</section>"


def _number(value: float | None, unit: str = "", digits: int = 3) -> str:
    return "unknown" if value is None else f"{value:,.{digits}f} {unit}".rstrip()


def _cards(run: RunData, best: TrialData | None) -> str:
    summary = run.summary or {}
    validation = None if best is None else best.validation
    cards = [("incumbent, validation", _number(validation, run.unit))]
    # Without a table (architectures are trained) there is nothing to stand beside.
    table = any(value is not None for value in run.optimum.values())
    if table:
        cards += [
            ("optimum of the task, validation", _number(run.optimum.get("validation"), run.unit)),
            ("simple regret", _number(run.regret(validation), run.unit)),
        ]
    if summary.get("test") is not None:
        cards.append((f"incumbent, {run.report_label} (attached afterwards)", _number(summary["test"], run.unit)))
        if table:
            cards += [
                (
                    f"{run.report_label} of the best by validation",
                    _number(summary.get("test_of_optimum_validation"), run.unit),
                ),
                (f"best {run.report_label} in the table", _number(summary.get("optimum_test"), run.unit)),
            ]
    for limit in run.front_measure.goals.limits:
        value = None if best is None else best.metrics.get(limit.metric.name)
        cards.append((f"incumbent, limit {limit.text}", _number(value, limit.metric.unit)))
    told = run.told
    if run.fidelities:
        cards.append(("full evaluations that all of them count as", f"{run.full_evaluations:.4g}"))
        cards.append(("evaluations at full fidelity", str(sum(t.fidelity is None for t in told))))
    cost = sum(t.cost_s or 0.0 for t in told)
    if cost:
        cards.append(("cost of the evaluations", _number(cost, "s", 0 if cost >= 100 else 1)))
    if summary:
        cards += [
            ("waited in all", _number(summary["wall_s"], "s", 1)),
            ("of it outside evaluations", _number(summary["overhead_s"], "s", 1)),
        ]
    scored = run.scored
    if scored.computed + scored.kept:
        cards += [
            ("waited for proxy scores", _number(scored.seconds, "s", 1)),
            ("proxy scores computed", f"{scored.computed:,}"),
            ("proxy scores from disk", f"{scored.kept:,}"),
        ]
    front = run.front()
    if front:
        cards.append(("trials on the front", str(len(front))))
        if run.front_measure.true_volume:
            share = run.hypervolumes()[-1] / run.front_measure.true_volume
            cards.append(("hypervolume, of that of the true front", f"{share:.4f}"))
    broken = sum(not t.feasible for t in told)
    if broken:
        cards.append(("evaluations that break a limit", str(broken)))
    failed = sum(t.reason is not None for t in told)
    if failed:
        cards.append(("failed evaluations", str(failed)))
    body = "".join(f'<div class="card"><b>{html_text(v)}</b><span>{html_text(k)}</span></div>' for k, v in cards)
    note = ""
    if summary.get("best_test_queried") is not None:
        note = (
            f'<p class="dim">Best {run.report_label} value among all that were queried: '
            f"{html_text(_number(summary['best_test_queried'], run.unit))}. A search that sees validation alone cannot "
            "pick it; some papers report it.</p>"
        )
    return f'<div class="cards">{body}</div>{note}'


def _plot(run: RunData) -> str:
    if not run.told:
        return "<p>No evaluation is complete yet.</p>"
    return _svg(lambda: draw_regret(run), "validation and regret of the incumbent over evaluations")


def _front(run: RunData) -> list[str]:
    """The front as a picture and a table, where there are several objectives."""
    front, objectives = run.front(), run.front_measure.goals.objectives
    if not front:
        return []
    plot = _svg(lambda: draw_front(run), "the front found and the true one, and the hypervolume over evaluations")
    named = (f"{m.label}, {'max' if m.maximize else 'min'}" for m in objectives)
    header = ("front", "evaluation", *named, "architecture")
    rows = []
    for index, t in enumerate(front, 1):
        cells = "".join(f"<td>{t.metrics[m.name]:.5g}</td>" for m in objectives)
        rows.append(
            f"<tr><td>{index}</td><td>{t.evaluation}</td>{cells}<td><code>{html_text(t.architecture)}</code></td></tr>"
        )
    head = "".join(f"<th scope='col'>{html_text(title)}</th>" for title in header)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return [
        _section(
            "Front",
            f'<div class="plot wide" tabindex="0">{plot}</div><p class="dim">{html_text(hypervolume_text(run))}</p>'
            f'<div class="wide" tabindex="0">{table}</div>',
        )
    ]


def _trust(trust: Mapping[str, Any]) -> str:
    """The weights as a picture, and what they mean."""
    believed = trust.get("believed")
    note = (
        "How much better the objective gets with each proxy: change in standard deviations of what was evaluated, for "
        "one standard deviation of the proxy. Rows: the incumbent, and groups of alike candidates with the mean counts "
        "of the operations or values that set them apart, in brackets how many there are."
    )
    if believed is not None:
        note += f" Probability that the proxies are worth anything here: {100 * believed:.0f} %."
    if (fused := trust.get("predictor")) is not None:
        note += f" Coefficient of the predictor ({fused['name']} under {fused['loss']}): {fused['weight']:.2f}."
    source = f" Scores: {trust['source']}." if trust.get("source") else ""
    pairs = "".join(f"<li>{html_text(_redundant(pair))}</li>" for pair in trust.get("redundant", ()))
    redundant = f"<p>Redundant, since they order the candidates almost alike:</p><ul>{pairs}</ul>" if pairs else ""
    plot = _svg(lambda: draw_trust(trust), "weights of proxies")
    return f'<div class="plot wide" tabindex="0">{plot}</div><p class="dim">{html_text(note + source)}</p>{redundant}'


def _redundant(pair: Mapping[str, Any]) -> str:
    first, second = pair["proxies"]
    turned = ", the other way round" if pair["spearman"] < 0 else ""
    return f"{first} and {second}, Spearman's ρ {pair['spearman']:+.3f}{turned}"


def _svg(draw: Callable[[], Figure], label: str) -> str:
    buffer = io.StringIO()
    # A fixed salt and no date: the same run gives the same page. The other metadata are addresses of vocabularies.
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": "po-nas", "svg.fonttype": "none", "font.family": "sans-serif"}):
        without_formulas(draw()).savefig(buffer, format="svg", metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    return re.sub("<svg ", f'<svg role="img" aria-label="{label}" ', svg, count=1)


def _improvements(run: RunData) -> str:
    """Each incumbent, its gain, and what is different from the one before."""
    rows = []
    for trial, gain, told in incumbent_changes(run):
        said = "the choices are not known" if told is None else changes_text(told)
        said = "the first" if gain is None else said
        values = (f"{trial.validation:.4f}", "" if gain is None else f"{gain:.4g}", trial.origin, said)
        rows.append((f"{trial.evaluation}", *values))
    header = ("#", "validation", "better by", "origin", "changed from the incumbent before")
    return _table(header, rows, "trials improvements", numbers=2)


def _failures(run: RunData, failures: Mapping[str, Sequence[int]]) -> str:
    """Each reason, which evaluations failed for it, and where the first traceback is."""
    rows = []
    for reason, evaluations in failures.items():
        path = run.traceback(evaluations)
        numbers = evaluations_text(evaluations).partition(" ")[2]
        rows.append(
            (reason, str(len(evaluations)), numbers, "" if path is None else f"{path.relative_to(run.directory)}")
        )
    return _table(("reason", "times", "evaluations", "traceback in the run directory"), rows, "failures")


def _trials(run: RunData, best: TrialData | None) -> str:
    full = (t for t in run.told if t.validation is not None and t.fidelity is None)
    ranked = sorted(full, key=lambda t: t.validation or 0.0, reverse=run.maximize)
    pending = [t for t in run.trials if not t.finished]
    top = _trial_table(run, ranked[:10], best)
    everything = _trial_table(run, [*run.told, *pending], best)
    which = "The ten best full evaluations" if run.fidelities else "The ten best"
    best_ten = f'<p class="dim">{which} by validation.</p>{top}' if ranked else "<p>None has succeeded.</p>"
    title = f"All {len(run.trials)} trials, evaluations in the order of completion"
    note = "Seconds: what an evaluation cost, recorded or measured." if _timed(run) else ""
    return f'{best_ten}<p class="dim">{note}</p><details><summary>{title}</summary>{everything}</details>'


def _timed(run: RunData) -> bool:
    """Whether the seconds of evaluations say anything: a table without costs is asked in no time."""
    return any((t.seconds or 0.0) >= _SHORTEST_S for t in run.told)


def _trial_table(run: RunData, trials: Iterable[TrialData], best: TrialData | None) -> str:
    timed, tested = _timed(run), any(t.test is not None for t in run.told)
    goals = run.front_measure.goals
    sought = dict.fromkeys(name for name in (*goals.known_names, *goals.measured_names) if name != SIGNAL)
    header = (
        *("#", "validation"),
        *([run.report_label] if tested else ()),
        *sought,
        *(["seconds"] if timed else ()),
        *(["fidelity"] if run.fidelities else ()),
    )
    rows, marked = [], None
    for row, t in enumerate(trials):
        value = f"{t.validation:.4f}" if t.validation is not None else (t.reason or "pending")
        tests = ["" if t.test is None else f"{t.test:.4f}"] if tested else []
        seconds = ["" if t.seconds is None else f"{t.seconds:,.2f}"] if timed else []
        at = [run.fidelities.text(t.fidelity)] if run.fidelities else []
        others = [f"{t.metrics[name]:.5g}" if name in t.metrics else "" for name in sought]
        rows.append((str(t.evaluation or "–"), value, *tests, *others, *seconds, *at, t.origin, t.architecture))
        if best is not None and t.number == best.number:
            marked = row
    return _table((*header, "origin", "architecture"), rows, "trials", marked, len(header) - 1)


def _table(
    header: Sequence[str], rows: Sequence[Sequence[str]], kind: str, marked: int | None = None, numbers: int = 0
) -> str:
    """Rows under a header, one of them marked; architectures are set as code, `numbers` columns are narrow."""
    head = "".join(f"<th scope='col'>{html_text(title)}</th>" for title in header)
    lines = []
    for place, row in enumerate(rows):
        cells = "".join(
            f"<td><code>{html_text(text)}</code></td>" if title == "architecture" else f"<td>{html_text(text)}</td>"
            for title, text in zip(header, row, strict=True)
        )
        mark = ' class="best"' if place == marked else ""
        lines.append(f"<tr{mark}>{cells}</tr>")
    body = "".join(lines)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    style = f' style="--columns:{numbers}"' if numbers else ""
    return f'<div class="wide {kind}" tabindex="0"{style}>{table}</div>'


def _pairs(values: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{html_text(str(k))}</th><td>{html_text(str(v))}</td></tr>" for k, v in values.items()
    )
    return f'<div class="wide" tabindex="0"><table><tbody>{rows}</tbody></table></div>'


@dataclass(frozen=True, slots=True)
class ReportPaths:
    """Where a report was written."""

    figure: Path
    page: Path


def make_report(directory: Path, trust: Trust = False) -> ReportPaths:
    """Write ``report/regret.png`` and ``report/index.html`` of the run in `directory`, finished or not.

    `trust` is that of `load_run`.
    """
    run = load_run(directory, trust)
    paths = ReportPaths(directory / "report" / "regret.png", directory / "report" / "index.html")
    try:
        paths.figure.parent.mkdir(exist_ok=True)
        save_figure(run, paths.figure)
        paths.page.write_text(render_page(run), encoding="utf-8")
    except OSError as error:
        raise RunDirectoryError(directory, f"its report cannot be written ({error.strerror})") from error
    return paths
