"""Edits and edit distances of short integer sequences."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["levenshtein", "levenshtein_tables", "one_edit_away"]

_Sequence = tuple[int, ...]


def one_edit_away(sequence: _Sequence, alphabet: Sequence[int]) -> set[_Sequence]:
    """All sequences made by one replacement, insertion or deletion."""
    near = {sequence[:k] + sequence[k + 1 :] for k in range(len(sequence))}
    for letter in alphabet:
        near |= {(*sequence[:k], letter, *sequence[k + 1 :]) for k in range(len(sequence))}
        near |= {(*sequence[:k], letter, *sequence[k:]) for k in range(len(sequence) + 1)}
    return near - {sequence}


def _prefix_table(first: _Sequence, second: _Sequence) -> list[list[int]]:
    table = [list(range(len(second) + 1))]
    for i, a in enumerate(first):
        row = [i + 1]
        for j, b in enumerate(second):
            row.append(min(table[i][j + 1] + 1, row[j] + 1, table[i][j] + (a != b)))
        table.append(row)
    return table


def levenshtein(first: _Sequence, second: _Sequence) -> int:
    """Smallest number of replacements, insertions and deletions, whatever lies between."""
    return _prefix_table(first, second)[-1][-1]


def levenshtein_tables(first: _Sequence, second: _Sequence) -> tuple[list[list[int]], list[list[int]]]:
    """Levenshtein distances of all prefixes and of all suffixes.

    Entry [i][j] of the first table compares ``first[:i]`` with ``second[:j]``, of the second table ``first[i:]`` with
    ``second[j:]``. Their sum is the distance of the whole exactly where a best alignment cuts at (i, j).
    """
    backwards = _prefix_table(first[::-1], second[::-1])
    return _prefix_table(first, second), [row[::-1] for row in backwards[::-1]]
