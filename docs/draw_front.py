"""The front of the tutorial on several objectives: `python docs/draw_front.py` searches, and draws docs/front.png."""

from __future__ import annotations

import tempfile
from pathlib import Path

import po_nas
from po_nas.reports.front import draw_front
from po_nas.reports.run import load_run


def main(budget: int = 40, out: Path | None = None) -> None:
    """Search NAS-Bench-201 for accuracy and size with `gp_bo` and seed 0, and draw what was found."""
    with tempfile.TemporaryDirectory() as folder:
        po_nas.search(
            benchmark="nasbench201/cifar10",
            method="gp_bo",
            budget=budget,
            seed=0,
            objectives={"validation": "max", "params": "min"},
            out=f"{folder}/front",
        )
        draw_front(load_run(Path(folder) / "front")).savefig(out or Path(__file__).with_name("front.png"), dpi=150)


if __name__ == "__main__":
    main()
