"""How well the newer proxies order random architectures of several spaces, beside the figures that their papers print.

    python -m po_nas.research.proxy_correlation.newer configs/scores/newer_proxies.yaml --cache runs/newer.sqlite

Writes docs/results/new_proxies.md. Stopped at any time, it goes on where it was. One process, one thread.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

import proxies
from po_nas import benchmarks
from po_nas.benchmarks.base import Benchmark
from po_nas.core.settings import Settings, read_settings, validated
from po_nas.networks.base import OLD_OPTIONS
from po_nas.proxy_scores.computed import ComputedProxies
from po_nas.research import ranking
from po_nas.research.pages import fill_page
from po_nas.spaces.base import Architecture
from proxies.fusion import AZ_NAS, VKDNW, log_rank, oriented
from proxies.synthetic import synthetic_images

__all__ = ["PRINTED", "Line", "NewerRecipe", "chosen_rows", "convolution_lines", "lines", "page", "scores"]

F64 = NDArray[np.float64]

_STEP = 10
_RESAMPLES = 1000
_LEAST = 20
"""Architectures below which no figure is printed."""

_ON_ACTIVATIONS = ("nwot", "ncd_nwot", "swap", "ncd_swap", "near", "intrain")
_GROUPS = (("0 or 1", 0, 1), ("2", 2, 2), ("3", 3, 3), ("4 to 6", 4, 6))

_201 = ("nasbench201/cifar10", "nasbench201/cifar100", "nasbench201/imagenet16-120")
_101, _301 = "nasbench101/cifar10", "nasbench301/cifar10"


def _on_201(*figures: tuple[str, str]) -> dict[str, tuple[str, str]]:
    return dict(zip(_201, figures, strict=False))


PRINTED: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "near": {**_on_201((".70", ".88"), (".69", ".87"), (".66", ".84")), _101: (".52", ".70")},
    "vkdnw": _on_201((".618", ""), (".634", ""), (".622", ".814")),
    "log rank (VKDNW)": _on_201((".750", ""), ("", ""), (".743", ".906")),
    "log rank (AZ-NAS)": {
        **_on_201((".712", ".91"), (".696", ".90"), (".673", ".859")),
        _101: ("", ".54"),
        _301: ("", ".70"),
        "transnas_micro/class_object": ("", ".58"),
        "transnas_micro/class_scene": ("", ".79"),
    },
    "intrain": {**_on_201((".669", ""), (".671", ""), (".675", "")), _101: (".56", ".75")},
    "l_swag": _on_201(("", ".79"), ("", ".82"), ("", ".80")),
    "dextr": {**_on_201(("", ".90"), ("", ".91"), ("", ".87")), _101: ("", ".65"), _301: ("", ".44")},
    "wrcor": _on_201(("", ".812")),
    "reg_swap": _on_201(("", ""), ("", ".90")),
    "nwot": _on_201(("", ""), ("", ".80")),
    "zico": _on_201((".607", ""), (".614", ""), (".587", "")),
    "jacov": _on_201((".616", ""), (".639", ""), (".602", "")),
    "meco": _on_201(("", ".89")),
}
"""Published Kendall τ and Spearman ρ by score and benchmark, as printed; those of AZ-NAS, zico and jacov are the
re-runs in the papers of InTrain, VKDNW and L-SWAG. Papers differ in cells, images, batch and accuracy (validation or
test)."""


class _Part(BaseModel):
    """Proxies that are computed together, and for how many architectures."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    cells: PositiveInt
    proxies: tuple[str, ...]


