"""What an objective may be asked for: order, costs, and what is asked again."""

import math
import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from po_nas import spaces
from po_nas.core.fidelities import Fidelities
from po_nas.core.searcher import Domain, Proposal, Searcher
from po_nas.errors import ConfigError, PoNasError
from po_nas.testing import ToyObjective

SPACE = spaces.get("transnas_micro")

ascending = st.lists(st.floats(0.001, 1e6), min_size=2, max_size=6, unique=True).map(sorted).map(tuple)


@given(ascending)
def test_costs_are_in_proportion_and_add_up(values):
    found = Fidelities(values)
    assert found.costs[-1] == 1 == found.cost(None)
    assert list(found.costs) == sorted(found.costs)
    steps = [found.cost(found.checked(high), low) for low, high in pairwise(values)]
    assert math.isclose(found.cost(found.checked(values[0])) + sum(steps), 1.0)
    assert Fidelities.of(found.to_json()) == found == pickle.loads(pickle.dumps(found))


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ([3, 1, 9], "1 comes after 3; write them ascending"),
        ([1, 1, 3], "1 comes after 1"),
        ([0, 3], "0 is no number above 0"),
        ([-1, 3], "-1 is no number above 0"),
        ([1, math.nan], "nan is no number above 0"),
        ([1, math.inf], "inf is no number above 0"),
        ([True, 3], "True is no number above 0"),
        (["1", 3], "'1' is no number above 0"),
        ("13", "must be a list of numbers"),
        ({"values": "13"}, "must be a list of numbers"),
        ({"values": 3}, "must be a list of numbers"),
        ({"values": [1, 3], "cost": [1]}, "unknown key; known keys: values, unit, costs, resumes"),
        ({"values": [1, 3], "resumes": "no"}, "must be True or False"),
        ({"values": [1, 3], "unit": 3}, "must be a word"),
        ({"values": [1, 3], "costs": [0.5]}, "are 1; give one for each fidelity"),
        ({"values": [1, 3], "costs": [0.5, 2]}, "must not fall, and end with 1"),
        ({"values": [1, 3, 9], "costs": [0.5, 0.4, 1]}, "must not fall, and end with 1"),
    ],
)
def test_what_is_refused(given_, message):
    with pytest.raises(ConfigError, match="fidelities") as caught:
        Fidelities.of(given_)
    assert message in str(caught.value)


def test_none_and_one_are_full_evaluations_alone():
    assert not Fidelities()
    assert not Fidelities((27,))
    assert Fidelities((27,)).full == 27
    assert Fidelities((1, 27)).checked(27) is None
    assert Fidelities((1, 27)).text(1) == "1 of 27"
    assert Fidelities((12, 200), "epochs").text(12) == "12 of 200 epochs"
    for wrong, found in ((2, Fidelities((1, 27))), (1, Fidelities()), (True, Fidelities((1, 27)))):
        with pytest.raises(ConfigError, match="fidelity"):
            found.checked(wrong)


class Climbing(Searcher):
    """Proposes what `steps` say: (place of the architecture, fidelity)."""

    steps = ()

    def propose(self, rng):
        place, fidelity = self.steps[self.asked]
        return Proposal(SPACE.at(place), "step", fidelity)

    @classmethod
    def uses_fidelities(cls, options):
        return True


def climbing(*steps, resumes=True):
    domain = Domain(SPACE, SPACE.to_string, fidelities=Fidelities((1, 3, 9), resumes=resumes))
    found = Climbing(domain, seed=4)
    found.steps = steps
    return found


def test_an_architecture_climbs_with_its_seed():
    searcher = climbing((5, 1), (5, 9), (6, None))
    low, high, other = searcher.ask(3)
    assert (low.fidelity, low.after, high.fidelity, high.after) == (1, None, None, 1)
    assert low.seed == high.seed == searcher.evaluation_seed(0) != other.seed
    assert [searcher.cost(t) for t in (low, high, other)] == pytest.approx([1 / 9, 8 / 9, 1])
    assert climbing((5, 1), (5, 9), resumes=False).ask(2)[1].after is None


@pytest.mark.parametrize("again", [(5, 3), (5, 1)])
def test_no_fidelity_twice_and_none_below(again):
    searcher = climbing((5, 3), again)
    searcher.ask()
    with pytest.raises(PoNasError, match="again"):
        searcher.ask()


def test_what_is_told_at_lower_fidelities_is_no_observation():
    objective = ToyObjective(SPACE)
    searcher = climbing((5, 1), (6, 9))
    for trial in searcher.ask(2):
        searcher.tell(trial.number, objective.evaluate(trial.architecture, seed=0, fidelity=trial.fidelity))
    assert [o.trial.number for o in searcher.observations] == [o.trial.number for o in searcher.successes] == [1]
    assert [o.trial.number for o in searcher.all_observations] == [0, 1]
    assert np.isfinite(searcher.scores(searcher.all_observations)).all()
