"""The tasks of a search: to evaluate an architecture, and to compute proxy scores of many."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from po_nas.core.objective import Objective, Outcome
from po_nas.core.proxy_source import ScoredPart
from po_nas.core.trial import Trial
from po_nas.errors import ExecutorError
from po_nas.runtime.executors.base import Answer, Completed, Executor, Task, Workload
from po_nas.spaces.base import Architecture, Space

__all__ = [
    "EVALUATE",
    "RESTARTED",
    "SCORE",
    "ObjectiveWorkload",
    "Scorer",
    "evaluation",
    "outcome_of",
    "scores_of",
    "scoring",
]

_log = logging.getLogger(__name__)

EVALUATE, SCORE = "evaluate", "score"

RESTARTED = "restarted"
"""The metric, 1, of an evaluation that began again, since what it was to go on from was gone."""

_MOST = 64
"""Architectures in one task: so many are lost with a worker at most."""


def evaluation(trial: Trial, space: Space, attempt: int = 1) -> Task:
    """The task to evaluate a trial of `space`."""
    payload = {
        "number": trial.number,
        "architecture": space.to_string(trial.architecture),
        "seed": trial.seed,
        "fidelity": trial.fidelity,
        "after": trial.after,
    }
    return Task(f"trial-{trial.number:06d}", EVALUATE, payload, attempt)


def outcome_of(answer: Answer) -> Outcome:
    """The outcome of an evaluation."""
    if answer.failure is not None:
        return Outcome.failed(answer.failure, answer.cost_s)
    return Outcome(answer.value, answer.cost_s)


def scoring(architectures: Sequence[str], proxies: Sequence[str]) -> Task:
    """The task to compute scores of `proxies`, by name, for architectures given as text.

    It is named after what is asked for, so that a later session may find what came of it.
    """
    asked = hashlib.sha256("\n".join((*proxies, *architectures)).encode()).hexdigest()[:24]
    return Task(f"scores-{asked}", SCORE, {"architectures": list(architectures), "proxies": list(proxies)})


def scores_of(answer: Answer) -> tuple[NDArray[np.float64], int]:
    """Proxy scores (n, k) of a task of n architectures, NaN where there is none, and how many networks were built."""
    rows = [[math.nan if value is None else value for value in row] for row in answer.value["scores"]]
    return np.array(rows, np.float64), int(answer.value["computed"])


@final
class ObjectiveWorkload(Workload):
    """An objective, which evaluates architectures and, where it has proxies, scores them.

    Args:
        objective: What is evaluated.
        rebuild: Makes the objective anew in a worker; can be pickled. Without it the objective itself is pickled.
    """

    def __init__(self, objective: Objective, rebuild: Callable[[], Objective] | None = None) -> None:
        self.objective, self._rebuild = objective, rebuild

    def __reduce__(self) -> tuple[Any, ...]:
        if self._rebuild is None:
            return ObjectiveWorkload, (self.objective,)
        return _rebuilt, (self._rebuild,)

    @property
    def name(self) -> str:
        return self.objective.name

    def run(self, task: Task) -> Answer:
        if task.kind == EVALUATE:
            return self._evaluated(task.payload)
        if task.kind == SCORE:
            return self._scored(task.payload)
        raise ExecutorError(f"{self.name} knows no task of the kind {task.kind!r}")

    def _evaluated(self, asked: Mapping[str, Any]) -> Answer:
        architecture = self.objective.space.from_string(asked["architecture"])
        seed, after = asked["seed"], asked.get("after")
        gone = after is not None and not self.objective.goes_on(architecture, seed=seed, fidelity=after)
        outcome = self.objective.evaluate(architecture, seed=seed, fidelity=asked["fidelity"])
        if not isinstance(outcome, Outcome):
            return Answer.failed(f"the objective returned {type(outcome).__name__}, expected an Outcome")
        # Once more through the constructors, which know what a journal can hold.
        if outcome.failure is not None:
            checked = Outcome.failed(outcome.failure, outcome.cost_s)
        else:
            told = {"validation": math.nan, **outcome.metrics, **({RESTARTED: 1.0} if gone else {})}
            checked = Outcome.ok(cost_s=outcome.cost_s, **told)
        return Answer(dict(checked.metrics), checked.cost_s, checked.failure)

    def _scored(self, asked: Mapping[str, Any]) -> Answer:
        source = self.objective.proxies
        if source is None:
            raise ExecutorError(f"{self.name} has no proxies")
        before = source.computed
        architectures = [self.objective.space.from_string(text) for text in asked["architectures"]]
        rows = source.values(architectures, asked["proxies"]).tolist()
        scores = [[value if math.isfinite(value) else None for value in row] for row in rows]
        return Answer({"scores": scores, "computed": source.computed - before})


def _rebuilt(rebuild: Callable[[], Objective]) -> ObjectiveWorkload:
    return ObjectiveWorkload(rebuild(), rebuild)


class Scorer:
    """Has proxy scores computed by the workers of an executor; a `po_nas.core.proxy_source.Compute`.

    Free workers take tasks at once, others when their trial is done. A task that fails (it takes too long, too much
    memory, or its worker time and again) is cut into single architectures; one that fails alone has no scores (NaN).
    """

    def __init__(self, executor: Executor, space: Space) -> None:
        self._executor, self._space = executor, space

    def __call__(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Iterator[ScoredPart]:
        """Scores of k proxies for different architectures; parts as they are done. Raises `ExecutorError`."""
        self._executor.open()
        asked = {self._space.to_string(architecture): architecture for architecture in architectures}
        pieces, failed = self._pieces(list(asked)), []
        for done in self._executor.finish([scoring(piece, names) for piece in pieces]):
            if done.answer.failure is None:
                yield self._part(done, asked)
            else:
                failed += self._lost(done)
        lost = [text for text in failed if [text] in pieces]
        for done in self._executor.finish([scoring([text], names) for text in failed if text not in lost]):
            if done.answer.failure is None:
                yield self._part(done, asked)
            else:
                lost += self._lost(done)
        if lost:
            _log.warning("no scores of %d of %d architectures", len(lost), len(asked))
            yield ScoredPart([asked[text] for text in lost], np.full((len(lost), len(names)), np.nan), 0)

    def _pieces(self, texts: Sequence[str]) -> list[list[str]]:
        """The architectures of each task.

        The first ones are short, so that it shows early how long all of it will take.
        """
        executor = self._executor
        workers = max(1, executor.workers)
        most = max(1, min(_MOST, math.ceil(len(texts) / (workers * executor.pieces))))
        size, found = (1 if executor.pieces > 1 else most), list[list[str]]()
        while texts:
            for _ in range(workers):
                if texts:
                    found.append(list(texts[:size]))
                    texts = texts[size:]
            size = min(most, 2 * size)
        return found

    def _part(self, done: Completed, asked: Mapping[str, Architecture]) -> ScoredPart:
        scores, networks = scores_of(done.answer)
        return ScoredPart([asked[text] for text in done.task.payload["architectures"]], scores, networks)

    def _lost(self, done: Completed) -> list[str]:
        texts: list[str] = done.task.payload["architectures"]
        _log.warning("proxy scores of %d architectures: %s", len(texts), _words(done))
        return texts


def _words(done: Completed) -> str:
    return f"{done.answer.failure}" + (f"\n{done.answer.details}" if done.answer.details else "")
