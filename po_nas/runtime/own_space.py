"""Searches of a user's own: which space and function a configuration means, and whether they are still the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from po_nas import spaces
from po_nas.core.goals import SIGNAL
from po_nas.core.objective import Metric, Objective
from po_nas.core.settings import flat
from po_nas.errors import ConfigError, UnknownNameError
from po_nas.proxy_scores.own_networks import declared_space
from po_nas.registry import load_plugin
from po_nas.runtime.config import SearchConfig
from po_nas.runtime.function_objective import FunctionObjective
from po_nas.runtime.run_directory import Record
from po_nas.runtime.summary import plain
from po_nas.spaces.base import Space
from po_nas.spaces.declared.declaration import changes, declare
from po_nas.spaces.declared.errors import SpaceChangedError
from po_nas.spaces.declared.space import DeclaredSpace
from po_nas.training.training import Training

__all__ = [
    "SpaceLike",
    "check_same_training",
    "check_unchanged",
    "evaluations_folder",
    "function_of_plugins",
    "is_recorded",
    "metric_of_run",
    "own_objective",
    "recorded_space",
    "refuse_fidelities",
    "space_of",
    "space_of_run",
    "trainings_folder",
]

SpaceLike = Space | str | Mapping[str, Any]
"""A space, the name of a registered one, or a declaration as in JSON."""


def space_of(given: SpaceLike, plugins: tuple[str, ...] = ()) -> Space:
    """The space that is meant; a name is that of a registered one.

    A mapping may also name the function of a plug-in that builds the networks, under ``network``. Raises
    `DeclarationError`, `UnknownNameError`, and `ConfigError` for what is no space.
    """
    space: Space
    if isinstance(given, Mapping):
        told = {key: value for key, value in given.items() if key != "network"}
        name = told.get("declare")
        space = spaces.get(name) if isinstance(name, str) and name in spaces.names() else declare(told)
        if isinstance(space, DeclaredSpace):
            _check(told, space)
            if given.get("network") is not None:
                space.network(function_of_plugins("space.network", given["network"], plugins))
    else:
        space = spaces.get(given) if isinstance(given, str) else given
    if not isinstance(space, Space):
        raise ConfigError("space", space, "is no search space; give a name, or make one with po_nas.declare")
    return space


def space_of_run(record: Record, given: SpaceLike | None) -> Space:
    """The space of a run: the one that is given, else the one of the record.

    Raises `ConfigError` where it is not known, or is another one.
    """
    config, name = record.config, str(record.protocol.get("space"))
    told = config.space if given is None else given
    if told is None and name not in spaces.registry:
        raise ConfigError("space", name, "is not registered; give the space: space=…")
    found = space_of(name if told is None else told, config.plugins)
    if found.name != name:
        raise ConfigError("space", found.name, f"is not the space of this run, {name}")
    return found


def metric_of_run(record: Record) -> Metric:
    """The metric of a run."""
    told = record.protocol
    return Metric(str(told.get("metric")), str(told.get("unit", "")), told.get("direction") == "maximize")


def evaluations_folder(out: Path) -> Path:
    """Where the evaluations of a function keep what they leave, in the run directory `out`."""
    return out / "artifacts" / "evaluations"


def trainings_folder(out: Path) -> Path:
    """Where trainings by the built-in trainer keep what they leave, in the run directory `out`."""
    return out / "artifacts" / "trainings"


def check_same_training(record: Record, objective: Objective) -> None:
    """Raise `ConfigError`, which names what changed, unless data and recipe are those that the run began with.

    Nothing is asked of objectives that do not train by a recipe.
    """
    told = plain(objective.protocol())
    if "recipe" not in record.protocol and "recipe" not in told:
        return
    for key in ("data", "recipe", "split", "dataset", "early_stopping"):
        before, now = (flat({key: said.get(key)}) for said in (record.protocol, told))
        for name in sorted(before.keys() | now.keys()):
            if before.get(name) != now.get(name):
                began = "other samples" if name == "data" else repr(before.get(name))
                raise ConfigError(name, now.get(name), f"the run began with {began}; go on with that")


def recorded_space(objective: Objective, given: object = None) -> dict[str, Any] | None:
    """What the record of a run holds of the space of an objective: its declaration, None where it is not declared."""
    space = declared_space(objective.space)
    if space is None:
        return None
    network = given.get("network") if isinstance(given, Mapping) else None
    return space.declaration() | ({"network": network} if network is not None else {})


def is_recorded(space: Space) -> bool:
    """Whether a run directory is enough to have the space again: it has a registered name, or is all in the record."""
    declared = declared_space(space)
    if declared is None:
        return space.name in spaces.registry
    return not declared.has_network and not any(isinstance(c.to_json(), Mapping) for c in declared.constraints)


def check_unchanged(config: SearchConfig, objective: Objective) -> None:
    """Raise `SpaceChangedError`, which names what changed, unless the space is the one of the record."""
    space = declared_space(objective.space)
    if isinstance(config.space, Mapping) and space is not None:
        _check({key: value for key, value in config.space.items() if key != "network"}, space)


def _check(told: Mapping[str, Any], space: DeclaredSpace) -> None:
    # A declaration may be written in several ways; one that is read and told again has one form.
    readable = not any(isinstance(c, Mapping) for c in told.get("constraints") or ())
    found = changes(declare(told).declaration() if readable else told, space.declaration())
    if found:
        raise SpaceChangedError(space.name, found)


def own_objective(config: SearchConfig, out: Path | None = None) -> Objective:
    """The objective of a configuration that names a space and a function, or a `Training`, of one of its plug-ins.

    `out` is the run directory, where there is one.
    """
    if config.space is None or config.objective is None:
        raise ConfigError("space", "", "is missing; a search for the best of a function needs a space")
    space = space_of(config.space, config.plugins)
    function = function_of_plugins("objective", config.objective, config.plugins)
    if isinstance(function, Training):
        refuse_fidelities(config.fidelities, f"a Training has its own, {config.objective}: its epochs")
        return function.on(space, folder=None if out is None else trainings_folder(out))
    folder = None if out is None else evaluations_folder(out)
    metric = Metric(SIGNAL, "", config.objectives.get(SIGNAL, "max") == "max")
    return FunctionObjective(
        *(space, function), metric=metric, name=config.benchmark, folder=folder, fidelities=config.fidelities
    )


def refuse_fidelities(given: object, whose: str) -> None:
    """Raise `ConfigError` where fidelities are given for what declares them itself."""
    if given:
        raise ConfigError("fidelities", given, f"are those of a function; {whose}")


def function_of_plugins(key: str, name: str, plugins: tuple[str, ...]) -> Any:
    """The function or `Training` of that name in one of the plug-ins; the last one that has it counts."""
    known: dict[str, Any] = {}
    for plugin in plugins:
        module = load_plugin(plugin)
        own = {n: v for n, v in vars(module).items() if callable(v) and not isinstance(v, type)}
        known |= {n: v for n, v in own.items() if getattr(v, "__module__", None) == module.__name__}
        known |= {n: v for n, v in vars(module).items() if isinstance(v, Training)}
    if name not in known:
        if not plugins:
            raise ConfigError(key, name, "is a function of a plug-in, but there is none; add --plugin FILE.py")
        raise UnknownNameError(f"function of the plug-ins ({key})", name, known)
    return known[name]
