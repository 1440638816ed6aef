"""The registry of public files: address, hash, size, licence, and the data sets that each feeds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["PublicFile", "files_of", "public_files"]


@dataclass(frozen=True, slots=True)
class PublicFile:
    """One public file, pinned to a commit of the repository that published it.

    `mirror` is its path below a mirror and below the cache's folder ``files``:
    ``<owner>__<repository>/<first 12 digits of the commit>/<path in the repository>``.
    """

    name: str
    url: str
    sha256: str
    bytes: int
    licence: str
    datasets: tuple[str, ...]
    mirror: str


@cache
def public_files() -> tuple[PublicFile, ...]:
    """All records of ``po_nas/benchmarks/public_files.json``."""
    records = json.loads((files("po_nas.benchmarks") / "public_files.json").read_text("utf-8"))
    return tuple(PublicFile(**{**record, "datasets": tuple(record["datasets"])}) for record in records)


def files_of(dataset: str) -> tuple[PublicFile, ...]:
    """The files that `dataset` is made of."""
    return tuple(record for record in public_files() if dataset in record.datasets)
