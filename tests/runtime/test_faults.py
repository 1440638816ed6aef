"""Faults in the middle of a search: dead processes, signals, full and read-only disks, code that misbehaves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import po_nas
from po_nas import spaces
from po_nas.errors import JournalError, PoNasError, RunDirectoryError
from po_nas.reports.page import make_report
from po_nas.reports.run import load_run
from po_nas.runtime.run_directory import RunDirectory
from po_nas.testing import ToyObjective
from tests.errors import raised

from .helpers import Deadly, Misbehaving, trials

ROOT = Path(__file__).parents[2]

FORKED = """
import os, sys
import po_nas
from po_nas.errors import PoNasError, RunDirectoryError
from po_nas.testing import ToyObjective
from tests.runtime.helpers import Deadly

def forked(work):
    "The number of a process that does `work`."
    number = os.fork()
    if number:
        return number
    code = 1
    try:
        work()
        code = 0
    except RunDirectoryError:
        code = 7
    finally:
        os._exit(code)

def ended(number):
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
"""


def script(text, *arguments, environment=None):
    """What a process prints that runs `text` after `FORKED`."""
    done = subprocess.run(
        [sys.executable, "-c", FORKED + text, *map(str, arguments)],
        capture_output=True, text=True, cwd=ROOT, timeout=300, env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


DYING = """
out, way, index, executor, batch = sys.argv[1:]
objective = Deadly(way, int(index))
settings = dict(method="random", budget=12, seed=3, executor=executor, batch=int(batch))
print(ended(forked(lambda: po_nas.search(benchmark=objective, out=out, **settings))))
print(ended(forked(lambda: po_nas.resume(out, objective=objective))))
print(ended(forked(lambda: po_nas.resume(out, objective=objective))))
"""


@pytest.mark.processes
@pytest.mark.parametrize(("executor", "batch"), [("inline", 1), ("inline", 3), ("simulated", 3)])
@pytest.mark.parametrize(("way", "code"), [("exit", 3), ("segfault", -signal.SIGSEGV)])
def test_an_evaluation_that_ends_the_process_twice_has_failed(tmp_path, executor, batch, way, code):
    settings = {"method": "random", "budget": 12, "seed": 3, "executor": executor, "batch": batch}
    po_nas.search(benchmark=Deadly("not", 0), out=tmp_path / "whole", **settings)
    expected = trials(tmp_path / "whole")
    deadly = next(e["architecture"] for e in expected if e["event"] == "ask" and e["number"] == 4)
    space = spaces.get("transnas_micro")
    out = tmp_path / "run"
    codes = script(DYING, out, way, space.index(space.from_string(deadly)), executor, batch).split()
    assert [int(c) for c in codes] == [code, code, 0]

    found = trials(out)
    (failed,) = (e for e in found if e["event"] == "fail")
    assert (failed["number"], failed["architecture"]) == (4, deadly)
    assert "quarantined" in failed["reason"]

    def others(events):
        told = [e for e in events if e["number"] != 4]
        # The virtual clock goes on without the trial that failed, so workers finish in another order.
        return sorted(
            ((e["event"], e["number"], e["architecture"], str(e.get("metrics"))) for e in told), key=lambda e: e[:2]
        )

    assert others(found) == others(expected)
    assert len([e for e in found if e["event"] != "ask"]) == 12
    assert [path.stem for path in (out / "artifacts/in_progress").iterdir()] == ["trial-000004"], (
        "resumed, it stays failed"
    )


def test_an_evaluation_that_goes_to_another_folder(tmp_path, monkeypatch):
    class Wandering(ToyObjective):
        def evaluate(self, architecture, *, seed, fidelity=None):
            os.chdir(tmp_path / "elsewhere")
            return super().evaluate(architecture, seed=seed, fidelity=fidelity)

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    objective = Wandering(spaces.get("transnas_micro"))
    result = po_nas.search(benchmark=objective, method="random", budget=5, out="run")
    assert Path(result.directory) == tmp_path / "run"
    assert len(load_run(tmp_path / "run").told) == 5
    assert list((tmp_path / "elsewhere").iterdir()) == []
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run/summary.json").unlink()
    assert po_nas.resume("run", objective=objective).evaluations == 5


def test_a_report_that_is_text(tmp_path):
    class Talking(ToyObjective):
        def report(self, architecture):
            return {"test": "very good"}

    class Odd(ToyObjective):
        def report(self, architecture):
            return "very good"

    for kind in (Talking, Odd):
        out = tmp_path / kind.__name__
        result = po_nas.search(benchmark=kind(spaces.get("transnas_micro")), method="random", budget=4, out=out)
        assert (result.evaluations, result.test) == (4, None)
        assert len(load_run(out).told) == 4


@pytest.mark.parametrize("behaviour", ["odd text", "no text"])
def test_reasons_of_any_kind_are_shown(tmp_path, behaviour):
    out = tmp_path / "run"
    po_nas.search(benchmark=Misbehaving(behaviour), method="random", budget=12, out=out)
    for command in ("status", "report"):
        done = subprocess.run(
            [sys.executable, "-m", "po_nas", command, str(out)],
            capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
    assert (out / "report/index.html").read_text(encoding="utf-8")


FULL = """
import resource
from pathlib import Path
from po_nas.runtime.run_directory import RunDirectory
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
with RunDirectory(Path(sys.argv[1])) as directory:
    print("held", directory.path)
    try:
        with RunDirectory(Path(sys.argv[1])):
            print("held twice")
    except RunDirectoryError as error:
        print(type(error).__name__)
