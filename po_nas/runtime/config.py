"""The configuration of a search: one YAML file plus ``key=value`` overrides, checked before anything is spent."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PlainValidator,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from pydantic_core import PydanticCustomError

from po_nas import benchmarks, methods
from po_nas import training as trainings
from po_nas.core.settings import Settings, read_settings, read_yaml, renamed, validated
from po_nas.errors import BudgetError
from po_nas.runtime.budget import Budget
from po_nas.runtime.executors.base import Timeout

__all__ = [
    "ERRORS",
    "NAMED",
    "Direction",
    "ExecutorConfig",
    "LatencyConfig",
    "MethodConfig",
    "ProxiesConfig",
    "SearchConfig",
    "direction_of",
    "is_record",
    "load_config",
    "located",
    "plugins_of",
    "recorded_search",
    "search_config",
    "sets_plugins",
]


class MethodConfig(BaseModel):
    """A method's registered name; every further key is one of its options."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: Annotated[str, AfterValidator(methods.registry.current)]

    @property
    def options(self) -> dict[str, Any]:
        """The method's own options as given."""
        return dict(self.model_extra or {})


class ExecutorConfig(BaseModel):
    """Where evaluations run: a registered name; every further key is one of its options.

    `timeout_s`, which every executor has, bounds one evaluation in real seconds.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str = "inline"
    timeout_s: Timeout | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The executor's own options as given, and the common one."""
        return {"timeout_s": self.timeout_s, **(self.model_extra or {})}


def _cache(value: Any) -> str | Literal[False] | None:
    """A file, made absolute; False for none at all, None for the usual one."""
    if isinstance(value, str) and value:
        return _absolute_folder(value)
    if value is None or value is False:
        return value
    raise PydanticCustomError("cache", "expected a file, or off")


def _scores(value: Any) -> str | None:
    """Who computed them, or a file, made absolute."""
    if value is None:
        return None
    if isinstance(value, str) and value in benchmarks.ORIGINS:
        return value
    if isinstance(value, str) and value.endswith(".npz"):
        return _absolute_folder(value)
    raise PydanticCustomError("scores", "expected own, published, or an .npz file that po-nas proxies tabulate wrote")


class ProxiesConfig(BaseModel):
    """Proxy scores that are computed by building networks, beside those that a benchmark has on record.

    `compute` names proxies, a plug-in's too; `samples` is the size of the made-up batch. Scores are kept from one
    search to the next in ``scores.sqlite`` in the user's cache folder for po-nas; `cache` names another file, on a
    local disk, or is ``off``. With `workers` > 1 so many processes of this machine share the work, one thread
    each; otherwise an executor's workers do it, if it has any. With `objective`, that proxy is the search signal:
    nothing is evaluated, and the accuracy is only reported. `scores` says which recorded ones are used: ``own`` or
    ``published``, or a file that ``po-nas proxies tabulate`` wrote; default: ``own`` where a benchmark has them, but
    for those that add nothing (`ProxySource.further`), which a method's `proxies` may name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    compute: Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)] = ()
    samples: PositiveInt = 16
    cache: Annotated[str | Literal[False] | None, PlainValidator(_cache)] = None
    workers: PositiveInt = 1
    objective: str | None = None
    scores: Annotated[str | None, PlainValidator(_scores)] = None


class LatencyConfig(BaseModel):
    """How the metric `latency`, the median time of a forward pass in ms, is measured where none is on record.

    On `device` (``cuda:1``), with so many `threads` of the processor, for a batch of `samples`, for `seconds`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    device: str = "cpu"
    threads: PositiveInt = 1
    samples: PositiveInt = 1
    seconds: PositiveFloat = 0.5


def direction_of(value: Any) -> Any:
    """``max`` or ``min``, which may be written out; anything else as it is."""
    return {"maximize": "max", "minimize": "min"}.get(value, value) if isinstance(value, str) else value


Direction = Annotated[Literal["max", "min"], BeforeValidator(direction_of)]
"""Which values of an objective are better."""


_Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]
"""One name may be given without brackets: ``tracking=tensorboard``."""


def _from_anywhere(training: dict[str, Any]) -> dict[str, Any]:
    """Folders made absolute and a loss read, so that workers find them and the run can be resumed from anywhere."""
    folders = {key: training[key] for key in ("data", "folder") if isinstance(training.get(key), str)}
    loss = training.get("loss")
    if isinstance(loss, str) and loss.endswith(".json"):
        try:
            training = training | {"loss": trainings.chosen_loss(loss)}
        except ValueError as error:
            raise PydanticCustomError("loss", "{reason}", {"reason": str(error)}) from error
    return training | {key: _absolute_folder(value) for key, value in folders.items()}


def _absolutes(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(_absolute_folder, paths))


def _absolute_folder(path: str) -> str:
    # Unlike that of `Path`, this expansion leaves the home of an unknown user as it is.
    return str(Path(os.path.expanduser(path)).absolute())  # noqa: PTH111


