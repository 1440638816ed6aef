"""How the test run itself ends."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from tests.long_tests import long_tests

ROOT = Path(__file__).parents[1]

DEADLY = """
import os, pytest

@pytest.mark.parametrize("n", range(20))
def test_it(n):
    if n == 7:
        os.abort()
"""
OTHERS = """
import pytest

@pytest.mark.parametrize("n", range(20))
def test_it(n):
    pass
"""


def test_a_worker_that_dies_ends_the_run_by_the_name_of_its_test(tmp_path):
    """With the options of ``make test``, two workers and three files: without them pytest-xdist waits for ever."""
    said = subprocess.run(["make", "-n", "test"], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    (line,) = (line for line in said.splitlines() if "-m pytest" in line)
    options = shlex.split(line.partition("-m pytest")[2])
    options[options.index("auto")] = "2"
    for name, code in (("a", OTHERS), ("b", DEADLY), ("c", OTHERS)):
        (tmp_path / f"test_{name}.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
        capture_output=True, text=True, cwd=tmp_path, timeout=240,
    )  # fmt: skip
    assert done.returncode != 0
    assert "test_b.py::test_it[7]" in done.stdout


def test_the_list_of_long_tests_is_of_tests_that_there_are():
    kits = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "po_nas" / "testing").glob("*.py"))
    names = long_tests()
    assert names
    for name in names:
        file, *_, function = name.partition("[")[0].split("::")
        assert f"def {function}(" in (ROOT / file).read_text(encoding="utf-8") + kits, name
