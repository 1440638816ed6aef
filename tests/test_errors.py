"""Errors name what is wrong and can be sent to another process."""

from __future__ import annotations

import inspect
import pickle

import pytest

from po_nas import errors
from po_nas.errors import PoNasError
from tests.errors import check, one_line, raised

EXAMPLES = {
    "int": 3, "float": 1.5, "int | None": 7, "Iterable[str]": ["a", "b"], "Mapping[str, str]": {"a": "gone"},
    "BaseException": OSError("gone"),
}  # fmt: skip
KINDS = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, PoNasError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_arrives_as_it_was_sent(kind):
    own = inspect.isfunction(kind.__init__)  # others take what any exception takes
    parameters = list(inspect.signature(kind).parameters.values()) if own else []
    given = [EXAMPLES.get(str(p.annotation), "something") for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    error = kind(*(given or ["something"]))
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is kind
    assert str(found) == str(error)
    assert not str(found).startswith("("), "a sentence, not a tuple"
    assert repr(found.__dict__) == repr(error.__dict__)


def test_what_the_other_tests_ask_of_an_error():
    """They fail when another error comes, or other data, or a message without the names."""
    error = errors.ConfigError("budget", 0, "give 1 or more")
    check(error, "budget", 0, key="budget", value=0)
    for names, data in ((("seed",), {}), ((), {"key": "seed"}), ((), {"value": 1})):
        with pytest.raises(AssertionError):
            check(error, *names, **data)
    with pytest.raises(errors.ConfigError), raised(errors.DataError):
        raise error
    with pytest.raises(AssertionError), raised(errors.ConfigError, key="seed"):
        raise error
    one_line("po-nas: budget=0\n", "budget")
    for printed in ("budget=0\n", "po-nas: budget=0", "po-nas: budget=0\nand more\n", "po-nas: seed=0\n"):
        with pytest.raises(AssertionError):
            one_line(printed, "budget")