class SearchConfig(Settings):
    """Everything that determines a search."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deprecated: ClassVar[Mapping[str, str]] = {"metrics": "proxies"}

    benchmark: str = Field(description="registered benchmark, such as nasbench201/cifar10")
    space: str | dict[str, Any] | None = Field(
        None, description="in place of a benchmark: a declared search space, by name or as a declaration"
    )
    objective: str | None = Field(
        None, description="in place of a benchmark: a function of a plug-in, which gets a configuration of the space"
    )
    method: MethodConfig = Field(description="registered method; its options as method.<option>")
    budget: Budget = Field(description="number of evaluations, or budget.max_cost_s, budget.max_wallclock_s")
    seed: NonNegativeInt = Field(0, description="seed of everything random in the search")
    feedback: str | None = Field(None, description="what the method is told; default: the benchmark's first preset")
    batch: PositiveInt = Field(1, description="trials evaluated at a time: batch size, or workers of an executor")
    executor: ExecutorConfig = Field(ExecutorConfig(), description="where evaluations run")
    proxies: ProxiesConfig = Field(ProxiesConfig(), description="proxies to compute for the method")
    objectives: dict[str, Direction] = Field(
        {}, description="what is optimised, where it is more than the search signal: objectives.params=min"
    )
    constraints: dict[str, str] = Field(
        {}, description="limits on metrics: constraints.params='<= 300'; what is known to break one is not proposed"
    )
    known_metrics: dict[str, str] = Field(
        {}, description="metrics known without an evaluation, each by a function of a plug-in: known_metrics.size=size"
    )
    latency: LatencyConfig | None = Field(
        None, description="how the metric latency is measured where none is on record: latency.device=cuda"
    )
    fidelities: dict[str, Any] | tuple[Any, ...] = Field(
        (),
        description="of a function: what it can be asked for, ascending, the last is all of it: [1, 3, 9, 27] epochs",
    )
    training: Annotated[dict[str, Any], AfterValidator(_from_anywhere)] = Field(
        {}, description="how to train, for benchmarks train/…, such as training.device"
    )
    warm_start: Annotated[_Names, AfterValidator(_absolutes)] = Field(
        (), description="directories of earlier runs in the same space: of this task, or of others"
    )
    tracking: _Names = Field((), description="callbacks by name, such as tensorboard")
    plugins: _Names = Field((), description="Python files, modules or evolved proxies (.json) to load first")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        """A search for the best of a function is called after it."""
        if isinstance(given, Mapping) and "benchmark" not in given and isinstance(given.get("objective"), str):
            space = given.get("space")
            name = space.get("declare") if isinstance(space, Mapping) else space
            return {**given, "benchmark": f"{name}/{given['objective']}"}
        return given


_SHORTHANDS = {"method": "name", "executor": "name", "budget": "max_evaluations", "proxies": "compute"}
"""``method=gp_bo`` stands for ``method.name=gp_bo``, and so on."""


NAMED: Mapping[str, tuple[str, ...]] = {"method": (), "executor": ("timeout_s",)}
"""Sections whose keys are options of the thing that they name, and those that all such things have."""
ERRORS = {"budget": BudgetError}
"""What is raised for sections of which more is known than that they are settings."""


def search_config(raw: Mapping[str, Any]) -> SearchConfig:
    """The search that settings describe; `ConfigError` where they do not."""
    return validated(SearchConfig, raw, errors=ERRORS)


def recorded_search(search: Mapping[str, Any]) -> dict[str, Any]:
    """Settings from the record of a run in the names of this version; old ones there are nothing to warn of."""
    found = renamed(search, SearchConfig.old_names(), warn=False)
    method, training = found.get("method"), found.get("training")
    if isinstance(method, Mapping) and isinstance(method.get("name"), str):
        found["method"] = {**method, "name": methods.registry.current(method["name"], warn=False)}
    if isinstance(training, Mapping):
        found["training"] = renamed(training, trainings.OLD_NAMES, warn=False)
    return found


def _search_of(content: dict[str, Any]) -> dict[str, Any]:
    """The settings in a file, which may be the record of a run: that has them in a section of its own."""
    recorded = isinstance(content.get("search"), dict) and "versions" in content
    return recorded_search(content["search"]) if recorded else content


def is_record(path: Path) -> bool:
    """Whether a configuration is the record of a run, ``config.yaml`` of its directory; `ConfigError`."""
    content = read_yaml(path, "config")
    return isinstance(content, dict) and _search_of(content) is not content


def load_config(path: Path | None, overrides: Sequence[str] = (), *, plugins: Sequence[str] = ()) -> SearchConfig:
    """Read a YAML file (or nothing) and apply ``key=value`` overrides; values are YAML, nested keys have dots.

    Raises `ConfigError` that names the key, the value and the nearest valid choice.
    """
    names = SearchConfig.old_names()
    raw = read_settings(path, overrides, _SHORTHANDS, named=NAMED, deprecated=names, within=_search_of)
    raw["plugins"] = (*plugins_of(raw, Path()), *located(plugins))
    return search_config(raw)


class _Plugins(BaseModel):
    plugins: _Names = ()


def plugins_of(raw: Mapping[str, Any], base: Path) -> tuple[str, ...]:
    """The plug-ins that settings name, files by their full path; relative ones are in the folder `base`.

    Raises `ConfigError` for what names none.
    """
    given = raw.get("plugins")
    return located(() if given is None else validated(_Plugins, {"plugins": given}).plugins, base)


def sets_plugins(overrides: Sequence[str]) -> bool:
    """Whether the plug-ins are those of an override, not of a file."""
    return any(override.partition("=")[0] == "plugins" for override in overrides)


def located(plugins: Sequence[str], base: Path = Path()) -> tuple[str, ...]:
    """Plug-ins, files by their full path, so that worker processes and later sessions find them anywhere."""
    return tuple(str((base / plugin).resolve()) if plugin.endswith((".py", ".json")) else plugin for plugin in plugins)
