"""Foreign text in every field of every page: shown as it is, and nothing else."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser

import matplotlib as mpl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from rich.console import Console

import po_nas
from po_nas import spaces
from po_nas.compare.report import make_comparison_report, write_markdown
from po_nas.core.objective import Metric
from po_nas.reports import terminal
from po_nas.reports.page import make_report, render_page
from po_nas.reports.run import load_run
from po_nas.runtime.escaping import html_text, latex_text, legend_text, markdown_text, without_formulas
from po_nas.testing import ToyObjective
from tests.compare.toy import toy_study

HOSTILE = r"""<script>x</script>"'&amp; $\foo$ \input{y} [red]z[/] `a|b` **c** _d_ %e #f"""


class Tags(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.said = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.said.append(data)


class Hostile(ToyObjective):
    """An objective all of whose words are hostile."""

    def __init__(self):
        super().__init__(spaces.get("nasbench_graph"), fail_every=3)
        self.name = f"toy/{HOSTILE}"
        self.metric = Metric(HOSTILE, HOSTILE)

    def evaluate(self, architecture, *, seed, fidelity=None):
        outcome = super().evaluate(architecture, seed=seed, fidelity=fidelity)
        return type(outcome).failed(HOSTILE) if outcome.failure else outcome

    def report(self, architecture):
        return {"test": 1.0}

    def protocol(self):
        words = (
            "benchmark",
            "feedback_name",
            "dataset",
            "split",
            "epochs",
            "runs",
            "source",
            "report",
            "pool",
            HOSTILE,
        )
        return dict.fromkeys(words, HOSTILE)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("hostile") / "run"
    po_nas.search(benchmark=Hostile(), method="random", budget=6, out=out)
    trust = {
        "proxies": [HOSTILE],
        "rows": [{"label": HOSTILE, "architectures": 2, "weights": [1.0]}],
        "source": HOSTILE,
    }
    (out / "artifacts").mkdir(exist_ok=True)
    (out / "artifacts" / "explanation.json").write_text(json.dumps({"trust": trust}))
    return load_run(out)


def test_the_page_of_a_run(run):
    page = Tags(render_page(run))
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert sum(HOSTILE in said for said in page.said) > 12
    assert make_report(run.directory).figure.stat().st_size > 10_000


def test_a_run_on_a_terminal(run, monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(
        terminal, "Console", lambda **more: Console(file=shown, width=2000, force_terminal=True, **more)
    )
    terminal.print_status(run)
    result = po_nas.resume(run.directory, objective=Hostile())
    terminal.print_result(result, run)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue())
    assert plain.count(HOSTILE) >= 3


def test_every_page_of_a_comparison(tmp_path):
    validations = {
        (benchmark, method, seed): [3.0 + seed, 4.0 + seed, 5.0 + len(method) % 3]
        for benchmark in (f"toy/{HOSTILE}", "toy/b")
        for method in (HOSTILE, f"_{HOSTILE}", "random")
        for seed in range(6)
    }
    study = toy_study(tmp_path, validations, name=HOSTILE, notes=HOSTILE, reference=HOSTILE)
    for protocol in study.record["benchmarks"].values():
        protocol |= dict.fromkeys(("unit", "metric", "feedback_name", "dataset", "split", "source", "pool"), HOSTILE)
    study.record["failed"].append({"benchmark": "toy/b", "method": HOSTILE, "seed": 0, "error": HOSTILE})
    study.record["missing"][HOSTILE] = HOSTILE
    paths = make_comparison_report(study, tmp_path)
    page = Tags(paths.page.read_text(encoding="utf-8"))
    # Ours: the data of the chart, and the chart.
    assert page.tags.count("script") == 2
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert sum(HOSTILE in said for said in page.said) > 12
    for table in (tmp_path / "tables").glob("*.tex"):
        text = table.read_text(encoding="utf-8")
        assert r"\input" not in text
        assert "\\foo$" not in text
        assert "<script" not in text
    write_markdown([study], tmp_path / "page.md")
    text = re.sub(r"`[^`\n]*`", "", (tmp_path / "page.md").read_text(encoding="utf-8"))
    assert not re.search(r"(?<!\\)<script", text)
    assert not re.search(r"(?<!\\)\$", text)


@given(st.text())
def test_html_says_what_was_given(text):
    page = Tags(f"<p title='{html_text(text)}' id=\"{html_text(text)}\">{html_text(text)}</p>")
    assert page.tags == ["p"]
    (_, first), (_, second) = page.attributes
    assert first == second == "".join(page.said)


@settings(deadline=None, max_examples=25)
@given(st.text(alphabet="ab$\\_{}^%`|<*["))
def test_labels_of_figures_are_no_formulas(text):
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 2], [1, 100], label=legend_text(text))
    axes.set(title=text, xlabel=text, yscale="log")
    axes.set_xticks([1, 2], [text, text])
    figure.legend(*axes.get_legend_handles_labels())
    with mpl.rc_context({"svg.fonttype": "none"}):
        buffer = io.StringIO()
        without_formulas(figure).savefig(buffer, format="svg")
    assert figure.axes[0].get_title() == text
    assert not text or len(figure.legends[0].get_texts()) == 1


@given(st.text())
def test_latex_and_markdown_are_one_line_and_closed(text):
    shown = latex_text(text)
    assert "\n" not in shown
    for special in "&%#_{}":
        assert not re.search(rf"(?<!\\)\{special}", re.sub(r"\\(text\w+|dots)\{\}", "", shown))
    assert not re.search(r"(?<!\\)(\\\\)*<", re.sub(r"`[^`]*`", "", markdown_text(text)))
