"""Faults on the way of a public file into the cache: each is named, leaves nothing behind, and passes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from po_nas.benchmarks import data
from po_nas.benchmarks.data import datasets
from po_nas.errors import ConfigError, DataError, HashMismatchError, MissingDataError

from . import toy


def final(cache: Path) -> Path:
    return cache / "files" / toy.MIRROR


def assert_nothing_is_left(cache: Path) -> None:
    assert not final(cache).exists()
    assert not list(cache.rglob("*.part"))
    assert not data.is_available("toy")


def assert_next_call_works() -> None:
    data.get("toy")
    assert len(data.table("toy")["x"]) == len(toy.CONTENT)
    assert data.verify("toy") == []


def read_everything() -> None:
    table = data.table("toy")
    table.read(list(table))


def mirror_with(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "mirror" / toy.MIRROR
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    monkeypatch.setenv("PO_NAS_DATA_MIRROR", str(tmp_path / "mirror"))
    return file


def test_a_sound_file_is_fetched_once(toy_set, cache):
    data.get("toy")
    data.get("toy")
    assert toy_set.requests == 1
    assert final(cache).read_bytes() == toy.CONTENT
    assert data.status("toy").state == "converted"


def test_the_mirror_is_asked_before_the_network(toy_set, cache, tmp_path, monkeypatch):
    mirror_with(tmp_path, toy.CONTENT, monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PO_NAS_DATA_MIRROR", "mirror")
    assert_next_call_works()
    assert toy_set.requests == 0


def test_a_cache_serves_as_a_mirror(toy_set, cache, tmp_path, monkeypatch):
    data.get("toy")
    monkeypatch.setenv("PO_NAS_DATA_MIRROR", str(cache / "files"))
    monkeypatch.setenv("PO_NAS_CACHE", str(tmp_path / "second"))
    assert_next_call_works()
    assert toy_set.requests == 1


def test_what_the_mirror_lacks_comes_from_the_network(toy_set, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("PO_NAS_DATA_MIRROR", str(tmp_path))
    assert_next_call_works()
    assert toy_set.requests == 1


def test_a_mirror_that_is_no_folder(toy_set, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("PO_NAS_DATA_MIRROR", str(tmp_path / "mistyped"))
    with pytest.raises(ConfigError, match="mistyped"):
        data.get("toy")


def test_a_flipped_byte_in_the_mirror(toy_set, cache, tmp_path, monkeypatch):
    file = mirror_with(tmp_path, b"?" + toy.CONTENT[1:], monkeypatch)
    with pytest.raises(HashMismatchError, match="repair it or unset PO_NAS_DATA_MIRROR") as caught:
        data.get("toy")
    assert caught.value.path == file
    assert toy_set.requests == 0
    assert_nothing_is_left(cache)
    file.write_bytes(toy.CONTENT)
    assert_next_call_works()


def test_a_truncated_file_in_the_mirror(toy_set, cache, tmp_path, monkeypatch):
    mirror_with(tmp_path, toy.CONTENT[:-1], monkeypatch)
    with pytest.raises(data.TruncatedFileError, match="99,999 bytes, expected 100,000"):
        data.get("toy")
    assert_nothing_is_left(cache)
    monkeypatch.delenv("PO_NAS_DATA_MIRROR")
    assert_next_call_works()


def test_wrong_bytes_from_the_network(toy_set, cache):
    toy_set.content = toy.CONTENT[:-1] + b"?"
    with pytest.raises(HashMismatchError, match="run the command again"):
        data.get("toy")
    assert_nothing_is_left(cache)
    toy_set.content = toy.CONTENT
    assert_next_call_works()


@pytest.mark.parametrize("behaviour", ["breaks off", "missing"])
def test_a_download_that_fails(toy_set, cache, behaviour):
    toy_set.behaviour = behaviour
    with pytest.raises(data.DownloadError, match="run the command again") as caught:
        data.get("toy")
    assert caught.value.url == toy_set.url
    assert_nothing_is_left(cache)
    toy_set.behaviour = "good"
    assert_next_call_works()


def test_no_network(server, cache, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        toy.install(f"http://127.0.0.1:{closed.getsockname()[1]}/toy.bin", monkeypatch.setattr)
        with pytest.raises(data.DownloadError, match=r"ConnectionError.*PO_NAS_DATA_MIRROR"):
            data.get("toy")
    assert_nothing_is_left(cache)
    toy.install(server.url, monkeypatch.setattr)
    assert_next_call_works()


def test_a_damaged_file_in_the_cache_is_found_and_replaced(toy_set, cache):
    data.get("toy")
    final(cache).write_bytes(b"?" + toy.CONTENT[1:])
    (problem,) = data.verify("toy")
    assert str(final(cache)) in problem
    with pytest.raises(HashMismatchError, match="po-nas data get toy"):
        data.convert("toy")
    assert_next_call_works()
    assert toy_set.requests == 2


def test_a_cache_that_cannot_be_written(toy_set, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file" / "cache", Path("/proc/po-nas")):
        monkeypatch.setenv("PO_NAS_CACHE", str(folder))
        with pytest.raises(data.StorageError, match="set PO_NAS_CACHE"):
            data.get("toy")


def test_a_complete_cache_is_not_written_to(toy_set, cache, monkeypatch):
    data.get("toy")
    monkeypatch.setattr(datasets, "writing", None)
    data.get("toy")


def run_toy(url: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(toy.__file__)), url, *map(str, arguments)]
    return subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("limit", "fetched"), [(50_000, False), (300_000, True)], ids=["for the file", "for the table"]
)
def test_no_space(toy_set, cache, limit, fetched):
    process = run_toy(toy_set.url, limit)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 3, printed
    assert "cannot be written (" in printed
    assert "File too large" in printed
    assert final(cache).exists() == fetched
    assert not list(cache.rglob("*.part"))
    assert not data.is_available("toy")
    assert_next_call_works()


def test_killed_while_fetching(toy_set, cache):
    toy_set.behaviour = "hangs"
    process = run_toy(toy_set.url)
    deadline = time.monotonic() + 60
    while not any(part.stat().st_size for part in cache.rglob("*.part")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not final(cache).exists()
    toy_set.behaviour = "good"
    assert_next_call_works()
    assert not list(cache.rglob("*.part"))


def test_killed_while_converting(toy_set, cache):
    process = run_toy(toy_set.url, TOY_HANGS="1")
    assert process.stdout is not None
    assert process.stdout.readline() == "converting\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert data.status("toy").state == "files"
    assert_next_call_works()


def test_two_processes_at_once(toy_set, cache):
    processes = [run_toy(toy_set.url) for _ in range(2)]
    printed = [process.communicate(timeout=60)[0] for process in processes]
    assert printed == ["rows 100000\n"] * 2
    assert toy_set.requests == 1
    assert data.verify("toy") == []


def test_absent_data_name_the_command(toy_set, cache):
    with pytest.raises(MissingDataError, match="po-nas data get toy") as caught:
        data.table("toy", "some benchmark")
    assert caught.value.what == "some benchmark"
    with pytest.raises(MissingDataError, match="po-nas data get toy"):
        data.convert("toy")
    assert data.status("toy").state == "absent"
    assert len(data.verify("toy")) == 2


@pytest.mark.parametrize("position", [1000, -1000, -4])
def test_a_damaged_table_is_found(toy_set, cache, position):
    data.get("toy")
    path = data.status("toy").table
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)
    assert any("po-nas data convert toy" in problem for problem in data.verify("toy"))
    with pytest.raises(DataError, match="po-nas data convert toy"):
        read_everything()
    data.convert("toy")
    assert_next_call_works()


def test_a_new_version_replaces_the_old_table(toy_set, cache, monkeypatch):
    data.get("toy")
    old = data.status("toy").table
    newer = datasets.Dataset("toy", "a toy", "toy:columns", 2, "none")
    monkeypatch.setattr(datasets, "_DATASETS", {"toy": newer})
    assert data.status("toy").state == "files"
    shutil.copy(old, old.with_name("toys-000000000000.parquet"))
    data.get("toy")
    assert not old.exists()
    assert len(list(old.parent.iterdir())) == 2


def test_a_table_says_what_its_columns_are(toy_set, cache):
    data.get("toy")
    table = data.table("toy")
    assert list(table) == ["x", "name"]
    assert (table.role("x"), table.unit("x")) == ("search", "percent")
    assert table["name"][7] == "row 7"
    assert "y" not in table


@pytest.mark.parametrize("damage", ["cut", "footer", "empty", "inside"])
def test_a_damaged_table_is_made_again(toy_set, cache, damage):
    """What the footer tells is noticed by every `get`, the inside by a full one."""
    data.get("toy")
    path = data.status("toy").table
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "cut": whole[:middle] + whole[-1000:],
            "footer": whole[:-20] + b"\0" * 20,
            "empty": b"",
            "inside": whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :],
        }[damage]
    )
    data.get("toy", full=damage == "inside")
    assert data.verify("toy") == []
    assert path.read_bytes() == whole
    assert toy_set.requests == 1


@pytest.mark.parametrize("error", [ValueError, IndexError, RecursionError, NotImplementedError, UnicodeDecodeError])
def test_files_of_another_content_behind_the_right_hash(toy_set, cache, monkeypatch, error):
    def fails(read):
        raise error("utf-8", b"", 0, 1, "x") if error is UnicodeDecodeError else error("x")

    monkeypatch.setattr(sys.modules["po_nas.benchmarks.data.toy"], "columns", fails)
    with pytest.raises(DataError):
        data.get("toy")