try:
    po_nas.search(benchmark="nasbench201/cifar10", method="random", budget=4, out=sys.argv[1])
except PoNasError as error:
    print(type(error).__name__)
"""


def test_a_lock_needs_no_room_on_the_disk(tmp_path):
    out = tmp_path / "run"
    assert script(FULL, out).split() == ["held", str(out), "RunLockedError", "RunDirectoryError"]
    # What is left there is no run, and does not stand in the way of one.
    assert po_nas.search(benchmark="nasbench201/cifar10", method="random", budget=4, out=out).evaluations == 4


RACE = """
folder = sys.argv[1]
for number in range(6):
    reading, writing = os.pipe()
    def begin():
        os.close(writing)
        os.read(reading, 1)
        po_nas.search(benchmark="nasbench201/cifar10", method="random", budget=6, out=f"{folder}/{number}")
    both = [forked(begin) for _ in range(2)]
    os.close(reading)
    os.close(writing)
    print(*sorted(map(ended, both)))
"""


@pytest.mark.processes
def test_of_two_that_begin_at_once_one_wins(tmp_path):
    assert script(RACE, tmp_path).splitlines() == ["0 7"] * 6
    for number in range(6):
        assert len(load_run(tmp_path / str(number)).told) == 6


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    po_nas.search(benchmark="nasbench201/cifar10", method="random", budget=6, out=out)
    return out


@pytest.mark.parametrize("place", ["config.yaml.PROCESS.tmp", "journal.jsonl", ".lock"])
def test_a_search_that_cannot_write(tmp_path, place):
    """A folder in the way of a file refuses to be written for every user, root too."""
    out = tmp_path / "run"
    (out / place.replace("PROCESS", str(os.getpid()))).mkdir(parents=True)
    with pytest.raises((RunDirectoryError, JournalError)):
        po_nas.search(benchmark="nasbench201/cifar10", method="random", budget=6, out=out)


@pytest.mark.parametrize(
    ("place", "act"),
    [
        ("summary.json.PROCESS.tmp", po_nas.resume),
        (".lock", po_nas.resume),
        ("report/regret.png", make_report),
        ("report/index.html", make_report),
    ],
)
def test_what_cannot_be_written_afterwards(tmp_path, finished, place, act):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    for name in ("summary.json", ".lock"):
        (out / name).unlink(missing_ok=True)
    blocked = out / place.replace("PROCESS", str(os.getpid()))
    blocked.mkdir(parents=True)
    with raised(RunDirectoryError, out):
        act(out)
    shutil.rmtree(blocked)
    act(out)


def test_files_where_folders_should_be(tmp_path, finished):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    (out / "report").write_text("")
    with raised(RunDirectoryError, path=out):
        make_report(out)
    shutil.rmtree(out / "artifacts", ignore_errors=True)
    (out / "artifacts").write_text("")
    with RunDirectory(out) as directory:
        for write in (directory.write_explanation, directory.write_warm_start):
            with raised(RunDirectoryError, out / "artifacts"):
                write("{}")
        directory.save_details(3, "a traceback")  # is only missed
    (tmp_path / "file").write_text("")
    with raised(RunDirectoryError, path=tmp_path / "file/run"):
        po_nas.search(benchmark="nasbench201/cifar10", method="random", budget=6, out=tmp_path / "file/run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_directory(tmp_path, finished):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    (out / "summary.json").unlink()
    for path in (*out.rglob("*"), out):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        for act in (po_nas.resume, make_report):
            with pytest.raises(PoNasError):
                act(out)
        assert len(load_run(out).told) == 6
    finally:
        for path in (out, *out.rglob("*")):
            path.chmod(0o755)


INTERRUPTED = """
import sys

class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
"""


def test_ctrl_c_while_the_command_line_is_imported(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "po_nas", "--help"],
        capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


SLEEPY = """
import os, time
from po_nas import methods
from po_nas.methods.model_free import RandomSearch

@methods.register("sleepy_until_told", summary="random search that waits to be ended")
class Sleepy(RandomSearch):
    def propose(self, rng):
        if self.asked >= 10 and "WIDE_AWAKE" not in os.environ:
            time.sleep(3600)
        return super().propose(rng)
"""


@pytest.mark.processes
def test_sigterm_ends_a_search_as_ctrl_c_does(tmp_path):
    (tmp_path / "sleepy_until_told.py").write_text(SLEEPY)
    settings = ["benchmark=nasbench201/cifar100", "method=sleepy_until_told", "budget=20"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "po_nas"]
    running = subprocess.Popen(
        [*command, "search", *settings, "--plugin", "sleepy_until_told.py", "--out", "run"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment,
    )  # fmt: skip
    journal = tmp_path / "run/journal.jsonl"
    try:
        while not (journal.exists() and journal.read_bytes().count(b"\n") >= 20):
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=300)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 130
    assert "po-nas resume run" in said
    assert "Traceback" not in said
    done = subprocess.run(
        [*command, "resume", "run", "--quiet"],
        capture_output=True, text=True, cwd=tmp_path, timeout=300, env={**environment, "WIDE_AWAKE": "1"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert len(trials(tmp_path / "run")) == 40
