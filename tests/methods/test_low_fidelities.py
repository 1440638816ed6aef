"""Model-based search over fidelities: architectures climb one step at a time, and lower steps tell where to look."""

from dataclasses import replace

import numpy as np
import pytest

from po_nas import methods, spaces
from po_nas.core.fidelities import Fidelities
from po_nas.core.objective import Outcome
from po_nas.core.searcher import Domain
from po_nas.methods.candidates.low_fidelities import LowFidelities, with_proxy
from tests.methods.toy import CACHE, ToyMetrics

SPACE = spaces.get("transnas_micro")


def searcher(name="po_nas", resumes=True, seed=0, budget=None, steps=(1, 9, 81), **options):
    kind = methods.registry.get(name)
    fidelities = Fidelities(steps, resumes=resumes)
    domain = Domain(SPACE, SPACE.to_string, True, budget, proxies=ToyMetrics(SPACE), cache=CACHE, fidelities=fidelities)
    options = {"pool": 150, "initial": 6, "initial_by_proxy": 2, "fidelities": True} | options
    return kind(domain, seed=seed, options=kind.Options(**options))


def drive(found, value, n):
    trials = []
    for _ in range(n):
        (trial,) = found.ask()
        trials.append(trial)
        found.tell(trial.number, Outcome.ok(value(trial)))
    return trials


def prediction(found):
    features, rng = found.features(), np.random.default_rng(0)
    return found._low.prediction(
        features.candidates,
        lambda places, targets, waiting, below: found.model(features).predict(places, targets, rng, waiting, below),
    )


@pytest.mark.parametrize(
    ("name", "options"), [("po_nas", {}), ("gp_proxies", {}), ("gp_proxies", {"acquisition": "ucb"})]
)
def test_what_is_good_early_is_evaluated_to_the_end(name, options):
    vectors = np.random.default_rng(3).normal(size=SPACE.vector_size)

    def quality(trial):
        return float(np.tanh(SPACE.encode_vector(trial.architecture) @ vectors))

    found = searcher(name, **options)
    trials = drive(
        found, lambda trial: quality(trial) * (1 - 0.5 ** found.domain.fidelities.amount(trial.fidelity)), 90
    )
    steps = {step: [quality(t) for t in trials if (t.fidelity or 81) == step] for step in (1, 9, 81)}
    assert len(steps[1]) > len(steps[81]) >= 2
    assert np.mean(steps[81]) > np.mean(steps[1])
    climbed = [t for t in trials if t.fidelity != 1]
    assert {(t.fidelity or 81, t.after) for t in climbed} == {(9, 1), (81, 9)}


def test_lower_fidelities_come_first_for_a_share_of_the_budget():
    for budget, expected in ((None, 2.0), (20, 2.0), (4, 1.0), (1, 0.25)):
        found = searcher("gp_proxies", budget=budget, steps=(1, 10), resumes=False)
        spent = 0.0
        while (trial := found.ask()[0]).fidelity is not None:
            spent += found.cost(trial)
            found.tell(trial.number, Outcome.ok(float(SPACE.index(trial.architecture))))
        # The initial design is made whatever it costs.
        assert spent == pytest.approx(max(expected, 0.6), abs=0.1 + 1e-9)


def test_what_a_look_is_worth():
    """Nothing for what has been looked at; more where the lower fidelity is uncertain, and where it is believed."""
    found = searcher("gp_proxies", steps=(1, 10), resumes=False, initial=10)
    for trial in drive(found, lambda t: float(SPACE.index(t.architecture)), 10)[:5]:
        again = found.trial(found.asked, trial.architecture, "test", None)
        found.restore(again)
        found.tell(again.number, Outcome.ok(float(SPACE.index(trial.architecture))))
    features, low = found.features(), prediction(found)
    full = found.predict(features, np.random.default_rng(1), low=low)
    worth = found._low.worth(features.candidates, low, full)
    seen = features.candidates.positions(found.seen)
    assert np.all(np.isneginf(worth[seen]))
    others = np.setdiff1d(np.arange(len(worth)), seen)
    assert np.all(np.isfinite(worth[others]))
    certain = replace(low, deviation=low.deviation / 10)
    sure = found._low.worth(features.candidates, certain, full)
    assert np.all(sure[others] <= worth[others] + 1e-9)
    assert np.any(sure[others] < worth[others] - 0.1)
    unbelieved = full.hyperparameters._replace(predictor=np.zeros_like(full.hyperparameters.predictor))
    none = found._low.worth(features.candidates, low, replace(full, hyperparameters=unbelieved))
    assert np.all(none[others] <= worth[others] + 1e-9)


def test_what_is_left_to_pay():
    for resumes, expected in ((True, [1, 80 / 81, 72 / 81]), (False, [1 / 81 + 9 / 81 + 1, 9 / 81 + 1, 1])):
        found = searcher(resumes=resumes)
        low, candidates = LowFidelities(found), found.features().candidates
        assert low.costs_left(candidates) == pytest.approx(np.full(len(candidates), expected[0]))
        below = (9 if resumes else 10) / 81
        assert low.costs_left(candidates, 9) == pytest.approx(np.full(len(candidates), below))
        for step in (1, 9):
            place = 7
            found.restore(found.trial(found.asked, candidates.architectures[place], "test", step))
            assert low.costs_left(candidates)[place] == pytest.approx(expected[{1: 1, 9: 2}[step]])
            assert low.next_step(candidates.architectures[place]) == {1: 9, 9: 81}[step]
            assert low.costs_left(candidates)[place + 1] == pytest.approx(expected[0])


def test_what_lower_steps_expect():
    found = searcher()
    features = found.features()
    assert prediction(found) is None, "nothing was told yet"
    trials = drive(found, lambda trial: float(SPACE.index(trial.architecture)), 4)
    low = prediction(found)
    assert low.step == 1
    assert low.mean.mean() == pytest.approx(0)
    assert low.mean.std() == pytest.approx(1)
    places = features.candidates.positions(SPACE.to_string(t.architecture) for t in trials)
    values = [SPACE.index(features.candidates.architectures[place]) for place in places]
    assert np.corrcoef(low.mean[places], values)[0, 1] > 0.6
    others = np.setdiff1d(np.arange(len(low.mean)), places)
    assert low.deviation[places].mean() < low.deviation[others].mean()

    added = with_proxy(features, low.mean)
    assert added.z.shape[1] == features.z.shape[1] + 1
    assert added.prior.sum() == pytest.approx(1)
    assert np.corrcoef(added.fused, added.z @ added.prior)[0, 1] == pytest.approx(1)
