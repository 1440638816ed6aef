"""What is common to all executors whose workers are elsewhere, on a worker that is none."""

from __future__ import annotations

import threading
import time

import pytest

from po_nas import spaces
from po_nas.errors import ExecutorError
from po_nas.runtime.executors.base import Answer, Job, evaluate
from po_nas.runtime.executors.lanes import LaneExecutor
from po_nas.testing import ToyObjective


class Here(LaneExecutor):
    """Evaluates in the lane's thread; a job of seed 1 raises, one of seed 2 waits for `gate`."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.gate = threading.Event()

    def attempt(self, lane, job):
        if job.seed == 2:
            self.gate.wait(10)
        answer = evaluate(self.objective, job, None)
        return answer if job.seed != 1 else Answer(answer.outcome, answer.seconds, "Traceback")

    def stop(self, lane):
        raise OSError("whoever runs the workers does not answer")


@pytest.fixture
def executor():
    made = Here(ToyObjective(spaces.get("transnas_micro")), workers=1)
    made.open()
    yield made
    made.gate.set()
    made.close()


def job(number, seed=0):
    space = spaces.get("transnas_micro")
    return Job(number, space.to_string(space.at(number)), seed)


def test_a_worker_that_cannot_be_stopped_loses_no_trial(executor, caplog):
    for number in range(3):
        executor.submit(job(number, seed=1))
    found = []
    while completed := executor.poll():
        found += completed
    assert [done.number for done in found] == [0, 1, 2]
    assert "could not be stopped" in caplog.text


def test_what_is_complete_is_told_before_the_end_of_everything(executor):
    executor.submit(job(0))
    executor.submit(job(1, seed=2))
    while executor._news.empty():
        time.sleep(0.001)
    executor.give_up(ExecutorError("the head is gone"))
    (done,) = executor.poll()
    assert done.number == 0
    with pytest.raises(ExecutorError, match="the head is gone"):
        executor.poll()
