"""Model-based search over fidelities: architectures climb one step at a time, and lower steps tell where to look."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from po_nas import methods, spaces
from po_nas.core.fidelities import Fidelities
from po_nas.core.objective import Outcome
from po_nas.core.searcher import Domain
from po_nas.errors import BudgetError, ConfigError
from po_nas.methods.candidates.low_fidelities import LowFidelities, with_proxy
from tests.errors import raised
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
    features = found.features()
    return found._ladder.prediction(features, found.model(features), np.random.default_rng(0))


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
    for budget, expected in ((None, 2.0), (20, 2.0), (4, 1.0), (3, 0.75)):
        found = searcher("gp_proxies", budget=budget, steps=(1, 10), resumes=False)
        spent = 0.0
        while (trial := found.ask(room=budget)[0]).fidelity is not None:
            spent += found.cost(trial)
            found.tell(trial.number, Outcome.ok(float(SPACE.index(trial.architecture))))
        # The initial design is made whatever it costs.
        assert spent == pytest.approx(max(expected, 0.6), abs=0.1 + 1e-9)


@pytest.mark.parametrize("steps", [(1, 10), (1, 3, 9, 27), (1, 9, 81)])
@pytest.mark.parametrize("resumes", [True, False])
def test_a_budget_that_ends_below_the_full_fidelity_is_refused(steps, resumes):
    """Whatever is not refused comes to a full evaluation."""
    refused, went = 0, 0
    for budget in (1, 2, 3, 4):
        try:
            found = searcher("gp_proxies", budget=budget, steps=steps, resumes=resumes, initial=2)
        except BudgetError:
            refused += 1
            continue
        went += 1
        room, full = float(budget), 0
        while trials := found.ask(room=room):
            room -= found.cost(trials[0])
            full += trials[0].fidelity is None
            found.tell(trials[0].number, Outcome.ok(float(SPACE.index(trials[0].architecture))))
        assert full
    assert refused
    assert went


@pytest.mark.parametrize("steps", [(), (9,)])
def test_without_lower_fidelities_they_are_refused(steps):
    with raised(ConfigError, key="fidelities", value=list(steps)):
        searcher(steps=steps)


def test_fidelities_that_are_near_each_other_are_used_all_the_same():
    assert searcher(steps=(5, 20))._ladder.steps == (5, 20)
    assert searcher(steps=(1, 2, 4, 8))._ladder.steps == (1, 8)
    assert searcher(steps=(1, 3, 9, 27))._ladder.steps == (3, 27)


def test_what_a_lower_fidelity_gains():
    """Nothing where it is known; more where it is uncertain, and where its coefficient is large."""
    found = searcher("gp_proxies", steps=(1, 10), resumes=False, initial=10)
    for trial in drive(found, lambda t: float(SPACE.index(t.architecture)), 10)[:5]:
        again = found.trial(found.asked, trial.architecture, "test", None)
        found.restore(again)
        found.tell(again.number, Outcome.ok(float(SPACE.index(trial.architecture))))
    features, low, ladder = found.features(), prediction(found), found._ladder
    full = found.predict(features, np.random.default_rng(1), low=low)
    gain = ladder.knowledge_gradient(features.candidates, low, full)
    seen = features.candidates.positions(found.seen)
    others = np.setdiff1d(np.arange(len(gain)), seen)
    assert np.all(np.isneginf(gain[seen]))
    assert np.all(np.isfinite(gain[others]))

    def less(low, full):
        less = ladder.knowledge_gradient(features.candidates, low, full)[others]
        return np.all(less <= gain[others] + 1e-9) and np.any(less < gain[others] - 0.1)

    assert less(replace(low, deviation=low.deviation / 10), full)
    samples = full.hyperparameters
    assert less(low, replace(full, hyperparameters=samples._replace(predictor=np.zeros_like(samples.predictor))))


def test_the_gain_is_that_of_the_highest_mean():
    """E max over all candidates after one of them has moved, minus the highest mean: by numerical integration."""
    found = searcher("gp_proxies", steps=(1, 10), resumes=False, initial=4)
    drive(found, lambda t: float(SPACE.index(t.architecture)), 4)
    features, low = found.features(), prediction(found)
    m = len(features.candidates)
    means = torch.tensor(np.random.default_rng(0).normal(size=m))
    samples = low.mixture.hyperparameters.at(np.zeros(1, dtype=np.intp))._replace(predictor=np.array([0.5]))
    above = replace(low.mixture, weights=torch.ones(1).double(), means=means[None], hyperparameters=samples)
    deviation = np.full(m, 0.8)
    gain = found._ladder.knowledge_gradient(features.candidates, replace(low, deviation=deviation), above)
    noise = np.random.default_rng(1).normal(size=200_000) * 0.5 * 0.8
    cost = np.log(0.1)
    for place in [int(means.argmax()), *np.flatnonzero(np.isfinite(gain))[:5]]:
        if np.isfinite(gain[place]):
            rest = float(np.delete(means.numpy(), place).max())
            expected = np.maximum(float(means[place]) + noise, rest).mean() - float(means.max())
            assert np.exp(gain[place] + cost) == pytest.approx(expected, abs=3e-3)


def test_what_failed_at_a_lower_fidelity_is_not_asked_for_again():
    found, failed = searcher("gp_proxies", steps=(1, 10), initial=4), set()
    for number in range(45):
        (trial,) = found.ask()
        assert SPACE.to_string(trial.architecture) not in failed
        if number % 3 == 0:
            failed.add(SPACE.to_string(trial.architecture))
            found.tell(trial.number, Outcome.failed("out of memory"))
        else:
            found.tell(trial.number, Outcome.ok(float(SPACE.index(trial.architecture))))
    assert found.successes


def test_two_full_evaluations_and_no_more_begin_at_once():
    found = searcher("gp_proxies", steps=(1, 10), resumes=False)
    while (trial := found.ask()[0]).fidelity is not None:
        found.tell(trial.number, Outcome.ok(float(SPACE.index(trial.architecture))))
    others = found.ask(6)
    assert sum(t.fidelity is None for t in others) == 1
    assert len({SPACE.to_string(t.architecture) for t in (trial, *others)}) == 7


def test_a_lower_fidelity_that_tells_nothing_is_left():
    """Noise at the lower fidelity: most of the budget goes to full evaluations."""
    noise = np.random.default_rng(5)
    found, room = searcher("gp_proxies", steps=(1, 16), resumes=False, budget=20, initial=4), 20.0
    full = 0.0
    while trials := found.ask(room=room):
        room -= found.cost(trials[0])
        full += trials[0].fidelity is None
        good = float(SPACE.index(trials[0].architecture))
        found.tell(trials[0].number, Outcome.ok(good if trials[0].fidelity is None else float(noise.normal())))
    assert full >= 12


@pytest.mark.parametrize("options", [{"predictor": {"every": 2, "members": 1, "steps": 5}}, {"acquisition": "ucb"}])
def test_where_nothing_competes_lower_fidelities_are_a_proxy(options):
    found = searcher("po_nas", steps=(1, 10), **options)
    trials = drive(found, lambda t: float(SPACE.index(t.architecture)), 22)
    assert sum(t.fidelity is None for t in trials) >= 5
    assert found.explain()["trust"]["proxies"] == list(found.features().candidates.names)


def test_in_a_space_that_cannot_be_listed_candidates_evolve_and_lower_values_count():
    space = spaces.get("darts")
    kind = methods.registry.get("po_nas")
    domain = Domain(
        space, space.to_string, True, 8, proxies=ToyMetrics(space), cache=CACHE, fidelities=Fidelities((1, 10))
    )
    options = {"pool": 60, "initial": 4, "initial_by_proxy": 0, "fidelities": True, "evolve_from": 6}
    found, room = kind(domain, seed=0, options=kind.Options(**options)), 8.0
    score = dict(zip(ToyMetrics(space).names, (1.0, -1.0, 0.5), strict=False))
    while trials := found.ask(room=room):
        room -= found.cost(trials[0])
        values = ToyMetrics(space).values([trials[0].architecture], list(score))[0]
        found.tell(trials[0].number, Outcome.ok(float(values @ list(score.values()))))
        if len(found.all_observations) == 4:
            low = prediction(found)
            assert low is not None, "random architectures are not among the sample, and count"
    assert len(found.observations) >= 4
    assert found.explain()["proxies"]["offspring_measured"] > 0
    # A generation costs proxy scores, so there is none for each of the many evaluations at the lower fidelity.
    full = {o.trial.number for o in found.observations}
    assert {number - 1 for number in found._evolution._generations} == {n for n in full if n >= 5}
    assert len(found.all_observations) > 2 * len(full)


def test_what_is_left_to_pay():
    for resumes, expected in ((True, [1, 80 / 81, 72 / 81]), (False, [1 / 81 + 9 / 81 + 1, 9 / 81 + 1, 1])):
        found = searcher(resumes=resumes)
        low, candidates = LowFidelities(found, 6), found.features().candidates
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
    assert low.mean.var() + (low.deviation**2).mean() == pytest.approx(1)
    places = features.candidates.positions(SPACE.to_string(t.architecture) for t in trials)
    values = [SPACE.index(features.candidates.architectures[place]) for place in places]
    assert np.corrcoef(low.mean[places], values)[0, 1] > 0.6
    others = np.setdiff1d(np.arange(len(low.mean)), places)
    assert low.deviation[places].mean() < low.deviation[others].mean()

    features, low = found.features(), prediction(found)
    added = with_proxy(features, low.mean)
    assert added.z.shape[1] == features.z.shape[1] + 1
    assert added.prior.sum() == pytest.approx(1)
    assert np.corrcoef(added.fused, added.z @ added.prior)[0, 1] == pytest.approx(1)


def test_what_a_lower_fidelity_tells_decides_on_full_evaluations():
    """Once there are two: what is best by far at the lower one is evaluated fully next, and nothing else tells that."""
    found = searcher("gp_proxies", steps=(1, 10), resumes=False)
    while len(found.successes) < 2:
        drive(found, lambda t: float(SPACE.index(t.architecture) % 97), 1)
    candidates = found.features().candidates
    worst = min(
        (a for a in candidates.architectures if not found.is_seen(a)),
        key=lambda a: ToyMetrics(SPACE).values([a], ToyMetrics(SPACE).names)[0].sum(),
    )
    trial = found.trial(found.asked, worst, "test", 1)
    found.restore(trial)
    found.tell(trial.number, Outcome.ok(1000.0))
    (trial,) = found.ask()
    assert (trial.architecture, trial.fidelity) == (worst, None)
