"""A made-up data set of one file, served from this machine, for tests of everything that can go wrong.

Run as a program it fetches and converts the data set: ``toy.py URL [fetch-limit in bytes]``.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import time
from collections.abc import Iterator
from types import ModuleType

import numpy as np

from po_nas.benchmarks import data
from po_nas.benchmarks.data import datasets, files
from po_nas.benchmarks.data.files import PublicFile
from po_nas.benchmarks.data.store import Column, Read, numbers

CONTENT = np.random.default_rng(0).bytes(100_000)
MIRROR = "owner__repo/0123456789ab/toy.bin"


def record(url: str) -> PublicFile:
    return PublicFile("toy.bin", url, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), "MIT", ("toy",), MIRROR)


def columns(read: Read) -> Iterator[Column]:
    """Eight times as large as the file, so that a disk can have room for one and not for the other."""
    content = read("toy.bin")
    if "TOY_HANGS" in os.environ:
        print("converting", flush=True)
        time.sleep(600)
    noise = np.random.default_rng(1).random(len(content))
    yield numbers("x", np.frombuffer(content, np.uint8) + noise, "search", "percent")
    yield Column("name", [f"row {k}" for k in range(len(content))], "id")


def install(url: str, setattr_: object = setattr) -> None:
    """Make the toy the only data set; a test passes ``monkeypatch.setattr`` so that it is taken back."""
    assert callable(setattr_)
    toy = ModuleType("po_nas.benchmarks.data.toy")
    toy.columns = columns  # type: ignore[attr-defined]
    sys.modules[toy.__name__] = toy
    setattr_(datasets, "_DATASETS", {"toy": datasets.Dataset("toy", "a toy", "toy:columns", 1, "none")})
    setattr_(files, "public_files", lambda: (record(url),))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    install(sys.argv[1])
    try:
        data.get("toy")
    except data.StorageError as error:
        print(f"StorageError: {error}")
        sys.exit(3)
    print("rows", len(data.table("toy")["x"]))
