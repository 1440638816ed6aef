"""What `po-nas status` says of the way on: it works for that run."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime

import psutil
import pytest

import po_nas
from po_nas import Int, benchmarks, methods
from po_nas.errors import ConfigError, RunDirectoryError
from po_nas.methods.model_free import RandomSearch
from po_nas.reports.run import load_run, read_run
from po_nas.reports.terminal import print_status
from po_nas.runtime.run_directory import running
from po_nas.testing import ToyObjective
from tests.errors import raised

SPACE = po_nas.declare("waited", a=Int(1, 9), b=Int(1, 9))
NETWORKED = po_nas.declare("networked", a=Int(1, 9), b=Int(1, 9))


@NETWORKED.network
def network(a, b):
    """Nothing that is trained here."""
    raise NotImplementedError


class Own(RandomSearch):
    """A method without a registered name."""


def unfinished(out, **settings):
    """A run that stops in its midst."""
    settings = {"method": "random", "budget": 6, "out": out} | settings

    class Stop(BaseException):
        pass

    def function(config):
        if len(list(out.glob("journal.jsonl"))) and (out / "journal.jsonl").read_bytes().count(b'"tell"') == 2:
            raise Stop
        return float(config["a"])

    if "benchmark" in settings:
        po_nas.search(**settings)
        journal = out / "journal.jsonl"
        journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:5]))
        (out / "summary.json").unlink()
    else:
        with pytest.raises(Stop):
            po_nas.search(objective=function, **settings)
    return read_run(out)


def go_on(told: str, **given):
    """Follow the way on that was told, with these arguments for the dots."""
    return eval(re.sub(r"(\w+)=…", r"\1=given['\1']", told), {"po_nas": po_nas, "given": given})


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        ({"space": SPACE}, {"objective": lambda c: 1.0}),
        ({"space": NETWORKED}, {"objective": lambda c: 1.0, "space": NETWORKED}),
        ({"space": SPACE, "method": Own}, {"objective": lambda c: 1.0, "method": Own}),
        ({"benchmark": "nasbench_graph/proteins", "method": Own}, {"method": Own}),
        ({"benchmark": ToyObjective(po_nas.spaces.get("transnas_micro"))}, None),
    ],
    ids=["function", "space with networks", "method", "table and method", "objective"],
)
def test_the_way_on_in_python_works(tmp_path, settings, given):
    run = unfinished(tmp_path / "run", **settings)
    given = {"objective": settings["benchmark"]} if given is None else given
    told = run.way_on
    assert set(re.findall(r"(\w+)=…", told)) == set(given)
    # Whoever starts the same search again is told the same.
    with raised(RunDirectoryError, told, path=run.directory):
        po_nas.search(benchmark="nasbench_graph/proteins", method="random", budget=6, out=run.directory)
    if "objective" in given:
        with raised(ConfigError, told, key="objective"):
            po_nas.resume(run.directory)
    assert go_on(told, **given).evaluations == 6


def test_the_command_is_told_where_it_is_enough(tmp_path):
    run = unfinished(tmp_path / "run", benchmark="nasbench_graph/proteins")
    assert run.way_on == f"po-nas resume {tmp_path / 'run'}"


def test_sessions_go_on_as_sessions(tmp_path):
    for name, space in (("one", SPACE), ("two", NETWORKED)):
        with po_nas.Session(space=space, method="random", budget=3, out=tmp_path / name) as session:
            session.tell(session.ask(), 1.0)
        run = read_run(tmp_path / name)
        told = run.way_on
        assert told.startswith("po_nas.Session.resume(")
        with go_on(told, space=NETWORKED) as resumed:
            assert resumed.ask().number == 1


def test_a_method_of_a_plugin_says_what_is_missing(tmp_path):
    methods.register("short_lived", summary="gone soon")(type("ShortLived", (RandomSearch,), {}))
    run = unfinished(tmp_path / "run", benchmark="nasbench_graph/proteins", method="short_lived")
    assert "--plugin" not in run.way_on
    methods.registry.remove("short_lived")
    assert "--plugin FILE" in run.way_on
    assert "'short_lived'" in run.way_on
    assert "nasbench_graph/proteins" in benchmarks.registry


def test_status_says_that_a_run_is_running(tmp_path, capsys):
    out = tmp_path / "run"
    with po_nas.Session(space=SPACE, method="random", budget=3, out=out):
        assert f"process {os.getpid()} on {socket.gethostname()}" in running(out)
        print_status(load_run(out))
        assert f"process {os.getpid()}" in capsys.readouterr().out
    assert running(out) is None
    print_status(load_run(out))
    assert "not finished" in capsys.readouterr().out


def test_who_was_killed_runs_no_more(tmp_path):
    """Its name stays behind, and its number may be given to another process."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    began = datetime.fromtimestamp(psutil.Process().create_time(), UTC)
    now, before = (time.isoformat(timespec="seconds") for time in (datetime.now(UTC), began.replace(year=2020)))
    host = socket.gethostname()
    for text, found in (
        (f"process {gone.pid} on {host} since {now}", False),
        (f"process {os.getpid()} on {host} since {before}", False),
        (f"process {os.getpid()} on {host} since {now}", True),
        (f"process 1 on not-{host} since {now}", True),
        ("nonsense", False),
        (f"process {os.getpid()} on {host} since yesterday", False),
    ):
        (tmp_path / ".lock.holder").write_text(text)
        assert (running(tmp_path) is not None) == found, text
