"""A run killed at any moment and resumed has exactly the trials of an undisturbed one."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

import po_nas
import po_nas.runtime.callbacks
from po_nas import spaces
from po_nas.errors import JournalError, RunDirectoryError
from po_nas.runtime.journal import SCHEMA
from po_nas.testing import ToyObjective
from tests.errors import raised

from .helpers import Slow, trials

_SCRIPT = """
import sys
import po_nas
import po_nas.runtime.callbacks
from tests.runtime.helpers import Slow
out, method, executor, batch = sys.argv[1:5]
po_nas.search(benchmark=Slow(), method=method, budget=60, seed=3, out=out, executor=executor, batch=int(batch))
"""


def start(out, method, executor, batch):
    return subprocess.Popen([sys.executable, "-c", _SCRIPT, str(out), method, executor, str(batch)])


@pytest.mark.processes
@pytest.mark.parametrize(
    ("method", "executor", "batch"),
    [
        ("random", "inline", 1),
        ("regularized_evolution", "inline", 4),
        ("regularized_evolution", "simulated", 3),
        ("local_search", "simulated", 4),
        ("hyperband", "simulated", 3),
        ("asha", "inline", 1),
    ],
)
def test_sigkill_at_random_moments(tmp_path, method, executor, batch):
    kwargs = {"method": method, "budget": 60, "seed": 3, "executor": executor, "batch": batch}
    whole = po_nas.search(benchmark=Slow(), out=tmp_path / "whole", **kwargs)
    draw = random.Random(f"{method}{executor}{batch}")
    out = tmp_path / "killed"
    process = start(out, method, executor, batch)
    journal = out / "journal.jsonl"
    deadline = time.monotonic() + 60
    lines = draw.randint(3, 60)
    while process.poll() is None and time.monotonic() < deadline:
        if journal.exists() and journal.read_bytes().count(b"\n") >= lines:
            break
        time.sleep(0.001)
    time.sleep(draw.random() * 0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(trials(out))
    assert done < len(trials(tmp_path / "whole")), "the process was to be killed in mid-run"
    resumed = po_nas.resume(out, objective=Slow())
    assert trials(out) == trials(tmp_path / "whole")
    ignored = {"wall_s", "overhead_s", "directory"}
    assert {k: v for k, v in resumed.to_dict().items() if k not in ignored} == {
        k: v for k, v in whole.to_dict().items() if k not in ignored
    }


@pytest.mark.parametrize(
    ("method", "executor", "batch"),
    [("gp_bo", "inline", 1), pytest.param("gp_bo", "simulated", 3, marks=pytest.mark.slow)],
)
def test_cut_anywhere(tmp_path, method, executor, batch):
    """The journal cut at any byte: the same trials come out."""
    settings = {
        "benchmark": "nasbench_graph/proteins",
        "method": {"name": method, "initial": 4},
        "budget": 9,
        "executor": executor,
        "batch": batch,
    }
    po_nas.search(out=tmp_path / "whole", **settings)
    data = (tmp_path / "whole/journal.jsonl").read_bytes()
    expected = trials(tmp_path / "whole")
    draw = random.Random(7)
    first = data.index(b"\n") + 1
    for cut in [0, 5, first, len(data) - 1, *sorted(draw.sample(range(first, len(data)), 6))]:
        out = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "whole", out)
        (out / "summary.json").unlink()
        (out / "journal.jsonl").write_bytes(data[:cut])
        po_nas.resume(out)
        assert trials(out) == expected, f"cut at byte {cut}"


def test_a_short_ask_is_answered_before_the_next(tmp_path):
    """A method that has less to propose than there are free workers: resumed, it waits as the undisturbed run did."""
    space = spaces.get("transnas_micro")

    class Few(ToyObjective):
        """Only 30 of the 4,096 cells are distinct, so batches run dry."""

        def identity(self, architecture):
            return space.index(architecture) % 30

    settings = {"method": "random", "budget": {"max_cost_s": 1e6}, "executor": "simulated", "batch": 4}
    whole = po_nas.search(benchmark=Few(space), out=tmp_path / "whole", **settings)
    assert whole.evaluations == 30
    assert not whole.ended.startswith("budget"), "it ends for want of proposals"
    lines = (tmp_path / "whole/journal.jsonl").read_bytes().splitlines(keepends=True)
    for kept in range(len(lines) - 12, len(lines)):
        out = tmp_path / f"cut{kept}"
        shutil.copytree(tmp_path / "whole", out)
        (out / "journal.jsonl").write_bytes(b"".join(lines[:kept]))
        po_nas.resume(out, objective=Few(space))
        assert trials(out) == trials(tmp_path / "whole"), f"cut after line {kept}"


@pytest.mark.slow
def test_batches_of_gp_bo_do_not_depend_on_torchs_generator(tmp_path):
    """BoTorch draws from torch's global generator in places; a resumed process has it in another state."""
    settings = {"benchmark": "nasbench201/imagenet16-120", "method": "gp_bo", "budget": 42, "batch": 4}
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        po_nas.search(out=tmp_path / str(seed), **settings)
        assert torch.equal(before, torch.random.get_rng_state())
    assert trials(tmp_path / "0") == trials(tmp_path / "1")


