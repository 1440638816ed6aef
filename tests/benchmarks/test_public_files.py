"""The registry of public files, and what importing it costs."""

from __future__ import annotations

import re
import subprocess
import sys

from po_nas.benchmarks import data, registry
from po_nas.benchmarks.data.files import public_files
from po_nas.errors import UnknownNameError
from tests.errors import raised


def test_every_record_is_pinned_licensed_and_used():
    records = public_files()
    assert len({record.name for record in records}) == len(records)
    assert len({record.mirror for record in records}) == len(records)
    for record in records:
        match = re.fullmatch(r"https://raw\.githubusercontent\.com/([^/]+)/([^/]+)/([0-9a-f]{40})/(.+)", record.url)
        assert match, record.url
        owner, repository, commit, path = match.groups()
        assert record.mirror == f"{owner}__{repository}/{commit[:12]}/{path}"
        assert re.fullmatch("[0-9a-f]{64}", record.sha256)
        assert record.bytes > 0
        assert record.licence.partition(" (")[0] in ("Apache-2.0", "MIT", "ISC", "BSD-2-Clause", "CC-BY-4.0")
        assert record.datasets
        assert set(record.datasets) <= set(data.names())


def test_every_data_set_has_files_and_every_benchmark_a_data_set():
    for name in data.names():
        assert data.files_of(name)
    needed = {entry.spec.dataset for entry in registry.entries()} - {None}
    assert needed <= set(data.names())


def test_an_unknown_data_set_is_named():
    for call in (data.get, data.status, data.verify, data.convert, data.table):
        with raised(UnknownNameError, name="transnasbench", suggestion="transnasbench101"):
            call("transnasbench")


def test_importing_it_is_light():
    code = (
        "import sys, po_nas.benchmarks.data, po_nas.commands.data\n"
        "print(sorted({'pyarrow', 'pooch', 'requests', 'filelock', 'torch', 'rich.progress'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n"
