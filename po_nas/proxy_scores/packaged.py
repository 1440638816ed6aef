"""Proxy scores by our own engine that come with the package: of whole spaces, and of published samples."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas import spaces
from po_nas.core.settings import renamed
from po_nas.errors import DataError
from po_nas.networks.base import OLD_OPTIONS
from po_nas.proxy_scores.table import ScoreTable
from po_nas.spaces.base import Architecture

__all__ = ["SAMPLES", "OwnScores", "key_of", "packaged", "packaged_table", "sample_origin", "sample_scores"]

SAMPLES = "suite_scores.npz"
"""The file of scores of the architectures that NAS-Bench-Suite-Zero sampled."""
_ANY = "any"
"""The task of a table whose scores serve all tasks of its space."""


@dataclass(frozen=True)
class OwnScores:
    """Scores of the architectures of an enumerable space on several tasks.

    `classes` (rows,) is the class of isomorphic architectures of each row, in enumeration order; `tasks` maps a task to
    its scores by name, each (classes,), or (rows,) where isomorphic architectures differ, NaN where a score
    failed or was not computed. `origin` is JSON: the recipe and the versions that made them.
    """

    space: str
    classes: NDArray[np.unsignedinteger]
    tasks: Mapping[str, Mapping[str, NDArray[np.floating]]]
    origin: str

    def column(self, task: str, name: str) -> NDArray[np.float64]:
        """One score of every architecture, (rows,)."""
        values = self.tasks[task][name].astype(np.float64)
        return values if len(values) == len(self.classes) else values[self.classes]

    def score_table(
        self, benchmark: str, columns: Mapping[str, NDArray[np.float64]], notes: tuple[str, ...] = (), file: str = ""
    ) -> ScoreTable:
        """Columns (rows,) by name as the table of a benchmark; `file` is where the scores were read, if anywhere."""
        values = np.stack(list(columns.values()), axis=1)
        directions = self.made_by["directions"]
        return ScoreTable(
            benchmark,
            tuple(columns),
            values,
            np.full(values.shape, np.nan),
            f"po-nas {self.made_by['po_nas']}" + (f", {file}" if file else ""),
            notes,
            tuple(directions.get(name) or 1 for name in columns),
            self._further.intersection(columns),
        )

    @property
    def _further(self) -> frozenset[str]:
        """The names beyond those parts of the recipe that searches use by default."""
        recipe = self.made_by["recipe"]
        least = recipe.get("by_default")
        if least is None:
            return frozenset()
        return frozenset([*(name for part in recipe["parts"][least:] for name in part), *recipe["per_architecture"]])

    @property
    def made_by(self) -> dict[str, Any]:
        """`origin`, parsed, with the names that options have now."""
        return _parsed(self.origin)

    def write(self, path: Path) -> None:
        """Write an ``.npz`` file; the same scores give the same bytes."""
        arrays: dict[str, NDArray[Any]] = {"classes": self.classes, "origin": np.array(self.origin)}
        arrays |= {f"{task}/{name}": v for task, scores in self.tasks.items() for name, v in scores.items()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in sorted(arrays):
                content = io.BytesIO()
                np.lib.format.write_array(content, arrays[name], allow_pickle=False)
                # A fixed date: zipfile would write the present one.
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), zipfile.ZIP_DEFLATED)

    @classmethod
    def read(cls, source: Any, space: str | None = None) -> OwnScores:
        """Read such a file (a path or an open file); `space` is by default the one that it says.

        Raises `DataError` for a file that is none.
        """
        try:
            with np.load(source, allow_pickle=False) as content:
                tasks: dict[str, dict[str, NDArray[np.floating]]] = {}
                for key in content.files:
                    task, _, name = key.partition("/")
                    if name:
                        tasks.setdefault(task, {})[name] = content[key]
                origin = str(content["origin"])
                return cls(space or json.loads(origin)["recipe"]["space"], content["classes"], tasks, origin)
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(f"{source}: no table of scores ({error}); compute it again") from error


@cache
def packaged(space: str) -> OwnScores | None:
    """The table of a whole space that comes with the package, None where there is none."""
    resource = files("po_nas.proxy_scores") / f"{space}_scores.npz"
    if not resource.is_file():
        return None
    with resource.open("rb") as file:
        return OwnScores.read(file, space)


def packaged_table(
    benchmark: str, rows: slice | NDArray[np.intp], sizes: Mapping[str, NDArray[np.float64]], note: str
) -> ScoreTable:
    """The packaged scores of a benchmark, ``SPACE/TASK``.

    `rows` are the positions of its rows in the enumeration of the space, `sizes` its own columns (parameters and FLOPs
    in millions), `note` what to know about the scores. Raises `DataError` when the package has none of them.
    """
    space, _, task = benchmark.partition("/")
    found = packaged(space)
    task = _ANY if found is not None and _ANY in found.tasks else task
    if found is None or task not in found.tasks:
        raise DataError(f"no scores of {benchmark} come with this installation; install po-nas again")
    columns = {name: found.column(task, name)[rows] for name in sorted(found.tasks[task])} | dict(sizes)
    notes = (note, "a score that failed or was not computed is NaN: rank it last")
    return found.score_table(benchmark, columns, notes)


def key_of(architecture: Architecture) -> np.uint64:
    """A number that isomorphic architectures share and others, but for one chance in 10¹³, do not."""
    canonical = spaces.get(architecture.space).canonical(architecture)
    return np.uint64(int.from_bytes(blake2b(canonical.encode(), digest_size=8).digest(), "big"))


@cache
def _sample_content() -> dict[str, NDArray[Any]]:
    resource = files("po_nas.proxy_scores") / SAMPLES
    if not resource.is_file():
        return {}
    with resource.open("rb") as file, np.load(file, allow_pickle=False) as content:
        return {name: content[name] for name in content.files}


def sample_origin() -> dict[str, Any]:
    """The recipe of the scores and the versions that made them."""
    content = _sample_content()
    return _parsed(str(content["origin"])) if content else {}


def _parsed(origin: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(origin, object_hook=lambda told: renamed(told, OLD_OPTIONS, warn=False))
    return found


def sample_scores(architectures: Sequence[Architecture]) -> dict[str, NDArray[np.float64]]:
    """Scores (n,) by name of architectures of one space, as they come; NaN for those that the suite did not sample.

    Empty for a space whose sample was not scored.
    """
    content, space = _sample_content(), architectures[0].space
    if f"{space}/keys" not in content:
        return {}
    keys = content[f"{space}/keys"]
    wanted = np.array([key_of(a) for a in architectures], dtype=np.uint64)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    missing = keys[places] != wanted
    found = {}
    for name in sorted(content):
        where, _, score = name.rpartition("/")
        if where == space and score != "keys":
            values = content[name][places].astype(np.float64)
            values[missing] = np.nan
            found[score] = values
    return found
