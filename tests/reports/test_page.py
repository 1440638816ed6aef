"""The HTML report."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser

import pytest
from matplotlib import image

import po_nas
from po_nas import benchmarks
from po_nas.reports.page import make_report, render_page
from po_nas.reports.run import load_run
from tests.reports.browser import browse, needs_browser

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Balanced(HTMLParser):
    """Fails on a tag that is closed out of order; collects what is used."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.used: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.used.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.used.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


@pytest.mark.parametrize("which", ["finished", "running", "empty", "failing"])
def test_pages_stand_on_their_own(which, request):
    page = render_page(load_run(request.getfixturevalue(which)))
    parsed = Balanced(page)
    tags = {tag for tag, _ in parsed.used}
    assert {"html", "main", "h1", "table"} <= tags
    assert not tags & {"script", "link", "iframe", "object", "embed", "img"}
    for tag, attributes in parsed.used:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"href", "src", "xlink:href", "data"}:
                assert value.startswith("#"), f"<{tag} {name}={value!r}>"
            elif not name.startswith("xmlns"):
                assert not re.search(r"https?:|//", value or ""), f"<{tag} {name}={value!r}>"
    assert not re.search(r"url\((?!#)|@import", page)
    ids = [attributes["id"] for _, attributes in parsed.used if "id" in attributes]
    assert len(ids) == len(set(ids))
    images = [a for tag, a in parsed.used if tag == "svg"]
    assert all(a.get("role") == "img" and a.get("aria-label") for a in images)
    assert ("lang", "en") in parsed.used[0][1].items()


def text(page: str) -> str:
    return " ".join("\n".join(Balanced(page).text).split())


def cards(page: str) -> list[str]:
    """The values at the head of the page, in their order."""
    return [unescape(value) for value in re.findall(r'class="card"><b>(.*?)</b>', page)]


def test_what_was_found_stands_beside_what_there_was(finished):
    run = load_run(finished)
    page = render_page(run)
    words = text(page)
    task = benchmarks.get("nasbench_graph/proteins")
    best = run.incumbent()
    assert best.architecture in words
    *values, waited, overhead = cards(page)
    # No cost, for this table has none, and no failures.
    assert values == [
        f"{value:.3f} %"
        for value in (
            best.validation,
            task.optimum_validation[0],
            run.regret(best.validation),
            run.summary["test"],
            run.summary["test_of_optimum_validation"],
            task.optimum_test[0],
        )
    ]
    assert [waited, overhead] == [f"{run.summary[key]:.1f} s" for key in ("wall_s", "overhead_s")]
    for said in ("regularized_evolution on nasbench_graph/proteins", "3 runs", "25 trials", "max_evaluations 25"):
        assert said in words
    assert f" {run.summary['best_test_queried']:.3f} %" in words


def test_without_a_table_nothing_stands_beside_it(finished):
    """As where architectures are trained; how, is told setting by setting."""
    run = load_run(finished)
    protocol = {**run.protocol, "recipe": {"epochs": 3, "network": {"cells": 6}}}
    page = render_page(dataclasses.replace(run, optimum={"validation": None, "test": None}, protocol=protocol))
    words = text(page)
    assert "unknown" not in words
    *values, _, _ = cards(page)
    assert values == [f"{run.summary[key]:.3f} %" for key in ("validation", "test")]
    assert "recipe.network.cells 6" in words


def test_unfinished_runs_say_so(running, empty):
    page = render_page(load_run(running))
    words = text(page)
    assert "5 evaluations" in words
    assert "ended: " not in words
    assert "pending" in words
    nothing = render_page(load_run(empty))
    assert "<svg" in page
    assert "<svg" not in nothing
    assert cards(nothing) == ["unknown", *cards(page)[1:2], "unknown"]


def test_failures_are_counted_and_explained(failing):
    run = load_run(failing)
    page = render_page(run)
    reasons = [t.reason for t in run.told if t.reason is not None]
    assert cards(page)[-1] == str(len(reasons))
    assert text(page).count(reasons[0]) >= len(reasons) > 0


