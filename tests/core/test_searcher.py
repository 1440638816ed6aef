from __future__ import annotations

import warnings
from typing import ClassVar

import numpy as np
import pytest
from pydantic import Field, ValidationError

from po_nas import methods, spaces
from po_nas.core.objective import Outcome
from po_nas.core.searcher import STREAMS, Domain, MethodOptions, SharedCache, seed_sequence
from po_nas.core.settings import validated
from po_nas.errors import ConfigError

SPACE = spaces.get("transnas_micro")


def test_no_two_streams_coincide():
    """Neither the names among each other, nor with a trial's generator, nor with names that a plug-in chooses."""
    assert len(set(STREAMS.values())) == len(STREAMS)
    names = [*STREAMS, "mine", "yours", "Ties"]
    states = {tuple(seed_sequence(3, name, n).generate_state(4)) for name in names for n in range(3)}
    states |= {tuple(np.random.SeedSequence(3, spawn_key=(n,)).generate_state(4)) for n in range(3)}
    assert len(states) == 3 * len(names) + 3


def test_streams_keep_the_numbers_they_had():
    found = seed_sequence(7, "evolution", 12).generate_state(2)
    assert found.tolist() == np.random.SeedSequence(7, spawn_key=(12, 7)).generate_state(2).tolist()
    search = methods.registry.get("random")(Domain(SPACE, SPACE.canonical), seed=7)
    assert search.stream("ties").random() == np.random.default_rng(seed_sequence(7, "ties")).random()


def test_the_initial_design_counts_pending_trials_and_the_warm_start():
    search = methods.registry.get("random")(Domain(SPACE, SPACE.canonical), seed=0)
    search.tell_custom(SPACE.at(5), Outcome.failed("none"))
    search.ask(2)
    assert search.asked == search.initial_trials(3) == 2
    assert search.initial_design_done(3)
    assert not search.initial_design_done(4)
    assert not search.initial_design_done(3, successes=1)
    search.tell(0, Outcome.ok(1.0))
    assert search.initial_design_done(3, successes=1)
    assert SPACE.canonical(SPACE.at(5)) in search.seen
    assert len(search.seen) == 3


class Base(MethodOptions):
    deprecated: ClassVar = {"by": "initial_by"}

    initial_by: int = Field(1, description="of the base")


class Options(Base):
    deprecated: ClassVar = {"enough": "tolerance"}

    tolerance: float = Field(0.1, ge=0, description="of its own")


def test_old_names_of_options_are_understood_with_a_warning():
    with pytest.warns(FutureWarning) as caught:
        assert validated(Options, {"enough": 0.5, "by": 3}) == Options(tolerance=0.5, initial_by=3)
    assert len(caught) == 2
    assert {name for w in caught for name in ("tolerance", "initial_by") if name in str(w.message)} == {
        "tolerance",
        "initial_by",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert validated(Options, {"tolerance": 0.5}).tolerance == 0.5
    with pytest.raises(ConfigError):
        validated(Options, {"enough": 0.5, "tolerance": 0.5})
    with pytest.raises(ValidationError), pytest.warns(FutureWarning):
        Options(enough=-1.0)


@pytest.mark.parametrize(
    ("method", "old", "new"),
    [
        ("po_nas", {"by_metrics": 1}, {"initial_by_proxy": 1}),
        ("gp_proxies", {"by_metrics": 1}, {"initial_by_proxy": 1}),
        ("po_nas_paper", {"keys": "pooled", "start": "equal", "enough": 0.2}, {"loss_tolerance": 0.2}),
    ],
)
def test_the_names_of_version_0_1(method, old, new):
    kind = methods.registry.get(method).Options
    with pytest.warns(FutureWarning):
        options = kind(**old)
    assert {name: getattr(options, name) for name in new} == new


def test_a_cache_compares_objects_by_identity_and_keeps_few():
    cache, made = SharedCache(kept=2), []

    def get(objects, key, kind="a"):
        return cache.get(kind, objects, key, lambda: made.append((kind, key)) or len(made))

    first, twin = [1], [1]
    assert get((first,), "x") == get((first,), "x") == 1
    assert get((twin,), "x") == 2
    assert get((first,), "x") == 1
    assert get((first,), "y") == 3
    assert get((first,), "x", kind="b") == 4
    # That of the twin was not used for longest.
    assert get((first,), "x") == 1
    assert get((twin,), "x") == 5
