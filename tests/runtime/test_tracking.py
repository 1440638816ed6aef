"""Callbacks that show or store what a search does."""

from __future__ import annotations

import io
import re
import sys

import pytest
from rich.console import Console

import po_nas
from po_nas import spaces
from po_nas.core.objective import Metric, Outcome
from po_nas.core.trial import Trial
from po_nas.errors import MissingExtraError, UnknownNameError
from po_nas.reports.run import load_run
from po_nas.runtime.callbacks import Callback, Progress, RunInfo
from po_nas.runtime.tracking import TRACKERS, make
from po_nas.runtime.tracking.console import ConsoleCallback
from tests.errors import raised

from .helpers import Misbehaving


def search(out, *callbacks, budget=40, **changes):
    settings = {"benchmark": "nasbench201/cifar10", "method": "random", "budget": budget, "seed": 1, "out": out}
    return po_nas.search(**settings | changes, callbacks=callbacks)


class Seen(Callback):
    def __init__(self):
        self.progress: list[Progress] = []

    def on_tell(self, trial, outcome, progress):
        self.progress.append(progress)


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)


def printed(screen):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.file.getvalue())


def test_lines_where_there_is_no_terminal(tmp_path):
    screen, seen = console(False), Seen()
    search(tmp_path / "run", ConsoleCallback(tmp_path / "run", screen), seen)
    text = printed(screen)
    assert "\r" not in text
    first, *lines = text.splitlines()
    for name in ("random", "nasbench201/cifar10", "seed 1", "25,000", "200", "15,625"):
        assert name in first
    counted = [line for line in lines if re.match(r"\d+/40 evaluations", line)]
    assert [int(line.split("/")[0]) for line in counted] == list(range(2, 41, 2)), (
        "about twenty lines, whatever the budget"
    )
    for line in counted:
        progress = seen.progress[int(line.split("/")[0]) - 1]
        expected = (
            f"{progress.evaluations}/40 evaluations  best {progress.incumbent_validation:.4g} %  "
            f"regret {progress.regret_validation:.3g}  {progress.elapsed_s:.1f} s  {progress.eta_s:.0f} s left"
        )
        assert line == expected


def test_of_a_function_nothing_is_said_that_is_not_known(tmp_path):
    screen = console(False)
    space = po_nas.declare("lines", a=po_nas.Int(1, 6))
    own = {"benchmark": None, "space": space, "objective": lambda config: float(config["a"]), "budget": 3}
    search(tmp_path / "run", ConsoleCallback(tmp_path / "run", screen), **own)
    first = printed(screen).splitlines()[0]
    assert "?" not in first
    assert first.endswith("told: validation, the function <lambda>, 1 call")


def test_a_bar_on_a_terminal(tmp_path):
    screen, seen = console(True), Seen()
    callback = ConsoleCallback(tmp_path / "run", screen)
    search(tmp_path / "run", callback, seen)
    text = printed(screen)
    last = text.rstrip().replace("\r", "\n").splitlines()[-1]
    assert last.startswith("40/40 evaluations")
    end = seen.progress[-1]
    assert f"best {end.incumbent_validation:.4g} %  regret {end.regret_validation:.3g}" in last
    assert last.rstrip().endswith("s left")
    assert screen.file.getvalue().endswith(("\n", "\x1b[?25h")), "the cursor is back"
    before = screen.file.getvalue()
    callback.close()
    assert screen.file.getvalue() == before


def test_the_cursor_comes_back_after_an_interruption(tmp_path):
    screen = console(True)
    callback = ConsoleCallback(tmp_path / "run", screen)

    class Interrupt(Callback):
        def on_tell(self, trial, outcome, progress):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "run", callback, Interrupt())
    assert "\x1b[?25l" in screen.file.getvalue()
    callback.close()
    assert screen.file.getvalue().rstrip().endswith("\x1b[?25h")


def told(callback, progress):
    trial = Trial(
        0, spaces.get("nasbench201").from_string("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"), "random", 1
    )
    callback.on_tell(trial, Outcome.failed("no"), progress)