def test_everything_a_user_wrote_is_escaped(finished):
    run = load_run(finished)
    nasty = "<script>alert('x')</script>&\"<b>"
    trials = tuple(dataclasses.replace(t, architecture=nasty, origin=nasty) for t in run.trials)
    trials = (dataclasses.replace(trials[0], validation=None, reason=nasty), *trials[1:])
    config = {**run.config, "benchmark": nasty, "method": {"name": nasty, nasty: nasty}}
    page = render_page(
        dataclasses.replace(
            run, trials=trials, config=config, protocol={**run.protocol, "space": "own", nasty: nasty}, ended=nasty
        )
    )
    assert "<script" not in page
    assert not any(tag in {"script", "b"} for tag, a in Balanced(page).used if tag == "script" or "class" in a)
    assert text(page).count("<script>alert('x')</script>") > 25
    assert unescape(re.search("<title>(.*?)</title>", page).group(1)) == f"{nasty} on {nasty}"


def test_the_same_run_gives_the_same_page(finished, tmp_path):
    pages = []
    for name in ("one", "two"):
        shutil.copytree(finished, tmp_path / name)
        pages.append(make_report(tmp_path / name).page.read_bytes())
    assert pages[0] == pages[1]
    assert b'charset="utf-8"' in pages[0]


def test_a_summary_without_an_incumbent(failing):
    run = load_run(failing)
    trials = tuple(dataclasses.replace(t, validation=None, reason="unlucky") for t in run.trials)
    page = render_page(dataclasses.replace(run, trials=trials))
    assert text(page).count("unlucky") == len(trials) + 1, "once among the reasons"
    assert cards(page)[0] == "unknown"


# -- in a real browser -------------------------------------------------------------------------------------------------

WIDTHS = (1280, 390)
# The page in frames as wide as screens; their documents are measured once they are laid out.
WRAPPER = """<!doctype html><body style="margin:0">
<iframe src="{page}" style="border:0;width:1280px;height:900px"></iframe>
<iframe src="{page}" style="border:0;width:390px;height:900px"></iframe>
<script>
onload = () => {{
  const measure = frame => {{
    const d = frame.contentDocument, e = d.documentElement, width = e.clientWidth;
    for (const details of d.querySelectorAll("details")) details.open = true;
    const wide = [...d.querySelectorAll("main *")].filter(n => !n.closest(".wide > *"))
      .filter(n => n.getBoundingClientRect().right > width + 1).map(n => n.tagName + "." + n.className);
    return {{scroll: e.scrollWidth, client: width, height: e.scrollHeight, wide}};
  }};
  document.title = JSON.stringify([...document.querySelectorAll("iframe")].map(measure));
}};
</script>"""


@needs_browser
@pytest.mark.parametrize("which", ["finished", "failing"])
def test_it_fits_the_screen_of_a_real_browser(which, request, tmp_path):
    page, wrapper = tmp_path / "index.html", tmp_path / "wrapper.html"
    page.write_text(render_page(load_run(request.getfixturevalue(which))))
    wrapper.write_text(WRAPPER.format(page=page.name))
    laid_out = browse(tmp_path / "profile", "--virtual-time-budget=5000", "--dump-dom", wrapper.as_uri())
    measured = re.search(r"<title>(\[.*?\])</title>", laid_out)
    assert measured, "the page was not laid out"
    for width, found in zip(WIDTHS, json.loads(unescape(measured.group(1))), strict=True):
        assert found["client"] == width
        assert found["scroll"] <= width, "the page scrolls sideways"
        assert found["wide"] == []
        assert found["height"] > 1000


@needs_browser
@pytest.mark.parametrize("width", WIDTHS)
def test_a_real_browser_draws_it(width, finished, tmp_path):
    page, shot = tmp_path / "index.html", tmp_path / "shot.png"
    page.write_text(render_page(load_run(finished)))
    browse(tmp_path / "profile", f"--window-size={width},1000", f"--screenshot={shot}", page.as_uri())
    pixels = image.imread(shot)[:, :, :3]
    assert pixels.shape[:2] == (1000, width)
    assert pixels.std() > 0.05, "the picture is blank"


def test_what_is_limited_stands_beside_the_value(tmp_path):
    po_nas.search(
        benchmark="nasbench201/cifar10",
        method="random",
        budget=4,
        constraints={"params": "<= 0.4"},
        out=tmp_path / "run",
    )
    run = load_run(tmp_path / "run")
    page = render_page(run)
    assert "incumbent, limit params &lt;= 0.4" in page
    assert all(f"{trial.metrics['params']:.5g}" in page for trial in run.told)
    assert re.search(r"<th[^>]*>params</th>", page)
