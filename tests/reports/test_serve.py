"""The page of runs that a server of this machine gives to its browsers."""

from __future__ import annotations

import http.client
import json
import re
import shutil
from html import unescape

import pytest
from matplotlib import image

from po_nas.reports.live import RunFollower
from po_nas.reports.page import render_page
from po_nas.reports.run import read_run
from po_nas.reports.serve import ADDRESS, RunServer
from po_nas.runtime.run_directory import RunDirectory
from tests.reports.browser import browse, needs_browser


@pytest.fixture
def served(finished, failing, tmp_path):
    """A server of two runs and of whatever a test puts below the folder."""
    shutil.copytree(finished, tmp_path / "runs/finished")
    shutil.copytree(failing, tmp_path / "runs/failing")
    server = RunServer(RunFollower([tmp_path / "runs"]))
    server.folder = tmp_path / "runs"
    server.start()
    yield server
    server.close()


def ask(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection(ADDRESS, int(server.url.rpartition(":")[2].strip("/")), timeout=60)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read().decode()


def test_what_it_answers(served):
    status, headers, page = ask(served, "/")
    assert status == 200
    assert '<script src="live.js"></script>' in page
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers
    status, headers, script = ask(served, "/live.js")
    assert (status, headers.get_content_type()) == (200, "text/javascript")
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|innerHTML|\beval\b", script)
    status, headers, text = ask(served, "/runs.json")
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    runs = {run["name"]: run for run in json.loads(text)}
    assert set(runs) == {"failing", "finished"}
    assert runs["finished"]["best"]["architecture"] == read_run(served.folder / "finished").incumbent().architecture
    status, _, page = ask(served, f"/run/{runs['finished']['id']}")
    assert (status, page) == (200, render_page(read_run(served.folder / "finished")))
    assert ask(served, "/", method="HEAD")[::2] == (200, "")


@pytest.mark.parametrize(
    "path", ["/nothing", "/run/", "/run/2", "/run/-1", "/run/²", "/run/0/../../config.yaml", "/../x"]
)
def test_there_is_nothing_else(served, path):
    assert ask(served, path.encode("latin-1").decode("latin-1") if path.isascii() else "/run/%C2%B2")[0] == 404


def test_nothing_can_be_sent(served):
    assert ask(served, "/", method="POST")[0] == 501


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", f"{ADDRESS}.evil.example", ""])
def test_pages_of_the_web_cannot_ask(served, host):
    """A name that is made to point here (DNS rebinding) is not this server's."""
    status, _, text = ask(served, "/runs.json", Host=host)
    assert (status, "finished" in text) == (403, False)


def test_it_is_reached_from_this_machine_alone(served):
    assert served.url.startswith("http://127.0.0.1:")
    assert served._server.server_address[0] == "127.0.0.1"


def test_runs_that_begin_and_break_later(served, running):
    shutil.copytree(running, served.folder / "later")
    assert [run["name"] for run in served.states()] == ["failing", "finished", "later"]
    with RunDirectory(served.folder / "later"):
        assert served.states()[2]["state"] == "running"
    before = ask(served, "/run/2")[2]
    journal = served.folder / "later/journal.jsonl"
    shutil.copy(served.folder / "finished/journal.jsonl", journal)
    assert ask(served, "/run/2")[2] != before, "the page is that of now"
    journal.write_text("?\n")
    (damaged,) = (run for run in served.states() if run["state"] == "damaged")
    assert "po-nas repair" in damaged["said"]
    status, _, page = ask(served, "/run/2")
    assert (status, "po-nas repair" in page) == (200, True)


# -- in a real browser -------------------------------------------------------------------------------------------------


@needs_browser
def test_a_real_browser_draws_the_curves_and_follows(served, running, finished, tmp_path):
    """One run is named like a tag, one ends while the page is open."""
    nasty = "<b>x<script>boom"
    shutil.copytree(finished, served.folder / nasty)
    live = served.folder / "live"
    shutil.copytree(running, live)
    states, asked = served.states, []

    def then_it_ends():
        found = states()
        asked.append(found)
        shutil.copy(finished / "journal.jsonl", live / "journal.jsonl")
        return found

    served.states = then_it_ends
    document = browse(tmp_path / "profile", "--virtual-time-budget=9000", "--dump-dom", served.url)
    assert len(asked) > 1, "it asks again"
    body = document.partition('<div id="groups">')[2]
    named = {unescape(name) for name in re.findall(r'<path [^>]*data-run="(.*?)"', body)}
    assert named == {"finished", "failing", "live", nasty}, "a curve for each, side by side"
    assert "<b>" not in body
    assert "<script>boom" not in body
    cards = {unescape(name): card for name, card in re.findall(r'<article .*?data-run="(.*?)">(.*?)</article>', body)}
    assert ">25 of 25<" in cards["live"], "5 at first"
    assert "ended" in cards["live"]
    assert next(iter(read_run(served.folder / "failing").failures())) in unescape(cards["failing"])
    assert re.search(r"<title>po-nas runs: 4 ended</title>", document)


@needs_browser
def test_a_real_browser_shows_it_on_a_narrow_screen(served, tmp_path):
    shot, width = tmp_path / "shot.png", 500
    size = f"--window-size={width},900"
    browse(tmp_path / "profile", size, "--virtual-time-budget=3000", f"--screenshot={shot}", served.url)
    pixels = image.imread(shot)[:, :, :3]
    assert pixels.shape[:2] == (900, width)
    assert pixels.std() > 0.05, "the picture is blank"
    assert (pixels[:, -4:] > 0.99).all(), "something runs out of the picture on the right"
