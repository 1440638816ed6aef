"""Worker processes, and what becomes of a search when they are killed, hang, eat memory or never start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

import po_nas
from po_nas.errors import ConfigError, ExecutorError, JournalError, MissingExtraError
from po_nas.runtime import executors
from po_nas.runtime.executors.environment import check_share, environment, room, share, visible
from po_nas.runtime.executors.objective_tasks import ObjectiveWorkload
from po_nas.runtime.executors.process import ProcessExecutor, ProcessOptions
from po_nas.runtime.journal import Journal
from tests.errors import raised

from .workers import SourceTask, Unsendable, Unwell

EVALUATIONS = 8


def search(out, objective, *, budget=EVALUATIONS, batch=2, method="random", executor=None, **options):
    return po_nas.search(
        benchmark=objective, method=method, budget=budget, seed=1, batch=batch, out=out,
        executor=executor or {"name": "process", **options},
    )  # fmt: skip


def events(out, *kinds):
    lines = (out / "journal.jsonl").read_text().splitlines()
    return [e for e in map(json.loads, lines) if not kinds or e["event"] in kinds]


def victims(out):
    return {e["number"]: e["architecture"] for e in events(out, "ask") if e["architecture"].startswith("64-41414-0_")}


def alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "tries"
    made.mkdir()
    return made


def test_trials_run_in_other_processes_and_are_those_of_inline(tmp_path, folder, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    objective = SourceTask(folder, sleep_s=0.05)
    # One worker for each of the two GPUs, without being told how many.
    result = search(tmp_path / "run", objective, batch=1, cpus_per_trial=3)
    assert (result.evaluations, result.failed) == (EVALUATIONS, 0)
    told = [e["metrics"] for e in events(tmp_path / "run", "tell")]
    assert os.getpid() not in {m["pid"] for m in told}
    assert len({(m["pid"], m["device"]) for m in told}) == 2
    assert {m["device"] for m in told} == {3.0, 5.0}
    assert {m["threads"] for m in told} == {3.0}
    assert "OMP_NUM_THREADS" not in os.environ
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,5"
    running = 0
    for event in events(tmp_path / "run", "ask", "tell"):
        running += 1 if event["event"] == "ask" else -1
        assert running <= 2
    assert result.clock_s > 0
    spent = sum(e["objective_s"] for e in events(tmp_path / "run", "tell"))
    assert result.overhead_s == pytest.approx(result.wall_s - spent / 2, abs=1e-3)
    search(tmp_path / "inline", objective, batch=1, executor="inline")
    asked = [[e["architecture"] for e in events(tmp_path / out, "ask")] for out in ("run", "inline")]
    assert asked[0] == asked[1]
    assert not any(alive(int(m["pid"])) for m in told)


PLUGIN = """
import os
from po_nas import benchmarks, spaces
from po_nas.core.objective import Outcome
from po_nas.testing import ToyObjective

class There(ToyObjective):
    def __init__(self, space, feedback):
        super().__init__(space)
        self.feedback = feedback
        self.unsendable = lambda: None
    def evaluate(self, architecture, *, seed, fidelity=None):
        return Outcome.ok(float(self.feedback == "half"), pid=os.getpid())

@benchmarks.register("there/toy", summary="", spec=benchmarks.BenchmarkSpec("transnas_micro", ("full", "half")))
def load(task, feedback):
    return There(spaces.get("transnas_micro"), feedback)
