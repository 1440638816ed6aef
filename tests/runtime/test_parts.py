from __future__ import annotations

import subprocess
import sys
import textwrap

import pyarrow.parquet as pq

from po_nas.errors import RunDirectoryError
from po_nas.runtime.parts import Parts
from tests.errors import raised

A, B = {"study": "x", "n": 1}, {"study": "x", "n": 2}


def test_parts_come_back_in_the_order_asked_for(tmp_path):
    parts = Parts(tmp_path)
    parts.write(B, [{"v": 3.0}])
    parts.write(A, [{"v": 1.0}, {"v": 2.0, "note": "more columns"}])
    assert A in parts
    assert {"n": 1, "study": "x"} in parts
    assert {"study": "x", "n": 3} not in parts
    table = parts.gather([A, {"study": "x", "n": 3}, B], tmp_path / "all.parquet")
    assert table["v"].to_pylist() == [1.0, 2.0, 3.0]
    assert pq.read_table(tmp_path / "all.parquet").equals(table)


def test_a_part_is_replaced_as_a_whole(tmp_path):
    parts = Parts(tmp_path)
    parts.write(A, [{"v": 1.0}])
    parts.write(A, [{"v": 5.0}])
    assert parts.gather([A], tmp_path / "all.parquet")["v"].to_pylist() == [5.0]
    assert [p.suffix for p in parts.directory.iterdir()] == [".parquet"]


def test_a_writer_killed_at_any_time_leaves_no_half_part(tmp_path):
    # The writer kills itself between the bytes and the rename.
    script = """
        import os, signal, sys
        from pathlib import Path
        from po_nas.runtime.parts import Parts
        Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        Parts(Path(sys.argv[1])).write({"study": "x", "n": 1}, [{"v": 1.0}])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], check=False)
    assert done.returncode == -9
    parts = Parts(tmp_path)
    assert A not in parts
    parts.write(A, [{"v": 2.0}])
    assert parts.gather([A], tmp_path / "all.parquet")["v"].to_pylist() == [2.0]


def test_a_damaged_part_is_named(tmp_path):
    parts = Parts(tmp_path)
    parts.write(A, [{"v": 1.0}])
    (path,) = parts.directory.iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    with raised(RunDirectoryError, path=path):
        parts.gather([A], tmp_path / "all.parquet")


def test_nothing_to_gather(tmp_path):
    with raised(RunDirectoryError, path=tmp_path):
        Parts(tmp_path).gather([A], tmp_path / "all.parquet")
