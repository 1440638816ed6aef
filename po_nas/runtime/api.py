"""Running a search from Python: `search`, `resume`, `Result`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from po_nas import benchmarks, methods
from po_nas.benchmarks.data.files import cache_folder
from po_nas.core.objective import Metric, Objective, complete
from po_nas.core.proxy_source import ComputedProxySource
from po_nas.core.searcher import Domain, MethodOptions, Searcher, SharedCache
from po_nas.core.settings import renamed, validated
from po_nas.errors import ConfigError, ExecutorError, RunDirectoryError
from po_nas.proxy_scores.bounds import with_bounds
from po_nas.proxy_scores.combined import ProxyObjective, with_computed_proxies
from po_nas.proxy_scores.own_networks import declared_space, with_example_inputs, with_own_proxies
from po_nas.registry import load_plugin
from po_nas.runtime import executors
from po_nas.runtime.budget import Ledger
from po_nas.runtime.callbacks import Callback
from po_nas.runtime.config import MethodConfig, ProxiesConfig, SearchConfig, search_config
from po_nas.runtime.executors.base import Executor, ExecutorOptions
from po_nas.runtime.executors.objective_tasks import ObjectiveWorkload, Scorer
from po_nas.runtime.function_objective import DEFAULT_METRIC, FunctionObjective, check_importable
from po_nas.runtime.journal import Journal
from po_nas.runtime.loop import Loop
from po_nas.runtime.own_space import (
    SpaceLike,
    check_same_training,
    check_unchanged,
    evaluations_folder,
    metric_of_run,
    own_objective,
    recorded_space,
    space_of,
    space_of_run,
    trainings_folder,
)
from po_nas.runtime.run_directory import (
    Result,
    RunDirectory,
    check_searched,
    holds_run,
    read_record,
    read_summary,
    read_warm_start,
)
from po_nas.runtime.summary import finish, info_of, plain, protocol_of, write_start
from po_nas.runtime.trusted_plugins import Trust, load_chosen, load_named
from po_nas.runtime.warm_start import WarmStart, directories, from_json, gather, source_tasks, tell, to_json
from po_nas.training.objective import TrainingObjective
from po_nas.training.training import Training

__all__ = [
    "Method",
    "Result",
    "check_options",
    "common_settings",
    "make_executor",
    "make_objective",
    "make_searcher",
    "method_settings",
    "objective_of_worker",
    "protocol_of",
    "resume",
    "run_search",
    "search",
    "set_up_scoring",
    "with_computed",
    "with_current_options",
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
    constraints: Mapping[str, str] | None = None,
    training: Mapping[str, Any] | None = None,
    warm_start: str | Path | Sequence[str | Path] = (),
    callbacks: Sequence[Callback] = (),
    metrics: Sequence[str] | Mapping[str, Any] | None = None,
) -> Result:
    """Run a budgeted search and write it to the directory `out`.

    Args:
        benchmark: A registered name, or an `Objective` of your own.
        space: In its place, with `objective`: a search space (`po_nas.declare` makes one), or the name of a registered
            one, or a declaration as in JSON.
        objective: A function of the space's configurations that returns a number or a dict of numbers; what it is
            passed, and how it reaches workers, says `po_nas.runtime.function_objective.FunctionObjective`. Or a
            `po_nas.Training`, which trains the networks of the space on your data.
        metric: Of a function: which number of a dict is optimised; that of a number as printed.
        maximize: Of a function: whether higher is better.
        method: A registered name, or a mapping with ``name`` and the method's options. Or a subclass of `Searcher`,
            or an instance of one, which stands for its class and its options.
        budget: A number of evaluations, or a mapping with ``max_evaluations``, ``max_cost_s``, ``max_wallclock_s``.
        out: A directory that holds no run yet.
        seed: Of everything random in the search.
        feedback: What the method is told, one of the benchmark's presets.
        batch: Trials evaluated at a time.
        executor: Where evaluations run: a name, or a mapping with ``name`` and options.
        proxies: Proxies to compute for the method, or a mapping of all settings of proxies (`metrics` is the old name).
        example_inputs: What networks of your own are scored on: inputs, inputs and labels, or a data loader, of which
            the first batch is taken; default: what the space brings.
        constraints: Bounds on proxies, ``{"params": "<= 3e5"}``: nothing beyond them is proposed.
        training: Options of benchmarks that train.
        warm_start: The directory of an earlier run in the same space, or several: evaluations of the same task are
            told to the method and not made again, those of other tasks serve methods that use proxies as a proxy more.
        callbacks: Told of every step.
        metrics: The old name of `proxies`.

    Raises:
        ConfigError: Before anything is spent, when an argument cannot be used.
        RunDirectoryError: When `out` holds a run already.
    """
    path = Path(out).absolute()
    given = _given(benchmark, space, objective, Metric(metric, "", maximize), path)
    if example_inputs is not None:
        if isinstance(given, str):
            raise ConfigError("example_inputs", "", f"are for objectives of your own; {given} has inputs")
        given = with_example_inputs(given, example_inputs, _network_of(given))
    scores = {"proxies": proxies} if proxies or metrics is None else {}
    if metrics is not None:
        scores["metrics"] = metrics
    chosen, kind = method_settings(method)
    common = common_settings(chosen, budget, seed, constraints, warm_start, **scores)
    config = search_config(
        {
            "benchmark": given if isinstance(given, str) else given.name,
            **common,
            "feedback": feedback,
            "batch": batch,
            "executor": {"name": executor} if isinstance(executor, str) else dict(executor),
            "training": dict(training or {}),
        },
    )
    own = None if isinstance(given, str) else given
    return run_search(config, path, callbacks=callbacks, objective=own, kind=kind)


Method: TypeAlias = str | Mapping[str, Any] | type[Searcher] | Searcher
"""A method by its name, with its options, or as a class or instance."""


def common_settings(
    method: Mapping[str, Any],
    budget: int | Mapping[str, Any],
    seed: int,
    constraints: Mapping[str, str] | None,
    warm_start: str | Path | Sequence[str | Path],
    **proxies: Sequence[str] | Mapping[str, Any],
) -> dict[str, Any]:
    """What a search and a session are configured by alike, from their arguments; `proxies` by the key they go by."""
    return {
        "method": method,
        "budget": dict(budget) if isinstance(budget, Mapping) else {"max_evaluations": budget},
        "seed": seed,
        **{key: dict(v) if isinstance(v, Mapping) else {"compute": v} for key, v in proxies.items()},
        "constraints": dict(constraints) if isinstance(constraints, Mapping) else constraints or {},
        "warm_start": directories(warm_start),
    }


def method_settings(method: Method) -> tuple[dict[str, Any], type[Searcher] | None]:
    """The settings of a method, and its class where one was given."""
    if isinstance(method, str):
        return {"name": method}, None
    if isinstance(method, Mapping):
        return dict(method), None
    options = {} if isinstance(method, type) else method.options.model_dump(mode="json", exclude_unset=True)
    kind = method if isinstance(method, type) else type(method)
    if not issubclass(kind, Searcher):
        raise ConfigError("method", kind.__qualname__, "is no Searcher; give a name, or a subclass")
    return {"name": methods.name_of(kind) or f"{kind.__module__}.{kind.__qualname__}", **options}, kind


def _given(
    benchmark: str | Objective | None,
    space: SpaceLike | None,
    objective: Objective | Training | Callable[..., Any] | None,
    metric: Metric,
    out: Path,
) -> str | Objective:
    """What is to be searched: a benchmark's name, or an objective of the caller's own."""
    if (benchmark is None) == (objective is None):
        raise ConfigError("benchmark", "", "or a space and an objective must be given, one of the two")
    if benchmark is not None:
        if space is not None:
            raise ConfigError("space", "", "goes with objective=…; a benchmark has a space")
        return benchmark
    assert objective is not None
    if isinstance(objective, Objective):
        return objective
    if space is None or not (callable(objective) or isinstance(objective, Training)):
        raise ConfigError(
            "objective", objective, "must be a function of the configurations of a space, or a Training, with space=…"
        )
    if isinstance(objective, Training):
        if metric != DEFAULT_METRIC:
            raise ConfigError("metric", metric.name, "is of functions; a Training has its own: Training(metric=…)")
        return objective.on(space_of(space), folder=trainings_folder(out))
    return FunctionObjective(space_of(space), objective, metric=metric, folder=evaluations_folder(out))


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
) -> Result:
    """Run a search from a checked configuration; `objective` and `kind` in place of what has no registered name."""
    # Whatever an objective does to the working directory, this is where the run is.
    out = out.absolute()
    _refuse_used(out)
    load_chosen(config.plugins)
    check_options(config, kind)
    named, objective = objective is None, make_objective(config, out, objective)
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
            write_start(directory, config, objective)
            return _run(config, directory, objective, searcher, executor, callbacks)
    finally:
        executor.close()


def resume(
    out: str | Path,
    *,
    callbacks: Sequence[Callback] = (),
    objective: Objective | Training | Callable[..., Any] | None = None,
    space: SpaceLike | None = None,
    example_inputs: Any = None,
    method: type[Searcher] | Searcher | None = None,
    trust: Trust = False,
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
        method: Where it was started with a class or instance that has no registered name: that one.
        trust: Loads the plug-ins that the run names although they are not known here; otherwise that is an
            `UntrustedPluginError`. Plug-ins of a search that this user started are known, until they are edited.

    Raises:
        SpaceChangedError: When the space is no longer the one of the record.
    """
    path = Path(out).absolute()
    record = read_record(path)
    check_searched(path, record)
    config = record.config
    load_named(config.plugins, path / "config.yaml", trust)
    kind = None if method is None else method_settings(method)[1]
    config = with_current_options(config, kind)
    check_options(config, kind)
    if objective is None and config.objective is None and config.benchmark not in benchmarks.registry:
        way = f"po_nas.resume({str(path)!r}, objective=…), or po_nas.Session.resume({str(path)!r})"
        raise ConfigError("objective", config.benchmark, f"is no benchmark that is known here; go on in Python: {way}")
    own = config.objective is not None if objective is None else not isinstance(objective, Objective)
    if isinstance(objective, Training):
        objective = objective.on(space_of_run(record, space), folder=trainings_folder(path))
    if objective is not None and not isinstance(objective, Objective):
        found, metric = space_of_run(record, space), metric_of_run(record)
        objective = FunctionObjective(found, objective, metric=metric, folder=evaluations_folder(path))
    if objective is not None:
        check_unchanged(config, objective)
        if example_inputs is not None:
            objective = with_example_inputs(objective, example_inputs, _network_of(objective))
    named, objective = objective is None, make_objective(config, path, objective)
    if own:
        check_same_training(record, objective)
    earlier = from_json(read_warm_start(path)) if config.warm_start else ()
    executor = make_executor(config, objective, named=named, out=path)
    set_up_scoring(config, objective, executor)
    searcher = make_searcher(config, objective, earlier, kind=kind)
    try:
        with RunDirectory(path) as directory:
            return _run(config, directory, objective, searcher, executor, callbacks)
    finally:
        executor.close()


