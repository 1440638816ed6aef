"""What the scripts of this folder share: one thread, the machine in words, tables, and pages under docs/results/."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Libraries read these when they are imported: this module comes before them."""
os.environ.update(ONE_THREAD)

_LOAD = os.getloadavg()[0]


def machine(*packages: str) -> str:
    """Processor, cores, Python, versions of `packages`, and the load before the measurement."""
    from importlib.metadata import version

    versions = [f"{package} {version(package)}" for package in packages]
    words = [platform.machine(), f"{os.cpu_count()} cores", f"Python {platform.python_version()}", *versions]
    return ", ".join([*words, f"load before {_LOAD:.1f}"])


def table(header: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> list[str]:
    """A Markdown table; all but the first `left` columns are aligned to the right."""
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * left + "---:|" * (len(header) - left)]
    return [*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)]


def publish(name: str, lines: Sequence[str], write: bool = True) -> None:
    """Print a page, and write it to ``docs/results/NAME.md``."""
    text = "\n".join(lines).rstrip() + "\n"
    print(text, end="")
    if write:
        path = Path(__file__).parents[1] / "docs" / "results" / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
