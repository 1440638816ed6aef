"""Ask and tell: a search whose evaluations the caller makes."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, NoReturn, Self
from weakref import WeakValueDictionary

from po_nas import benchmarks, methods
from po_nas.core.fidelities import Fidelities
from po_nas.core.objective import Metric, Objective, Outcome
from po_nas.core.searcher import Searcher
from po_nas.core.settings import flat
from po_nas.core.trial import Trial
from po_nas.errors import ConfigError, PoNasError, described
from po_nas.proxy_scores.own_networks import with_example_inputs
from po_nas.runtime.arguments import (
    Method,
    checked_callbacks,
    checked_functions,
    checked_path,
    common_settings,
    method_settings,
    metric_of,
)
from po_nas.runtime.budget import Ledger
from po_nas.runtime.callbacks import Callback
from po_nas.runtime.config import SearchConfig, search_config
from po_nas.runtime.function_objective import DEFAULT_METRIC, outcome_told
from po_nas.runtime.journal import Journal
from po_nas.runtime.loop import Loop
from po_nas.runtime.own_space import (
    SpaceLike,
    check_unchanged,
    is_recorded,
    metric_of_run,
    recorded_space,
    refuse_fidelities,
    space_of,
    space_of_run,
)
from po_nas.runtime.resumption import check_given
from po_nas.runtime.run_directory import (
    Result,
    RunDirectory,
    check_searched,
    read_record,
    read_summary,
    read_warm_start,
)
from po_nas.runtime.setup import (
    KnownFunctions,
    check_options,
    check_used,
    make_executor,
    make_objective,
    make_searcher,
    set_up_scoring,
    with_current_options,
)
from po_nas.runtime.summary import finish, info_of, plain, protocol_of, result_of, write_start
from po_nas.runtime.trial_errors import SessionEndedError, TrialError
from po_nas.runtime.trusted_plugins import Trust, load_named
from po_nas.runtime.warm_start import from_json, gather, to_json
from po_nas.spaces.base import Architecture, Space

__all__ = ["AskedTrial", "Session"]


@dataclass(frozen=True, slots=True)
class AskedTrial:
    """What is to be evaluated.

    Attributes:
        number: Counts from 0 in the order of asking.
        config: The configuration, a dict (`Space.config_of`).
        seed: For the evaluation.
        fidelity: Which of the declared fidelities is asked for; None where none are declared: all of it.
        architecture: The same as a string of the space.
        origin: Why it is proposed.
    """

    number: int
    config: Mapping[str, Any]
    seed: int
    fidelity: float | None
    architecture: str
    origin: str


class _Told(Objective):
    """An objective whose evaluations somebody else makes."""

    more_metrics = True

    def __init__(self, space: Space, metric: Metric, fidelities: Sequence[float] | Mapping[str, Any]) -> None:
        self._space, self._metric, self._fidelities = space, metric, Fidelities.of(fidelities)

    @property
    def name(self) -> str:
        return f"{self._space.name}/asked"

    @property
    def space(self) -> Space:
        return self._space

    @property
    def metric(self) -> Metric:
        return self._metric

    @property
    def fidelities(self) -> Fidelities:
        return self._fidelities

    def evaluate(self, architecture: Architecture, *, seed: int, fidelity: float | None = None) -> NoReturn:
        raise PoNasError(f"{self.name} is evaluated by whoever asks; go on with po_nas.Session.resume")

    def protocol(self) -> Mapping[str, Any]:
        return {"dataset": "the caller's", "source": "told by the caller", "runs": "1 each"}


_OPEN: WeakValueDictionary[Path, Session] = WeakValueDictionary()
"""Sessions of this process by their directory: a cell of a notebook that is run again takes it over."""


class Session:
    """A search that proposes, while the caller evaluates: ask and tell.

    Several trials may be pending: ask again before telling. Every question and answer is on disk before the next one,
    so the same call goes on where a killed process stopped; `pending` then has what was asked for and not told. The
    run directory is that of any search, with status, summary and report. A session belongs to one thread.

    Args:
        out: The run directory: a new one, or that of a session with the same arguments, which goes on.
        budget: A number of evaluations, or a mapping with ``max_evaluations``, ``max_cost_s``, ``max_wallclock_s``.
        space: A search space (`po_nas.declare` makes one), or the name of a registered one.
        benchmark: In its place a benchmark, whose table is then not asked: a name, or an objective.
        method: A registered name, a mapping with ``name`` and options, or a class or instance of a `Searcher`.
        seed: Of everything random in the search.
        metric: Which number is optimised where a dict is told.
        maximize: Whether higher is better.
        proxies: Proxies to compute for the method, or a mapping of all settings of proxies.
        example_inputs: What networks are scored on; default: what the space brings.
        objectives: ``max`` or ``min`` by the name of the metric, where there are several, as in `po_nas.search`; a dict
            is told then.
        constraints: Limits on metrics, ``{"params": "<= 3e5"}``, as in `po_nas.search`.
        known_metrics: Metrics that a function of the configuration knows without an evaluation, by name.
        fidelities: What the caller can be asked for, such as epochs, ascending, the last is a full evaluation; or a
            mapping, as in `po_nas.search`. A trial goes on from a lower fidelity where its ``resumes`` says so.
        warm_start: The directory of an earlier run, or several.
        callbacks: Told of every step.

    Attributes:
        ended: Why there is nothing more to ask for, or None.

    Raises:
        ConfigError: For arguments that cannot be used, and for those that are not what the run in `out` began with.
        SpaceChangedError: For a declared space that is not the one of that run.
        RunLockedError: When another process has the directory.

    Examples:
        >>> import po_nas
        >>> space = po_nas.declare("mlp", depth=po_nas.Int(1, 4), act=po_nas.Categorical(["relu", "gelu"]))
        >>> session = po_nas.Session(space=space, method="random", budget=4, out="runs/asked")
        >>> for trial in session:
        ...     session.tell(trial, 0.9 - 0.1 * abs(trial.config["depth"] - 3))
        >>> session.ended, session.result.evaluations
        ('budget spent: 4 evaluations', 4)
    """

    _always_told: ClassVar[tuple[type[Callback], ...]] = ()
    """Callbacks of every session, beside those that are given."""

    def __init__(
        self,
        *,
        out: str | Path,
        budget: int | Mapping[str, Any],
        space: SpaceLike | None = None,
        benchmark: str | Objective | None = None,
        method: Method = "po_nas",
        seed: int = 0,
        metric: str = DEFAULT_METRIC.name,
        maximize: bool = True,
        proxies: Sequence[str] | Mapping[str, Any] = (),
        example_inputs: Any = None,
        objectives: Mapping[str, str] | None = None,
        constraints: Mapping[str, str] | None = None,
        known_metrics: KnownFunctions | None = None,
        fidelities: Sequence[float] | Mapping[str, Any] = (),
        warm_start: str | Path | Sequence[str | Path] = (),
        callbacks: Sequence[Callback] = (),
    ) -> None:
        if (space is None) == (benchmark is None):
            raise ConfigError("space", "", "or a benchmark must be given, one of the two")
        objective: Objective
        if space is not None:
            objective = _Told(space_of(space), metric_of(metric, maximize, objectives), fidelities)
        elif isinstance(benchmark, str):
            objective = benchmarks.looked_up(benchmark)
        else:
            assert benchmark is not None
            objective = benchmark
        chosen, kind = method_settings(method)
        common = common_settings(chosen, budget, seed, objectives, constraints, fidelities, warm_start, proxies=proxies)
        if space is None:
            refuse_fidelities(fidelities, f"{objective.name} declares its own")
        name = benchmark if isinstance(benchmark, str) else objective.name
        config = search_config({"benchmark": name, **common})
        self._open(config, objective, checked_path("out", out), kind, example_inputs, callbacks, known_metrics)

    @classmethod
    def resume(
        cls,
        out: str | Path,
        *,
        space: SpaceLike | None = None,
        benchmark: Objective | None = None,
        method: type[Searcher] | Searcher | None = None,
        example_inputs: Any = None,
        known_metrics: KnownFunctions | None = None,
        callbacks: Sequence[Callback] = (),
        trust: Trust = False,
    ) -> Self:
        """The session of a run directory, with what its record says.

        `space`, `benchmark`, `method`, `example_inputs` and `known_metrics` must be given where the session had some
        that have no registered name. `trust` is that of `po_nas.resume`. Raises `RunDirectoryError` when there is no
        run.
        """
        path = checked_path("out", out)
        record = read_record(path)
        check_searched(path, record)
        load_named(record.config.plugins, path / "config.yaml", trust, unchanged=record.formulas)
        kind = None if method is None else method_settings(method)[1]
        objective: Objective
        if benchmark is not None:
            objective = benchmark
        elif record.config.benchmark in benchmarks.registry:
            objective = benchmarks.looked_up(record.config.benchmark, record.config.feedback)
        else:
            objective = _Told(space_of_run(record, space), metric_of_run(record), record.config.fidelities)
        session = cls.__new__(cls)
        config = with_current_options(record.config, kind)
        session._open(config, objective, path, kind, example_inputs, callbacks, known_metrics)
        return session

    def _open(
        self,
        config: SearchConfig,
        objective: Objective,
        path: Path,
        kind: type[Searcher] | None,
        example_inputs: Any,
        callbacks: Sequence[Callback],
        known_metrics: KnownFunctions | None,
    ) -> None:
        started, earlier_session = time.perf_counter(), _OPEN.get(path)
        callbacks = (*checked_callbacks(callbacks), *(kind() for kind in self._always_told))
        known_metrics = checked_functions("known_metrics", known_metrics)
        if earlier_session is not None:
            earlier_session.close()
        if example_inputs is not None:
            objective = with_example_inputs(objective, example_inputs)
        check_options(config, kind)
        told = isinstance(objective, _Told)
        needed = {
            "space": told and not is_recorded(objective.space),
            "benchmark": not told and config.benchmark not in benchmarks.registry,
            "example_inputs": example_inputs is not None,
            "known_metrics": bool(known_metrics),
            "method": kind is not None and methods.name_of(kind) is None,
        }
        objective = make_objective(config, path, objective, known_metrics)
        config = config.model_copy(update={"space": recorded_space(objective)})
        config.budget.check(objective.distinct, costs_known=objective.costs_known)
        self._config, self._path, self._objective = config, path, objective
        self._asked_at: dict[int, float] = {}
        self.ended: str | None = None
        self._result: Result | None = None
        with ExitStack() as stack:
            self._directory = stack.enter_context(RunDirectory(path))
            resumed = (path / "config.yaml").exists()
            if resumed:
                self._check_same(needed)
                earlier = from_json(read_warm_start(path)) if config.warm_start else ()
            else:
                earlier = gather(config.warm_start, objective.space, plain(protocol_of(objective)))
            executor = make_executor(config, objective, out=path)
            set_up_scoring(config, objective, executor)
            searcher = make_searcher(config, objective, earlier, kind=kind)
            if not resumed:
                check_used(config, objective, known_metrics)
                if earlier:
                    self._directory.write_warm_start(to_json(earlier))
                write_start(self._directory, config, objective, searcher, "po_nas.Session.resume", needed)
            journal = stack.enter_context(Journal(self._directory.journal))
            self._executor = executor
            self._loop = Loop(
                objective,
                searcher,
                executor,
                Ledger(config.budget),
                journal,
                callbacks,
                self._directory.save_details,
                started=started,
            )
            events = journal.contents.events
            self._loop.replay(events)
            self._stack = stack.pop_all()
        _OPEN[path] = self
        if events and events[-1]["event"] == "end":
            self.ended = str(events[-1]["reason"])
            self._result = read_summary(path) or finish(config, self._directory, self._loop, self.ended)
            self.close()
        else:
            self._loop.begin(info_of(config, path, objective), resumed=bool(events))
            self._end_if_spent()

    def _check_same(self, given: Mapping[str, bool]) -> None:
        """Refuse to go on with a run that was another one, or without what it was `given`."""
        record = read_record(self._path)
        check_searched(self._path, record)
        settings = record.config.model_dump(mode="json")
        arguments = ("known_metrics", "example_inputs", "method")
        check_given(self._path, settings, record.resume, **{name: given[name] for name in arguments})
        check_unchanged(record.config, self._objective)
        told = protocol_of(self._objective)
        before, now = (_decisive(config) for config in (record.config, self._config))
        before |= {key: record.protocol.get(key) for key in ("space", "metric", "direction")}
        now |= {key: told[key] for key in ("space", "metric", "direction")}
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                remedy = f"the run in {self._path} began with {before.get(key)!r}; choose another out"
                raise ConfigError(key, now.get(key), remedy)
        order = [*record.config.objectives]
        if order != [*self._config.objectives]:
            # Methods take them in turn.
            raise ConfigError("objectives", [*self._config.objectives], f"are in another order, the run has {order}")

    # -- asking and telling ---------------------------------------------------------------------------------------

    def ask(self) -> AskedTrial:
        """A new trial; it is on disk.

        Raises `SessionEndedError` when the budget is spent, or nothing is left to propose.
        """
        if self.ended is not None:
            raise SessionEndedError(self.ended)
        self._check_open()
        trials, reason = self._loop.ask(1)
        if not trials:
            assert reason is not None
            if not self._loop.searcher.pending:
                self._end(reason)
            raise SessionEndedError(reason)
        self._asked_at[trials[0].number] = time.perf_counter()
        return self._shown(trials[0])

    def tell(
        self,
        trial: AskedTrial | int,
        value: Any = None,
        *,
        failure: str | BaseException | None = None,
        cost_s: float | None = None,
    ) -> None:
        """Tell what came of a pending trial; it is on disk.

        Args:
            trial: The trial, or its number.
            value: A number, or a dict of numbers with the metric among them.
            failure: In its place, why there is none: words, or the exception.
            cost_s: What it cost in seconds; default: the time since it was asked for, 0 in a later session.

        Raises:
            TrialError: For a trial that is not pending in this session.
            ObjectiveValueError: For a value that is no number, metrics that it lacks and a cost that is none; the trial
                stays pending. NaN is a failure.
        """
        found = self._pending(trial)
        asked_at = self._asked_at.get(found.number)
        seconds = 0.0 if asked_at is None else time.perf_counter() - asked_at
        cost_s = seconds if cost_s is None else cost_s
        details = None
        if failure is None:
            outcome = outcome_told(self._objective, found.architecture, value, cost_s)
        elif value is not None:
            raise TrialError(found.number, "has a value, or a failure, not both")
        else:
            words = described(failure) if isinstance(failure, BaseException) else failure
            outcome = Outcome.failed(words, cost_s)
            if isinstance(failure, BaseException):
                details = "".join(traceback.format_exception(failure))
        self._executor.restore_clock(self._executor.clock_s + outcome.cost_s)
        self._loop.tell(found, outcome, self._executor.clock_s, seconds, details)
        self._asked_at.pop(found.number, None)
        self._end_if_spent()

    def _pending(self, trial: AskedTrial | int) -> Trial:
        number = trial.number if isinstance(trial, AskedTrial) else trial
        if isinstance(number, bool) or not isinstance(number, int):
            raise TrialError(number, "is no trial; give what ask() returned, or its number")
        searcher = self._loop.searcher
        found = searcher.pending.get(number)
        known = found or next((o.trial for o in searcher.all_observations if o.trial.number == number >= 0), None)
        if known is None:
            raise TrialError(number, "was never asked for in this session")
        # A configuration belongs to the caller, who may have changed it.
        if isinstance(trial, AskedTrial) and replace(self._shown(known), config={}) != replace(trial, config={}):
            raise TrialError(number, "is one of another session")
        if found is None:
            raise TrialError(number, "has been told already; a trial has one outcome")
        self._check_open()
        return found

    def __iter__(self) -> Iterator[AskedTrial]:
        """Trials until there is nothing more to ask for; those that are pending already come first."""
        yield from self.pending
        while True:
            try:
                trial = self.ask()
            except SessionEndedError:
                return
            yield trial

    @property
    def pending(self) -> list[AskedTrial]:
        """Trials that were asked for, also by an earlier session, and not told yet."""
        return [self._shown(trial) for trial in self._loop.searcher.pending.values()]

    @property
    def result(self) -> Result:
        """What the search has found so far; once it has ended, what ``summary.json`` holds."""
        return self._result or result_of(self._config, self._path, self._loop, "not finished")

    def _shown(self, trial: Trial) -> AskedTrial:
        space = self._objective.space
        text, fidelities = space.to_string(trial.architecture), self._loop.searcher.domain.fidelities
        return AskedTrial(
            *(trial.number, space.config_of(trial.architecture), trial.seed),
            *(fidelities.full if trial.fidelity is None else trial.fidelity, text, trial.origin),
        )

    # -- the end --------------------------------------------------------------------------------------------------

    def _end_if_spent(self) -> None:
        spent = self._loop.ledger.exhausted(self._loop.searched_s)
        if spent and not self._loop.searcher.pending:
            self._end(f"budget spent: {spent}")

    def _end(self, reason: str) -> None:
        self._loop.end(reason)
        self.ended = reason
        self._result = finish(self._config, self._directory, self._loop, reason)
        self.close()

    def _check_open(self) -> None:
        if _OPEN.get(self._path) is not self:
            raise SessionEndedError(f"it was closed; go on with po_nas.Session.resume({str(self._path)!r})")

    def close(self) -> None:
        """Leave the run directory to others; what is not finished can be resumed. May be called again."""
        if _OPEN.get(self._path) is self:
            del _OPEN[self._path]
            self._stack.close()
            self._executor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _decisive(config: SearchConfig) -> dict[str, Any]:
    """What decides the trials of a search, as ``key.sub: value`` pairs."""
    said = config.model_dump(mode="json", exclude={"tracking", "plugins", "executor", "batch", "space"})
    for key in ("cache", "workers"):
        del said["proxies"][key]
    return flat(said)
