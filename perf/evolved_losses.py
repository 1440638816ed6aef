"""The evolutions of losses that docs/evolved_losses.md reports; writes that page and its figures.

    python perf/evolved_losses.py [--workers 2] [--runs runs/losses]

About an hour on two idle cores, of which half is the final comparison; goes on where it stopped. Both evolutions are
functions of their configuration (configs/evolved/losses_*.yaml), so the page can be made again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import _page  # noqa: F401 - one thread

from po_nas.commands.tables import ProgressBar
from po_nas.research.evolved_losses.config import load_evolve_loss
from po_nas.research.evolved_losses.report import make_report, write_markdown
from po_nas.research.evolved_losses.results import Evolved
from po_nas.research.evolved_losses.run import evolve_loss

ROOT = Path(__file__).parents[1]
NAMES = ("digits", "fashion")
INTRODUCTION = (ROOT / "perf" / "evolved_losses.md").read_text(encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=Path("runs/losses"))
    options = parser.parse_args()
    found = []
    for name in NAMES:
        config = load_evolve_loss(ROOT / "configs" / "evolved" / f"losses_{name}.yaml")
        with ProgressBar("trainings") as bar:
            evolve_loss(config, options.runs / name, options.workers, bar.update, options.runs / "shared")
        make_report(options.runs / name)
        found.append(Evolved.load(options.runs / name))
    for path in write_markdown(found, ROOT / "docs" / "evolved_losses.md", INTRODUCTION):
        print(path)


if __name__ == "__main__":
    main()