def with_current_options(config: SearchConfig, kind: type[Searcher] | None = None) -> SearchConfig:
    """The configuration of a record with the method's options by their names of today."""
    kind = kind or methods.registry.get(config.method.name)
    recorded = renamed(config.method.options, kind.Options.old_names(), warn=False)
    return config.model_copy(update={"method": MethodConfig(name=config.method.name, **recorded)})


def make_objective(config: SearchConfig, out: Path | None = None, given: Objective | None = None) -> Objective:
    """The objective that a configuration names, or the `given` one, with the proxies that are to be computed, or one
    of its proxies as the search signal.

    Plug-ins are loaded; worker processes call this too. One that trains keeps curves and checkpoints in the run
    directory `out`, unless ``training.folder`` names a place.
    """
    options = config.training
    if given is None and config.objective is not None:
        given = own_objective(config, out)
    if given is None:
        entry = benchmarks.registry.entry(config.benchmark)
        if out is not None and benchmarks.spec_of(entry).trained:
            options = {"folder": str(trainings_folder(out.absolute())), **options}
        given = benchmarks.objective_of(entry, config.feedback, options)
    found = with_computed(complete(given), config.proxies)
    return with_bounds(found, config.constraints, samples=config.proxies.samples) if config.constraints else found


def with_computed(given: Objective, wanted: ProxiesConfig) -> Objective:
    """An objective with the proxies that are `wanted`, or with one of its proxies as the search signal."""
    if wanted.compute:
        make = with_computed_proxies if declared_space(given.space) is None else with_own_proxies
        given = make(given, wanted.compute, samples=wanted.samples, cache=wanted.cache or None, workers=wanted.workers)
    return given if wanted.objective is None else ProxyObjective(given, wanted.objective)


