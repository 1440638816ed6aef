"""CSV files, and the zip archives of JSON in which NAS-Bench-Suite-Zero published its scores."""

from __future__ import annotations

import ast
import csv
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from po_nas.errors import DataError

__all__ = ["SUITE", "ScoreRecord", "integers", "read_archive", "read_csv", "tuple_text"]


SUITE = ("epe_nas", "fisher", "grad_norm", "grasp", "jacov", "l2_norm", "nwot", "plain", "snip", "synflow")
"""The proxies of NAS-Bench-Suite-Zero that need networks of more than sizes."""


def read_csv(data: bytes) -> dict[str, list[str]]:
    """Columns of a CSV file as lists of strings, by header."""
    header, *rows = csv.reader(io.StringIO(data.decode("utf-8")))
    return {name: [row[position] for row in rows] for position, name in enumerate(header)}


def integers(text: str) -> tuple[Any, ...]:
    """A nested tuple of integers that was written as text."""
    return tuple(_tuples(value) for value in ast.literal_eval(text))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value


def tuple_text(text: str) -> str:
    """One spelling of a nested tuple of integers: round brackets, no blanks."""
    return str(integers(text)).replace(" ", "")


@dataclass(frozen=True, slots=True)
class ScoreRecord:
    """One score of one architecture: `score` as published (-1e8 for a failure), `seconds` it took, and the accuracy
    that was listed beside it (NaN where none was)."""

    space: str
    dataset: str
    index: int
    architecture: str
    metric: str
    score: float
    seconds: float
    accuracy: float


def read_archive(data: bytes, name: str) -> Iterator[ScoreRecord]:
    """Every record of an archive with members ``<metric>/benchmark--<space>--<dataset>--<first index>.json``."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                folder, _, base = member.rpartition("/")
                if not base.endswith(".json"):
                    continue
                metric = folder.rpartition("/")[2]
                _, space, dataset, _ = base.removesuffix(".json").split("--")
                for record in json.loads(archive.read(member)):
                    yield ScoreRecord(
                        space,
                        dataset,
                        int(record["idx"]),
                        record["arch"],
                        metric,
                        record[metric]["score"],
                        record[metric]["time"],
                        record.get("val_accuracy", float("nan")),
                    )
    except (zipfile.BadZipFile, LookupError, TypeError, ValueError) as error:
        raise DataError(f"{name}: not an archive of scores ({type(error).__name__}: {error})") from error
