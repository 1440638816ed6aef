"""The loss study in a preset, its tables and figures put into docs/loss_study.md and docs/results/loss_study/.

    python perf/loss_study.py [CONFIG.yaml] [--out runs/loss_study] [--workers 2]

Default: configs/studies/losses_medium.yaml, about two hours on two cores. An interrupted study goes on where it
stopped; finished trainings are kept in the output directory. Every training is a function of its seed, so the tables
can be reproduced with the pinned versions.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import _page  # noqa: F401 - one thread

from po_nas.commands.progress import ProgressBar
from po_nas.research.loss_study.design import load_loss_study
from po_nas.research.loss_study.figures import loss_figures
from po_nas.research.loss_study.results import LossResults
from po_nas.research.loss_study.run import run_loss_study
from po_nas.research.loss_study.tables import loss_tables

_ROOT = Path(__file__).parents[1]
_PAGE = _ROOT / "docs" / "loss_study.md"
_BEGIN, _END = "<!-- tables: made by perf/loss_study.py -->", "<!-- end of tables -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", default=_ROOT / "configs" / "studies" / "losses_medium.yaml")
    parser.add_argument("--out", type=Path, default=_ROOT / "runs" / "loss_study")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    config = load_loss_study(options.config)

    with ProgressBar("trainings") as bar:
        results = LossResults.of(run_loss_study(config, options.out, options.workers, bar.update))
    loss_figures(results, config, _ROOT / "docs" / "results" / "loss_study")
    head, _, rest = _PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    tail = rest.partition(_END)[2]
    tables = loss_tables(results, config)
    _PAGE.write_text(f"{head}{_BEGIN}\n\n{tables}\n{_END}{tail}", encoding="utf-8")
    print(_PAGE)


if __name__ == "__main__":
    main()
