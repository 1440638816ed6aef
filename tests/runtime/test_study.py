"""Parts of studies: one by one, in processes, in processes that die, interrupted."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from po_nas.errors import RunDirectoryError, RunLockedError, StudyError
from po_nas.runtime.parts import Parts
from po_nas.runtime.study import complete_parts, open_study


@dataclass(frozen=True)
class Number:
    n: int

    @property
    def title(self) -> str:
        return f"number {self.n}"

    @property
    def key(self):
        return {"study": "numbers", "n": self.n}


def square(part, directory, wrong=()):
    if part.n in wrong:
        raise ValueError(f"{part.n}\nwrong")
    Parts(directory).write(part.key, [{"n": part.n, "square": part.n**2}])


def dies(part, directory, deadly, late=()):
    if part.n in deadly:
        # Others are under way by then.
        time.sleep(0.1)
        os._exit(9)
    square(part, directory)
    if part.n in late:
        os._exit(9)


def only_once(part, directory):
    if not (directory / "died").exists():
        (directory / "died").touch()
        os._exit(9)
    square(part, directory)


def full(part):
    raise RunDirectoryError("/full", "cannot be written")


def squares(directory, count=6):
    return Parts(directory).gather([Number(n).key for n in range(count)], directory / "all.parquet")["square"]


@pytest.mark.parametrize("workers", [1, 2])
def test_parts_are_run_once_and_told(tmp_path, workers):
    numbers, told = [Number(n) for n in range(6)], []
    with open_study(tmp_path) as parts:
        square(numbers[2], tmp_path)
        work = partial(square, directory=tmp_path)
        complete_parts(numbers, work, parts, workers=workers, progress=told.append, remarks=("6 left",))
    assert squares(tmp_path).to_pylist() == [0, 1, 4, 9, 16, 25]
    assert [(p.done, p.total, p.failed, p.remarks) for p in told] == [(n, 6, (), ("6 left",)) for n in range(1, 7)]
    with open_study(tmp_path) as parts:
        complete_parts(numbers, partial(square, wrong=range(6), directory=tmp_path), parts, workers=workers)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_part_that_raises_stops_no_other(tmp_path, workers):
    numbers, told = [Number(n) for n in range(5)], []
    work = partial(square, directory=tmp_path, wrong=(1, 3))
    with open_study(tmp_path) as parts, pytest.raises(StudyError) as caught:
        complete_parts(numbers, work, parts, workers=workers, progress=told.append)
    assert caught.value.failed == {f"number {n}": f"ValueError: {n} wrong" for n in (1, 3)}
    assert caught.value.path == tmp_path
    assert squares(tmp_path).to_pylist() == [0, 4, 16]
    assert sorted(told[-1].failed) == [f"number {n}: ValueError: {n} wrong" for n in (1, 3)]


@pytest.mark.processes
def test_a_part_of_which_its_process_dies_stops_no_other(tmp_path):
    numbers = [Number(n) for n in range(6)]
    work = partial(dies, directory=tmp_path, deadly=(1, 4), late=(3,))
    with open_study(tmp_path) as parts, pytest.raises(StudyError) as caught:
        complete_parts(numbers, work, parts, workers=2)
    assert set(caught.value.failed) == {"number 1", "number 4"}
    assert squares(tmp_path).to_pylist() == [0, 4, 9, 25]


def test_a_part_is_tried_again_when_its_process_has_died(tmp_path):
    with open_study(tmp_path) as parts:
        complete_parts([Number(n) for n in range(3)], partial(only_once, directory=tmp_path), parts, workers=2)
    assert squares(tmp_path).to_pylist() == [0, 1, 4]


@pytest.mark.processes
def test_a_study_whose_every_part_dies_ends(tmp_path):
    work = partial(dies, directory=tmp_path, deadly=range(40))
    with open_study(tmp_path) as parts, pytest.raises(StudyError) as caught:
        complete_parts([Number(n) for n in range(40)], work, parts, workers=2)
    assert len(caught.value.failed) == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_a_result_that_cannot_be_kept_ends_the_study(tmp_path, workers):
    told = []
    with open_study(tmp_path) as parts, pytest.raises(RunDirectoryError) as caught:
        complete_parts([Number(n) for n in range(40)], full, parts, workers=workers, progress=told.append)
    assert caught.value.path == Path("/full")
    assert len(told) == 1


def looked_up(part, directory):
    return square(part, directory)


def test_plugins_are_loaded_in_workers(tmp_path):
    plugin = tmp_path / "study_plugin.py"
    plugin.write_text("from tests.runtime import test_study\ntest_study.square = lambda *_: 'by a plug-in'\n")
    work = partial(looked_up, directory=tmp_path / "out")
    with open_study(tmp_path / "out") as parts, pytest.raises(StudyError) as caught:
        complete_parts([Number(0), Number(1)], work, parts, workers=2, plugins=[str(plugin)])
    assert set(caught.value.failed.values()) == {"by a plug-in"}


def test_one_process_at_a_time_and_no_torn_files(tmp_path):
    torn = [tmp_path / "results.parquet.12.tmp", tmp_path / "parts/abc.parquet.12.tmp"]
    (tmp_path / "parts").mkdir()
    for path in [*torn, tmp_path / "mine.tmp"]:
        path.touch()
    with open_study(tmp_path):
        assert not any(path.exists() for path in torn)
        assert (tmp_path / "mine.tmp").exists()
        with pytest.raises(RunLockedError), open_study(tmp_path):
            pass
