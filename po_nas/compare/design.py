"""What a comparison runs: its configuration, and the cells (benchmark × method × seed) that it unfolds into."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, PositiveInt

from po_nas import benchmarks, methods
from po_nas._version import __version__
from po_nas.compare.fingerprint import fingerprints
from po_nas.compare.published import Published, read_published
from po_nas.core.settings import Settings, read_settings, validated
from po_nas.errors import ConfigError, hint
from po_nas.registry import matching
from po_nas.runtime import executors
from po_nas.runtime.config import (
    ERRORS,
    NAMED,
    Direction,
    ExecutorConfig,
    MethodConfig,
    ProxiesConfig,
    SearchConfig,
    located,
    plugins_of,
    sets_plugins,
)
from po_nas.runtime.trusted_plugins import Trust, load_chosen, load_named

__all__ = ["Cell", "ComparisonConfig", "load_comparison"]


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else value


_SEEDS = 100_000
"""More are a slip of the finger, and a list of them may not fit the memory."""


def _seeds(value: Any) -> Any:
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    if value > _SEEDS:
        raise ValueError(f"more than {_SEEDS} seeds; give fewer, or list them")
    return tuple(range(value))


def _named(value: Any) -> Any:
    """``label: name`` for short; a list of names labels each by itself."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, (list, tuple)):
        twice = [name for name, count in Counter(map(str, value)).items() if count > 1]
        if twice:
            raise ValueError(f"{twice[0]!r} is listed twice; give the two labels of their own, label: {{name: …}}")
        value = {str(name): {"name": name} for name in value}
    if isinstance(value, Mapping):
        value = {
            str(label): {"name": label} if method is None else {"name": method} if isinstance(method, str) else method
            for label, method in value.items()
        }
    return value


_Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
_Count = Annotated[int, Field(gt=0)]


class Cell(BaseModel):
    """One search of a comparison; `label` names its method in tables."""

    model_config = ConfigDict(frozen=True)
    label: str
    search: SearchConfig
    options: dict[str, Any]
    """The method's options, defaults included."""
    code: tuple[str, ...] = ()
    """Hashes of the plug-ins that may decide the result, and of the file of scores."""

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"{self.label} on {self.search.benchmark}, seed {self.search.seed}"

    @property
    def key(self) -> dict[str, Any]:
        """What the result depends on: configuration, version and plug-ins; not the label, nor where scores are kept."""
        search = self.search.model_dump(mode="json", exclude={"method", "tracking", "plugins", "warm_start"})
        # Where nothing trains and accuracy is the goal, keys are what they were before anything else could be.
        if not search["training"]:
            del search["training"]
        if search["proxies"]["objective"] is None:
            del search["proxies"]["objective"]
        for name in ("space", "objective", "objectives", "constraints", "known_metrics", "fidelities"):
            if not search[name]:
                del search[name]
        search["proxies"] |= {"cache": None, "workers": 1}
        if search["proxies"]["scores"] not in benchmarks.ORIGINS:
            del search["proxies"]["scores"]  # None, or a file, which counts by its content
        method = {"name": self.search.method.name, "options": self.options}
        code = {"code": list(self.code)} if self.code else {}
        return {"study": "comparison", "schema": 1, "version": __version__, "method": method, **search, **code}


