"""What is common to all executors whose workers are elsewhere, on a worker that is none."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from po_nas import spaces
from po_nas.core.trial import Trial
from po_nas.errors import ExecutorError
from po_nas.runtime.executors.base import execute
from po_nas.runtime.executors.lanes import LaneExecutor
from po_nas.runtime.executors.objective_tasks import ObjectiveWorkload, evaluation
from po_nas.testing import ToyObjective


class Here(LaneExecutor):
    """Evaluates in the lane's thread; a task of seed 1 raises, one of seed 2 waits for `gate`."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.gate = threading.Event()

    def attempt(self, lane, task):
        if task.payload["seed"] == 2:
            self.gate.wait(10)
        answer = execute(self.workload, task, None)
        return answer if task.payload["seed"] != 1 else replace(answer, details="Traceback")

    def stop(self, lane):
        raise OSError("whoever runs the workers does not answer")


@pytest.fixture
def executor():
    made = Here(ObjectiveWorkload(ToyObjective(spaces.get("transnas_micro"))), workers=1)
    made.open()
    yield made
    made.gate.set()
    made.close()


def task(number, seed=0):
    space = spaces.get("transnas_micro")
    return evaluation(Trial(number, space.at(number), "random", seed), space)


def test_a_worker_that_cannot_be_stopped_loses_no_trial(executor, caplog):
    for number in range(3):
        executor.submit(task(number, seed=1))
    found = []
    while completed := executor.poll():
        found += completed
    assert [done.task for done in found] == [task(number, seed=1) for number in range(3)]
    assert {(record.args, record.exc_info[0]) for record in caplog.records} == {((0,), OSError)}


def test_what_is_complete_is_told_before_the_end_of_everything(executor):
    executor.submit(task(0))
    executor.submit(task(1, seed=2))
    while executor._news.empty():
        time.sleep(0.001)
    gone = ExecutorError("the head is gone")
    executor.give_up(gone)
    (done,) = executor.poll()
    assert done.task == task(0)
    with pytest.raises(ExecutorError) as caught:
        executor.poll()
    assert caught.value is gone
