"""The parts of a search, made from its configuration: objective, method and executor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from po_nas import benchmarks, methods
from po_nas.benchmarks.data.files import cache_folder
from po_nas.benchmarks.other_tasks import other_tasks
from po_nas.benchmarks.recorded_scores import chosen_proxies
from po_nas.core.fidelities import Fidelities
from po_nas.core.goals import SIGNAL
from po_nas.core.objective import Objective, complete
from po_nas.core.proxy_source import ComputedProxySource
from po_nas.core.searcher import Domain, MethodOptions, Searcher, SharedCache
from po_nas.core.settings import renamed, validated
from po_nas.errors import ConfigError
from po_nas.proxy_scores.combined import ProxyObjective, with_computed_proxies, with_proxies
from po_nas.proxy_scores.goals import with_goals
from po_nas.proxy_scores.measured import LATENCY, LatencySettings, with_measured
from po_nas.proxy_scores.own_networks import declared_space, with_own_proxies
from po_nas.registry import load_plugin
from po_nas.runtime import executors
from po_nas.runtime.config import MethodConfig, ProxiesConfig, SearchConfig
from po_nas.runtime.executors.base import Executor, ExecutorOptions
from po_nas.runtime.executors.objective_tasks import ObjectiveWorkload, Scorer
from po_nas.runtime.function_objective import check_importable
from po_nas.runtime.own_space import function_of_plugins, own_objective, refuse_fidelities, trainings_folder
from po_nas.runtime.warm_start import WarmStart, source_tasks, tell

__all__ = [
    "KnownFunctions",
    "check_fidelities",
    "check_objectives",
    "check_options",
    "check_used",
    "make_executor",
    "make_objective",
    "make_searcher",
    "objective_of_worker",
    "set_up_scoring",
    "with_computed",
    "with_configured_goals",
    "with_current_options",
]

KnownFunctions = Mapping[str, Callable[[dict[str, Any]], float]]
"""Functions of a configuration by the name of the metric that they know."""


def with_current_options(config: SearchConfig, kind: type[Searcher] | None = None) -> SearchConfig:
    """The configuration of a record with the method's options by their names of today."""
    kind = kind or methods.registry.get(config.method.name)
    recorded = renamed(config.method.options, kind.Options.old_names(), warn=False)
    return config.model_copy(update={"method": MethodConfig(name=config.method.name, **recorded)})


def make_objective(
    config: SearchConfig,
    out: Path | None = None,
    given: Objective | None = None,
    functions: KnownFunctions | None = None,
) -> Objective:
    """The objective that a configuration names, or the `given` one, with the proxies that are to be computed, or one
    of its proxies as the search signal, and with its objectives and limits.

    `functions` know metrics without an evaluation, beside those that the configuration names. Plug-ins are loaded;
    worker processes call this too. One that trains keeps curves and checkpoints in the run directory `out`, unless
    ``training.folder`` names a place.
    """
    options = config.training
    if given is None and config.objective is not None:
        given = own_objective(config, out)
    if given is None:
        refuse_fidelities(config.fidelities, f"po-nas benchmarks describe {config.benchmark} says which it has")
        entry = benchmarks.registry.entry(config.benchmark)
        if out is not None and benchmarks.spec_of(entry).trained:
            options = {"folder": str(trainings_folder(out.absolute())), **options}
        given = benchmarks.objective_of(entry, config.feedback, options)
    return with_configured_goals(with_computed(complete(given), config.proxies), config, functions)


def with_configured_goals(given: Objective, config: SearchConfig, functions: KnownFunctions | None = None) -> Objective:
    """An objective with the objectives and limits that a configuration names; the same one where it names none."""
    if not config.objectives and not config.constraints:
        return given
    named = {
        name: function_of_plugins(f"known_metrics.{name}", function, config.plugins)
        for name, function in config.known_metrics.items()
    } | dict(functions or {})
    latency = None if config.latency is None else LatencySettings(**config.latency.model_dump())
    names = [name for name in (*config.objectives, *config.constraints) if name not in named]
    return with_goals(
        with_measured(given, names, latency, cache_folder() / "latency.sqlite"),
        config.objectives,
        config.constraints,
        functions=named,
        samples=config.proxies.samples,
    )


def with_computed(given: Objective, wanted: ProxiesConfig) -> Objective:
    """An objective with the proxies that are `wanted`, or with one of its proxies as the search signal."""
    if wanted.scores is not None:
        given = with_proxies(given, chosen_proxies(given, wanted.scores))
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


def check_used(config: SearchConfig, objective: Objective, functions: KnownFunctions) -> None:
    """Raise `ConfigError` for settings of metrics on which there is no objective and no limit."""
    named = {*config.objectives, *config.constraints}
    named |= {name.rpartition("_")[0] for name in named}
    if config.latency is not None and LATENCY.name not in named:
        remedy = "no objective or limit is on it; add objectives={…, latency: min} or constraints={latency: '<= …'}"
        raise ConfigError("latency", config.latency.model_dump(exclude_unset=True), remedy)
    for name in {**config.known_metrics, **functions}:
        if name in (SIGNAL, objective.metric.name):
            raise ConfigError(f"known_metrics.{name}", "", "is what is optimised, which only an evaluation tells")
        if name not in named:
            remedy = f"has no objective and no limit: objectives={{…, {name}: min}} or constraints={{{name}: '<= …'}}"
            raise ConfigError(f"known_metrics.{name}", "", remedy)


def check_objectives(kind: type[Searcher], name: str, objective: Objective) -> None:
    """Raise `ConfigError` where there are several objectives and the method searches for the best of one."""
    if objective.goals.several and not kind.supports_objectives:
        able = ", ".join(other for other in methods.names() if methods.registry.get(other).supports_objectives)
        said = ", ".join(objective.goals.names)
        raise ConfigError("objectives", said, f"{name} searches for the best by one objective; several have: {able}")


def check_fidelities(kind: type[Searcher], options: MethodOptions, name: str, objective: Objective) -> None:
    """Raise `ConfigError` where the method evaluates at lower fidelities and the objective has none."""
    if kind.uses_fidelities(options) and not Fidelities.of(objective.fidelities):
        remedy = (
            f"evaluates at lower fidelities, of which {objective.name} has none here; declare fidelities=[…] for a "
            "function, see po-nas benchmarks describe for a benchmark, or use a method of full evaluations"
        )
        raise ConfigError("method", name, remedy)


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
    check_objectives(kind, config.method.name, objective)
    check_fidelities(kind, options, config.method.name, objective)
    tasks = source_tasks(earlier, objective.space)
    if kind.needs_other_tasks:
        tables = other_tasks(objective.name, objective.protocol())
        # Of a task whose table is there, a run has nothing to add.
        tasks = (*tables, *(told for told in tasks if told.task not in {table.task for table in tables}))
    domain = Domain(
        objective.space,
        objective.identity,
        objective.metric.maximize,
        config.budget.max_evaluations,
        objective.distinct,
        objective.proxies,
        tasks,
        SharedCache() if cache is None else cache,
        objective.goals,
        objective.known,
        Fidelities.of(objective.fidelities),
    )
    if domain.source_tasks and not kind.supports_transfer:
        able = ", ".join(name for name in methods.registry.names() if methods.registry.get(name).supports_transfer)
        raise ConfigError(
            "warm_start",
            domain.source_tasks[0].task,
            f"{config.method.name} learns from runs of the same task alone; from others do: {able}",
        )
    searcher = kind(domain, seed=config.seed, options=options)
    tell(earlier, searcher, objective)
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
