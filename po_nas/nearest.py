"""Which known names are near an unknown one, for messages."""

from __future__ import annotations

import difflib

__all__ = ["did_you_mean", "names_listed", "near_names"]

_NEAR = 0.6
"""Similarity, 0 to 1, from which on two names are near: a letter or two apart."""
_LIKE = 3
"""Names that are told of all that have what was asked for as one of their parts."""
_MOST = 20
"""Names that a message lists; of more names with a slash it lists the families."""


def near_names(name: str, known: tuple[str, ...]) -> tuple[list[str], int]:
    """The known names nearest to `name`, and how many more are as near.

    Of names such as ``family/task`` all are near that have `name` as a part, those of fewest parts first; else all of
    which a part begins with it. Of others the one that is spelt most alike.
    """
    lowered = {k.lower(): k for k in known}
    wanted = name.lower()
    parted = sorted((k for k in known if "/" in k), key=lambda k: (k.count("/"), k))
    for fits in (wanted.__eq__, lambda part: part.startswith(wanted)):
        found = [k for k in parted if wanted and any(map(fits, k.lower().split("/")))]
        if found:
            return found[:_LIKE], max(0, len(found) - _LIKE)
    matches = difflib.get_close_matches(wanted, lowered, n=1, cutoff=_NEAR)
    return [lowered[match] for match in matches], 0


def did_you_mean(name: str, known: tuple[str, ...]) -> str | None:
    """A question about the known names nearest to `name`, None when nothing is near."""
    near, more = near_names(name, known)
    if not near:
        return None
    *first, last = map(repr, near)
    listed = f"{', '.join(first)} or {last}" if first else last
    return f"did you mean {listed}?" + (f" ({more} more have it in their names)" if more else "")


def names_listed(known: tuple[str, ...]) -> str:
    """All known names in one line, or the families of many such as ``family/task``."""
    families = {k.partition("/")[0] for k in known if "/" in k}
    if len(known) <= _MOST or not families:
        return ", ".join(known) or "none"
    return ", ".join(sorted({*(f"{family}/*" for family in families), *(k for k in known if "/" not in k)}))
