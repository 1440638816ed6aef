"""The report of a comparison."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from matplotlib import image

from po_nas.compare.captions import headline
from po_nas.compare.design import ComparisonConfig
from po_nas.compare.figures import make_figures
from po_nas.compare.page import render_comparison
from po_nas.compare.protocol import summary_line
from po_nas.compare.report import make_comparison_report, write_markdown
from po_nas.compare.results import Study
from po_nas.compare.run import run_comparison
from po_nas.compare.significance import FEWEST, LEVEL, least_p, paired_tests, rank_methods
from po_nas.compare.table import Table
from po_nas.compare.tables import make_tables
from po_nas.runtime.escaping import markdown_text
from tests.compare.toy import NAN, toy_study

PUBLISHED = {"benchmark": "nasbench201/cifar10", "method": "REA", "ours": "evolution", "measure": "validation"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("comparison") / "out"
    config = {
        "name": "A comparison & <more>", "benchmarks": ["nasbench201/cifar10", "nasbench_graph/proteins"],
        "methods": {
            "random": None, "local_search": None,
            "evolution": {"name": "regularized_evolution", "population": 5, "sample": 2},
        },
        "seeds": 6, "budget": 15, "at": [5, 15], "reference": "evolution", "notes": "A note.",
        "published": [PUBLISHED | {"value": 91.5, "spread": 0.2, "source": "arXiv 0000.00000, Table 1"}],
    }  # fmt: skip
    run_comparison(ComparisonConfig.model_validate(config), out)
    make_comparison_report(Study.load(out), out)
    return out


@pytest.fixture(scope="module")
def study(directory: Path) -> Study:
    return Study.load(directory)


@pytest.fixture(scope="module")
def tables(study: Study) -> dict[str, Table]:
    return {table.name: table for table in make_tables(study)}


# -- tables ------------------------------------------------------------------------------------------------------------


def test_every_table_has_its_protocol_and_three_formats(directory, tables):
    assert list(tables) == [
        *("regret", "validation", "test", "best_test_queried", "rank", "to_optimum", "to_match"),
        *("tests_validation", "tests_test"),
        *("ranks", "win_tie_loss", "overhead", "published", "protocol"),
    ]
    for name, table in tables.items():
        if name != "protocol":
            assert "Protocol: 15 evaluations" in table.note
            assert all(words in table.note for words in ("6 seeds", "(0–5)", "`full`"))
        text = (directory / "tables" / f"{name}.md").read_text()
        lines = [line for line in text.splitlines() if line.startswith("|")]
        assert len(lines) == 2 + len(table.rows)
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {len(table.header) + 1}
        tex = (directory / "tables" / f"{name}.tex").read_text()
        assert tex.count(r"\\") == (1 + len(table.rows)) * tex.count(r"\begin{tabular}")
        assert tex.count("{") - tex.count(r"\{") == tex.count("}") - tex.count(r"\}")
        assert not re.search(r"(?<!\\)[_%#]", re.sub(r"\\label{.*}", "", tex))
        assert pq.read_table(directory / "tables" / f"{name}.parquet").num_rows


def test_cells_are_means_with_intervals(study, tables):
    found = {(row[0], row[1]): row[2:] for row in tables["regret"].rows}
    assert len(found) == 4
    numbers = {(r["benchmark"], r["evaluations"], r["method"]): r for r in tables["regret"].data}
    for (benchmark, at), cells in found.items():
        means = {m: numbers[benchmark, int(at), m]["mean"] for m in study.methods}
        for method, cell in zip(study.methods, cells, strict=True):
            half = numbers[benchmark, int(at), method]["half_interval"]
            assert cell.strip("*") == f"{means[method]:.3f} ± {half:.3f}"
            assert cell.startswith("**") == (round(means[method], 3) == round(min(means.values()), 3))


def test_published_numbers_stand_beside_ours(study, tables):
    (row,) = tables["published"].rows
    ours = study.values("validation", "nasbench201/cifar10", "evolution", 15)
    assert row[3:5] == ["REA", "91.50 ± 0.20"]
    assert row[5].startswith(f"{sum(ours.values()) / 6:.2f} ± ")
    assert row[5].endswith(" (evolution)")
    assert row[-1].startswith("arXiv 0000.00000")


def test_tests_name_the_family(study, tables):
    table = tables["tests_validation"]
    assert "Holm" in table.note
    assert " 8 " in table.note
    least = least_p(paired_tests(study, "validation"))
    assert least >= LEVEL  # 8 comparisons of 6 pairs
    assert f"{least:.2g}" in table.note
    assert all(re.match(r"[+-]?\d+\.\d{3}, p [=<] [\d.]+( [*°])?$", cell) for row in table.rows for cell in row[2:])


def test_no_statistics_from_too_few_runs(tmp_path):
    study = toy_study(tmp_path, {("t", m, s): [1.0, 2.0 + s] for m in "abc" for s in range(4)})
    found = {table.name: table for table in make_tables(study)}
    assert not {"ranks", "tests_validation", "tests_test"} & set(found)
    assert f"{FEWEST} seeds" in found["regret"].note
    assert f"{FEWEST} seeds" in " ".join(headline(study))
    assert "critical_difference" not in make_figures(study)


def test_findings_follow_the_tests(tmp_path):
    runs = {("t", m, s): [2.0 + 0.1 * s + gain] for m, gain in (("a", 2.0), ("b", 1.0), ("c", 0.0)) for s in range(12)}
    study = toy_study(tmp_path, runs)
    ranks, tests = headline(study)
    assert ranks.startswith("a ")
    ranking = rank_methods(study, 1)
    assert ranking.alike() == []
    assert {"1.00", "12", f"{ranking.critical_difference:.2f}"} < set(re.findall(r"\d+(?:\.\d+)?", ranks))
    # So often better, worse and undecided.
    assert re.findall(r"in (\d+)", tests) == ["2", "0", "0"]
    _, tests = headline(toy_study(tmp_path, runs, reference="b"))
    assert re.findall(r"in (\d+)", tests) == ["1", "1", "0"]


def test_what_failed_is_said(tmp_path):
    study = toy_study(tmp_path, {("t", "a", 0): [NAN, 2.0], ("t", "b", 0): [1.0, 2.0]})
    failed = {"benchmark": "t", "method": "a", "seed": 1, "error": "RuntimeError: <b>no|memory</b>"}
    record = study.record | {"failed": [failed], "missing": {"u": "run po-nas data get u"}, "searches": 4}
    study = Study.of(study.table, record)
    found = {table.name: table for table in make_tables(study)}
    assert "no\\|memory" in found["failures"].markdown()
    assert summary_line(study) in found["regret"].note
    assert re.findall(r"\d+", summary_line(study)) == ["2", "4", "1"]
    assert [row[-1] for row in found["overhead"].rows] == ["1", "0"]
    page = render_comparison(study, list(found.values()), make_figures(study))
    assert "<b>no|memory" not in page
    # Not finished, a failure, a benchmark left out.
    assert page.count('class="warn"') == 3
    assert "po-nas data get u" in page


def test_a_study_in_which_every_search_failed(tmp_path):
    """There is nothing to draw, and what went wrong is said."""
    study = toy_study(tmp_path, {("t", "a", 0): [NAN]})
    error = "RuntimeError: no memory"
    failed = {"benchmark": "t", "method": "a", "seed": 0, "error": error}
    study = Study.of(study.table.slice(0, 0), study.record | {"finished": 0, "failed": [failed]})
    assert make_figures(study) == {}
    paths = make_comparison_report(study, tmp_path)
    page = paths.page.read_text(encoding="utf-8")
    assert error in page
    assert "Curves" not in page
    write_markdown([study], tmp_path / "page.md", "")
    assert summary_line(study) in (tmp_path / "page.md").read_text(encoding="utf-8")


def test_markup():
    table = Table("x", "T_x", ("a", "b"), [["m_1", "**1 ± 2**"]], "50 % & `full`")
    assert table.markdown() == "## T_x\n\n| a | b |\n|---|---:|\n| m_1 | **1 ± 2** |\n\n50 % & `full`\n"
    assert r"m\_1 & \textbf{1 $\pm$ 2} \\" in table.latex()
    assert r"\caption{T\_x}" in table.latex()
    assert r"\parbox{\linewidth}{50 \% \& full}" in table.latex()
    wide = Table(
        "x", "T", [f"c{i}" for i in range(12)], [["label", "label", *["1.234 (+0.123, p = 1.000)"] * 10]], labels=2
    )
    blocks = re.findall(r"\\toprule\n(.*) .*\n\\midrule", wide.latex("study:"))
    assert [block.count("&") for block in blocks] == [4, 4, 4, 2]
    assert all(block.startswith("c0 & c1 & ") for block in blocks)
    assert " & ".join(f"c{i}" for i in range(12)) in Table("x", "T", wide.header, [["1"] * 12]).latex()
    assert r"\label{tab:study:x}" in wide.latex("study:")
    assert "<th scope='row'>m_1</th><td><b>1 ± 2</b></td>" in table.html()
    assert table.parquet().to_pylist() == [{"a": "m_1", "b": "**1 ± 2**"}]


# -- pages -------------------------------------------------------------------------------------------------------------


def test_figures_are_drawn(directory):
    names = {path.stem for path in (directory / "figures").iterdir()}
    assert names == {"anytime_evaluations", "anytime_seconds", "critical_difference", "win_tie_loss"}
    for path in (directory / "figures").iterdir():
        assert image.imread(path)[:, :, :3].std() > 0.03


def test_many_methods_can_be_told_apart(tmp_path):
    study = toy_study(tmp_path, {("t", f"m{k}", s): [1.0, 2.0 + k] for k in range(20) for s in range(5)})
    figures = make_figures(study)
    (panel,) = [axis for axis in figures["anytime_evaluations"].axes if axis.lines]
    looks = {(line.get_color(), line._unscaled_dash_pattern[1]) for line in panel.lines}
    assert len(panel.lines) == len(looks) == 20


def test_a_markdown_page_stands_on_its_own(study, tmp_path):
    written = write_markdown([study], tmp_path / "docs" / "page.md", "po-nas compare x.yaml")
    text = (tmp_path / "docs/page.md").read_text()
    links = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert [link.rpartition("-")[2] for link in links] == ["anytime_evaluations.png", "critical_difference.png"]
    assert len(written) == len(links) + 1
    assert all((tmp_path / "docs" / link).is_file() and link.startswith("page/") for link in links)
    assert text.startswith(f"# {markdown_text(study.config['name'])}\n\n")
    assert "`po-nas compare x.yaml`" in text
    assert "\n\nA note.\n" in text
    assert text.count("\n## ") == 12
    assert text.count("Protocol: 15 evaluations") == 1


def test_a_long_table_is_cut_on_a_page_and_whole_in_the_report(tmp_path):
    runs = {(f"t{k}", m, s): [2.0, 1.0 + k] for k in range(8) for m in "ab" for s in range(2)}
    study = toy_study(tmp_path, runs, at=[1, 2])
    (whole,) = [table for table in make_tables(study) if table.name == "regret"]
    assert len(whole.rows) == 16
    write_markdown([study], tmp_path / "page.md")
    section = (tmp_path / "page.md").read_text(encoding="utf-8").partition("## Simple regret")[2].partition("\n## ")[0]
    assert [line.split(" | ")[1] for line in section.splitlines() if line.startswith("| t")] == ["2"] * 8


class Parsed(HTMLParser):
    """Fails on a tag that is closed out of order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.used: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.used.append((tag, dict(attrs)))
        if tag not in {"meta", "input", "br", "wbr", "img"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.used.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_on_its_own(directory):
    page = (directory / "report.html").read_text()
    parsed = Parsed(page)
    assert not {tag for tag, _ in parsed.used} & {"link", "iframe", "object", "embed"}
    for tag, attributes in parsed.used:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"href", "src", "xlink:href", "data"}:
                assert value.startswith(("#", "data:image/png;base64,")), f"<{tag} {name}={value!r}>"
    assert not re.search(r"url\((?!#)|@import|fetch\(|XMLHttpRequest", page)
    ids = [attributes["id"] for _, attributes in parsed.used if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for tag, a in parsed.used if tag == "a"}
    assert targets <= set(ids)
    assert f"<h1>{escape(Study.load(directory).config['name'])}</h1>" in page
    assert page.index("searches done") < page.index("Protocol: 15") < page.index('id="chart"') < page.index("<table>")
    assert page.count("aria-label='sections'") == 1


