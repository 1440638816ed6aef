"""Published numbers to print beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from po_nas.compare.measures import MEASURES
from po_nas.core.settings import read_yaml
from po_nas.errors import ConfigError

__all__ = ["Published", "read_published"]


class Published(BaseModel):
    """One number of a paper: what it is of, and where it stands. `method` is its name there, `ours` a label of ours.

    `value` (and `spread`, when the paper prints one) in our unit: an accuracy, where a paper prints an error.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    benchmark: str
    method: str
    value: FiniteFloat
    spread: FiniteFloat | None = None
    measure: str = Field("test", pattern=f"^({'|'.join(MEASURES)})$")
    evaluations: int | None = None
    ours: str = ""
    source: str = Field(description="venue or arXiv id, and table")
    note: str = ""


def read_published(path: Path) -> list[Mapping[str, Any]]:
    """A YAML list of entries; `ConfigError` when it is none."""
    raw = read_yaml(path, "published")
    if not isinstance(raw, list):
        raise ConfigError("published", path, "must hold a list of {benchmark, method, measure, value, source}")
    return raw
