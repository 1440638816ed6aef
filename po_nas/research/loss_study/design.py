"""What the loss study trains and scores: its configuration, its presets, and the cases that these unfold into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, model_validator

from po_nas.core.settings import read_settings, validated
from po_nas.errors import ConfigError

__all__ = ["PAPER_LOSSES", "PRESETS", "Case", "LossChoice", "LossStudyConfig", "TaskChoice", "load_loss_study"]

_CHUNK = 10
"""Runs trained as one batched model. Part of a case's key: runs 0–9 of a 10-run study are those of a 30-run one."""

PAPER_LOSSES = ("mse", "hr", "lr", "mse_sr", "listmle", "ew", "mape", "warp")
OUR_LOSSES = (
    *("warp_homotopy", "weighted_lr", "top_vs_rest", "lambda_ndcg", "lambda_precision"),
    *("soft_topk", "soft_nk", "diff_kendall", "scheduled"),
)
_NB201 = ("nasbench201/cifar10", "nasbench201/cifar100", "nasbench201/imagenet16-120")
_TRANSNAS = ("class_object", "class_scene", "autoencoder", "jigsaw")


class TaskChoice(BaseModel):
    """A benchmark and how many of its architectures the predictor sees."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    benchmark: str
    train: Annotated[int, Field(ge=2)]


class LossChoice(BaseModel):
    """A registered loss; every further key is one of its hyper-parameters, `label` names it in tables."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str
    label: str = ""

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """What is passed to ``losses.get``."""
        return dict(self.model_extra or {})

    @property
    def title(self) -> str:
        """Name in tables: the label, or the name with its hyper-parameters."""
        given = ", ".join(f"{key}={value}" for key, value in self.hyperparameters.items())
        return self.label or (f"{self.name} ({given})" if given else self.name)


def _chosen(value: Any) -> Any:
    """A name alone stands for the loss without hyper-parameters, one loss for a list of one."""
    listed = [value] if isinstance(value, str) else value
    return [{"name": v} if isinstance(v, str) else v for v in listed] if isinstance(listed, (list, tuple)) else listed


_Losses = Annotated[tuple[LossChoice, ...], BeforeValidator(_chosen)]

_WARP_WEIGHTS = tuple(
    {"name": "warp", "weight": weight, "label": f"WARP, weight {weight}"}
    for weight in ("none", "gt", "exp_gt", "ranking")
)
_TASKS = (
    {"benchmark": "nasbench101/cifar10", "train": 424},
    *({"benchmark": name, "train": 156} for name in _NB201),
    *({"benchmark": f"transnas_micro/{task}", "train": 12} for task in _TRANSNAS),
    *({"benchmark": f"transnas_macro/{task}", "train": 10} for task in _TRANSNAS),
    {"benchmark": "nasbench_graph/cora", "train": 786},
)
_SWEEP = (
    *({"benchmark": _NB201[0], "train": n} for n in (16, 47, 78, 156, 469)),
    *({"benchmark": "nasbench_graph/cora", "train": n} for n in (26, 79, 131, 262, 786)),
)
PRESETS: Mapping[str, Mapping[str, Any]] = {
    # The main comparison alone, with three runs and the losses that matter most: minutes on two cores.
    "quick": {
        "runs": 3,
        "losses": (*PAPER_LOSSES, "lambda_ndcg", "scheduled"),
        "sweep": (),
        "weighting_tasks": (),
        "predictor_tasks": (),
    },
    "medium": {"runs": 10},
    "full": {"runs": 30},
}


class Case(BaseModel):
    """One batched training: a task, a predictor, a loss, and the seeds of its runs."""

    model_config = ConfigDict(frozen=True)
    task: TaskChoice
    feedback: str | None
    predictor: str
    loss: LossChoice
    steps: int
    first_seed: int
    runs: int

    @property
    def title(self) -> str:
        """What messages call it."""
        last = self.first_seed + self.runs - 1
        learned = f"{self.task.train} architectures of {self.task.benchmark}"
        return f"{self.loss.title} with {self.predictor} on {learned}, seeds {self.first_seed} to {last}"

    @property
    def key(self) -> dict[str, Any]:
        """What the results depend on; tables' labels are not part of it."""
        found = self.model_dump(mode="json")
        found["loss"].pop("label")
        return {"study": "losses", "version": 1, **found}