def test_names_cannot_break_out_of_the_data(tmp_path):
    name = "</script><script>alert(1)</script>&"
    study = toy_study(tmp_path, {("t", name, s): [1.0, 2.0] for s in range(2)})
    page = render_comparison(study, make_tables(study), make_figures(study))
    assert "<script>alert" not in page
    data = re.search(r'id="curve-data">(.*?)</script>', page, re.S).group(1)
    assert json.loads(data)["methods"][0]["name"] == name


# -- in a real browser -------------------------------------------------------------------------------------------------

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--allow-file-access-from-files",
    "--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom",
]  # fmt: skip
# The page in frames as wide as screens: what it shows, whether it fits, and what keys and controls do to it.
WRAPPER = """<!doctype html><body style="margin:0">
<iframe src="{page}" style="border:0;width:1280px;height:900px"></iframe>
<iframe src="{page}" style="border:0;width:390px;height:900px"></iframe>
<script>
onload = () => setTimeout(() => {{
  const measure = frame => {{
    const d = frame.contentDocument, w = frame.contentWindow, e = d.documentElement, svg = d.getElementById("chart");
    for (const details of d.querySelectorAll("details")) details.open = true;
    const lines = () => svg.querySelectorAll("path[stroke]").length, told = () => svg.getAttribute("aria-valuetext");
    const change = node => node.dispatchEvent(new w.Event("change", {{bubbles: true}}));
    const press = key => svg.dispatchEvent(new w.KeyboardEvent("keydown", {{key, bubbles: true, cancelable: true}}));
    const found = {{scroll: e.scrollWidth, client: e.clientWidth, lines: lines(), end: told()}};
    press("ArrowLeft"); found.left = told();
    press("Home"); found.home = told();
    svg.focus(); found.focus = d.activeElement === svg;
    const box = d.querySelector("#methods input"); box.click(); found.fewer = lines();
    d.querySelectorAll("#methods input").forEach(b => b.checked && b.click()); found.none = lines();
    d.querySelectorAll("#methods input").forEach(b => b.click());
    d.querySelector("input[value=log]").click(); found.log = lines();
    d.querySelector("input[value=seconds]").click(); found.seconds = told();
    const task = d.getElementById("task"); task.selectedIndex = 1; change(task);
    found.other = told(); found.noSeconds = d.querySelector("input[value=seconds]").disabled;
    found.nan = svg.outerHTML.includes("NaN");
    return found;
  }};
  document.title = JSON.stringify([...document.querySelectorAll("iframe")].map(measure));
}}, 500);
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no browser; install one with: apt-get install chromium")
def test_a_real_browser_shows_it_without_complaint(directory, tmp_path):
    shutil.copy(directory / "report.html", tmp_path / "report.html")
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(WRAPPER.format(page="report.html"))
    line = [BROWSER, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", wrapper.as_uri()]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=True)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    measured = re.search(r"<title>(\[.*?\])</title>", done.stdout)
    assert measured, "the page was not laid out"
    for width, found in zip((1280, 390), json.loads(unescape(measured.group(1))), strict=True):
        assert found["client"] == width
        assert found["scroll"] <= width, "the page scrolls sideways"
        assert (found["lines"], found["fewer"], found["none"], found["log"]) == (3, 2, 0, 3)
        assert found["end"].startswith("after 15 evaluations: ")
        assert found["left"].startswith("after 14 evaluations: ")
        assert found["home"].startswith("after 1 evaluations: ")
        assert all(name in found["end"] for name in ("random", "local_search", "evolution"))
        assert found["focus"]
        assert re.match(r"after [\d.,]+ (h|s): ", found["seconds"])
        assert found["other"] != found["seconds"]
        assert not found["nan"]
