"""Errors of evaluations that the caller makes: a function of theirs, or ask and tell."""

from __future__ import annotations

import re
from pathlib import Path

from po_nas.errors import PoNasError, short

__all__ = ["EvaluationsFailError", "ObjectiveValueError", "SessionEndedError", "TrialError", "kind_of_failure"]


def kind_of_failure(reason: str) -> str:
    """What failures of one kind have in common: numbers, such as those of shapes and seconds, differ between them."""
    return re.sub(r"\d+", "#", reason)


class ObjectiveValueError(PoNasError, TypeError):
    """What came of an evaluation is no number and no dict of numbers.

    `source` is the function, or who told; `came` says what came, in words.
    """

    def __init__(self, source: str, came: str, remedy: str = "expected a number, or a dict of numbers") -> None:
        self.source, self.came = source, came
        super().__init__(f"{source} returned {came}; {remedy}")


class TrialError(PoNasError, ValueError):
    """A trial that cannot be told: never asked for, told already, or of another search.

    `trial` is what was given: its number, where it has one.
    """

    def __init__(self, trial: object, reason: str) -> None:
        self.trial, self.reason = trial, reason
        super().__init__(f"trial {short(trial)} {reason}")


class SessionEndedError(PoNasError):
    """There is nothing more to ask for: the budget is spent, or the space is exhausted; `reason` says which."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"there is nothing more to ask for: {reason}")


class EvaluationsFailError(PoNasError):
    """All evaluations so far failed for the same reason, so that the search stopped; it may be resumed.

    `count` is the number of them, `reason` that of the last one, `directory` that of the run.
    """

    def __init__(self, count: int, reason: str, directory: Path) -> None:
        self.count, self.reason, self.directory = count, reason, directory
        super().__init__(
            f"all {count} evaluations failed alike, the last one: {reason}; po-nas status {directory} says where "
            "tracebacks are; mend the cause, then resume. Resumed as it is, it goes on until one more fails"
        )
