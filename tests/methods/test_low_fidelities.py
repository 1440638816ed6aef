"""Model-based search over fidelities: architectures climb one step at a time, and lower steps tell where to look."""

import numpy as np
import pytest

from po_nas import methods, spaces
from po_nas.core.fidelities import Fidelities
from po_nas.core.objective import Outcome
from po_nas.core.searcher import Domain
from po_nas.methods.candidates.low_fidelities import LowFidelities
from tests.methods.toy import CACHE, ToyMetrics

SPACE = spaces.get("transnas_micro")


def searcher(name="po_nas", resumes=True, seed=0):
    kind = methods.registry.get(name)
    fidelities = Fidelities((1, 3, 9), resumes=resumes)
    domain = Domain(SPACE, SPACE.to_string, proxies=ToyMetrics(SPACE), cache=CACHE, fidelities=fidelities)
    options = {"pool": 150, "initial": 6, "initial_by_proxy": 2, "fidelities": True}
    return kind(domain, seed=seed, options=kind.Options(**options))


def drive(found, value, n):
    trials = []
    for _ in range(n):
        (trial,) = found.ask()
        trials.append(trial)
        found.tell(trial.number, Outcome.ok(value(trial)))
    return trials


@pytest.mark.parametrize("name", ["po_nas", "gp_proxies"])
def test_what_is_good_early_is_evaluated_to_the_end(name):
    vectors = np.random.default_rng(3).normal(size=SPACE.vector_size)

    def quality(trial):
        return float(np.tanh(SPACE.encode_vector(trial.architecture) @ vectors))

    found = searcher(name)
    trials = drive(
        found, lambda trial: quality(trial) * (1 - 0.5 ** found.domain.fidelities.amount(trial.fidelity)), 36
    )
    steps = {step: [quality(t) for t in trials if (t.fidelity or 9) == step] for step in (1, 3, 9)}
    assert len(steps[1]) > len(steps[9]) >= 2
    assert np.mean(steps[9]) > np.mean(steps[1])
    climbed = [t for t in trials if t.fidelity != 1]
    assert {(t.fidelity or 9, t.after) for t in climbed} == {(3, 1), (9, 3)}


def test_what_is_left_to_pay():
    for resumes, expected in ((True, [1, 8 / 9, 6 / 9]), (False, [1 / 9 + 3 / 9 + 1, 3 / 9 + 1, 1])):
        found = searcher(resumes=resumes)
        low, candidates = LowFidelities(found), found.features().candidates
        assert low.costs_left(candidates) == pytest.approx(np.full(len(candidates), expected[0]))
        for step in (1, 3):
            place = 7
            found.restore(found.trial(found.asked, candidates.architectures[place], "test", step))
            assert low.costs_left(candidates)[place] == pytest.approx(expected[{1: 1, 3: 2}[step]])
            assert low.next_step(candidates.architectures[place]) == {1: 3, 3: 9}[step]
            assert low.costs_left(candidates)[place + 1] == pytest.approx(expected[0])


def test_what_lower_steps_expect_is_a_proxy():
    found = searcher()
    features = found.features()
    low = LowFidelities(found)
    rng = np.random.default_rng(0)
    assert low.added_to(features, rng) is features, "nothing was told yet"
    drive(found, lambda trial: float(SPACE.index(trial.architecture)), 4)
    added = low.added_to(features, rng)
    assert added.z.shape[1] == features.z.shape[1] + 1
    assert added.prior.sum() == pytest.approx(1)
    assert np.corrcoef(added.fused, added.z @ added.prior)[0, 1] == pytest.approx(1)
    places = features.candidates.positions(SPACE.to_string(o.trial.architecture) for o in found.all_observations)
    values = [SPACE.index(features.candidates.architectures[place]) for place in places]
    assert np.corrcoef(added.z[places, -1], values)[0, 1] > 0.6