@pytest.mark.parametrize(
    ("limit", "progress", "numbers"),
    [
        (3, Progress(1, 1, None, None, None, 0.0, 1.25, 0.1, 9.6), [["1/3"], [], ["1"], ["1.2 s"], ["10 s"]]),
        (None, Progress(10, 0, "x", 0.5, None, 0.0, 2.0, 0.1, None), [["10"], ["0.5"], ["2.0 s"]]),
    ],
)
def test_what_is_unknown_is_left_out(tmp_path, limit, progress, numbers):
    screen = console(False)
    callback = ConsoleCallback(tmp_path, screen)
    config = {"method": {"name": "m"}, "benchmark": "b", "seed": 0}
    callback.on_start(RunInfo(tmp_path, config, {}, Metric("score", ""), limit, None))
    told(callback, progress)
    parts = printed(screen).splitlines()[-1].split("  ")
    assert [re.findall(r"\d[\d./]*(?: s\b)?", part) for part in parts] == numbers


def test_failures_are_counted(tmp_path):
    screen = console(False)
    search(tmp_path / "run", ConsoleCallback(tmp_path / "run", screen), benchmark=Misbehaving("raise"), budget=20)
    failed = sum(t.reason is not None for t in load_run(tmp_path / "run").told)
    assert f"  {failed} failed  " in printed(screen).splitlines()[-1]


def test_tensorboard_scalars_can_be_read_back(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    seen = Seen()
    result = search(tmp_path / "run", make("tensorboard", tmp_path / "run"), seen, budget=12)
    events = EventAccumulator(str(tmp_path / "run/tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {
        "search/validation", "search/incumbent", "search/regret", "search/overhead_s", "search/cost_s",
    }  # fmt: skip
    run = load_run(tmp_path / "run")
    for name, values in (
        ("validation", [t.validation for t in run.told]),
        ("incumbent", run.incumbents()),
        ("regret", [p.regret_validation for p in seen.progress]),
        ("cost_s", [p.cost_s for p in seen.progress]),
    ):
        scalars = events.Scalars(f"search/{name}")
        assert [s.step for s in scalars] == list(range(1, 13))
        assert [s.value for s in scalars] == pytest.approx(values, rel=1e-6)
    assert events.Scalars("search/incumbent")[-1].value == pytest.approx(result.validation, rel=1e-6)


def test_mlflow_run_can_be_read_back(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    import mlflow
    from mlflow.tracking import MlflowClient

    before = mlflow.get_tracking_uri()
    result = search(tmp_path / "run", make("mlflow", tmp_path / "run"), budget=5)
    assert mlflow.active_run() is None
    assert mlflow.get_tracking_uri() == before
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'run' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("po-nas/nasbench201/cifar10")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "run"
    assert run.data.params["method.name"] == "random"
    assert run.data.params["budget.max_evaluations"] == "5"
    assert run.data.tags["incumbent"] == result.incumbent
    history = sorted(client.get_metric_history(run.info.run_id, "validation"), key=lambda m: m.step)
    assert [m.step for m in history] == list(range(1, 6))
    assert [m.value for m in history] == pytest.approx([t.validation for t in load_run(tmp_path / "run").told])
    assert run.data.metrics["incumbent"] == pytest.approx(result.validation)
    assert run.data.metrics["regret"] == pytest.approx(result.regret_validation)


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_missing_extra_says_what_to_install(tmp_path, monkeypatch, name):
    # None in sys.modules makes an import fail as if the package were not there.
    monkeypatch.setitem(sys.modules, name, None)
    with raised(
        MissingExtraError, "pip install 'po-nas[track]'", feature=f"tracking={name}", package=name, extra="track"
    ) as caught:
        make(name, tmp_path / "run")
    assert isinstance(caught.value, ImportError)
    assert not (tmp_path / "run").exists()


def test_an_unknown_name_is_put_right(tmp_path):
    with raised(UnknownNameError, name="mlfow", suggestion="mlflow"):
        make("mlfow", tmp_path)
    assert isinstance(make("console", tmp_path), ConsoleCallback)
    assert set(TRACKERS) == {"console", "tensorboard", "mlflow"}


def test_nothing_is_written_before_the_run_starts(tmp_path):
    """The directory may belong to another process, or the settings may be wrong."""
    callback = make("tensorboard", tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    told(callback, Progress(1, 1, None, None, None, 0.0, 1.0, 0.1, None))
    callback.on_end({})
    assert list(tmp_path.iterdir()) == []
