"""Proxy scores that an executor's workers compute."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

import po_nas
from po_nas import spaces
from po_nas.core.proxy_source import ComputedProxySource
from po_nas.errors import WorkerLostError
from po_nas.runtime.executors.base import Answer, execute
from po_nas.runtime.executors.lanes import LaneExecutor
from po_nas.runtime.executors.objective_tasks import ObjectiveWorkload, Scorer
from po_nas.runtime.executors.process import ProcessExecutor, ProcessOptions
from po_nas.testing import ToyObjective
from po_nas.testing.executors import CodeProxies, Scripted

SPACE = spaces.get("transnas_micro")
POOL = list(SPACE.enumerate())[:40]


class Here(LaneExecutor):
    """Works in the lane's thread; a piece with more than `most` architectures is lost, one with `bad` fails."""

    most = 99
    bad = None

    def attempt(self, lane, task):
        if len(task.payload["architectures"]) > self.most:
            raise WorkerLostError("was too small")
        if self.bad is not None and SPACE.to_string(self.bad) in task.payload["architectures"]:
            return Answer.failed("memory: all of it")
        return execute(self.workload, task, None)

    def stop(self, lane):
        pass


@pytest.fixture
def executor():
    made = Here(ObjectiveWorkload(Scripted()), workers=2)
    yield made
    made.close()


def gathered(compute, architectures, names, computed=0):
    """Scores in the order of the architectures, and how many networks were built."""
    rows = {}
    for part in compute(list(dict.fromkeys(architectures)), names):
        assert not rows.keys() & set(part.architectures), "each is in one part"
        rows |= dict(zip(part.architectures, part.scores, strict=True))
        computed += part.networks
    return np.array([rows[a] for a in architectures]).reshape(len(architectures), len(names)), computed


def expected(names):
    return CodeProxies().values(POOL, names)


@pytest.mark.parametrize("names", [("sum", "last"), ("last",), ("last", "sum")])
def test_values_are_those_of_the_source(executor, names):
    found, computed = gathered(Scorer(executor, SPACE), POOL, names)
    np.testing.assert_array_equal(found, expected(names))
    assert computed == 0
    assert list(Scorer(executor, SPACE)([], names)) == []


def test_an_architecture_that_is_asked_for_twice_is_scored_once(executor):
    pool = [*POOL[:3], POOL[0]]
    found, _ = gathered(Scorer(executor, SPACE), pool, ("sum",))
    np.testing.assert_array_equal(found, CodeProxies().values(pool, ("sum",)))


def test_what_fails_together_is_tried_one_by_one(executor, caplog):
    executor.most = 1
    found, _ = gathered(Scorer(executor, SPACE), POOL, ("sum",))
    np.testing.assert_array_equal(found, expected(("sum",)))
    assert "small" in caplog.text


def test_what_fails_alone_has_no_metrics(executor, caplog):
    executor.bad = POOL[7]
    found, _ = gathered(Scorer(executor, SPACE), POOL, ("sum",))
    assert np.isnan(found[7]).all()
    np.testing.assert_array_equal(np.delete(found, 7, 0), np.delete(expected(("sum",)), 7, 0))
    assert (1, 40) in [record.args for record in caplog.records]


class Costly(CodeProxies, ComputedProxySource):
    """Says in which processes it computed; the first of them is killed."""

    computed = 0

    def __init__(self, folder: Path) -> None:
        self.folder, self.compute, self.computed = str(folder), None, 0

    def compute_by(self, compute):
        self.compute = compute

    def __getstate__(self):
        return {**self.__dict__, "compute": None}

    def keep_in(self, path):
        pass

    def watch(self, watch):
        pass

    def values(self, architectures, names):
        if self.compute is not None:
            found, self.computed = gathered(self.compute, architectures, names, self.computed)
            return found
        with Path(self.folder, "processes").open("a") as file:
            file.write(f"{os.getpid()}\n")
        if len(self.processes()) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        self.computed += len(architectures)
        return super().values(architectures, names)

    def processes(self):
        return [int(line) for line in Path(self.folder, "processes").read_text().split()]


class Measured(ToyObjective):
    def __init__(self, folder: Path) -> None:
        super().__init__(SPACE)
        self.proxies = Costly(folder)


def test_a_search_has_its_metrics_computed_by_the_workers_one_of_which_is_killed(tmp_path):
    objective = Measured(tmp_path)
    assert isinstance(objective.proxies, ComputedProxySource)
    arguments = {"benchmark": objective, "method": {"name": "zero_cost", "fusion": "single"}, "budget": 3}
    found = po_nas.search(**arguments, out=tmp_path / "run", executor={"name": "process", "workers": 1})
    assert found.evaluations == 3
    assert os.getpid() not in objective.proxies.processes()
    assert len(set(objective.proxies.processes())) == 2
    journal = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    assert "retry" not in {event["event"] for event in journal}, "metrics are no trials"
    here = Measured(tmp_path)  # the file says that somebody was killed already
    same = po_nas.search(**{**arguments, "benchmark": here}, out=tmp_path / "here")
    assert same.incumbent == found.incumbent
    assert objective.proxies.computed == here.proxies.computed > 1000
    assert os.getpid() in here.proxies.processes()


def test_a_closed_executor_says_so():
    made = ProcessExecutor(ObjectiveWorkload(Scripted()), workers=1, options=ProcessOptions(workers=1))
    made.open()
    made.close()
    with pytest.raises(po_nas.errors.ExecutorError):
        list(Scorer(made, SPACE)(POOL, ("sum",)))
