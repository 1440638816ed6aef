"""What docs/declared_spaces.md prints is what runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "declared_spaces.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("own")
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        name = re.match(r"# file: (\S+)", block)
        assert name, "every example says which file it is"
        (found / name[1]).write_text(block, encoding="utf-8")
    (yaml,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (found / "own.yaml").write_text(yaml, encoding="utf-8")
    return found


def run(folder, *arguments):
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_search_from_python(folder):
    assert run(folder, sys.executable, "own_search.py").startswith('{"depth":')
    assert (folder / "runs/own/summary.json").is_file()


@pytest.mark.slow
def test_the_search_with_a_plug_in(folder):
    (command,) = re.findall(r"^po-nas (search --plugin .*)$", PAGE, re.MULTILINE)
    command = command.replace("budget=20", "budget=3")
    run(folder, sys.executable, "-m", "po_nas", *shlex.split(command), "--quiet", "--out", "runs/plugin")


@pytest.mark.slow
def test_the_search_in_yaml(folder):
    run(folder, *(sys.executable, "-m", "po_nas", "search", "own.yaml", "budget=3", "--quiet", "--out", "runs/yaml"))
