"""For all tests: settings of hypothesis, public benchmark data, which are never downloaded, and clean registries."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import losses
import losses.classification
import proxies
import surrogates
import surrogates.networks
from po_nas import benchmarks, methods, networks, spaces
from po_nas.benchmarks import data
from po_nas.benchmarks.data.files import cache_folder
from po_nas.errors import MissingDataError
from po_nas.registry import Registry
from po_nas.reports import searches
from po_nas.runtime import executors
from po_nas.training import data_sets
from tests.long_tests import long_tests

REGISTRIES: tuple[Registry[Any], ...] = tuple(
    room.registry
    for room in (
        losses,
        losses.classification,
        proxies,
        surrogates,
        surrogates.networks,
        benchmarks,
        methods,
        networks,
        spaces,
        executors,
        data_sets,
    )
)

LONG_TESTS = long_tests()

WRITE_REPORT = searches.write_report

# A busy machine is slow to make examples, too.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark those that take long; before tests are chosen by their marks."""
    for item in items:
        if item.nodeid in LONG_TESTS:
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session", autouse=True)
def _data_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Hide the user's cache from all tests but those that ask for `public_data`; yields the cache of those."""
    mirror = os.environ.get("PO_NAS_DATA_MIRROR")
    shared = tmp_path_factory.mktemp("public-data") if mirror else cache_folder()
    with pytest.MonkeyPatch.context() as patch:
        if mirror:
            patch.setenv("PO_NAS_DATA_MIRROR", str(Path(mirror).absolute()))
        patch.setenv("PO_NAS_CACHE", str(tmp_path_factory.mktemp("empty-cache")))
        yield shared


@pytest.fixture
def public_data(_data_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Call it with the data sets that a test needs.

    They come from ``PO_NAS_DATA_MIRROR`` by the real way of fetching and converting, once per session, or from the
    user's cache; where neither has them the test is skipped with the command that gets them.
    """
    monkeypatch.setenv("PO_NAS_CACHE", str(_data_folders))

    def need(*datasets: str) -> None:
        for name in datasets:
            if os.environ.get("PO_NAS_DATA_MIRROR"):
                data.get(name)
            elif not data.is_available(name):
                pytest.skip(MissingDataError("this test", name).command)

    return need


@pytest.fixture(scope="session", autouse=True)
def _no_reports() -> Iterator[None]:
    """A report takes longer than most searches of tests; those that look for one ask for `reports_written`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searches, "write_report", lambda directory: None)
        yield


@pytest.fixture
def reports_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches write the report of their run, as they do outside of tests."""
    monkeypatch.setattr(searches, "write_report", WRITE_REPORT)


@pytest.fixture(scope="module", autouse=True)
def _nothing_stays_registered() -> Iterator[None]:
    """A name left in a registry would be seen by every later test, and only by those that run after it."""
    before = [set(registry.names()) for registry in REGISTRIES]
    yield
    left = {r.kind: r.names() for r in REGISTRIES}
    new = {r.kind: sorted(set(left[r.kind]) - known) for r, known in zip(REGISTRIES, before, strict=True)}
    assert not any(new.values()), {kind: names for kind, names in new.items() if names}