def test_resume_repeatedly(tmp_path):
    """A run that is interrupted again and again gets there."""

    class Interrupting(po_nas.runtime.callbacks.Callback):
        def __init__(self, after):
            self.left = after

        def on_tell(self, trial, outcome, progress):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    kwargs = {"benchmark": Slow(), "method": "regularized_evolution", "budget": 25, "seed": 2}
    po_nas.search(out=tmp_path / "whole", **kwargs)
    with pytest.raises(KeyboardInterrupt):
        po_nas.search(out=tmp_path / "cut", callbacks=[Interrupting(4)], **kwargs)
    for after in (1, 7, 3):
        with pytest.raises(KeyboardInterrupt):
            po_nas.resume(tmp_path / "cut", objective=Slow(), callbacks=[Interrupting(after)])
    result = po_nas.resume(tmp_path / "cut", objective=Slow())
    assert trials(tmp_path / "cut") == trials(tmp_path / "whole")
    assert result.evaluations == 25


_FULL = """
import resource, sys
import po_nas
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.RLIM_INFINITY))
try:
    po_nas.search(benchmark="nasbench201/cifar10", method="random", budget=50, seed=1, out=sys.argv[1])
except po_nas.PoNasError as error:
    print(error)
"""


def test_a_full_disk_costs_no_finished_work(tmp_path):
    """The journal cannot grow: the error says how to go on, and going on gives the undisturbed run."""
    whole = {"benchmark": "nasbench201/cifar10", "method": "random", "budget": 50, "seed": 1}
    po_nas.search(out=tmp_path / "whole", **whole)
    out = tmp_path / "full"
    said = subprocess.run([sys.executable, "-c", _FULL, str(out)], capture_output=True, text=True, check=True).stdout
    assert f"po-nas resume {out}" in said
    assert (out / "journal.jsonl").stat().st_size == 6000
    po_nas.resume(out)
    assert trials(out) == trials(tmp_path / "whole")


def test_what_cannot_be_resumed_says_so(tmp_path):
    with raised(RunDirectoryError, "po-nas search", path=tmp_path / "nothing"):
        po_nas.resume(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    po_nas.search(benchmark="nasbench201/cifar10", method="random", budget=5, out=tmp_path / "run")
    journal = tmp_path / "run/journal.jsonl"
    good = journal.read_bytes()
    lines = good.split(b"\n")
    journal.write_bytes(b"\n".join([*lines[:3], b"rubbish", *lines[4:]]))
    with pytest.raises(JournalError) as caught:
        po_nas.resume(tmp_path / "run")
    assert caught.value.line == 4
    journal.write_bytes(good.replace(b'"schema":%d' % SCHEMA, b'"schema":%d' % (SCHEMA + 1), 1))
    with pytest.raises(JournalError) as caught:
        po_nas.resume(tmp_path / "run")
    assert caught.value.line == 1
    (tmp_path / "run/config.yaml").write_text("a: [")
    with raised(RunDirectoryError, "config.yaml", path=tmp_path / "run"):
        po_nas.resume(tmp_path / "run")
