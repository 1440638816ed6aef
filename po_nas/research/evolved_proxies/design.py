"""What the study of evolved proxies runs: its configuration, and the cells that it unfolds into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, PositiveInt

from po_nas.core.settings import read_settings, validated
from po_nas.errors import ConfigError
from po_nas.research.evolved_proxies.symbolic import Settings, expand

__all__ = ["FITTED", "Cell", "EvolvedStudyConfig", "SearchPart", "Variant", "load_evolved_study"]

FITTED = ("best_single", "best_sum", "weighted_pso", "random_search", "ridge", "forest")
"""Baselines that learn from the same training rows, by the names of `po_nas.research.evolved_proxies.baselines`."""
Protocol = Literal["same_problem", "unseen_space", "final"]
"""Unseen rows of known problems; an unseen space; all spaces, for the formula that is shipped."""


def _listed(value: Any) -> Any:
    return tuple(value.split(",")) if isinstance(value, str) else value


class Variant(BaseModel):
    """One way to evolve: `settings` of the engine.

    With `validate_on` ``space`` every seed leaves one of its source spaces out of the training in turn, on which the
    final formula is chosen. With `shuffled` a problem is replaced by `copies` of it, in each of which some leaves,
    drawn at random, say nothing: a formula must not hang on one score, for on an unseen space any of them
    may be worthless.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    settings: dict[str, Any] = Field(default_factory=dict, description="of symbolic.Settings")
    validate_on: Literal["training", "space"] = Field("training", description="where the final formula is chosen")
    stratified: bool = Field(False, description="training rows drawn evenly from the tenths of accuracy")
    shuffled: float = Field(
        0.0, ge=0, lt=1, description="share of the leaves whose scores are shuffled in each copy of a training problem"
    )
    copies: PositiveInt = Field(1, description="of every training problem, where leaves are shuffled")
    shuffle: Literal["problem", "space"] = Field(
        "problem", description="whose leaves are drawn together; copies of a space then count as spaces of their own"
    )
    seeds: PositiveInt | None = Field(None, description="runs, where fewer than those of the study")
    same_problem: bool = Field(True, description="also run the same-problem protocol")


class SearchPart(BaseModel):
    """Searches with the proxy instead of accuracies, and with it as one more proxy."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    benchmarks: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    seeds: PositiveInt = 20
    evaluations: PositiveInt = Field(1000, description="of the proxy, in each search")
    reference: PositiveInt = Field(1000, description="random architectures that leaves are ranked against")
    formulas_from: str = Field("", description="variant whose formula, evolved without the space, is used")
    po_nas_seeds: NonNegativeInt = Field(0, description="searches by po_nas with and without the proxy, on each")
    po_nas_budget: PositiveInt = 50


_PLAIN = {"validate_on": "training", "same_problem": True, "shuffled": 0.0, "copies": 1, "shuffle": "problem"}
"""How the baselines of a variant learn."""


class Cell(BaseModel):
    """One run: an evolution, or the fit of a baseline.

    `held_out` is the space that nothing is learned from ("" in the same-problem protocol), `validation` the space that
    is left out of the training for the choice of the final formula ("" for none).
    """

    model_config = ConfigDict(frozen=True)
    protocol: Protocol
    held_out: str
    validation: str
    method: str
    settings: dict[str, Any]
    stratified: bool
    shuffled: float
    copies: int
    shuffle: str
    seed: int
    problems: tuple[str, ...]
    judged: tuple[str, ...]
    train: int
    evolves: bool

    @property
    def title(self) -> str:
        """What messages call it."""
        without = " and ".join(space for space in (self.held_out, self.validation) if space)
        return f"{self.method}, {self.protocol}{f' without {without}' if without else ''}, seed {self.seed}"

    @property
    def key(self) -> dict[str, Any]:
        """What the result depends on; the method's name counts for baselines alone, that of a variant is a label."""
        found = self.model_dump(mode="json")
        if self.evolves:
            found.pop("method")
        if self.shuffle == "problem":
            # Where it says nothing, keys are what they were before it could.
            found.pop("shuffle")
        return {"study": "evolved_proxies", "version": 1, **found}


