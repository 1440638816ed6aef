"""What the study of fusion compares: tasks, models, labels and searches, and the parts that these unfold into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from po_nas import benchmarks
from po_nas.core.settings import read_settings, validated
from po_nas.errors import ConfigError, UnknownNameError
from po_nas.registry import matching

__all__ = ["MODELS", "ORDERS", "FusionStudyConfig", "Model", "Part", "Task", "load_fusion_study"]

ORDERS: Mapping[str, str] = {
    "mean_rank": "mean rank of the trusted proxies (no labels)",
    "single": "best single proxy, either sign",
    "weighting": "best fixed weighting",
    "function": "any function of the proxies",
    "architecture_weights": "weights per architecture",
    "encodings": "any function of the encodings",
    "everything": "any function of encodings and proxies",
}
"""Orders of the candidates, of which all but the first have seen labels that no search has."""


@dataclass(frozen=True)
class Model:
    """A model that learns from labels.

    Attributes:
        title: What tables call it.
        method: ``gp_proxies``, ``po_nas`` or ``po_nas_transfer``.
        order: Of `ORDERS`, takes the place of the mean rank in the prior mean; empty: the model as it is.
        believed: The prior mean counts in full, and no hypothesis does without it.
        first: The order also picks the first evaluations of a search.
        proxies: Whether the model sees proxies at all.
        predictor: Whether a neural predictor is fused with them (`po_nas`).
        loss: What the predictor is trained under.
        told: Evaluations of each other task of the benchmark that `po_nas` is told, drawn as labels are.
        transfer: Its option of that name.
        learned_weights: The option of that name (`po_nas`).
        contrast: What the proxies pick of the initial design contrasts them, instead of following their mean rank
            (`po_nas`).
        other_spaces: Order of the proxies, trust and priors are learned from the study's tasks of other spaces
            (`po_nas`).
    """

    title: str
    method: Literal["gp_proxies", "po_nas", "po_nas_transfer"] = "gp_proxies"
    order: str = ""
    believed: bool = False
    first: bool = False
    proxies: bool = True
    predictor: bool = False
    loss: str = "piecewise"
    told: int = 0
    transfer: Literal["learned", "equal"] = "learned"
    learned_weights: float = 0.2
    contrast: bool = False
    other_spaces: bool = False

    @property
    def compared(self) -> bool:
        """Whether it is among the models of a study that names none: oracles, and what methods are by default."""
        changed = self.predictor or self.contrast or self.other_spaces or self.learned_weights != 0.2
        return not (self.other_tasks or changed)

    @property
    def other_tasks(self) -> bool:
        """Whether it is told something of the benchmark's other tasks."""
        return self.method == "po_nas_transfer" or self.told > 0


MODELS: Mapping[str, Model] = {
    "gp_proxies": Model("`gp_proxies`"),
    "po_nas": Model("`po_nas`", "po_nas"),
    "po_nas_transfer": Model("`po_nas_transfer`, told other tasks", "po_nas_transfer"),
    "po_nas_told": Model("`po_nas`, told 25 evaluations of each other task", "po_nas", told=25),
    "po_nas_told_equal": Model("the same, `transfer=equal`", "po_nas", told=25, transfer="equal"),
    "po_nas_predictor": Model("`po_nas`, predictor too", "po_nas", predictor=True),
    "po_nas_predictor_alone": Model("`po_nas`, predictor without proxies", "po_nas", proxies=False, predictor=True),
    "po_nas_predictor_mse": Model("`po_nas`, predictor under `mse`", "po_nas", predictor=True, loss="mse"),
    "po_nas_predictor_hr": Model("`po_nas`, predictor under `hr`", "po_nas", predictor=True, loss="hr"),
    "po_nas_predictor_ew": Model("`po_nas`, predictor under `ew`", "po_nas", predictor=True, loss="ew"),
    "po_nas_predictor_warp": Model("`po_nas`, predictor under `warp`", "po_nas", predictor=True, loss="warp"),
    "po_nas_equal": Model("`po_nas`, equal weights", "po_nas", learned_weights=0.0),
    "po_nas_half": Model("`po_nas`, learned weights as probable as equal ones", "po_nas", learned_weights=0.5),
    "po_nas_contrast": Model("`po_nas`, initial design that contrasts the proxies", "po_nas", contrast=True),
    "po_nas_other_spaces": Model("`po_nas`, prior learned from other spaces", "po_nas", other_spaces=True),
    "encodings_alone": Model("encodings alone", proxies=False),
    "best_weighting": Model("oracle: best fixed weighting", order="weighting"),
    "any_function": Model("oracle: any function of the proxies", order="function"),
    "any_function_believed": Model("oracle: any function, believed outright", order="function", believed=True),
    "any_function_first": Model("oracle: any function, first picks too", order="function", first=True),
    "architecture_weights": Model("oracle: weights per architecture", order="architecture_weights"),
    "architecture_weights_believed": Model(
        "oracle: weights per architecture, believed outright", order="architecture_weights", believed=True
    ),
    "everything": Model("oracle: encodings and proxies", order="everything"),
    "everything_believed": Model("oracle: encodings and proxies, believed outright", order="everything", believed=True),
}
"""The models by name. An oracle is `gp_proxies` with another order in its prior mean."""

