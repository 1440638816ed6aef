"""The command line as a user meets it: whole processes, exit codes, one-line errors."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.errors import one_line

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
PO_NAS = [sys.executable, "-m", "po_nas.commands.app"]


def po_nas(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    line = [*PO_NAS, *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, cwd=cwd, timeout=120, env=environment)


def test_search_then_status_then_export(tmp_path):
    """A life of a run, from a shipped configuration with overrides."""
    out = tmp_path / "run"
    done = po_nas("search", "configs/quickstart.yaml", "budget=12", "method.initial=10", "--out", out)
    assert done.returncode == 0, done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["evaluations"], summary["method"], summary["seed"]) == (12, "gp_bo", 0)

    # Progress on stderr, the result on stdout.
    lines = done.stderr.splitlines()
    assert all(word in lines[0] for word in ("gp_bo", "nasbench201/cifar10", "seed 0", "CIFAR-10"))
    assert [line.split()[0] for line in lines if "/12 " in line] == [f"{n}/12" for n in range(1, 13)]
    assert "Traceback" not in done.stderr
    assert summary["incumbent"] in done.stdout
    assert f"{summary['validation']:.4f}" in done.stdout
    assert "91.6067" in done.stdout
    for kind, name in (("figure", "regret.png"), ("report", "index.html")):
        assert f"{kind}  {out / 'report' / name}" in done.stdout
        assert (out / "report" / name).stat().st_size > 10_000

    status = po_nas("status", out).stdout
    counts = next(line for line in status.splitlines() if "12/12" in line)
    assert re.findall(r"\d+", counts) == ["12", "12", "0", "0"]
    assert "po-nas resume" not in status, "it has ended"
    assert summary["incumbent"] in status

    assert po_nas("export", out, "--string").stdout == summary["incumbent"] + "\n"
    again = po_nas("search", "configs/quickstart.yaml", "--out", out)
    assert again.returncode == 2
    one_line(again.stderr, f"{out}: ", f"po-nas resume {out}")


SLEEPY = """
import os, time
from po_nas import methods
from po_nas.methods.model_free import RandomSearch

@methods.register("sleepy", summary="random search that waits to be interrupted")
class Sleepy(RandomSearch):
    def propose(self, rng):
        if self.asked >= 20 and "WIDE_AWAKE" not in os.environ:
            time.sleep(3600)
        return super().propose(rng)
"""


def test_a_plugin_interrupted_while_another_process_looks_on(tmp_path, monkeypatch):
    """Ctrl-C says how to go on; meanwhile nobody else may write; afterwards the run goes on to the undisturbed end."""
    (tmp_path / "sleepy.py").write_text(SLEEPY)
    out = tmp_path / "run"
    settings = ["benchmark=nasbench201/cifar100", "method=sleepy", "budget=200", "seed=5", "--plugin", "sleepy.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(
        [*PO_NAS, "search", *settings, "--out", "run"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment,
        # Tests that run in the background of a shell inherit that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        journal = out / "journal.jsonl"
        deadline = time.monotonic() + 200
        while not (journal.exists() and journal.read_bytes().count(b"\n") > 40):
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)

        second = po_nas("resume", out)
        assert second.returncode == 2
        one_line(second.stderr, f"{out}: ", f"process {running.pid} ")
        status = po_nas("status", out)
        assert status.returncode == 0, "looking is allowed"
        assert f"po-nas resume {out}" in status.stdout

        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 130
    assert "po-nas resume run" in said
    assert "Traceback" not in said
    assert not (out / "summary.json").exists()

    monkeypatch.setenv("WIDE_AWAKE", "1")
    # From another folder: the plug-in was written down by its full path.
    resumed = po_nas("resume", out, "--quiet")
    assert (resumed.returncode, resumed.stdout, resumed.stderr) == (0, "", "")
    undisturbed = po_nas("search", *settings, "--quiet", "--out", "whole", cwd=tmp_path)
    assert undisturbed.returncode == 0, undisturbed.stderr
    ignored = {"wall_s", "overhead_s", "directory"}
    first, second = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("run", "whole"))
    assert {k: v for k, v in first.items() if k not in ignored} == {k: v for k, v in second.items() if k not in ignored}
    assert first["evaluations"] == 200


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["budjet=5"], ["budjet=5", "'budget'"]),
        (["method=gp_b"], ["method 'gp_b'", "'gp_bo'"]),
        (["nowhere.yaml"], ["config='nowhere.yaml'", os.strerror(errno.ENOENT)]),
    ],
)
def test_errors_are_one_line(tmp_path, arguments, names):
    settings = ["benchmark=nasbench201/cifar10", "method=random", "budget=5"]
    done = po_nas("search", *settings, *arguments, "--out", tmp_path / "run")
    assert (done.returncode, done.stdout) == (2, "")
    one_line(done.stderr, *names)
    assert not (tmp_path / "run").exists()


def test_a_reader_that_has_seen_enough():
    """``po-nas benchmarks list | head -1``."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*PO_NAS, "benchmarks", "list"], stdout=writing, stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=60
        )
    finally:
        os.close(writing)
    assert "Traceback" not in done.stderr
    assert "BrokenPipeError" not in done.stderr