class ComparisonConfig(Settings):
    """Which methods are compared, where, how often and for how many evaluations."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deprecated: ClassVar[Mapping[str, str]] = SearchConfig.deprecated

    name: str = Field("comparison", description="title of the report")
    benchmarks: _Names = Field(min_length=1, description="benchmark names or wildcards, such as nasbench201/*")
    methods: Annotated[dict[str, MethodConfig], BeforeValidator(_named)] = Field(
        min_length=1, description="label: {name: …, options}, in the order of the tables"
    )
    seeds: Annotated[tuple[NonNegativeInt, ...], BeforeValidator(_seeds)] = Field(
        min_length=1, description="number of seeds (0, 1, …), or a list"
    )
    budget: PositiveInt = Field(
        description="evaluations of each search, initial ones counted; those at lower fidelities count by their cost"
    )
    objectives: dict[str, Direction] = Field(
        {}, description="what is optimised, where it is more than the search signal"
    )
    constraints: dict[str, str] = Field({}, description="limits on metrics, such as constraints.params='<= 0.3'")
    known_metrics: dict[str, str] = Field(
        {}, description="metrics known without an evaluation, each by a function of a plug-in"
    )
    targets: Annotated[tuple[float, ...], BeforeValidator(_listed)] = Field(
        (),
        description="regrets (with several objectives: shares of the true hypervolume) of which the evaluations and "
        "seconds that they take are reported",
    )
    at: Annotated[tuple[_Count, ...], BeforeValidator(_listed)] = Field(
        (), description="evaluations to report at; default: the budget"
    )
    reference: str = Field("", description="method that the others are tested against; default: the first")
    feedback: str | None = Field(None, description="what the methods are told; default: each benchmark's first preset")
    batch: PositiveInt = Field(1, description="trials evaluated at a time")
    executor: Annotated[
        ExecutorConfig, BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value)
    ] = Field(ExecutorConfig(), description="simulated: parallel workers on a virtual clock of recorded seconds")
    proxies: Annotated[
        ProxiesConfig,
        BeforeValidator(lambda value: {"compute": value} if isinstance(value, str | list | tuple) else value),
    ] = Field(ProxiesConfig(), description="proxies to compute; scores are kept in scores.sqlite beside the results")
    plugins: _Names = Field((), description="Python files, modules or evolved proxies (.json) to load first")
    published: tuple[Published, ...] = Field((), description="file of published numbers to print beside ours")
    notes: str = Field("", description="a paragraph printed with the results")

    def check(self) -> None:
        """Raise `ConfigError` for what no study can be.

        That is seeds given twice, a report beyond the budget, a reference that is no method, a proxy as search signal,
        a target that nothing can be measured by.
        """
        for target in self.targets:
            if not (target >= 0.0 and math.isfinite(target) and (target <= 1.0 or not self.objectives)):
                wanted = "a share of the true hypervolume, from 0 to 1" if self.objectives else "a regret, 0 or more"
                raise ConfigError("targets", target, f"is not {wanted}")
        twice = [str(seed) for seed, count in Counter(self.seeds).items() if count > 1]
        if twice:
            raise ConfigError("seeds", list(self.seeds), f"{', '.join(twice)} repeated; a seed run twice is one result")
        late = [n for n in self.at if n > self.budget]
        if late:
            raise ConfigError("at", late[0], f"is beyond the budget of {self.budget}; raise that or leave it out")
        if self.proxies.objective is not None:
            raise ConfigError(
                "proxies.objective", self.proxies.objective, "is for po-nas search; a comparison tells its feedback"
            )
        if self.reference and self.reference not in self.methods:
            raise ConfigError("reference", self.reference, f"is none of the methods: {', '.join(self.methods)}")
        for number, entry in enumerate(self.published):
            # Of a method that this study leaves out the file may have numbers all the same.
            if entry.ours and entry.ours not in (*self.methods, *methods.names()):
                remedy = hint(entry.ours, self.methods, f"is none of the methods: {', '.join(self.methods)}")
                raise ConfigError(f"published.{number}.ours", entry.ours, remedy)

    @property
    def reported(self) -> tuple[int, ...]:
        """Evaluation counts to report at, ascending."""
        return tuple(sorted(set(self.at))) or (self.budget,)

    @property
    def baseline(self) -> str:
        """The method that the others are tested against."""
        return self.reference or next(iter(self.methods))

    def search(self, benchmark: str, label: str, seed: int) -> SearchConfig:
        """The configuration of one search, as ``po-nas search`` takes it."""
        return SearchConfig.model_validate(
            {
                "benchmark": benchmark,
                "method": self.methods[label],
                "budget": {"max_evaluations": self.budget},
                "seed": seed,
                "feedback": self.feedback,
                "objectives": self.objectives,
                "constraints": self.constraints,
                "known_metrics": self.known_metrics,
                "batch": self.batch,
                "executor": self.executor,
                "proxies": self.proxies,
                "plugins": self.plugins,
            }
        )

    def cells(self, names: Sequence[str]) -> list[Cell]:
        """All cells over the benchmarks of these names, in the order of the results: benchmark, method, seed."""
        kinds = {label: methods.registry.get(method.name) for label, method in self.methods.items()}
        options = {
            label: validated(kind.Options, self.methods[label].options, prefix=f"methods.{label}.")
            for label, kind in kinds.items()
        }
        scores = self.proxies.scores
        files = () if scores is None or scores in benchmarks.ORIGINS else (scores,)
        code = {label: fingerprints((*self.plugins, *files), kind) for label, kind in kinds.items()}
        plain = {label: found.model_dump(mode="json") for label, found in options.items()}
        return [
            Cell(label=label, search=self.search(name, label, seed), options=plain[label], code=code[label])
            for name in names
            for label in self.methods
            for seed in self.seeds
        ]

    def names(self) -> list[str]:
        """The benchmarks that the names and wildcards stand for, each once, in their order; wildcards mean tables.

        Raises `UnknownNameError` for a name or wildcard that fits none, `ConfigError` for a benchmark that trains.
        """
        for pattern in self.benchmarks:
            if pattern in benchmarks.registry and benchmarks.trains(pattern):
                raise ConfigError(
                    "benchmarks",
                    pattern,
                    "trains its architectures, and a study has no settings for that; run po-nas search with each "
                    "method and seed, then po-nas compare with their run directories",
                )
        tables = [name for name in benchmarks.names() if not benchmarks.trains(name)]
        return matching("benchmark with a table", self.benchmarks, tables)


_SHORTHANDS = {"executor": "name", "proxies": "compute"}


def load_comparison(
    path: Path | None, overrides: Sequence[str] = (), plugins: Sequence[str] = (), trust: Trust = False
) -> ComparisonConfig:
    """Read a study's YAML file and overrides such as ``seeds=5``; relative paths in it are relative to the file.

    Plug-ins are imported: those that are given here, and those that the file names, where they are known here or
    `trust` says so. Every name and option is checked: raises `ConfigError`, `UnknownNameError` or
    `UntrustedPluginError`.
    """
    raw = read_settings(path, overrides, _SHORTHANDS, named=NAMED, deprecated=ComparisonConfig.old_names())
    base = Path() if path is None else path.parent
    if path is not None:
        raw.setdefault("name", path.stem)
    named, given = plugins_of(raw, base), located(plugins)
    raw["plugins"] = (*named, *given)
    if isinstance(raw.get("published"), str):
        raw["published"] = read_published(base / raw["published"])
    config = validated(ComparisonConfig, raw, errors=ERRORS)
    config.check()
    if path is None or sets_plugins(overrides):
        load_chosen(named)
    else:
        load_named(named, path, trust)
    load_chosen(given)
    kind = executors.registry.get(config.executor.name)
    validated(kind.Options, config.executor.options, prefix="executor.")
    if kind.needs_directory:
        raise ConfigError(
            "executor", config.executor.name, "needs a run directory; a comparison can use process or ray"
        )
    config.cells(config.names())
    return config
