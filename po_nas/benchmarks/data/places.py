"""Where public data lie on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from po_nas.benchmarks.data.files import PublicFile
from po_nas.errors import ConfigError

__all__ = ["cache_folder", "cached_file", "mirror_folder"]


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