class EvolvedStudyConfig(BaseModel):
    """Which problems, which ways to evolve, which baselines, how often."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "evolved proxies"
    problems: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        min_length=1, description="problems that are learned from and judged: names, families or wildcards"
    )
    judged: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        (), description="problems that are judged only"
    )
    seeds: PositiveInt = Field(31, description="runs of every variant and, where it applies, every held-out space")
    fitted_seeds: PositiveInt = Field(11, description="runs of every baseline that is fitted")
    train: PositiveInt = Field(200, description="architectures of a problem to learn from")
    train_unseen: PositiveInt = Field(120, description="the same where a space is held out")
    engine: dict[str, Any] = Field(default_factory=dict, description="settings that all variants share")
    variants: dict[str, Variant] = Field(min_length=1)
    fitted: tuple[str, ...] = Field(FITTED, description="baselines that learn from the same rows")
    fitted_as: str = Field("", description="variant whose leaves and fitness the baselines use")
    sums: dict[str, tuple[str, ...]] = Field(
        default_factory=lambda: {"flops+jacov+nwot": ("flops", "jacov", "nwot"), "flops+nwot": ("flops", "nwot")},
        description="untrained sums of the logarithms of ranks",
    )
    shipped: str = Field("", description="variant that the shipped formula is chosen from; default: the first")
    search: SearchPart = Field(default_factory=lambda: SearchPart.model_validate({}))

    def settings(self, label: str) -> Settings:
        """The engine's settings of a variant; `ConfigError` for one that there is not."""
        return engine_settings({**self.engine, **self.variants[label].settings})

    @property
    def learned(self) -> list[str]:
        """Names of the problems that are learned from."""
        return expand(self.problems)

    @property
    def everything(self) -> list[str]:
        """Names of all problems, those that are judged only last."""
        return list(dict.fromkeys([*self.learned, *(expand(self.judged) if self.judged else [])]))

    def cells(self, spaces: Mapping[str, str]) -> list[Cell]:
        """All cells over the problems that are present; `spaces` maps those to their search spaces.

        Seed by seed, so that what is finished at any time can be compared.
        """
        learned = [name for name in self.learned if name in spaces]
        found: list[Cell] = []
        base = self.fitted_as or next(iter(self.variants))
        for seed in range(self.seeds):
            for label, variant in self.variants.items():
                if seed < (variant.seeds or self.seeds):
                    found += self._unfold(label, variant, True, seed, learned, spaces)
            for method in self.fitted if seed < self.fitted_seeds else ():
                plain = self.variants[base].model_copy(update=_PLAIN)
                found += self._unfold(method, plain, False, seed, learned, spaces, base)
        return found

    def _unfold(
        self,
        label: str,
        variant: Variant,
        evolves: bool,
        seed: int,
        learned: Sequence[str],
        spaces: Mapping[str, str],
        base: str = "",
    ) -> list[Cell]:
        settings = {**self.engine, **self.variants[base or label].settings}
        judged = tuple(name for name in self.everything if name in spaces)
        common: dict[str, Any] = {
            "method": label,
            "settings": settings,
            "stratified": variant.stratified,
            "shuffled": variant.shuffled,
            "copies": variant.copies if variant.shuffled else 1,
            "shuffle": variant.shuffle,
            "seed": seed,
            "judged": judged,
            "evolves": evolves,
        }
        cells = []
        if variant.same_problem and variant.validate_on == "training":
            cells.append(
                Cell(
                    protocol="same_problem",
                    held_out="",
                    validation="",
                    problems=tuple(learned),
                    train=self.train,
                    **common,
                )
            )
        present = list(dict.fromkeys(spaces[name] for name in learned))
        validated_on_space = variant.validate_on == "space" and len(present) > 2
        for held_out in [*(present if len(present) > 1 else ()), *([""] if validated_on_space else [])]:
            sources = [space for space in present if space != held_out]
            validation = sources[seed % len(sources)] if validated_on_space else ""
            problems = tuple(n for n in learned if spaces[n] not in (held_out, validation))
            protocol: Protocol = "unseen_space" if held_out else "final"
            cells.append(
                Cell(
                    protocol=protocol,
                    held_out=held_out,
                    validation=validation,
                    problems=problems,
                    train=self.train_unseen,
                    **common,
                )
            )
        return cells


def engine_settings(values: Mapping[str, Any]) -> Settings:
    """Settings of the engine from a section of YAML; `ConfigError` for an unknown key or a wrong value."""
    return validated(Settings, values, prefix="engine.")


def load_evolved_study(path: Path | None, overrides: Sequence[str] = ()) -> EvolvedStudyConfig:
    """Read a YAML file and overrides such as ``seeds=3``; everything is checked before the first run."""
    config = validated(EvolvedStudyConfig, read_settings(path, overrides))
    for label in config.variants:
        config.settings(label)
    for option in ("shipped", "fitted_as"):
        name = getattr(config, option)
        if name and name not in config.variants:
            raise ConfigError(option, name, f"is none of the variants: {', '.join(config.variants)}")
    for method in config.fitted:
        if method not in FITTED:
            raise ConfigError("fitted", method, f"is no baseline; there are {', '.join(FITTED)}")
    expand(config.problems)
    return config
