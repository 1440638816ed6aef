"""Searches on Ray: workers killed on the way, trials that hang, the head gone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil
import pytest

import po_nas
from po_nas.errors import ExecutorError
from tests.errors import raised

from .test_workers import EVALUATIONS, alive, events, search, victims
from .workers import SourceTask

pytestmark = pytest.mark.slow  # a cluster takes seconds to start


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray")
    ray.init(address="local", num_cpus=2, include_dashboard=False)
    yield ray
    ray.shutdown()


def test_a_benchmark_by_its_name(tmp_path, cluster):
    result = search(tmp_path / "run", "nasbench_graph/proteins", executor={"name": "ray"})
    search(tmp_path / "inline", "nasbench_graph/proteins", batch=1, executor="inline")
    assert result.failed == 0
    told = [{e["number"]: e["metrics"] for e in events(tmp_path / out, "tell")} for out in ("run", "inline")]
    assert told[0] == told[1]
    assert cluster.is_initialized(), "what was there before the search stays"


def test_two_workers_of_which_some_are_killed(tmp_path, cluster):
    folder = tmp_path / "tries"
    folder.mkdir()
    objective = SourceTask(folder, "kill", times=1, sleep_s=0.1)
    out = tmp_path / "run"
    result = search(out, objective, executor={"name": "ray"})
    lost = victims(out)
    assert lost
    assert (result.evaluations, result.failed) == (EVALUATIONS, 0)
    assert {e["number"]: e["attempt"] for e in events(out, "retry")} == dict.fromkeys(lost, 1)
    assert all("ActorDiedError" in e["reason"] for e in events(out, "retry"))
    assert {e["number"] for e in events(out, "tell") if e.get("attempts") == 2} == set(lost)
    used = {e["metrics"]["pid"] for e in events(out, "tell")}
    assert len(used) >= 2


def test_a_trial_that_hangs_is_killed(tmp_path, cluster):
    folder = tmp_path / "tries"
    folder.mkdir()
    objective = SourceTask(folder, "hang", times=1)
    out = tmp_path / "run"
    result = search(out, objective, executor={"name": "ray", "timeout_s": 1.0})
    lost = victims(out)
    assert (result.evaluations, result.failed) == (EVALUATIONS, len(lost))
    assert all(e["reason"].startswith("timeout:") and "1 s" in e["reason"] for e in events(out, "fail"))
    deadline = time.monotonic() + 10
    pids = [pid for text in lost.values() for pid in objective.tries(text)]
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, pids))


_SCRIPT = """
import sys
from pathlib import Path
import po_nas
from tests.runtime.workers import SourceTask
if __name__ == "__main__":
    objective = SourceTask(Path(sys.argv[2]), sleep_s=float(sys.argv[3]))
    executor = {"name": "ray", "address": "local"}
    po_nas.search(benchmark=objective, method="random", budget=8, seed=1, batch=2, out=sys.argv[1], executor=executor)
"""


@pytest.mark.parametrize(
    ("killed", "answers"),
    [(("gcs_server", "raylet", "ray::"), False), (("DashboardAgent",), True)],
    ids=["head", "node"],
)
def test_the_cluster_gone_costs_no_finished_trial(tmp_path, killed, answers):
    pytest.importorskip("ray")
    out, folder = tmp_path / "run", tmp_path / "tries"
    folder.mkdir()
    # The first two trials are quick to come; those that follow would last.
    command = [sys.executable, "-c", _SCRIPT, str(out), str(folder), "4"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        if (out / "journal.jsonl").exists() and len(events(out, "tell")) >= 2:
            break
        time.sleep(0.1)
    for child in psutil.Process(process.pid).children(recursive=True):
        if any(name in f"{child.name()} {' '.join(child.cmdline())}" for name in killed):
            child.send_signal(signal.SIGKILL)
    before = events(out, "tell")
    assert len(before) >= 2
    _, said = process.communicate(timeout=120)
    assert process.returncode != 0
    assert ("node" if answers else "head") in said
    assert events(out, "tell")[: len(before)] == before
    result = po_nas.resume(out, objective=SourceTask(folder))
    assert (result.evaluations, result.failed) == (8, 0)
    assert events(out, "tell")[: len(before)] == before


def test_a_cluster_that_is_not_there(tmp_path):
    ray = pytest.importorskip("ray")
    ray.shutdown()
    folder = tmp_path / "tries"
    folder.mkdir()
    with raised(ExecutorError, "executor.address=127.0.0.1:9"):
        search(tmp_path / "run", SourceTask(folder), executor={"name": "ray", "address": "127.0.0.1:9"})
    assert not (tmp_path / "run").exists()
