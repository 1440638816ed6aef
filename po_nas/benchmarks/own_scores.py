"""Scores of a whole space that come with the package: the file, and what a benchmark reads from it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import DataError

__all__ = ["OwnScores", "packaged"]


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

    @property
    def made_by(self) -> dict[str, Any]:
        """`origin`, parsed."""
        parsed: dict[str, Any] = json.loads(self.origin)
        return parsed

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
    def read(cls, source: Any, space: str) -> OwnScores:
        """Read such a file (a path or an open file); `DataError` when it is none."""
        try:
            with np.load(source, allow_pickle=False) as content:
                tasks: dict[str, dict[str, NDArray[np.floating]]] = {}
                for key in content.files:
                    task, _, name = key.partition("/")
                    if name:
                        tasks.setdefault(task, {})[name] = content[key]
                return cls(space, content["classes"], tasks, str(content["origin"]))
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(f"{source}: no table of scores ({error}); compute it again") from error


@cache
def packaged(space: str) -> OwnScores | None:
    """The table of a space that comes with the package, None where there is none."""
    resource = files("po_nas.benchmarks") / f"{space}_scores.npz"
    if not resource.is_file():
        return None
    with resource.open("rb") as file:
        return OwnScores.read(file, space)
