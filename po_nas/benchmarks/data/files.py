"""Public files: address, hash, size, licence, the data sets that each feeds, and where they lie on this machine."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from po_nas.errors import ConfigError

__all__ = ["PublicFile", "cache_folder", "cached_file", "files_of", "mirror_folder", "public_files"]


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


def cache_folder() -> Path:
    """``PO_NAS_CACHE``, or the user's cache folder for po-nas. It is not created here."""
    chosen = os.environ.get("PO_NAS_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import pooch

    return Path(pooch.os_cache("po-nas"))


def cached_file(record: PublicFile) -> Path:
    """Where the cache keeps a public file."""
    return cache_folder() / "files" / record.mirror


def mirror_folder() -> Path | None:
    """``PO_NAS_DATA_MIRROR`` resolved against the current directory, or None; `ConfigError` when it is no folder."""
    chosen = os.environ.get("PO_NAS_DATA_MIRROR")
    if not chosen:
        return None
    folder = Path(chosen).expanduser().absolute()
    if not folder.is_dir():
        raise ConfigError("PO_NAS_DATA_MIRROR", chosen, f"{folder} is no folder; correct the variable or unset it")
    return folder
