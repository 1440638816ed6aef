"""Lines of the same search beyond network and training function; with --write, docs/results/lines.md.

    python perf/lines/count.py [--write] [--run NAME=PYTHON …]

A search of six choices, two of which exist under one value of another alone, kept on disk. Lines that are neither empty
nor a comment count, those that import the training function do not. ``--run optuna=build/optuna/bin/python`` runs a
script with the interpreter of an environment that has the package, and says in the table that it ran; without it the
table says so of none.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _page

HERE = Path(__file__).parent
TASK = "from task import train"
SCRIPTS = {
    "po_nas": ("po-nas", "yes"),
    "optuna": ("Optuna", "by `if`"),
    "neps": ("NePS", "both are drawn, one is dropped"),
    "syne_tune": ("Syne Tune", "both are drawn, one is dropped"),
}


def lines(script: str) -> int:
    """Lines that count."""
    found = (line.strip() for line in (HERE / f"with_{script}.py").read_text(encoding="utf-8").splitlines())
    return sum(bool(line) and not line.startswith("#") and line != TASK for line in found)


def ran(script: str, python: str) -> str:
    """The version that ran, or why it did not."""
    distribution = {"po_nas": "po-nas", "neps": "neural-pipeline-search", "syne_tune": "syne-tune"}.get(script, script)
    ask = f"from importlib.metadata import version; print(version({distribution!r}))"
    version = subprocess.run([python, "-c", ask], capture_output=True, text=True).stdout.strip()
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([python, HERE / f"with_{script}.py"], cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        return f"{version}: failed"
    return f"{version}: ran"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write docs/results/lines.md")
    parser.add_argument("--run", nargs="*", default=[f"po_nas={sys.executable}"], help="NAME=PYTHON")
    given = parser.parse_args()
    pythons = dict(one.split("=", 1) for one in given.run)
    rows = [
        (
            name,
            lines(script),
            conditions,
            ran(script, pythons[script]) if script in pythons else "not run",
        )
        for script, (name, conditions) in SCRIPTS.items()
    ]
    page = [
        "# Lines of a search",
        "",
        "Regenerate with `python perf/lines/count.py --write --run po_nas=PYTHON optuna=PYTHON neps=PYTHON syne_tune=PYTHON`",
        "(interpreters of environments with each package).",
        "",
        "The same search of six choices, two of which exist under one value of another alone, by Bayesian optimisation, kept",
        "on disk: the scripts `perf/lines/with_*.py`, as ruff formats them. Lines that are neither empty nor a comment,",
        "beyond the network and the training function (`perf/lines/task.py`).",
        "",
        *_page.table(("package", "lines", "choices under others", "version"), rows),
    ]
    _page.publish("lines", page, given.write)


if __name__ == "__main__":
    main()