def check_options(config: SearchConfig, kind: type[Searcher] | None = None) -> None:
    """Check the options of the method (`kind` where it has no registered name) and of the executor.

    Nothing is loaded or started for it. Raises `UnknownNameError` for a name, `ConfigError` for an option.
    """
    _method_of(config, kind)
    _executor_of(config)


def _method_of(config: SearchConfig, kind: type[Searcher] | None) -> tuple[type[Searcher], MethodOptions]:
    kind = kind or methods.registry.get(config.method.name)
    return kind, validated(kind.Options, config.method.options, prefix="method.")


def _executor_of(config: SearchConfig) -> tuple[type[Executor], ExecutorOptions]:
    kind = executors.registry.get(config.executor.name)
    return kind, validated(kind.Options, config.executor.options, prefix="executor.")


def make_searcher(
    config: SearchConfig,
    objective: Objective,
    earlier: Sequence[WarmStart] = (),
    cache: SharedCache | None = None,
    kind: type[Searcher] | None = None,
) -> Searcher:
    """The configured method over an objective's space; it has been told nothing but what `earlier` runs found.

    `kind` is the class of a method that has no registered name. Whoever makes many searchers of one objective hands
    the same `cache` to all of them, default: a fresh one. Raises `ConfigError` when the earlier runs are of other tasks
    and the method cannot learn from them.
    """
    kind, options = _method_of(config, kind)
    domain = Domain(
        objective.space,
        objective.identity,
        objective.metric.maximize,
        config.budget.max_evaluations,
        objective.distinct,
        objective.proxies,
        source_tasks(earlier, objective.space),
        SharedCache() if cache is None else cache,
    )
    if domain.source_tasks and not kind.supports_transfer:
        able = ", ".join(name for name in methods.registry.names() if methods.registry.get(name).supports_transfer)
        raise ConfigError(
            "warm_start",
            domain.source_tasks[0].task,
            f"{config.method.name} learns from runs of the same task alone; from others do: {able}",
        )
    searcher = kind(domain, seed=config.seed, options=options)
    tell(earlier, searcher)
    return searcher


