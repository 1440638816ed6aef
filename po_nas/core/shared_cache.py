"""What several searches of one process compute alike: lists of candidates, their encodings, pre-trained encoders."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

__all__ = ["SharedCache"]

T = TypeVar("T")


class SharedCache:
    """Results that searches of one benchmark share, found again by what they were made from.

    Whoever runs many searches hands one cache to all of them (`Domain.cache`); a search on its own has a fresh one.
    Nothing in it decides what a search proposes: it only saves computing the same again. It is not safe for threads.

    Args:
        kept: Results kept of each kind; the one that was not used for longest falls out first.
    """

    def __init__(self, kept: int = 4) -> None:
        self._kept = kept
        self._results: dict[str, OrderedDict[Hashable, tuple[tuple[object, ...], Any]]] = {}

    def get(self, kind: str, objects: tuple[object, ...], key: Hashable, make: Callable[[], T]) -> T:
        """The result of `make`, or of an earlier call with the same `kind`, `objects` and `key`.

        Args:
            kind: What the result is, such as ``"candidates"``; kinds do not push each other out.
            objects: What it is made from, compared by identity (a space, a proxy source); they need not be hashable.
            key: What else it depends on, compared by equality.
            make: Called without arguments when the result is not there.
        """
        results = self._results.setdefault(kind, OrderedDict())
        where = (tuple(map(id, objects)), key)
        if where not in results:
            # The objects are kept with the result, so that no other can have their ids.
            results[where] = objects, make()
            if len(results) > self._kept:
                results.popitem(last=False)
        results.move_to_end(where)
        found: T = results[where][1]
        return found
