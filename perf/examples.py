"""Runs the examples at their full size: writes what they find, in how long, to examples/README.md, and draws each run.

python perf/examples.py [NAME …]
"""

from __future__ import annotations

import importlib
import json
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from po_nas.reports.figures import save_figure
from po_nas.reports.run import load_run

FOLDER = Path(__file__).parents[1] / "examples"
NAMES = {
    "vit_digits": "validation accuracy",
    "tabular_mlp": "log loss over five folds",
    "char_gpt": "bits per character",
    "graph_network": "validation accuracy",
    "stages": "validation accuracy",
}
HEAD = (
    "| example | method | evaluations | measured | best | median of all | CPU time |\n|---|---|---|---|---|---|---|\n"
)


def row(name: str, out: Path) -> str:
    """Run one, on one thread, and draw it; its row of the table."""
    started = time.process_time()
    found = importlib.import_module(name).main(out=out)
    seconds = time.process_time() - started
    run = load_run(out)
    save_figure(run, FOLDER / "pictures" / f"{name}.png")
    values = [trial.validation for trial in run.told if trial.validation is not None]
    print(f"{name}: {found.validation:.4f} in {seconds:.0f} s: {json.dumps(found.incumbent)}", flush=True)
    return (
        f"| [{name}.py]({name}.py) | `{found.method}` | {found.evaluations} | {NAMES[name]} | {found.validation:.4f} "
        f"| {statistics.median(values):.4f} | {seconds:.0f} s |"
    )


def main(names: list[str]) -> None:
    """Run those that are named, else all, and replace their rows; the table ends the page."""
    torch.set_num_threads(1)
    sys.path.insert(0, str(FOLDER))
    (FOLDER / "pictures").mkdir(exist_ok=True)
    page = FOLDER / "README.md"
    with tempfile.TemporaryDirectory() as folder:
        for name in names or NAMES:
            new = row(name, Path(folder) / name)
            text = page.read_text(encoding="utf-8")
            assert HEAD in text, "the page has no such table"
            old = re.compile(rf"^\| \[{name}\.py\].*$", re.MULTILINE)
            text = old.sub(lambda _, new=new: new, text) if old.search(text) else f"{text.rstrip()}\n{new}\n"
            page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
