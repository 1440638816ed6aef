"""How tests ask for an error: by its type and the data that it carries, not by the wording of its message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def check(error: BaseException, /, *names: object, **data: object) -> None:
    """Fail unless `error` carries `data` and its message has `names` (names, values, paths, commands; no sentences)."""
    found = {key: _plain(getattr(error, key)) for key in data}
    wanted = {key: _plain(value) for key, value in data.items()}
    assert found == wanted, f"the {type(error).__name__} carries {found}, not {wanted}"
    absent = [str(name) for name in names if str(name) not in str(error)]
    assert not absent, f"{absent} not in {str(error)!r}"


def _plain(value: object) -> object:
    """A path and its text are the same to a reader."""
    return str(value) if isinstance(value, Path) else value


@contextmanager
def raised(
    kind: type[BaseException] | tuple[type[BaseException], ...], /, *names: object, **data: object
) -> Iterator[pytest.ExceptionInfo[BaseException]]:
    """As `pytest.raises(kind)`, with `check` of what was raised."""
    with pytest.raises(kind) as caught:
        yield caught
    check(caught.value, *names, **data)


def one_line(printed: str, *names: object) -> None:
    """Fail unless `printed` is the one line of a refused command, and has `names` in it."""
    assert printed.startswith("po-nas: "), printed
    assert printed.endswith("\n"), printed
    assert printed.count("\n") == 1, printed
    absent = [str(name) for name in names if str(name) not in printed.removeprefix("po-nas: ")]
    assert not absent, f"{absent} not in {printed!r}"
