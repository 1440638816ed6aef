"""Running a search from Python: `search`, `resume`, `Result`."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from po_nas import benchmarks, methods
from po_nas.core.objective import Metric, Objective, complete
from po_nas.core.searcher import Searcher
from po_nas.errors import ConfigError, ExecutorError, PoNasError, RunDirectoryError
from po_nas.proxy_scores.own_networks import with_example_inputs
from po_nas.runtime.arguments import (
    Method,
    checked_callbacks,
    checked_functions,
    checked_mapping,
    checked_path,
    common_settings,
    method_settings,
    metric_of,
)
from po_nas.runtime.budget import Ledger
from po_nas.runtime.callbacks import Callback
from po_nas.runtime.config import SearchConfig, search_config
from po_nas.runtime.executors.base import Executor
from po_nas.runtime.function_objective import DEFAULT_METRIC, FunctionObjective
from po_nas.runtime.journal import Journal
from po_nas.runtime.loop import Loop
from po_nas.runtime.own_space import (
    SpaceLike,
    check_same_training,
    check_unchanged,
    evaluations_folder,
    is_recorded,
    metric_of_run,
    recorded_space,
    refuse_fidelities,
    space_of,
    space_of_run,
    trainings_folder,
)
from po_nas.runtime.resumption import check_given, way_on
from po_nas.runtime.run_directory import (
    Record,
    Result,
    RunDirectory,
    check_searched,
    holds_run,
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
from po_nas.runtime.summary import finish, info_of, plain, protocol_of, write_start
from po_nas.runtime.tracking.console import ConsoleCallback
from po_nas.runtime.trusted_plugins import Trust, load_chosen, load_named
from po_nas.runtime.warm_start import from_json, gather, to_json
from po_nas.training.objective import TrainingObjective
from po_nas.training.training import Training

__all__ = [
    "Method",
    "Result",
    "common_settings",
    "method_settings",
    "resume",
    "run_search",
    "search",
]


def search(
    *,
    benchmark: str | Objective | None = None,
    space: SpaceLike | None = None,
    objective: Objective | Training | Callable[..., Any] | None = None,
    metric: str = DEFAULT_METRIC.name,
    maximize: bool = True,
    method: Method,
    budget: int | Mapping[str, Any],
    out: str | Path,
    seed: int = 0,
    feedback: str | None = None,
    batch: int = 1,
    executor: str | Mapping[str, Any] = "inline",
    proxies: Sequence[str] | Mapping[str, Any] = (),
    example_inputs: Any = None,
    objectives: Mapping[str, str] | None = None,
    constraints: Mapping[str, str] | None = None,
    known_metrics: KnownFunctions | None = None,
    fidelities: Sequence[float] | Mapping[str, Any] = (),
    latency: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    warm_start: str | Path | Sequence[str | Path] = (),
    callbacks: Sequence[Callback] = (),
    progress: bool | None = None,
    metrics: Sequence[str] | Mapping[str, Any] | None = None,
) -> Result:
    """Run a budgeted search and write it to the directory `out`.

    `po_nas.search`, which is this one, also writes a figure and a page to ``report/`` in it, at the end.

    Args:
        benchmark: A registered name, or an `Objective` of your own.
        space: In its place, with `objective`: a search space (`po_nas.declare` makes one), or the name of a registered
            one, or a declaration as in JSON.
        objective: A function of the space's configurations that returns a number or a dict of numbers. It is passed
            the configuration, and by name what it takes of ``seed``, ``fidelity``, ``checkpoint`` and ``report``. Or a
            `po_nas.Training`, which trains the networks of the space on your data.
        metric: Of a function: which number of a dict is optimised; that of a number as printed.
        maximize: Of a function: whether higher is better.
        method: A registered name, or a mapping with ``name`` and the method's options. Or a subclass of `Searcher`,
            or an instance of one, which stands for its class and its options.
        budget: A number of evaluations, or a mapping with ``max_evaluations``, ``max_cost_s``, ``max_wallclock_s``.
            Those at lower fidelities count by the share of their cost.
        out: A directory that holds no run yet.
        seed: Of everything random in the search.
        feedback: What the method is told, one of the benchmark's presets.
        batch: Trials evaluated at a time.
        executor: Where evaluations run: a name, or a mapping with ``name`` and options.
        proxies: Proxies to compute for the method, or a mapping of all settings of proxies (`metrics` is the old name).
        example_inputs: What networks of your own are scored on: inputs, inputs and labels, or a data loader, of which
            the first batch is taken; default: what the space brings.
        objectives: What is optimised where there is more than one thing: ``max`` or ``min`` by the name of the metric,
            ``{"validation": "max", "params": "min"}``; ``validation`` is the search signal.
        constraints: Limits on metrics, ``{"params": "<= 3e5"}``. What is beyond a limit on something that is known
            without an evaluation is never proposed; what only an evaluation tells is learned from the evaluations.
        known_metrics: Metrics that a function of the configuration knows without an evaluation, by name.
        fidelities: Of a function that takes ``fidelity``: what it can be asked for, such as epochs, ascending; the last
            is a full evaluation: ``[1, 3, 9, 27]``. Or a mapping with ``values``, ``unit``, ``costs`` (shares of a full
            evaluation) and ``resumes``. For methods that use them: ``hyperband``, ``asha``.
        latency: How the metric ``latency`` (ms) is measured where an objective or limit is on it and none is on record:
            ``device``, ``threads``, ``samples`` of the batch, ``seconds``. A function may tell a latency of its own;
            then ``latency_ms``, or these settings, say that it is to be measured.
        training: Options of benchmarks that train.
        warm_start: The directory of an earlier run in the same space, or several: evaluations of the same task are
            told to the method and not made again, those of other tasks serve methods that use proxies as a proxy more.
        callbacks: Told of every step.
        progress: Show evaluations, incumbent and the time left on stderr; default: where that is a terminal.
        metrics: The old name of `proxies`.

    Returns:
        What was found; the same as ``summary.json`` in `out`.

    Raises:
        ConfigError: Before anything is spent, when an argument cannot be used.
        UnknownNameError: For a benchmark, method, executor or proxy that there is not, with the nearest name.
        RunDirectoryError: When `out` holds a run already.
        EvaluationsFailError: When all evaluations, three or more, have failed for the same reason.

    Examples:
        On a benchmark:

        >>> import po_nas
        >>> result = po_nas.search(
        ...     benchmark="nasbench_graph/proteins", method="regularized_evolution", budget=10, seed=0, out="runs/table"
        ... )
        >>> result.evaluations, result.regret_validation >= 0
        (10, True)

        On a function of your own:

        >>> from po_nas import Categorical, Int
        >>> space = po_nas.declare("mlp", depth=Int(1, 4), act=Categorical(["relu", "gelu"]))
        >>> def train(config):
        ...     return 0.9 - 0.1 * abs(config["depth"] - 3)
        >>> result = po_nas.search(space=space, objective=train, method="random", budget=8, out="runs/own")
        >>> result.validation, space.config_of(space.from_string(result.incumbent))["depth"]
        (0.9, 3)
    """
    started, path = time.perf_counter(), checked_path("out", out)
    callbacks = checked_callbacks(callbacks)
    known_metrics = checked_functions("known_metrics", known_metrics)
    goal = metric_of(metric, maximize, objectives)
    if isinstance(objective, Training) and Metric(metric, "", maximize) != DEFAULT_METRIC:
        raise ConfigError("metric", metric, "is of functions; a Training has its own: Training(metric=…)")
    given = _given(benchmark, space, objective, goal, path, fidelities)
    if not isinstance(given, str):
        for key, value in (("feedback", feedback), ("training", training)):
            if value is not None:
                raise ConfigError(key, value, f"is for benchmarks that are named; {given.name} is your own")
    inputs = example_inputs is not None
    if inputs:
        if isinstance(given, str):
            raise ConfigError("example_inputs", "", f"are for objectives of your own; {given} has inputs")
        given = with_example_inputs(given, example_inputs, _network_of(given))
    scores = {"proxies": proxies} if metrics is None or not isinstance(proxies, tuple) or proxies else {}
    if metrics is not None:
        scores["metrics"] = metrics
    chosen, kind = method_settings(method)
    common = common_settings(chosen, budget, seed, objectives, constraints, fidelities, warm_start, **scores)
    config = search_config(
        {
            "benchmark": given if isinstance(given, str) else given.name,
            **common,
            "feedback": feedback,
            "batch": batch,
            "executor": {"name": executor} if isinstance(executor, str) else checked_mapping("executor", executor),
            "latency": None if latency is None else checked_mapping("latency", latency),
            "training": checked_mapping("training", training),
        },
    )
    own = None if isinstance(given, str) else given
    with _shown(progress, path) as shown:
        told = (*callbacks, *shown)
        return run_search(
            config,
            path,
            callbacks=told,
            objective=own,
            kind=kind,
            known_metrics=known_metrics,
            given={"space": space is not None and not is_recorded(space_of(space)), "example_inputs": inputs},
            started=started,
        )


@contextmanager
def _shown(progress: bool | None, path: Path) -> Iterator[list[Callback]]:
    """The callback that shows progress, if that is wanted; the terminal is left as it was."""
    if not (sys.stderr.isatty() if progress is None else progress):
        yield []
        return
    console = ConsoleCallback(path)
    try:
        yield [console]
    finally:
        console.close()


_log = logging.getLogger(__name__)


def _given(
    benchmark: str | Objective | None,
    space: SpaceLike | None,
    objective: Objective | Training | Callable[..., Any] | None,
    metric: Metric,
    out: Path,
    fidelities: Sequence[float] | Mapping[str, Any],
) -> str | Objective:
    """What is to be searched: a benchmark's name, or an objective of the caller's own."""
    if (benchmark is None) == (objective is None):
        raise ConfigError("benchmark", "", "or a space and an objective must be given, one of the two")
    if benchmark is not None:
        if space is not None:
            raise ConfigError("space", "", "goes with objective=…; a benchmark has a space")
        refuse_fidelities(fidelities, "a benchmark declares its own")
        return benchmark if isinstance(benchmark, str) else complete(benchmark)
    assert objective is not None
    if isinstance(objective, Objective):
        refuse_fidelities(fidelities, f"{objective.name} declares its own")
        return objective
    if space is None or not (callable(objective) or isinstance(objective, Training)):
        raise ConfigError(
            "objective", objective, "must be a function of the configurations of a space, or a Training, with space=…"
        )
    if isinstance(objective, Training):
        refuse_fidelities(fidelities, "a Training has its own: its epochs")
        return objective.on(space_of(space), folder=trainings_folder(out))
    return FunctionObjective(
        *(space_of(space), objective), metric=metric, folder=evaluations_folder(out), fidelities=fidelities
    )


def _network_of(objective: Objective) -> Mapping[str, Any]:
    """Options of the networks of an objective that trains; others have none."""
    return objective.network if isinstance(objective, TrainingObjective) else {}


def run_search(
    config: SearchConfig,
    out: Path,
    *,
    callbacks: Sequence[Callback] = (),
    objective: Objective | None = None,
    kind: type[Searcher] | None = None,
    known_metrics: KnownFunctions | None = None,
    given: Mapping[str, bool] | None = None,
    started: float | None = None,
) -> Result:
    """Run a search from a checked configuration; `objective` and `kind` in place of what has no registered name.

    `known_metrics` are those of `search`. `given` says whether other arguments that are not in the record were given,
    which `resume` will need. The seconds of the run count from `started`, by `time.perf_counter`; default: now.
    """
    started = time.perf_counter() if started is None else started
    # Whatever an objective does to the working directory, this is where the run is.
    out = out.absolute()
    _refuse_used(out)
    load_chosen(config.plugins)
    check_options(config, kind)
    needed = {
        "objective": objective is not None,
        **(given or {}),
        "known_metrics": bool(known_metrics),
        "method": kind is not None and methods.name_of(kind) is None,
    }
    named, objective = objective is None and not known_metrics, make_objective(config, out, objective, known_metrics)
    check_used(config, objective, known_metrics or {})
    config = config.model_copy(update={"space": recorded_space(objective, config.space)})
    config.budget.check(objective.distinct, costs_known=objective.costs_known)
    earlier = gather(config.warm_start, objective.space, plain(protocol_of(objective)))
    executor = make_executor(config, objective, named=named, out=out)
    set_up_scoring(config, objective, executor)
    searcher = make_searcher(config, objective, earlier, kind=kind)
    try:
        executor.open()
        with RunDirectory(out) as directory:
            _refuse_used(out)  # another process may have come first
            if earlier:
                directory.write_warm_start(to_json(earlier))
            write_start(directory, config, objective, searcher, "po_nas.resume", needed)
            return _run(config, directory, objective, searcher, executor, callbacks, started)
    finally:
        executor.close()


def resume(
    out: str | Path,
    *,
    callbacks: Sequence[Callback] = (),
    objective: Objective | Training | Callable[..., Any] | None = None,
    space: SpaceLike | None = None,
    example_inputs: Any = None,
    known_metrics: KnownFunctions | None = None,
    method: type[Searcher] | Searcher | None = None,
    trust: Trust = False,
    progress: bool | None = None,
    started: float | None = None,
) -> Result:
    """Go on with an interrupted run; a finished one is returned as it is.

    Args:
        out: The run directory.
        callbacks: Told of every step.
        objective: Where the search was started with an objective, a `po_nas.Training` or a function of your own: that
            one.
        space: Where it was started with a function, and a space that has no registered name: that one. A declared space
            without networks and constraints in code is in the record.
        example_inputs: Where it was started with some: those.
        known_metrics: Where it was started with some: those.
        method: Where it was started with a class or instance that has no registered name: that one.
        trust: Loads the plug-ins that the run names although they are not known here; otherwise that is an
            `UntrustedPluginError`. Plug-ins of a search that this user started are known, until they are edited.
        progress: As for `search`.
        started: When the caller began, by `time.perf_counter`: the seconds of the run count from there; default: now.

    Returns:
        What was found; the same as if the search had never been interrupted.

    Raises:
        RunDirectoryError: When `out` holds no run.
        ConfigError: When what the search was started with must be given again, and is not.
        SpaceChangedError: When the space is no longer the one of the record.
        UntrustedPluginError: For a plug-in that is not known here, without `trust`.

    Examples:
        >>> import po_nas
        >>> first = po_nas.search(benchmark="nasbench_graph/proteins", method="random", budget=3, out="runs/resumed")
        >>> po_nas.resume("runs/resumed") == first  # it was finished
        True
    """
    started = time.perf_counter() if started is None else started
    path, callbacks = checked_path("out", out), checked_callbacks(callbacks)
    known_metrics = checked_functions("known_metrics", known_metrics)
    record = read_record(path)
    check_searched(path, record)
    config = record.config
    load_named(config.plugins, path / "config.yaml", trust, unchanged=record.formulas)
    if objective is None and config.objective is None and config.benchmark not in benchmarks.registry:
        remedy = f"is known to the program that began this run; go on with: {_way_on(path, record)}"
        raise ConfigError("objective", config.benchmark, remedy)
    kind = None if method is None else method_settings(method)[1]
    given = {"known_metrics": bool(known_metrics), "example_inputs": example_inputs is not None}
    settings = config.model_dump(mode="json")
    check_given(path, settings, record.resume, **given, method=kind is not None)
    config = with_current_options(config, kind)
    check_options(config, kind)
    own = config.objective is not None if objective is None else not isinstance(objective, Objective)
    if isinstance(objective, Training):
        objective = objective.on(space_of_run(record, space), folder=trainings_folder(path))
    if objective is not None and not isinstance(objective, Objective):
        found, metric = space_of_run(record, space), metric_of_run(record)
        objective = FunctionObjective(
            *(found, objective), metric=metric, folder=evaluations_folder(path), fidelities=config.fidelities
        )
    if objective is not None:
        check_unchanged(config, objective)
        if objective.name != config.benchmark:
            # A function may have been renamed.
            _log.warning("%s: a run of %s goes on with %s; both count as one", path, config.benchmark, objective.name)
        if example_inputs is not None:
            objective = with_example_inputs(objective, example_inputs, _network_of(objective))
    named, objective = objective is None and not known_metrics, make_objective(config, path, objective, known_metrics)
    if own:
        check_same_training(record, objective)
    earlier = from_json(read_warm_start(path)) if config.warm_start else ()
    executor = make_executor(config, objective, named=named, out=path)
    set_up_scoring(config, objective, executor)
    searcher = make_searcher(config, objective, earlier, kind=kind)
    try:
        with RunDirectory(path) as directory, _shown(progress, path) as shown:
            return _run(config, directory, objective, searcher, executor, (*callbacks, *shown), started)
    finally:
        executor.close()


def _run(
    config: SearchConfig,
    directory: RunDirectory,
    objective: Objective,
    searcher: Searcher,
    executor: Executor,
    callbacks: Sequence[Callback],
    started: float,
) -> Result:
    with Journal(directory.journal) as journal:
        events = journal.contents.events
        ledger = Ledger(config.budget)
        save = directory.save_details
        loop = Loop(
            objective, searcher, executor, ledger, journal, callbacks, save, stop_on_failures=True, started=started
        )
        loop.replay(events)
        if events and events[-1]["event"] == "end":
            summary = read_summary(directory.path)
            if summary is not None:
                return summary
            reason = str(events[-1]["reason"])
        else:
            loop.begin(info_of(config, directory.path, objective), resumed=bool(events))
            try:
                reason = loop.run()
            except KeyboardInterrupt as error:
                error.add_note(f"Nothing is lost; go on with: {_way_on(directory.path, read_record(directory.path))}")
                raise
            except ExecutorError as error:
                way = _way_on(directory.path, read_record(directory.path))
                kept = f"nothing finished is lost, go on with: {way}"
                raise ExecutorError(f"{error}; {kept}") from error
            loop.end(reason)
        return finish(config, directory, loop, reason)


def _refuse_used(out: Path) -> None:
    if not holds_run(out):
        return
    remedy = "choose another out"
    with suppress(PoNasError):
        # Of what is left of a run, or was imported, there is nothing to go on with.
        record = read_record(out)
        check_searched(out, record)
        remedy += f", or go on with {_way_on(out, record)}"
    raise RunDirectoryError(out, f"holds a run already; {remedy}")


def _way_on(path: Path, record: Record) -> str:
    return way_on(path, record.config.model_dump(mode="json"), record.resume)