class _Images(Settings):
    """Made-up images, the network's number of classes and its other options, and the benchmarks whose accuracies the
    scores are set against. `parts` takes the place of those of the recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    deprecated: ClassVar[Mapping[str, str]] = OLD_OPTIONS
    num_classes: PositiveInt
    size: PositiveInt
    samples: PositiveInt
    against: tuple[str, ...]
    network: Mapping[str, Any] = {}
    parts: tuple[_Part, ...] | None = None


class NewerRecipe(BaseModel):
    """Everything that decides the page. All parts are computed for the first set of images before the second begins."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    seed: NonNegativeInt = 0
    sets: Mapping[str, _Images]
    parts: tuple[_Part, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """Agreement of one score with one benchmark's test accuracies over `rows` architectures that have it.

    Intervals (low, high) are those of the central 95 % of 1,000 bootstrap resamples of the rows. The score is turned so
    that higher should be better.
    """

    score: str
    benchmark: str
    images: str
    rows: int
    asked: int
    kendall: float
    kendall_interval: tuple[float, float]
    spearman: float
    spearman_interval: tuple[float, float]


def chosen_rows(count: int, wanted: int, seed: int) -> NDArray[np.intp]:
    """The first `wanted` of a random order of the rows of a table."""
    return np.random.default_rng(seed).permutation(count)[:wanted]


def scores(recipe: NewerRecipe, name: str, cache: Path) -> dict[str, F64]:
    """Scores (cells,) of a set of images by proxy, each for as many of `chosen_rows` as its part has; NaN: none."""
    images = recipe.sets[name]
    benchmark = benchmarks.get(images.against[0])
    batch = synthetic_images(images.samples, images.num_classes, images.size, seed=recipe.seed)
    found: dict[str, F64] = {}
    for part in recipe.parts if images.parts is None else images.parts:
        rows = chosen_rows(len(benchmark.validation), part.cells, recipe.seed)
        cells: Sequence[Architecture] = [benchmark.rows.architecture(int(row)) for row in rows]
        live = ComputedProxies(
            benchmark.space,
            part.proxies,
            batch,
            network={"num_classes": images.num_classes, **images.network},
            cache=cache,
            init_seed=recipe.seed,
            seed=recipe.seed,
        )
        steps = []
        for start in range(0, len(cells), _STEP):
            steps.append(live.raw(cells[start : start + _STEP], part.proxies))
            print(f"{name}: {part.proxies[0]}, … of {start + _STEP} of {len(cells)}", flush=True)
        found |= {proxy: np.concatenate([step[proxy] for step in steps]) for proxy in part.proxies}
    return found


def _truth(benchmark: Benchmark) -> F64:
    """Test accuracies, or validation accuracies where the data that are here record no test."""
    return benchmark.validation if benchmark.test is None else benchmark.test


def _fused(columns: Mapping[str, F64]) -> dict[str, F64]:
    """The rank fusions whose members there are; ranks among the architectures that have all members."""
    found: dict[str, F64] = {}
    for name, members in (("log rank (AZ-NAS)", AZ_NAS), ("log rank (VKDNW)", VKDNW)):
        if set(members) <= set(columns):
            count = min(len(columns[member]) for member in members)
            turned = oriented({member: columns[member][:count] for member in members})
            whole = np.isfinite(turned).all(axis=1)
            found[name] = np.full(len(turned), np.nan)
            if whole.any():
                found[name][whole] = log_rank(turned[whole])
    return found


def lines(recipe: NewerRecipe, name: str, columns: Mapping[str, F64]) -> list[Line]:
    """Every score, and the fusions, against every benchmark that the images stand for."""
    images = recipe.sets[name]
    turned = {proxy: values * (proxies.spec(proxy).direction or 1) for proxy, values in columns.items()} | _fused(
        columns
    )
    found: list[Line] = []
    for against in images.against:
        benchmark = benchmarks.get(against)
        whole = _truth(benchmark)
        for score, column in turned.items():
            truth = whole[chosen_rows(len(whole), len(column), recipe.seed)]
            known = np.isfinite(column) & np.isfinite(truth)
            if known.sum() < _LEAST:
                continue
            values, accuracies = column[known], truth[known]
            rng = np.random.default_rng([recipe.seed, len(found)])
            draws = [rng.integers(len(values), size=len(values)) for _ in range(_RESAMPLES)]
            taus = [ranking.kendall(values[d], accuracies[d]) for d in draws]
            rhos = [ranking.spearman(values[d], accuracies[d]) for d in draws]
            found.append(
                Line(
                    score,
                    against,
                    name,
                    int(known.sum()),
                    len(truth),
                    ranking.kendall(values, accuracies),
                    _central(taus),
                    ranking.spearman(values, accuracies),
                    _central(rhos),
                )
            )
    return found


def convolution_lines(recipe: NewerRecipe, name: str, columns: Mapping[str, F64]) -> list[tuple[str, int, list[float]]]:
    """Groups of cells by their number of convolutions, their size, and τ of each of `_ON_ACTIVATIONS` within them.

    Against the first benchmark; this is what NCD is about.
    """
    benchmark = benchmarks.get(recipe.sets[name].against[0])
    whole = _truth(benchmark)
    rows = chosen_rows(len(whole), len(columns[_ON_ACTIVATIONS[0]]), recipe.seed)
    truth = whole[rows]
    convolutions = np.array(
        [benchmark.space.to_string(benchmark.rows.architecture(int(row))).count("conv") for row in rows]
    )
    found = []
    for label, low, high in _GROUPS:
        inside = (convolutions >= low) & (convolutions <= high)
        for score in _ON_ACTIVATIONS:
            inside &= np.isfinite(columns[score])
        taus = [ranking.kendall(columns[score][inside], truth[inside]) for score in _ON_ACTIVATIONS]
        found.append((label, int(inside.sum()), taus))
    return found


def _central(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def _number(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1)


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    return f"{_number(value)} ({_number(interval[0])} … {_number(interval[1])})"


def page(found: Sequence[Line]) -> str:
    """A table for each set of images and benchmark, the strongest score first."""
    parts = []
    for images, against in dict.fromkeys((line.images, line.benchmark) for line in found):
        here = [line for line in found if (line.images, line.benchmark) == (images, against)]
        parts += [
            f"## {against}, {images}",
            "",
            "| score | networks | τ, ours (95 %) | τ, published | ρ, ours (95 %) | ρ, published |",
            "|---|---:|---:|---:|---:|---:|",
        ]
        for line in sorted(here, key=lambda each: -each.kendall):
            tau, rho = PRINTED.get(line.score, {}).get(against, ("", ""))
            cells = f"{line.rows}" if line.rows == line.asked else f"{line.rows} of {line.asked}"
            ours = _with_interval(line.kendall, line.kendall_interval)
            other = _with_interval(line.spearman, line.spearman_interval)
            parts.append(f"| {line.score} | {cells} | {ours} | {tau} | {other} | {rho} |")
        parts.append("")
    return "\n".join(parts)


def main() -> None:
    """Compute what the cache lacks, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--cache", type=Path, required=True, help="scores so far, on a local disk")
    parser.add_argument("--out", type=Path, default=Path("docs/results/new_proxies.md"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = validated(NewerRecipe, read_settings(options.recipe))
    found: list[Line] = []
    columns = {name: scores(recipe, name, options.cache) for name in recipe.sets}
    for name in recipe.sets:
        found += lines(recipe, name, columns[name])
    tables = [page(found)]
    for name in recipe.sets:
        if not columns[name].keys() >= set(_ON_ACTIVATIONS):
            continue
        groups = convolution_lines(recipe, name, columns[name])
        tables += ["## τ among cells with as many convolutions", "", f"{recipe.sets[name].against[0]}, {name}.", ""]
        tables += [
            f"| convolutions | cells | {' | '.join(_ON_ACTIVATIONS)} |",
            "|---|---:" + "|---:" * len(_ON_ACTIVATIONS) + "|",
        ]
        tables += [f"| {label} | {size} | {' | '.join(map(_number, taus))} |" for label, size, taus in groups]
    maker = "python -m po_nas.research.proxy_correlation.newer"
    fill_page(options.out, maker, "\n".join(tables), "Newer proxies")
    print(options.out)


if __name__ == "__main__":
    main()