def make_executor(
    config: SearchConfig, objective: Objective, *, named: bool = True, out: Path | None = None
) -> Executor:
    """The configured executor of an objective; nothing is started yet.

    Args:
        config: The search; its ``batch`` is the number of workers where the executor's options say nothing else.
        objective: What is evaluated.
        named: Whether workers build the objective anew from `config`; otherwise (the caller handed in an object that
            has no name) the object itself is sent to them.
        out: The run directory, where there is one.

    Raises `ConfigError` for its options, and for an object that cannot be sent.
    """
    kind, options = _executor_of(config)
    if kind.remote and not kind.by_value:
        check_importable(objective)
    out = None if out is None else out.absolute()
    rebuild = partial(objective_of_worker, config, out) if named else None
    return kind(ObjectiveWorkload(objective, rebuild), workers=config.batch, options=options, out=out)


def objective_of_worker(config: SearchConfig, out: Path | None) -> Objective:
    """What `make_objective` makes, in another process, where plug-ins are not loaded yet."""
    for plugin in config.plugins:
        load_plugin(plugin)
    # Scores go to the process of the search, which keeps them.
    unkept = config.proxies.model_copy(update={"cache": False})
    return make_objective(config.model_copy(update={"proxies": unkept}), out)


def set_up_scoring(config: SearchConfig, objective: Objective, executor: Executor) -> None:
    """Have proxy scores that cost time kept on disk, and computed by the executor's workers beside its trials.

    The latter does not change where it has none outside of this process, or where ``proxies.workers`` wants processes
    of this machine. Nothing changes where scores are on record.
    """
    source = objective.proxies
    if not isinstance(source, ComputedProxySource):
        return
    if config.proxies.cache is not False:
        source.keep_in(config.proxies.cache or str(cache_folder() / "scores.sqlite"))
    if executor.remote and config.proxies.workers == 1:
        source.compute_by(Scorer(executor, objective.space))


def _run(
    config: SearchConfig,
    directory: RunDirectory,
    objective: Objective,
    searcher: Searcher,
    executor: Executor,
    callbacks: Sequence[Callback],
) -> Result:
    with Journal(directory.journal) as journal:
        events = journal.contents.events
        ledger = Ledger(config.budget)
        save = directory.save_details
        loop = Loop(objective, searcher, executor, ledger, journal, callbacks, save, stop_on_failures=True)
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
            except ExecutorError as error:
                kept = f"nothing finished is lost, go on with: po-nas resume {directory.path}"
                raise ExecutorError(f"{error}; {kept}") from error
            loop.end(reason)
        return finish(config, directory, loop, reason)


def _refuse_used(out: Path) -> None:
    if holds_run(out):
        raise RunDirectoryError(
            out,
            f"holds a run already; go on with po-nas resume {out} (po_nas.resume in Python), or choose another out",
        )