class LossStudyConfig(BaseModel):
    """Which losses are compared on which tasks, with how many runs.

    Sizes follow arXiv 2506.05869: 424 architectures of NAS-Bench-101, 156 (1 %) of NAS-Bench-201, 12 and 10 of
    TransNAS-Bench-101 micro and macro (0.3 %), 786 (3 %) of NAS-Bench-Graph; 30 runs in the preset ``full``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: Literal["quick", "medium", "full", "custom"] = Field("custom", description="values of all keys not given")
    runs: PositiveInt = Field(10, description="independent training sets and initialisations")
    steps: PositiveInt = Field(500, description="optimiser steps of a training")
    feedback: str | None = Field(None, description="labels to learn from; default: each benchmark's own")
    predictor: str = Field("gcn", description="the predictor of all comparisons but that of predictors")
    tasks: tuple[TaskChoice, ...] = Field(_TASKS, description="the main comparison", validate_default=True)
    losses: _Losses = Field((*PAPER_LOSSES, *OUR_LOSSES), description="losses compared", validate_default=True)
    sweep: tuple[TaskChoice, ...] = Field(_SWEEP, description="training sizes compared", validate_default=True)
    weighting_tasks: tuple[TaskChoice, ...] = Field(
        (_TASKS[1], _TASKS[2], _TASKS[3], _TASKS[-1]),
        description="where WARP's weights are compared",
        validate_default=True,
    )
    weightings: _Losses = Field(_WARP_WEIGHTS, description="weights compared", validate_default=True)
    predictor_tasks: tuple[TaskChoice, ...] = Field(
        (_TASKS[1],), description="where predictors are compared", validate_default=True
    )
    predictors: tuple[str, ...] = Field(("mlp", "gcn", "gat", "pinat"), description="predictors compared")
    predictor_losses: _Losses = Field(
        ("mse", "hr", "listmle", "warp", "weighted_lr", "top_vs_rest", "scheduled"),
        description="losses of the comparison of predictors",
        validate_default=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, raw: Any) -> Any:
        preset = raw.get("preset") if isinstance(raw, Mapping) else None
        return {**PRESETS.get(str(preset), {}), **raw} if preset else raw

    def groups(self) -> dict[str, list[Case]]:
        """The cases of each comparison; a case may belong to several."""
        return {
            "main": list(self._cases(self.tasks, (self.predictor,), self.losses)),
            "sweep": list(self._cases(self.sweep, (self.predictor,), self.losses)),
            "weightings": list(self._cases(self.weighting_tasks, (self.predictor,), self.weightings)),
            "predictors": list(self._cases(self.predictor_tasks, self.predictors, self.predictor_losses)),
        }

    def cases(self) -> list[Case]:
        """All different cases, those of a task together."""
        found = {str(case.key): case for cases in self.groups().values() for case in cases}
        return sorted(found.values(), key=lambda case: case.task.benchmark)

    def _cases(
        self, tasks: tuple[TaskChoice, ...], predictors: tuple[str, ...], chosen: tuple[LossChoice, ...]
    ) -> Iterator[Case]:
        for task in tasks:
            for predictor in predictors:
                for loss in chosen:
                    for first in range(0, self.runs, _CHUNK):
                        yield Case(
                            task=task,
                            feedback=self.feedback,
                            predictor=predictor,
                            loss=loss,
                            steps=self.steps,
                            first_seed=first,
                            runs=min(_CHUNK, self.runs - first),
                        )


def load_loss_study(path: Path | None, overrides: tuple[str, ...] = ()) -> LossStudyConfig:
    """Read a YAML file (default: the preset ``quick``) and overrides such as ``preset=medium`` or ``runs=3``."""
    raw = read_settings(path, overrides)
    if path is None:
        raw = {"preset": "quick", **raw}
    config = validated(LossStudyConfig, raw)
    _check_names(config)
    return config


def _check_names(config: LossStudyConfig) -> None:
    """Every name and hyper-parameter is checked before the first training."""
    import losses
    import surrogates
    from po_nas import benchmarks

    for task in (*config.tasks, *config.sweep, *config.weighting_tasks, *config.predictor_tasks):
        benchmarks.registry.entry(task.benchmark)
    for name in (config.predictor, *config.predictors):
        surrogates.registry.entry(name)
    for choice in (*config.losses, *config.weightings, *config.predictor_losses):
        try:
            losses.get(choice.name, **choice.hyperparameters)
        except ValueError as error:
            raise ConfigError("losses", choice.name, str(error)) from error
