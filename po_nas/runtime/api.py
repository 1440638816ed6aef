"""Running a search from Python: `search`, `resume`, `Result`."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from po_nas import benchmarks, methods
from po_nas._version import __version__
from po_nas.core.function_objective import FunctionObjective
from po_nas.core.objective import Objective, Outcome, complete
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
from po_nas.runtime.callbacks import Callback, RunInfo
from po_nas.runtime.config import MethodConfig, ProxiesConfig, SearchConfig, search_config
from po_nas.runtime.executors.base import Executor, ExecutorOptions
from po_nas.runtime.executors.objective_tasks import ObjectiveWorkload, Scorer
from po_nas.runtime.journal import SCHEMA, Journal
from po_nas.runtime.loop import Loop, regret
from po_nas.runtime.own_space import SpaceLike, check_unchanged, own_objective, recorded_space, space_of
from po_nas.runtime.run_directory import Result, RunDirectory, read_config, read_summary, read_warm_start
from po_nas.runtime.trusted_plugins import Trust, load_chosen, load_named
from po_nas.runtime.warm_start import WarmStart, from_json, gather, source_tasks, tell, to_json
from po_nas.spaces.base import Architecture
from surrogates.switches import default_switches

__all__ = [
    "Result",
    "check_options",
    "delegate_scoring",
    "make_executor",
    "make_objective",
    "make_searcher",
    "objective_of_worker",
    "protocol_of",
    "resume",
    "run_search",
    "search",
    "with_computed",
]

_log = logging.getLogger(__name__)


def search(
    *,
    benchmark: str | Objective | None = None,
    space: SpaceLike | None = None,
    objective: Objective | Callable[[dict[str, Any]], float | Outcome] | None = None,
    method: str | Mapping[str, Any],
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
    warm_start: Sequence[str | Path] = (),
    callbacks: Sequence[Callback] = (),
    metrics: Sequence[str] | Mapping[str, Any] | None = None,
) -> Result:
    """Run a budgeted search and write it to the directory `out`.

    `benchmark` is a registered name or an `Objective` of your own; in its place, `space` is a declared search space
    (`po_nas.declare`) and `objective` a function of its configurations that returns what is to be maximised.
    `method` a registered name, or a mapping with ``name`` and the method's options; `budget` a number of
    evaluations, or a mapping with ``max_evaluations``, ``max_cost_s``, ``max_wallclock_s``; `proxies` are proxies
    to compute for the method, or a mapping of all settings of proxies (`metrics` is the old name); `example_inputs`
    is the batch on which networks of your own are scored (inputs, inputs and labels, or a data loader, of which the
    first batch is taken); `constraints` are bounds on proxies, ``{"params": "<= 3e5"}``: nothing beyond them is
    proposed. `training` holds the options of benchmarks that train; `warm_start` are directories of earlier runs in
    the same space: evaluations of the same task are told to the method and not made again, those of other tasks
    serve methods that use proxies as one more proxy. Raises `ConfigError` before anything is spent when an argument
    cannot be used, and `RunDirectoryError` when `out` holds a run already.
    """
    given = _own(benchmark, space, objective)
    name = given if isinstance(given, str) else given.name
    if example_inputs is not None:
        if isinstance(given, str):
            raise ConfigError("example_inputs", "", f"are for networks of your own; {given} has inputs")
        given = with_example_inputs(given, example_inputs)
    scores = {"proxies": proxies} if proxies or metrics is None else {}
    if metrics is not None:
        scores["metrics"] = metrics
    config = search_config(
        {
            "benchmark": name,
            "method": {"name": method} if isinstance(method, str) else dict(method),
            "budget": dict(budget) if isinstance(budget, Mapping) else {"max_evaluations": budget},
            "seed": seed,
            "feedback": feedback,
            "batch": batch,
            "executor": {"name": executor} if isinstance(executor, str) else dict(executor),
            **{key: dict(v) if isinstance(v, Mapping) else {"compute": v} for key, v in scores.items()},
            "constraints": dict(constraints or {}),
            "training": dict(training or {}),
            "warm_start": [str(path) for path in warm_start],
        },
    )
    return run_search(config, Path(out), callbacks=callbacks, objective=None if isinstance(given, str) else given)


def _own(
    benchmark: str | Objective | None,
    space: SpaceLike | None,
    objective: Objective | Callable[[dict[str, Any]], float | Outcome] | None,
) -> str | Objective:
    """What is to be searched: a benchmark's name, or an objective of the caller's own."""
    if (benchmark is None) == (objective is None):
        raise ConfigError("benchmark", "", "or an objective with a space must be given, one of the two")
    if benchmark is not None:
        if space is not None:
            raise ConfigError("space", "", "goes with objective=…; a benchmark has a space")
        return benchmark
    if isinstance(objective, Objective):
        return objective
    if space is None or not callable(objective):
        raise ConfigError("objective", objective, "is a function of the configurations of a space; give space=… too")
    return FunctionObjective(space_of(space), objective)


def run_search(
    config: SearchConfig, out: Path, *, callbacks: Sequence[Callback] = (), objective: Objective | None = None
) -> Result:
    """Run a search from a checked configuration."""
    # Whatever an objective does to the working directory, this is where the run is.
    out = out.absolute()
    _refuse_used(out)
    load_chosen(config.plugins)
    check_options(config)
    named, objective = objective is None, make_objective(config, out, objective)
    config = config.model_copy(update={"space": recorded_space(objective, config.space)})
    config.budget.check(objective.distinct, costs_known=objective.costs_known)
    earlier = gather(config.warm_start, objective.space, _plain(protocol_of(objective)))
    executor = make_executor(config, objective, named=named, out=out)
    delegate_scoring(config, objective, executor)
    searcher = make_searcher(config, objective, earlier)
    try:
        executor.open()
        with RunDirectory(out) as directory:
            _refuse_used(out)  # another process may have come first
            if earlier:
                directory.write_warm_start(to_json(earlier))
            optima = {"validation": objective.optimum_validation, "test": objective.optimum_test}
            directory.write_config(
                config,
                _plain(protocol_of(objective)),
                _plain({name: None if found is None else found[0] for name, found in optima.items()}),
            )
            return _run(config, directory, objective, searcher, executor, callbacks)
    finally:
        executor.close()


def resume(
    out: str | Path,
    *,
    callbacks: Sequence[Callback] = (),
    objective: Objective | Callable[[dict[str, Any]], float | Outcome] | None = None,
    space: SpaceLike | None = None,
    example_inputs: Any = None,
    trust: Trust = False,
) -> Result:
    """Go on with an interrupted run; a finished one is returned as it is.

    `objective` must be given when the search was started with an objective or a function that is not registered, and
    so must be what it was given of `space` and `example_inputs`; a space without networks and constraints in code is
    in the record. Raises `SpaceChangedError` when the space is no longer the one of the record. `trust` loads the
    plug-ins that the run names although they are not known here; otherwise that is an `UntrustedPluginError`. Plug-ins
    of a search that this user started are known, until they are edited.
    """
    path = Path(out).absolute()
    config = read_config(path)
    load_named(config.plugins, path / "config.yaml", trust)
    kind = methods.registry.get(config.method.name)
    recorded = renamed(config.method.options, kind.Options.old_names(), warn=False)
    config = config.model_copy(update={"method": MethodConfig(name=config.method.name, **recorded)})
    check_options(config)
    given = objective
    if given is not None and not isinstance(given, Objective) and callable(given):
        given = FunctionObjective(space_of(config.space or "" if space is None else space), given)
    if given is not None:
        check_unchanged(config, given)
        given = given if example_inputs is None else with_example_inputs(given, example_inputs)
    named, objective = given is None, make_objective(config, path, given)
    earlier = from_json(read_warm_start(path)) if config.warm_start else ()
    executor = make_executor(config, objective, named=named, out=path)
    delegate_scoring(config, objective, executor)
    searcher = make_searcher(config, objective, earlier)
    try:
        with RunDirectory(path) as directory:
            return _run(config, directory, objective, searcher, executor, callbacks)
    finally:
        executor.close()


def make_objective(config: SearchConfig, out: Path | None = None, given: Objective | None = None) -> Objective:
    """The objective that a configuration names, or the `given` one, with the proxies that are to be computed, or one
    of its proxies as the search signal.

    Plug-ins are loaded; worker processes call this too. One that trains keeps curves and checkpoints in the run
    directory `out`, unless ``training.folder`` names a place.
    """
    options = config.training
    if given is None and config.objective is not None:
        given = own_objective(config)
    if given is None:
        entry = benchmarks.registry.entry(config.benchmark)
        if out is not None and benchmarks.spec_of(entry).trained:
            options = {"folder": str(out.absolute() / "artifacts" / "trainings"), **options}
        given = benchmarks.objective_of(entry, config.feedback, options)
    found = with_computed(complete(given), config.proxies)
    return with_bounds(found, config.constraints, samples=config.proxies.samples) if config.constraints else found


def with_computed(given: Objective, wanted: ProxiesConfig) -> Objective:
    """An objective with the proxies that are `wanted`, or with one of its proxies as the search signal."""
    if wanted.compute:
        make = with_computed_proxies if declared_space(given.space) is None else with_own_proxies
        given = make(given, wanted.compute, samples=wanted.samples, cache=wanted.cache, workers=wanted.workers)
    return given if wanted.objective is None else ProxyObjective(given, wanted.objective)


def check_options(config: SearchConfig) -> None:
    """Check the options of the method and of the executor; nothing is loaded or started for it.

    Raises `UnknownNameError` for a name, `ConfigError` for an option.
    """
    _method_of(config)
    _executor_of(config)


def _method_of(config: SearchConfig) -> tuple[type[Searcher], MethodOptions]:
    kind = methods.registry.get(config.method.name)
    return kind, validated(kind.Options, config.method.options, prefix="method.")


def _executor_of(config: SearchConfig) -> tuple[type[Executor], ExecutorOptions]:
    kind = executors.registry.get(config.executor.name)
    return kind, validated(kind.Options, config.executor.options, prefix="executor.")


def make_searcher(
    config: SearchConfig,
    objective: Objective,
    earlier: Sequence[WarmStart] = (),
    cache: SharedCache | None = None,
) -> Searcher:
    """The configured method over an objective's space; it has been told nothing but what `earlier` runs found.

    Whoever makes many searchers of one objective hands the same `cache` to all of them, default: a fresh one. Raises
    `ConfigError` when the earlier runs are of other tasks and the method cannot learn from them.
    """
    kind, options = _method_of(config)
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
    out = None if out is None else out.absolute()
    rebuild = partial(objective_of_worker, config, out) if named else None
    return kind(ObjectiveWorkload(objective, rebuild), workers=config.batch, options=options, out=out)


def objective_of_worker(config: SearchConfig, out: Path | None) -> Objective:
    """What `make_objective` makes, in another process, where plug-ins are not loaded yet."""
    for plugin in config.plugins:
        load_plugin(plugin)
    return make_objective(config, out)


def delegate_scoring(config: SearchConfig, objective: Objective, executor: Executor) -> None:
    """Have proxy scores that cost time computed by the executor's workers from now on, beside its trials.

    Nothing changes where it has none outside of this process, where ``proxies.workers`` wants processes of this
    machine, or where scores are on record.
    """
    source = objective.proxies
    if executor.remote and config.proxies.workers == 1 and isinstance(source, ComputedProxySource):
        source.compute_by(Scorer(executor, objective.space))


def _run(
    config: SearchConfig,
    directory: RunDirectory,
    objective: Objective,
    searcher: Searcher,
    executor: Executor,
    callbacks: Sequence[Callback],
) -> Result:
    ledger = Ledger(config.budget)
    optimum = objective.optimum_validation
    info = RunInfo(
        directory.path,
        config.model_dump(mode="json"),
        protocol_of(objective),
        objective.metric,
        config.budget.max_evaluations,
        None if optimum is None else optimum[0],
    )
    with Journal(directory.journal) as journal:
        events = journal.contents.events
        loop = Loop(objective, searcher, executor, ledger, journal, callbacks, directory.save_details)
        loop.replay(events)
        if events and events[-1]["event"] == "end":
            summary = read_summary(directory.path)
            if summary is not None:
                return summary
            reason = str(events[-1]["reason"])
        else:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            start = {"event": "start", "schema": SCHEMA, "version": __version__, "time": now}
            journal.append([start | {"resumed": bool(events), "elapsed_s": round(loop.elapsed_s, 6)}])
            loop.notify("on_start", info)
            try:
                reason = loop.run()
            except ExecutorError as error:
                kept = f"nothing finished is lost, go on with: po-nas resume {directory.path}"
                raise ExecutorError(f"{error}; {kept}") from error
            journal.append([{"event": "end", "reason": reason, "elapsed_s": round(loop.elapsed_s, 6)}])
        result = _result(config, directory.path, objective, searcher, loop, ledger, reason, executor.clock_s)
        directory.write_summary(_plain(result.to_dict()))
        _explain(searcher, directory)
        loop.notify("on_end", result.to_dict())
    return result


def _explain(searcher: Searcher, directory: RunDirectory) -> None:
    try:
        with default_switches():
            found = searcher.explain()
        if found is not None:
            directory.write_explanation(_plain(found))
    except Exception:
        # The search is over and on disk; an explanation that fails must not take it away.
        _log.exception("%s cannot say what it has learned", type(searcher).__name__)


def _result(
    config: SearchConfig,
    path: Path,
    objective: Objective,
    searcher: Searcher,
    loop: Loop,
    ledger: Ledger,
    reason: str,
    clock_s: float,
) -> Result:
    """Attach the report metric, which the search never saw."""
    progress = loop.progress()

    def test_of(architecture: Architecture | None) -> float | None:
        try:
            value = None if architecture is None else objective.report(architecture).get("test")
            return None if value is None or not math.isfinite(value) else float(value)
        except Exception:
            # The search is over and on disk; a report that fails must not take it away.
            _log.exception("%s: no report metric for %s", objective.name, architecture)
            return None

    tests = [test_of(o.trial.architecture) for o in searcher.successes if o.trial.number >= 0]
    known = [t for t in tests if t is not None]
    best = max if objective.metric.maximize else min
    incumbent = loop.incumbent
    test = test_of(None if incumbent is None else incumbent[0].architecture)
    optimum, optimum_test = objective.optimum_validation, objective.optimum_test
    protocol = protocol_of(objective)
    regret_test = None
    if test is not None and optimum_test is not None:
        regret_test = optimum_test[0] - test if objective.metric.maximize else test - optimum_test[0]
    return Result(
        benchmark=config.benchmark,
        method=config.method.name,
        seed=config.seed,
        feedback=protocol.get("feedback_name", config.feedback),
        evaluations=ledger.told,
        failed=ledger.failed,
        incumbent=progress.incumbent,
        validation=progress.incumbent_validation,
        test=test,
        optimum_validation=None if optimum is None else float(optimum[0]),
        optimum_test=None if optimum_test is None else float(optimum_test[0]),
        test_of_optimum_validation=test_of(None if optimum is None else optimum[1]),
        best_test_queried=best(known) if known else None,
        regret_validation=regret(objective, progress.incumbent_validation),
        regret_test=regret_test,
        cost_s=ledger.cost_s,
        clock_s=clock_s,
        wall_s=progress.elapsed_s,
        overhead_s=progress.overhead_s,
        ended=reason,
        directory=str(path),
    )


def protocol_of(objective: Objective) -> dict[str, Any]:
    """The objective's protocol; metric, unit and direction are its metric's, whatever the protocol says."""
    metric = objective.metric
    return {"space": objective.space.name, **objective.protocol()} | {
        "metric": metric.name,
        "unit": metric.unit,
        "direction": "maximize" if metric.maximize else "minimize",
    }


def _refuse_used(out: Path) -> None:
    if (out / "config.yaml").exists() or (out / "journal.jsonl").exists():
        raise RunDirectoryError(out, f"holds a run already; use po-nas resume {out}, or choose another --out")


def _plain(value: Any) -> Any:
    """`value` with numpy scalars and tuples turned into what YAML and JSON know."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value