_TASKS = ("nasbench101/*", "nasbench201/*", "nasbench_graph/*", "transnas_micro/*", "transnas_macro/*")


@dataclass(frozen=True)
class Task:
    """Where the candidates come from: a benchmark, or finished runs (directories) on one task.

    `told` is a hash of what the runs have told; `size` the number of candidates, None for all.
    """

    name: str
    feedback: str | None
    size: int | None
    draw: int
    runs: tuple[str, ...] = ()
    told: str = ""

    @property
    def group(self) -> str:
        """Tasks of one space, or of much the same one, have one group; so have runs on them."""
        return self.name.removeprefix("runs/").partition("/")[0]

    @property
    def key(self) -> dict[str, Any]:
        """What the candidates depend on; where a run lies is not part of it."""
        found = asdict(self)
        del found["runs"]
        return found


@dataclass(frozen=True)
class Part:
    """One thing to compute: the orders of a task, a model's predictions after each number of labels, or a search."""

    kind: Literal["orders", "ranking", "search"]
    task: Task
    trees: int
    model: str = ""
    seed: int = 0
    at: tuple[int, ...] = ()
    design: tuple[int, int] = (0, 0)
    """Size of the initial design of a search, and how many of it the proxies pick."""
    others: tuple[Task, ...] = ()
    """Tasks of other spaces that the model learns from."""

    @property
    def key(self) -> dict[str, Any]:
        """What the rows depend on."""
        found: dict[str, Any] = {"study": "fusion", "version": 1, "kind": self.kind, "task": self.task.key}
        if self.kind == "orders":
            return found | {"trees": self.trees}
        model = asdict(MODELS[self.model])
        del model["title"]
        for name in ("predictor", "loss", "told", "transfer", "contrast", "other_spaces"):
            # Parts of studies from before there were any are found again.
            if model[name] == getattr(MODELS["gp_proxies"], name):
                del model[name]
        if MODELS[self.model].method == "gp_proxies":
            # It has none, and parts of studies from before there were any are found again.
            del model["learned_weights"]
        found |= {"model": model, "seed": self.seed, "at": list(self.at), "design": list(self.design)}
        if self.others:
            found["others"] = [task.key for task in self.others]
        return found | ({"trees": self.trees} if MODELS[self.model].order else {})

    @property
    def title(self) -> str:
        """What messages call it."""
        if self.kind == "orders":
            return f"orders of {self.task.name}"
        return f"{self.kind} by {self.model} on {self.task.name}, seed {self.seed}"