"""


@pytest.mark.processes
def test_a_benchmark_of_a_plug_in_is_rebuilt_by_its_name(tmp_path):
    """It need not be picklable; the search and its resumption load the file in the workers."""
    (tmp_path / "there.py").write_text(PLUGIN)
    command = [sys.executable, "-c", "from po_nas.commands.app import main; main()"]
    settings = ["benchmark=there/toy", "feedback=half", "method=random", "budget=3", "executor=process"]
    done = subprocess.run(
        [*command, "search", *settings, "--plugin", "there.py", "--out", "run", "--quiet"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = events(tmp_path / "run", "tell")
    assert len(told) == 3
    assert {e["metrics"]["validation"] for e in told} == {1.0}
    assert len({e["metrics"]["pid"] for e in told}) == 1


@pytest.mark.parametrize(
    ("act", "budget", "options", "named"),
    [
        ("kill", 3, {}, "SIGKILL"),
        pytest.param("exit", 1, {}, "code 9", marks=pytest.mark.processes),
        pytest.param("stop", 1, {"silence_s": 1.6}, "1.6 s", marks=pytest.mark.processes),
    ],
)
def test_a_lost_worker_costs_an_attempt_and_no_trial(tmp_path, folder, act, budget, options, named):
    objective = SourceTask(folder, act, times=1)
    out = tmp_path / "run"
    result = search(out, objective, budget=budget, **options)
    assert (result.evaluations, result.failed) == (budget, 0)
    lost = victims(out)
    assert lost, "there must be victims among the trials"
    retries = {e["number"]: e for e in events(out, "retry")}
    assert set(retries) == set(lost)
    assert all(e["attempt"] == 1 and e["reason"].endswith(named) for e in retries.values())
    attempts = {e["number"]: e.get("attempts") for e in events(out, "tell")}
    assert attempts == {number: 2 if number in lost else None for number in range(budget)}
    for text in lost.values():
        first, second = objective.tries(text)
        assert first != second
        assert not alive(first)


@pytest.mark.processes
def test_a_trial_that_always_kills_its_worker_is_quarantined(tmp_path, folder):
    objective = SourceTask(folder, "kill", times=99)
    out = tmp_path / "run"
    result = search(out, objective, attempts=2, budget=3)
    lost = victims(out)
    assert (result.evaluations, result.failed) == (3, len(lost))
    assert result.validation is not None
    for event in events(out, "fail"):
        assert all(name in event["reason"] for name in ("quarantined: ", "2 times", "SIGKILL"))
        assert event["attempts"] == 2
        assert len(objective.tries(lost[event["number"]])) == 2
    # Attempts made before an interruption count: the first loss is on record, so one more try is left.
    lines = (out / "journal.jsonl").read_bytes().splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if b'"retry"' in line)
    (out / "journal.jsonl").write_bytes(b"".join(lines[: first + 1]))
    (out / "summary.json").unlink()
    number = json.loads(lines[first])["number"]
    before = len(objective.tries(lost[number]))
    again = po_nas.resume(out, objective=objective)
    assert (again.evaluations, again.failed) == (result.evaluations, result.failed)
    assert len(objective.tries(lost[number])) == before + 1


def test_a_retry_of_nothing_is_a_damaged_journal(tmp_path, folder):
    out = tmp_path / "run"
    search(out, SourceTask(folder), budget=2, executor="inline")
    lines = (out / "journal.jsonl").read_bytes().splitlines(keepends=True)
    assert b'"end"' in lines[-1]
    (out / "journal.jsonl").write_bytes(b"".join(lines[:-1]))
    with Journal(out / "journal.jsonl") as journal:
        journal.append([{"event": "retry", "number": 1, "attempt": 1, "reason": "x", "clock_s": 0.0}])
    with pytest.raises(JournalError) as caught:
        po_nas.resume(out, objective=SourceTask(folder))
    assert caught.value.line == len(lines)


@pytest.mark.parametrize(
    ("act", "options", "named"),
    [
        ("hang", {"timeout_s": 0.6}, ["timeout: ", "0.6 s"]),
        pytest.param("eat", {"memory_mb": 300}, ["executor.memory_mb", "300"], marks=pytest.mark.processes),
    ],
)
def test_the_worker_of_a_trial_out_of_bounds_is_killed(tmp_path, folder, act, options, named):
    objective = SourceTask(folder, act, times=99)
    out = tmp_path / "run"
    result = search(out, objective, budget=4, **options)
    lost = victims(out)
    assert (result.evaluations, result.failed) == (4, len(lost))
    failed = events(out, "fail")
    assert {e["number"] for e in failed} == set(lost)
    assert all(name in e["reason"] and "attempts" not in e for e in failed for name in named)
    for text in lost.values():
        (pid,) = objective.tries(text)
        assert not alive(pid)


@pytest.mark.processes
def test_a_worker_whose_trial_raised_is_replaced(tmp_path, folder):
    """A CUDA error leaves a process in which nothing works any more."""
    objective = SourceTask(folder, "raise", times=99)
    out = tmp_path / "run"
    result = search(out, objective, batch=1)
    lost = victims(out)
    assert result.failed == len(lost)
    kept = out / f"artifacts/evaluation-{min(lost) + 1:06d}/error.txt"
    assert "device-side assert" in kept.read_text()
    used = {pid for text in lost.values() for pid in objective.tries(text)}
    assert len(used) == len(lost)
    last = max(lost)
    assert not used & {e["metrics"]["pid"] for e in events(out, "tell") if e["number"] > last}


def test_an_objective_that_cannot_be_sent_costs_nothing(tmp_path, folder):
    with raised(ConfigError, "TypeError: ", "evaluate()", key="executor", value="ProcessExecutor"):
        search(tmp_path / "run", Unsendable(folder))
    assert not (tmp_path / "run").exists()


@pytest.mark.processes
def test_a_worker_that_cannot_start_is_given_up_and_none_ends_the_search(tmp_path, folder, caplog):
    out = tmp_path / "run"
    with raised(ExecutorError, "OSError: ", f"po_nas.resume({str(out)!r}, objective=…)"):
        search(out, Unwell(folder, times=2))
    assert [e["event"] for e in events(out)][:2] == ["start", "ask"]
    assert [record.args[-1] for record in caplog.records if record.name.endswith("lanes")] == [1]
    # What was wrong is repaired: nothing of the run is lost.
    (folder / "built").unlink()
    result = po_nas.resume(out, objective=Unwell(folder, times=1, sleep_s=0.05))
    assert (result.evaluations, result.failed) == (EVALUATIONS, 0)
    assert len({e["metrics"]["pid"] for e in events(out, "tell")}) == 1


_UNGUARDED = """
import sys
import po_nas
po_nas.search(benchmark="nasbench_graph/proteins", method="random", budget=2, out=sys.argv[1], executor="process")
"""


@pytest.mark.processes
def test_a_script_without_the_guard_is_told_so(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(_UNGUARDED)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "run")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "ExecutorError" in done.stderr
    assert 'if __name__ == "__main__"' in done.stderr


_KILLED = """
import sys
from pathlib import Path
import po_nas
from po_nas.runtime.journal import Journal
from tests.runtime.workers import SourceTask
if __name__ == "__main__":
    objective = SourceTask(Path(sys.argv[2]), sleep_s=0.15)
    po_nas.search(benchmark=objective, method="random", budget=12, seed=1, batch=2, out=sys.argv[1],
        executor={"name": "process"})
