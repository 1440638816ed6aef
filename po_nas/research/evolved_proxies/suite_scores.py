"""Computing the scores that `po_nas.proxy_scores.packaged.sample_scores` reads; some seconds for each network.

    python -m po_nas.research.evolved_proxies.suite_scores configs/scores/suite_zero.yaml --cache runs/suite.sqlite

About half an hour on one core; stopped at any time, it goes on where it was.
"""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PositiveInt

from po_nas import spaces
from po_nas._version import __version__
from po_nas.core.settings import Settings, read_settings, validated
from po_nas.networks.base import OLD_OPTIONS
from po_nas.proxy_scores.computed import ComputedProxies
from po_nas.proxy_scores.packaged import SAMPLES, key_of
from po_nas.proxy_scores.tabulate import rounded
from po_nas.research.evolved_proxies.symbolic.sources import suite_architectures
from po_nas.spaces.base import Architecture
from proxies.synthetic import synthetic_images

__all__ = ["SuiteRecipe", "compute", "write"]

_STEP = 25


class SampleScores(Settings):
    """One space: options of its networks, the made-up images, and lists of proxies that are computed together."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    deprecated: ClassVar[Mapping[str, str]] = OLD_OPTIONS
    network: dict[str, Any]
    num_classes: PositiveInt
    size: PositiveInt
    samples: PositiveInt
    parts: tuple[tuple[str, ...], ...]


class SuiteRecipe(BaseModel):
    """Everything that decides the scores; spaces by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    samples: Mapping[str, SampleScores]


def compute(recipe: SuiteRecipe, cache: Path) -> Iterator[tuple[str, dict[int, Architecture], dict[str, Any]]]:
    """For each space: a representative of each class by key, and scores by name, in the order of the keys."""
    for name, sample in recipe.samples.items():
        space = spaces.get(name)
        representatives: dict[int, Architecture] = {}
        for architecture in suite_architectures(name):
            representatives.setdefault(int(key_of(architecture)), architecture)
        ordered = [representatives[key] for key in sorted(representatives)]
        images = synthetic_images(sample.samples, sample.num_classes, sample.size, seed=0)
        columns: dict[str, NDArray[np.float64]] = {}
        for names in sample.parts:
            live = ComputedProxies(space, names, images, network=sample.network, cache=cache)
            steps = range(0, len(ordered), _STEP)
            found = [live.raw(ordered[i : i + _STEP], names) for i in steps]
            columns |= {name: np.concatenate([step[name] for step in found]) for name in names}
            print(f"{name}: {', '.join(names)} of {len(ordered)} architectures", flush=True)
        yield name, representatives, columns


def write(
    found: Iterable[tuple[str, dict[int, Architecture], dict[str, Any]]], recipe: SuiteRecipe, path: Path
) -> None:
    """Write the ``.npz`` file; the same scores give the same bytes."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, representatives, columns in found:
        arrays[f"{name}/keys"] = np.array(sorted(representatives), dtype=np.uint64)
        arrays |= {f"{name}/{score}": rounded(np.asarray(values)) for score, values in columns.items()}
    origin = {"recipe": recipe.model_dump(mode="json"), "po_nas": __version__, "torch": torch.__version__.split("+")[0]}
    arrays["origin"] = np.array(json.dumps(origin, sort_keys=True))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(arrays):
            content = io.BytesIO()
            np.lib.format.write_array(content, arrays[name], allow_pickle=False)
            # A fixed date: zipfile would write the present one.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), zipfile.ZIP_DEFLATED)


def main() -> None:
    """Compute what the cache lacks, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--cache", type=Path, required=True, help="scores so far, on a local disk")
    parser.add_argument("--out", type=Path, default=Path("po_nas/proxy_scores") / SAMPLES)
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = validated(SuiteRecipe, read_settings(options.recipe))
    write(compute(recipe, options.cache), recipe, options.out)
    print(options.out)


if __name__ == "__main__":
    main()
