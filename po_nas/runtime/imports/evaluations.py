"""What another program has evaluated, before it is known to fit a space, and what can be wrong with it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any, Self

from po_nas.errors import DataError, FileError, short

__all__ = [
    "Evaluation",
    "Found",
    "ImportFileError",
    "LeftOut",
    "NothingFitsError",
    "number_of",
    "numbered",
    "read_text",
    "seconds_of",
    "told",
]


class ImportFileError(FileError, DataError):
    """A file or folder of evaluations that cannot be read as what it should be."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An evaluation that was not imported: where it is in its source, and why."""

    where: str
    reason: str


class NothingFitsError(DataError):
    """Evaluations of which none could be imported: `left_out` says of each where it is and why."""

    def __init__(self, source: str, space: str, left_out: Sequence[LeftOut]) -> None:
        self.source, self.space, self.left_out = source, space, tuple(left_out)
        if not left_out:
            super().__init__(f"{source} holds no evaluations")
            return
        reason, times = Counter(one.reason for one in left_out).most_common(1)[0]
        first = next(one.where for one in left_out if one.reason == reason)
        many = f"none of {len(left_out)} evaluations fits {space}"
        what = many if len(left_out) > 1 else f"its one evaluation does not fit {space}"
        others = f" (so are {times - 1} others)" if times > 1 else ""
        super().__init__(f"{source}: {what}; {first}: {reason}{others}")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation as its source tells it.

    Attributes:
        where: Its place in the source, such as ``line 7`` or ``trial 12``.
        values: Values of choices by the names that they have there.
        value: The search signal; None where it failed.
        failure: Why it failed; None where it did not.
        cost_s: Seconds that it took; 0 where nobody knows.
        attributes: What else is told of it, by name.
    """

    where: str
    values: Mapping[str, Any]
    value: float | None
    failure: str | None = None
    cost_s: float = 0.0
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """What a source holds, in its order.

    Attributes:
        evaluations: Those that are over, failed or not.
        left_out: Those of which there is nothing to import: still running, pruned, without a value.
        maximize: Whether higher is better; None where the source does not say.
        signal: What the value is called there.
    """

    evaluations: Sequence[Evaluation]
    left_out: Sequence[LeftOut]
    maximize: bool | None
    signal: str

    @classmethod
    def of(cls, everything: Iterable[Evaluation | LeftOut], maximize: bool | None, signal: str) -> Self:
        """What is found when all that a source holds has been looked at."""
        listed = list(everything)
        evaluations = [one for one in listed if isinstance(one, Evaluation)]
        return cls(evaluations, [one for one in listed if isinstance(one, LeftOut)], maximize, signal)


def numbered(where: str) -> list[tuple[int, str]]:
    """A key by which ``line 2`` is before ``line 10``."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", where)]


def number_of(given: object) -> float | None:
    """The number that a value is, or that a text says; NaN and infinite ones too. None for anything else."""
    if getattr(given, "shape", None) == () and callable(getattr(given, "item", None)):
        given = given.item()  # type: ignore[attr-defined]
    if isinstance(given, str):
        try:
            return float(given)
        except ValueError:
            return None
    return float(given) if isinstance(given, Real) and not isinstance(given, bool) else None


def seconds_of(given: object) -> float:
    """The seconds that a value says; 0 where it says none."""
    seconds = number_of(given)
    return seconds if seconds is not None and math.isfinite(seconds) and seconds >= 0 else 0.0


def told(
    where: str, values: Mapping[str, Any], given: object, cost: object, attributes: Mapping[str, Any]
) -> Evaluation | LeftOut:
    """The evaluation that has a value as its source writes it, or the reason why there is none.

    A value that is NaN or infinite is that of a failed evaluation, as in a search.
    """
    cost_s = seconds_of(cost)
    if given is None or given == "":
        return LeftOut(where, "it has no value")
    number = number_of(given)
    if number is None:
        return LeftOut(where, f"its value is {short(given)}, which is no number")
    if not math.isfinite(number):
        return Evaluation(where, values, None, f"its value was {number}", cost_s, attributes)
    return Evaluation(where, values, number, None, cost_s, attributes)


def read_text(path: Path) -> str:
    """The text of a file; `ImportFileError` where it cannot be had."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ImportFileError(path, f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ImportFileError(path, f"is no text in UTF-8 ({error.reason})") from error
