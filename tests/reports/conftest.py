"""Runs to report on: finished, in the middle, with failures, with nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import po_nas
from tests.runtime.helpers import Misbehaving

OPTIMUM_GRAPH = "nasbench_graph/proteins"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reports") / "finished"
    po_nas.search(
        benchmark=OPTIMUM_GRAPH, method={"name": "regularized_evolution", "population": 5, "sample": 2},
        budget=25, out=out,
    )  # fmt: skip
    return out


@pytest.fixture(scope="session")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reports") / "failing"
    po_nas.search(benchmark=Misbehaving("raise"), method="random", budget=20, seed=1, out=out)
    return out


def cut(whole: Path, out: Path, lines: int) -> Path:
    """The run as it was when its journal had so many lines."""
    shutil.copytree(whole, out)
    (out / "summary.json").unlink()
    journal = out / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:lines]))
    return out


@pytest.fixture
def running(finished: Path, tmp_path: Path) -> Path:
    """Five evaluations told, the sixth asked for."""
    return cut(finished, tmp_path / "running", 1 + 2 * 5 + 1)


@pytest.fixture
def empty(finished: Path, tmp_path: Path) -> Path:
    """Begun, and nothing asked for."""
    return cut(finished, tmp_path / "empty", 1)
