"""What travels between a search and its workers, as JSON text: the objective's recipe, jobs and answers."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from po_nas.core.objective import Objective, Outcome
from po_nas.errors import ConfigError, ExecutorError
from po_nas.registry import load_plugin
from po_nas.runtime.config import SearchConfig
from po_nas.runtime.executors.base import Answer, Executor, Job, Scoring, Work, evaluate

__all__ = ["READY", "answer_of", "answered", "broken", "built", "check_ready", "recipe", "text_of"]

READY = '"ready"'
"""What a worker says when it has built the objective."""


_log = logging.getLogger(__name__)


def recipe(executor: Executor, dumps: Callable[[Any], bytes] = pickle.dumps) -> str:
    """How workers come by an executor's objective: the search that names it, or the object itself, written by `dumps`.

    Raises `ConfigError` for an object that cannot be sent.
    """
    config, out, objective = executor.config, executor.out, executor.objective
    if config is not None:
        return json.dumps({"search": config.model_dump(mode="json"), "out": None if out is None else str(out)})
    try:
        return json.dumps({"pickled": base64.b64encode(dumps(objective)).decode()})
    except Exception as error:
        raise ConfigError(
            "executor",
            type(executor).__name__,
            f"the objective {objective.name} cannot be sent to workers ({type(error).__name__}: {error}); define its "
            "class in an importable module and open files in evaluate(), or register it as a benchmark",
        ) from error


def built(text: str) -> Objective:
    """The objective of a recipe, in a worker. Raises whatever is wrong with it."""
    content = json.loads(text)
    if "pickled" in content:
        found: Objective = pickle.loads(base64.b64decode(content["pickled"]))
        return found
    from po_nas.runtime.api import make_objective

    config = SearchConfig.model_validate(content["search"])
    for plugin in config.plugins:
        load_plugin(plugin)
    return make_objective(config, None if content["out"] is None else Path(content["out"]))


def text_of(job: Work) -> str:
    """A job as JSON."""
    return json.dumps(asdict(job))


def _job(text: str) -> Work:
    content = json.loads(text)
    if "metrics" not in content:
        return Job(**content)
    return Scoring(
        **{**content, "architectures": tuple(content["architectures"]), "metrics": tuple(content["metrics"])}
    )


def answered(objective: Objective, text: str) -> str:
    """Do a job; the answer as JSON."""
    outcome, seconds, details = evaluate(objective, _job(text), None)
    return json.dumps({**asdict(outcome), "seconds": seconds, "details": details})


def broken(error: Exception) -> str:
    """What a worker says that could not build the objective."""
    return json.dumps({"broken": f"{type(error).__name__}: {error}", "details": traceback.format_exc()})


def check_ready(text: str) -> None:
    """Raise `ExecutorError` when a worker says that it could not build the objective."""
    if text == READY:
        return
    content = json.loads(text)
    _log.error("a worker could not build the objective\n%s", content["details"])
    raise ExecutorError(f"a worker could not build the objective: {content['broken']}")


def answer_of(text: str) -> Answer:
    """The answer that a worker wrote."""
    content = json.loads(text)
    seconds, details = content.pop("seconds"), content.pop("details")
    return Answer(Outcome(**content), seconds, details)
