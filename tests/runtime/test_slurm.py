"""Searches through submitit, whose local executor stands for Slurm."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

import pytest

import po_nas
from po_nas.errors import ConfigError, ExecutorError
from tests.errors import raised

from . import fake_slurm
from .test_workers import alive, events, search, victims
from .workers import SourceTask, Unwell

pytestmark = pytest.mark.slow  # each job is a fresh interpreter
LOCAL = {"name": "submitit", "cluster": "local"}


@pytest.fixture(autouse=True)
def _no_waiting_for_slow_disks(monkeypatch):
    submitit = pytest.importorskip("submitit")
    monkeypatch.setattr(submitit.LocalJob, "_results_timeout_s", 0)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "tries"
    made.mkdir()
    return made


def test_a_job_that_is_killed_is_submitted_again(tmp_path, folder):
    objective = SourceTask(folder, "kill", times=1)
    out = tmp_path / "run"
    result = search(out, objective, budget=4, executor=LOCAL)
    lost = victims(out)
    assert lost
    assert (result.evaluations, result.failed) == (4, 0)
    assert {e["number"]: e["attempt"] for e in events(out, "retry")} == dict.fromkeys(lost, 1)
    assert all(re.search(r"\(job \S+, ", e["reason"]) for e in events(out, "retry"))
    assert {e["number"] for e in events(out, "tell") if e.get("attempts") == 2} == set(lost)
    assert len(list((out / "artifacts/jobs").glob("trial-*.job"))) == 4 + len(lost)


def test_a_job_that_hangs_is_cancelled(tmp_path, folder):
    objective = SourceTask(folder, "hang", times=1)
    out = tmp_path / "run"
    result = search(out, objective, budget=3, executor={**LOCAL, "timeout_s": 1.0})
    lost = victims(out)
    assert (result.evaluations, result.failed) == (3, len(lost))
    assert all(e["reason"].startswith("timeout:") and "1 s" in e["reason"] for e in events(out, "fail"))
    pids = [pid for text in lost.values() for pid in objective.tries(text)]
    deadline = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, pids))


_SCRIPT = """
import sys
from pathlib import Path
import po_nas
from tests.runtime.workers import SourceTask
if __name__ == "__main__":
    objective = SourceTask(Path(sys.argv[2]), "count", sleep_s=3)
    executor = {"name": "submitit", "cluster": "local"}
    po_nas.search(benchmark=objective, method="random", budget=3, seed=1, batch=2, out=sys.argv[1], executor=executor)
"""


def test_jobs_outlive_the_search_and_are_found_again(tmp_path, folder):
    out = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", _SCRIPT, str(out), str(folder)])
    jobs, deadline = out / "artifacts/jobs", time.monotonic() + 60
    while time.monotonic() < deadline and len(list(jobs.glob("*.begun"))) < 2:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not events(out, "tell")
    while time.monotonic() < deadline and len(list(jobs.glob("*_result.pkl"))) < 2:
        time.sleep(0.1)
    objective = SourceTask(folder, "count", times=0)
    result = po_nas.resume(out, objective=objective)
    assert (result.evaluations, result.failed) == (3, 0)
    assert not events(out, "retry")
    for text in victims(out).values():
        assert len(objective.tries(text)) == 1, "it is not trained again"


def test_what_kept_a_job_from_starting_can_be_repaired(tmp_path, folder):
    """The resumed search submits the job anew and does not find the old failure."""
    out = tmp_path / "run"
    with raised(ExecutorError, "OSError: "):
        search(out, Unwell(folder, times=1), budget=1, batch=1, executor=LOCAL)
    result = po_nas.resume(out, objective=Unwell(folder, times=1))
    assert (result.evaluations, result.failed) == (1, 0)


def test_an_interrupted_search_cancels_its_jobs_and_loses_no_attempt(tmp_path, folder):
    out = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", _SCRIPT, str(out), str(folder)])
    jobs, deadline = out / "artifacts/jobs", time.monotonic() + 60
    while time.monotonic() < deadline and len(list(jobs.glob("*.begun"))) < 2:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    assert not list(jobs.glob("*.job"))
    result = po_nas.resume(out, objective=SourceTask(folder, "count", times=0))
    assert (result.evaluations, result.failed) == (3, 0)
    assert not events(out, "retry")


@pytest.mark.parametrize("parameters", [{"partitio": "gpu"}])
def test_parameters_that_slurm_does_not_have(tmp_path, folder, parameters):
    with raised(ConfigError, "partitio", key="executor.slurm", value=parameters):
        search(tmp_path / "run", SourceTask(folder), executor={**LOCAL, "slurm": parameters})


def test_what_slurm_is_asked_for(tmp_path, folder, monkeypatch):
    """With Slurm's commands replaced by scripts: the jobs' resources, a job that hangs is cancelled, the rest run."""
    state = fake_slurm.install(tmp_path / "slurm")
    monkeypatch.setenv("PATH", str(tmp_path / "slurm"), prepend=":")
    out = tmp_path / "run"
    executor = {
        "name": "submitit", "gpus_per_trial": 2, "cpus_per_trial": 3, "memory_gb": 5, "minutes": 90, "timeout_s": 4,
        "slurm": {"partition": "gpu", "account": "nas"},
    }  # fmt: skip
    result = search(out, SourceTask(folder, "hang", times=1), budget=3, executor=executor)
    lost = victims(out)
    assert (result.evaluations, result.failed) == (3, len(lost))
    assert all(e["reason"].startswith("timeout:") and "4 s" in e["reason"] for e in events(out, "fail"))
    assert len(list(state.glob("*.cancelled"))) == len(lost)
    scripts = sorted(state.glob("*.sh"))
    assert len(scripts) == 3
    asked = set(scripts[0].read_text().splitlines())
    for line in ("gpus-per-node=2", "cpus-per-task=3", "mem=5GB", "time=90", "partition=gpu", "account=nas", "nodes=1"):
        assert f"#SBATCH --{line}" in asked, asked
