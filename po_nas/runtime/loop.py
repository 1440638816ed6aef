"""The run loop: ask, journal, evaluate, journal, tell, until the budget is spent."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from po_nas._version import __version__
from po_nas.core.objective import Objective, Outcome
from po_nas.core.searcher import Searcher
from po_nas.core.trial import Trial
from po_nas.errors import ConfigError, InvalidArchitectureError, JournalError, SearchExhaustedError
from po_nas.runtime.budget import Ledger
from po_nas.runtime.callbacks import Callback, Progress, RunInfo
from po_nas.runtime.executors.base import Completed, Executor, Lost
from po_nas.runtime.executors.objective_tasks import EVALUATE, RESTARTED, evaluation, outcome_of
from po_nas.runtime.front import front_measure_of, front_trials
from po_nas.runtime.journal import SCHEMA, Event, EventSink
from po_nas.runtime.scoring import Scored, ScoringMeter
from po_nas.runtime.trial_errors import EvaluationsFailError, kind_of_failure

__all__ = ["Loop", "scored_of"]

_log = logging.getLogger(__name__)

_TRACEBACK = 20_000
"""Characters of a traceback that go to the journal; the file under ``artifacts/`` has all of it."""

_DESIGN = {"initial", "proxies"}
"""Origins of trials of which the model knows nothing yet."""

_EVALUATION_S = 1.0
"""Evaluations that take so long tell how long a search takes; beside shorter ones proposals may take most of it."""

_FAILED_FIRST = 3
"""A search that begins with as many failures for the same reason stops."""


class Loop:
    """One run of a search; `replay` what the journal holds, then `run` what is left of the budget.

    `save_details` is called with (number, traceback) when an evaluation failed with one; evaluations are counted from 1
    in the order of completion. With `stop_on_failures` a run ends early that begins with evaluations that fail for the
    same reason. `started` is when the caller began to set up the run, by `time.perf_counter`; default: now.
    """

    def __init__(
        self,
        objective: Objective,
        searcher: Searcher,
        executor: Executor,
        ledger: Ledger,
        journal: EventSink,
        callbacks: Sequence[Callback] = (),
        save_details: Callable[[int, str], None] = lambda number, text: None,
        *,
        stop_on_failures: bool = False,
        started: float | None = None,
    ) -> None:
        self.objective, self.searcher, self.executor = objective, searcher, executor
        self.ledger, self.journal, self.callbacks = ledger, journal, callbacks
        self.save_details, self._stop_on_failures = save_details, stop_on_failures
        executor.on_lost = self._lost
        self.incumbent: tuple[Trial, Outcome] | None = None
        self.front_measure = front_measure_of(objective)
        self.told: list[tuple[Trial, Outcome]] = []
        """Finished trials in the order of completion."""
        self._elapsed_before = 0.0
        self._began = time.perf_counter()
        self._started = self._began if started is None else started
        self._session_told = 0
        self._session_told_full = self._design_told_full = self._session_objective_s = 0.0
        self._paced_since = self._began
        self._failures: dict[str, str] = {}
        self._answer_first = False
        self._meter = ScoringMeter(lambda progress: self.notify("on_score", progress))
        self._scored_before = self._scored_asked = Scored()
        self._longest_scoring_s = 0.0
        objective.watch(self._meter)

    @property
    def elapsed_s(self) -> float:
        """Real seconds of this run, earlier sessions included."""
        return self._elapsed_before + time.perf_counter() - self._started

    @property
    def searched_s(self) -> float:
        """What of `elapsed_s` counts against a budget of seconds: all but the set-up of this session."""
        return self.elapsed_s - (self._began - self._started)

    @property
    def scored(self) -> Scored:
        """What this run has spent on proxy scores, earlier sessions included."""
        return self._scored_before + self._meter.scored

    def replay(self, events: Sequence[Event]) -> None:
        """Bring searcher, ledger and executor to where the journal's events left them.

        Raises `JournalError` for a trial that this search cannot have asked for.
        """
        submitted: dict[int, tuple[Trial, float]] = {}
        clock = 0.0
        attempts: dict[int, int] = {}
        for line, event in enumerate(events, 1):
            self._elapsed_before = max(self._elapsed_before, event.get("elapsed_s", 0.0))
            clock = max(clock, event.get("clock_s", 0.0))
            if event["event"] == "ask":
                trial = self._asked_before(line, event)
                self._scored_before += scored_of(event)
                self.searcher.restore(trial)
                self.ledger.asked_full += self.searcher.cost(trial)
                submitted[trial.number] = (trial, event["clock_s"])
            elif event["event"] in {"tell", "fail"}:
                trial, _ = submitted.pop(event["number"])
                outcome = (
                    Outcome.failed(event["reason"], event["cost_s"])
                    if event["event"] == "fail"
                    else Outcome.ok(cost_s=event["cost_s"], **event["metrics"])
                )
                self._settle(trial, outcome, event["objective_s"])
            elif event["event"] == "retry":
                attempts[event["number"]] = event["attempt"] + 1
            if event["event"] not in {"start", "retry"}:
                # Where the journal ends with a question, the undisturbed run went on to wait for an answer.
                self._answer_first = event["event"] == "ask"
        self.executor.restore_clock(clock)
        for trial, submitted_s in submitted.values():
            task = evaluation(trial, self.objective.space, attempts.get(trial.number, 1))
            self.executor.submit(task, submitted_s=submitted_s)

    def _asked_before(self, line: int, event: Event) -> Trial:
        """The trial of an ``ask``, checked against what this search asks for."""
        number, flaw = event["number"], None
        try:
            architecture = self.objective.space.from_string(event["architecture"])
            trial = self.searcher.trial(number, architecture, event["origin"], event.get("fidelity"))
        except (InvalidArchitectureError, ConfigError) as error:
            raise JournalError(self.journal.path, line, f"is of another search or damaged: {error}") from error
        if event["seed"] != trial.seed:
            flaw = f"the seed of trial {number} does not follow from the seed of the search"
        elif self.ledger.exceeds(self.searcher.cost(trial)):
            flaw = f"trial {number} is beyond the budget of {self.ledger.budget.max_evaluations} evaluations"
        elif self.searcher.repeats(trial):
            flaw = f"trial {number} repeats an evaluation"
        if flaw is not None:
            raise JournalError(self.journal.path, line, f"is of another search or damaged: {flaw}")
        return trial

    def begin(self, info: RunInfo, *, resumed: bool) -> None:
        """Say in the journal and to callbacks that the run starts or goes on."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        start = {"event": "start", "schema": SCHEMA, "version": __version__, "time": now}
        self.journal.append([start | {"resumed": resumed, "elapsed_s": round(self.elapsed_s, 6)}])
        self.notify("on_start", info)

    def end(self, reason: str) -> None:
        """Say in the journal that the run is over, and why."""
        self.journal.append([{"event": "end", "reason": reason, "elapsed_s": round(self.elapsed_s, 6)}])

    def run(self) -> str:
        """Spend the budget. Returns why the search ended, in words.

        Raises `EvaluationsFailError` where it stops on failures; what is pending is waited for first. A search that is
        resumed after that goes on, until one more fails.
        """
        self.executor.open()
        reason = None
        while True:
            stops = self._stop_on_failures and self._fails()
            if stops and not self.searcher.pending and self._session_told:
                last = next(iter(self._failures.values()))
                raise EvaluationsFailError(self.ledger.failed, last, self.journal.path.parent)
            if reason is None and not self._answer_first and not (stops and self.searcher.pending):
                reason = self._ask()
            self._answer_first = False
            completed = self.executor.completed()
            for done in completed:
                self._tell(done)
            if not completed and reason is not None:
                return reason

    def _fails(self) -> bool:
        """Whether all evaluations failed so far, several, and for the same reason."""
        return self.ledger.failed == self.ledger.told >= _FAILED_FIRST and len(self._failures) == 1

    def _ask(self) -> str | None:
        """Fill the free workers; the reason to stop asking, or None."""
        pending = len(self.searcher.pending)
        if pending >= self.executor.workers or (pending and self.executor.synchronous):
            return None
        trials, reason = self.ask(self.executor.workers - pending)
        if reason is not None and pending and self._may_ask_later:
            return None
        for trial in trials:
            self.executor.submit(evaluation(trial, self.objective.space))
        return reason

    def ask(self, wanted: int) -> tuple[list[Trial], str | None]:
        """Up to `wanted` new trials, which are on disk; or none, and the reason why there are no more."""
        spent = self.ledger.exhausted(self.searched_s)
        if spent:
            return [], f"budget spent: {spent}"
        room = self.ledger.room(self.searched_s)
        asked_at = time.perf_counter()
        try:
            trials = self.searcher.ask(wanted, room)
        except SearchExhaustedError as error:
            # With evaluations pending there may be something to propose later, but never for the built-in methods.
            return [], f"nothing left to propose: {error}"
        if not trials:
            return [], f"budget spent: {room:.3g} of a full evaluation is left, and the next trial costs more"
        ask_s = time.perf_counter() - asked_at
        clock = self.executor.clock_s
        scored = self._meter.scored
        news, self._scored_asked = scored - self._scored_asked, scored
        self._longest_scoring_s = max(self._longest_scoring_s, news.seconds)
        self.journal.append(self._ask_event(trial, trials, ask_s, clock, news) for trial in trials)
        self.ledger.asked_full += sum(map(self.searcher.cost, trials))
        self.notify("on_ask", trials)
        return trials, None

    @property
    def _may_ask_later(self) -> bool:
        """Whether there may be a trial to ask for when pending ones are told, though there is none now.

        Where fidelities are used: an evaluation at a high one waits for those at lower ones, and what is left of the
        budget may pay for one at a low fidelity alone.
        """
        return self.searcher.uses_fidelities(self.searcher.options) and not self.ledger.exhausted(self.searched_s)

    def _ask_event(self, trial: Trial, group: list[Trial], ask_s: float, clock_s: float, scored: Scored) -> Event:
        event: Event = {
            "event": "ask",
            "number": trial.number,
            "architecture": self.objective.space.to_string(trial.architecture),
            "origin": trial.origin,
            "seed": trial.seed,
            "group": [group[0].number, len(group)],
            "clock_s": clock_s,
            "ask_s": round(ask_s / len(group), 6),
            "elapsed_s": round(self.elapsed_s, 6),
        }
        if trial.fidelity is not None:
            event["fidelity"] = trial.fidelity
        if trial is group[0] and scored.computed + scored.kept:
            event["scores_computed"], event["scores_kept"] = scored.computed, scored.kept
            event["scoring_s"] = round(scored.seconds, 6)
        return event

    def _tell(self, done: Completed) -> None:
        task, answer = done.task, done.answer
        trial = self.searcher.pending[task.payload["number"]]
        self.tell(trial, outcome_of(answer), done.clock_s, answer.seconds, answer.details, task.attempt)

    def tell(
        self,
        trial: Trial,
        outcome: Outcome,
        clock_s: float,
        objective_s: float,
        details: str | None = None,
        attempt: int = 1,
    ) -> None:
        """Enter the outcome of a pending trial.

        Args:
            trial: Which one.
            outcome: What came of it.
            clock_s: The executor's clock.
            objective_s: Real seconds that were spent on it.
            details: A traceback of a failure.
            attempt: How often it was tried.
        """
        event: Event = {
            "event": "tell" if outcome.failure is None else "fail",
            "number": trial.number,
            "architecture": self.objective.space.to_string(trial.architecture),
        }
        event |= {"metrics": dict(outcome.metrics)} if outcome.failure is None else {"reason": outcome.failure}
        event |= {
            "cost_s": outcome.cost_s,
            "clock_s": clock_s,
            "objective_s": round(objective_s, 6),
            "elapsed_s": round(self.elapsed_s, 6),
        }
        if attempt > 1:
            event["attempts"] = attempt
        if details is not None:
            self.save_details(self.ledger.told + 1, details)
        if outcome.failure is not None and details is not None:
            # The end of a traceback says most. A lone surrogate, which no file takes, is spelt out.
            event["traceback"] = details[-_TRACEBACK:].encode("utf-8", "backslashreplace").decode("utf-8")
            event["config"] = self.objective.space.config_of(trial.architecture)
        self.journal.append([event])
        self._settle(trial, outcome, objective_s)
        self._session_told += 1
        self._session_told_full += self.searcher.cost(trial)
        self._session_objective_s += objective_s
        if trial.origin in _DESIGN:
            self._design_told_full, self._paced_since = self._session_told_full, time.perf_counter()
            self._longest_scoring_s = 0.0
        if RESTARTED in outcome.metrics:
            _log.warning(
                "trial %d was to go on from %s, but its checkpoint is gone; it was trained from the start",
                trial.number,
                self.searcher.domain.fidelities.text(trial.after),
            )
        self.notify("on_tell", trial, outcome, self.progress())

    def _settle(self, trial: Trial, outcome: Outcome, objective_s: float) -> None:
        self.searcher.tell(trial.number, outcome)
        failed, full = outcome.failure is not None, trial.fidelity is None
        self.ledger.charge(outcome.cost_s, objective_s, failed=failed, share=self.searcher.cost(trial), full=full)
        if outcome.failure is not None:
            self._failures[kind_of_failure(outcome.failure)] = outcome.failure
        self.told.append((trial, outcome))
        if not full:
            # Another quantity than that of full evaluations: no incumbent, and on no front.
            return
        kept = outcome.failure is None and self.searcher.domain.goals.feasible(outcome.metrics)
        if kept and (self.incumbent is None or self.searcher.score(outcome) > self.searcher.score(self.incumbent[1])):
            self.incumbent = (trial, outcome)

    def _lost(self, lost: Lost) -> None:
        task = lost.task
        if task.kind != EVALUATE:
            _log.warning("%s lost its worker, which %s; it is tried again", task.name, lost.reason)
            return
        number, architecture = task.payload["number"], task.payload["architecture"]
        _log.warning("the evaluation of %s lost its worker, which %s; it is tried again", architecture, lost.reason)
        event = {"event": "retry", "number": number, "attempt": task.attempt, "reason": lost.reason}
        self.journal.append([{**event, "clock_s": lost.clock_s, "elapsed_s": round(self.elapsed_s, 6)}])

    def _seconds_each(self) -> float | None:
        """Real seconds that a full evaluation is expected to take with all that comes with it, None if unknown.

        What comes back with every trial is expected again; the long scoring of the candidates is not, nor is the
        set-up. An initial design tells how long evaluations take, and not what proposals will.
        """
        told = self._session_told_full - self._design_told_full
        if told > 0:
            return max(0.0, time.perf_counter() - self._paced_since - self._longest_scoring_s) / told
        if not self._session_told_full:
            return None
        evaluated = self._session_objective_s / self._session_told_full / self.executor.workers
        return evaluated if evaluated >= _EVALUATION_S else None

    def progress(self) -> Progress:
        """Where the run stands."""
        elapsed = self.elapsed_s
        incumbent = self.incumbent
        value = None if incumbent is None else incumbent[1].validation
        limit = self.ledger.budget.max_evaluations
        eta = None
        if limit is not None:
            each, left = self._seconds_each(), max(0.0, limit - self.ledger.told_full)
            eta = 0.0 if left == 0.0 else None if each is None else each * left
        front = volume = None
        if self.front_measure.goals.several:
            trials, losses = front_trials(self.told, self.front_measure.goals)
            front, volume = len(trials), self.front_measure.hypervolume(losses)
        return Progress(
            evaluations=self.ledger.told,
            full_evaluations=self.ledger.told_full,
            failed=self.ledger.failed,
            incumbent=None if incumbent is None else self.objective.space.to_string(incumbent[0].architecture),
            incumbent_validation=value,
            regret_validation=regret(self.objective, value),
            cost_s=self.ledger.cost_s,
            elapsed_s=elapsed,
            overhead_s=max(0.0, elapsed - self.ledger.objective_s / self.executor.parallel),
            eta_s=eta,
            front=front,
            hypervolume=volume,
            true_hypervolume=self.front_measure.true_volume,
        )

    def notify(self, hook: str, *arguments: Any) -> None:
        """Call a hook of every callback."""
        for callback in self.callbacks:
            try:
                getattr(callback, hook)(*arguments)
            except Exception:
                # A broken tracker must not cost the user a search that may have run for days.
                _log.exception("%s.%s failed; the search goes on", type(callback).__name__, hook)


def regret(objective: Objective, value: float | None) -> float | None:
    """Simple regret of a search signal against the task's optimum, >= 0; None where either is unknown."""
    optimum = objective.optimum_validation
    if optimum is None or value is None:
        return None
    gap = float(optimum[0] - value if objective.metric.maximize else value - optimum[0])
    return 0.0 if abs(gap) < 1e-9 else gap


def scored_of(event: Event) -> Scored:
    """What an ``ask`` says was spent on proxy scores."""
    return Scored(event.get("scores_computed", 0), event.get("scores_kept", 0), event.get("scoring_s", 0.0))
