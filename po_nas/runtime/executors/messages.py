"""What travels between a search and its workers, as text: the workload's recipe, and tasks and answers as JSON."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from po_nas.errors import ConfigError, ExecutorError, described
from po_nas.runtime.executors.base import Answer, Executor, Task, Workload, execute

__all__ = ["READY", "answer_of", "answered", "broken", "built", "check_ready", "recipe", "text_of"]

READY = '"ready"'
"""What a worker says when it has built the workload."""


_log = logging.getLogger(__name__)


def recipe(executor: Executor, dumps: Callable[[Any], bytes] = pickle.dumps) -> str:
    """How workers come by an executor's workload: pickled by `dumps`, as text.

    Raises `ConfigError` for a workload that cannot be sent.
    """
    workload = executor.workload
    try:
        return base64.b64encode(dumps(workload)).decode()
    except Exception as error:
        raise ConfigError(
            "executor",
            type(executor).__name__,
            f"the objective {workload.name}, with its space and its proxies, cannot be sent to workers "
            f"({described(error)}); define functions and classes in an importable module, none as a lambda, "
            "and open files in evaluate(); or register it as a benchmark",
        ) from error


def built(text: str) -> Workload:
    """The workload of a recipe, in a worker. Raises whatever is wrong with it."""
    workload = pickle.loads(base64.b64decode(text))
    assert isinstance(workload, Workload)
    return workload


def text_of(task: Task) -> str:
    """A task as JSON."""
    return json.dumps(asdict(task), allow_nan=False)


def answered(workload: Workload, text: str) -> str:
    """Do the task of a text; the answer as JSON."""
    answer = execute(workload, Task(**json.loads(text)), None)
    try:
        return json.dumps(asdict(answer), allow_nan=False)
    except (TypeError, ValueError) as error:
        failure = f"the answer of {workload.name} is no JSON ({error})"
        return json.dumps(asdict(Answer.failed(failure, seconds=answer.seconds, details=traceback.format_exc())))


def broken(error: Exception) -> str:
    """What a worker says that could not build the workload."""
    return json.dumps({"broken": described(error), "details": traceback.format_exc()})


def check_ready(text: str) -> None:
    """Raise `ExecutorError` when a worker says that it could not build the workload."""
    if text == READY:
        return
    content = json.loads(text)
    _log.error("a worker could not build the objective\n%s", content["details"])
    raise ExecutorError(f"a worker could not build the objective: {content['broken']}")


def answer_of(text: str) -> Answer:
    """The answer that a worker wrote."""
    return Answer(**json.loads(text))