class FusionStudyConfig(BaseModel):
    """What oracles would gain over the models as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: tuple[str, ...] = Field(_TASKS, description="benchmarks, wildcards allowed")
    runs: tuple[str, ...] = Field((), description="directories of finished runs; those on one task are one more task")
    feedback: str | None = Field(None, description="search signal; default: each benchmark's own")
    pool: Annotated[int, Field(ge=20)] | None = Field(
        2000, description="candidates of a task, drawn once at random; null: all of them"
    )
    pool_seed: NonNegativeInt = Field(0, description="of that draw, and of the folds of the oracles")
    seeds: PositiveInt = Field(20, description="number of seeds: of labels, and of searches")
    first_seed: NonNegativeInt = Field(0, description="the first of them")
    labels: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        (4, 8, 16, 32, 64), description="numbers of labels after which models are compared; half picked by proxies"
    )
    models: tuple[str, ...] = Field(
        tuple(name for name, model in MODELS.items() if model.compared and not model.first),
        description=f"models compared: {', '.join(MODELS)}",
    )
    search_models: tuple[str, ...] = Field(
        tuple(name for name, model in MODELS.items() if model.compared and model.order != "everything"),
        description="models that search; empty: no searches",
    )
    at: tuple[PositiveInt, ...] = Field(
        (8, 12, 16, 20, 25), description="numbers of evaluations after which searches are compared"
    )
    initial: PositiveInt = Field(4, description="size of the initial design of every search")
    initial_by_proxy: NonNegativeInt = Field(2, description="how many of it the proxies pick")
    baseline: str = Field("gp_proxies", description="the model that others are compared with")
    oracles: bool = Field(True, description="tables of what the orders of the oracles are worth alone")
    trees: PositiveInt = Field(100, description="of the forests of the oracles")

    @model_validator(mode="after")
    def _check(self) -> FusionStudyConfig:
        for key, names in (("models", self.models), ("search_models", self.search_models)):
            for name in names:
                if name not in MODELS:
                    raise UnknownNameError("model of the study of fusion", name, MODELS)
            if names and self.baseline not in names:
                raise ConfigError(key, list(names), f"must hold the baseline, {self.baseline}")
        for key, numbers in (("labels", self.labels), ("at", self.at)):
            if list(numbers) != sorted(set(numbers)):
                raise ConfigError(key, list(numbers), "must rise")
        if self.search_models and not self.at:
            raise ConfigError(
                "at", [], "says after how many evaluations searches are compared; give one number at least"
            )
        if self.initial_by_proxy > self.initial:
            raise ConfigError("initial_by_proxy", self.initial_by_proxy, f"is more than initial={self.initial}")
        return self

    @property
    def seed_range(self) -> range:
        """The seeds."""
        return range(self.first_seed, self.first_seed + self.seeds)

    def benchmarks(self) -> list[str]:
        """Names of the tables that match, in the order of the patterns."""
        tables = [n for n in benchmarks.names() if not benchmarks.trains(n)]
        return matching("benchmark with a table", self.tasks, tables)

    def parts(self, tasks: Sequence[Task]) -> list[Part]:
        """All parts, task by task; those that need no oracle come first."""
        found, design = [], (self.initial, self.initial_by_proxy)
        for task in tasks:
            if self.oracles:
                found.append(Part("orders", task, self.trees))
            elsewhere = tuple(other for other in tasks if other.group != task.group)
            others = {name: elsewhere if model.other_spaces else () for name, model in MODELS.items()}
            for name in self.models:
                found += [
                    Part("ranking", task, self.trees, name, seed, self.labels, others=others[name])
                    for seed in self.seed_range
                ]
            for name in self.search_models:
                found += [
                    Part("search", task, self.trees, name, seed, self.at, design, others[name])
                    for seed in self.seed_range
                ]
        return found


def load_fusion_study(path: Path | None, overrides: Sequence[str] = ()) -> FusionStudyConfig:
    """Read a YAML file (default: the defaults) and overrides such as ``seeds=4``; names are checked at once."""
    config = validated(FusionStudyConfig, read_settings(path, overrides))
    if config.tasks:
        config.benchmarks()
    elif not config.runs:
        raise ConfigError("tasks", [], "and runs are empty; name a benchmark or the directory of a run")
    return config