"""


@pytest.mark.processes
def test_a_killed_search_goes_on_and_leaves_no_workers(tmp_path, folder):
    out = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", _KILLED, str(out), str(folder)])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (out / "journal.jsonl").exists() and len(events(out, "tell")) >= 3:
            break
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {e["number"]: e for e in events(out, "tell")}
    assert 3 <= len(before) < 12
    objective = SourceTask(folder)
    result = po_nas.resume(out, objective=objective)
    assert (result.evaluations, result.failed) == (12, 0)
    after = {e["number"]: e for e in events(out, "tell")}
    assert all(after[number] == event for number, event in before.items()), "finished trials are kept as they are"
    search(tmp_path / "whole", objective, budget=12, executor="inline")
    asked = [[e["architecture"] for e in events(o, "ask")] for o in (out, tmp_path / "whole")]
    assert asked[0] == asked[1]
    clocks = [e["clock_s"] for e in events(out, "tell")]
    assert clocks == sorted(clocks)
    _, left = psutil.wait_procs(workers, timeout=10)
    assert not left


@pytest.mark.parametrize(
    ("executor", "key", "value", "named"),
    [
        ({"name": "process", "memory_gb": 3}, "executor.memory_gb", 3, "'memory_mb'"),
        ({"name": "process", "attempts": 0}, "executor.attempts", 0, "0"),
        ({"name": "inline", "workers": 2}, "executor.workers", 2, "timeout_s"),
        ({"name": "inline", "timeout": 2}, "executor.timeout", 2, "'timeout_s'"),
        ({"name": "process", "gpus_per_trial": 1}, "executor.gpus_per_trial", 1.0, "0 GPUs"),
        ({"name": "submitit"}, "executor.cluster", "slurm", "srun"),
        ({"name": "submitit", "gpus_per_trial": 0.5, "cluster": "local"}, "executor.gpus_per_trial", 0.5, "Slurm"),
    ],
)
def test_options_are_checked_before_anything_is_spent(tmp_path, folder, executor, key, value, named, monkeypatch):
    monkeypatch.setattr("po_nas.runtime.executors.process.visible", list)
    monkeypatch.setattr("po_nas.runtime.executors.slurm.shutil.which", lambda name: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with raised(ConfigError, named, key=key, value=value):
        search(tmp_path / "run", SourceTask(folder), executor=executor)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "package", "extra"), [("ray", "ray", "ray"), ("submitit", "submitit", "slurm")])
def test_an_engine_that_is_not_installed_is_named_with_the_command(tmp_path, folder, name, package, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with raised(MissingExtraError, f"pip install 'po-nas[{extra}]'", package=package, extra=extra):
        search(tmp_path / "run", SourceTask(folder), executor=name)
    assert not (tmp_path / "run").exists()


def test_every_executor_says_what_its_options_are():
    for name in executors.names():
        fields = executors.registry.get(name).Options.model_fields
        assert "timeout_s" in fields
        assert all(field.description for field in fields.values())


def test_gpus_of_this_machine(monkeypatch):
    for listed, expected in (("0,2", ["0", "2"]), ("", []), ("-1", []), ("GPU-8a, GPU-9b", ["GPU-8a", "GPU-9b"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
        assert visible() == expected


@pytest.mark.parametrize(
    ("gpus", "per_trial", "shares"),
    [
        ("", 0.0, ["", ""]),
        ("ab", 0.0, ["", ""]),
        ("ab", 1.0, ["a", "b", "a"]),
        ("ab", 0.5, ["a", "a", "b", "b", "a"]),
        ("abcd", 2.0, ["a,b", "c,d", "a,b"]),
        ("abc", 2.0, ["a,b", "a,b"]),
    ],
)
def test_gpus_of_a_worker(gpus, per_trial, shares):
    assert [share(list(gpus), lane, per_trial) for lane in range(len(shares))] == shares


@pytest.mark.parametrize(
    ("gpus", "per_trial", "trials"),
    [(4, 1, 4), (4, 0.4, 8), (3, 0.7, 3), (5, 2, 2), (2, 0.1, 20), (4, 0, 0), (0, 0, 0)],
)
def test_no_two_trials_take_more_of_a_gpu_than_there_is(gpus, per_trial, trials):
    assert room(gpus, per_trial) == trials
    if per_trial and per_trial < 1:
        lanes = [share([str(g) for g in range(gpus)], lane, per_trial) for lane in range(trials)]
        assert max(map(lanes.count, lanes)) * per_trial <= 1


def test_threads_of_a_worker_do_not_depend_on_what_starts_beside_it(folder, monkeypatch):
    """While one starts, its variables are those of this process."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    executor = ProcessExecutor(ObjectiveWorkload(SourceTask(folder)), workers=2, options=ProcessOptions())
    alone = executor._variables(0)
    assert int(alone["OMP_NUM_THREADS"]) >= 1
    with environment(alone):
        assert executor._variables(1).keys() == alone.keys()


def test_gpus_of_a_trial():
    assert check_share(None, 4, "there are") == 1
    assert check_share(None, 0, "there are") == 0
    assert check_share(0.25, 1, "there are") == 0.25
    for wanted, available in ((2, 1), (1.5, 4)):
        with pytest.raises(ConfigError, match=r"executor\.gpus_per_trial"):
            check_share(wanted, available, "there are")
