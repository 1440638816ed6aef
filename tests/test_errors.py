"""Errors name what is wrong and can be sent to another process."""

from __future__ import annotations

import inspect
import pickle

import pytest

from po_nas import errors
from po_nas.errors import PoNasError

EXAMPLES = {"int": 3, "float": 1.5, "Iterable[str]": ["a", "b"], "BaseException": OSError("gone"), "int | None": 7}
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
