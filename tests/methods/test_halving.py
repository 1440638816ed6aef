"""Hyperband and ASHA do what their papers say."""

from collections import Counter

import pytest

from po_nas import methods, spaces
from po_nas.core.fidelities import Fidelities
from po_nas.core.objective import Outcome
from po_nas.core.searcher import Domain
from po_nas.errors import BudgetError, ConfigError, SearchExhaustedError
from po_nas.spaces.pool import PoolSpace
from po_nas.testing import ToyObjective

SPACE = spaces.get("transnas_micro")


def searcher(method, values=(1, 3, 9, 27, 81), budget=None, space=SPACE, **options):
    kind = methods.registry.get(method)
    domain = Domain(space, space.to_string, True, budget, fidelities=Fidelities(values))
    return kind(domain, seed=0, options=kind.Options(**options))


def run(found, evaluations, value=lambda trial: float(SPACE.index(trial.architecture))):
    trials = []
    for _ in range(evaluations):
        (trial,) = found.ask()
        found.tell(trial.number, Outcome.ok(value(trial)))
        trials.append(trial)
    return trials


def test_the_brackets_of_the_paper():
    """Table 1 of Li et al., JMLR 2018: R = 81, eta = 3."""
    paper = [
        {1: 81, 3: 27, 9: 9, 27: 3, 81: 1},
        {3: 34, 9: 11, 27: 3, 81: 1},
        {9: 15, 27: 5, 81: 1},
        {27: 8, 81: 2},
        {81: 5},
    ]
    trials = run(searcher("hyperband"), sum(sum(bracket.values()) for bracket in paper) + 81)
    for bracket in paper:
        part, trials = trials[: sum(bracket.values())], trials[sum(bracket.values()) :]
        assert Counter(trial.fidelity or 81 for trial in part) == bracket
        for low, high in zip(list(bracket), list(bracket)[1:], strict=False):
            places = {f: [SPACE.index(t.architecture) for t in part if (t.fidelity or 81) == f] for f in (low, high)}
            assert places[high] == sorted(places[low], reverse=True)[: bracket[high]]
    assert all(trial.fidelity == 1 for trial in trials), "the first bracket comes again"


def test_successive_halving_is_one_bracket():
    trials = run(searcher("hyperband", brackets=1), 2 * 121)
    assert Counter(trial.fidelity or 81 for trial in trials) == {1: 162, 3: 54, 9: 18, 27: 6, 81: 2}


def test_asha_promotes_the_best_third_at_once():
    found = searcher("asha", (1, 3, 9))
    trials = run(found, 60)
    rungs = {1: [], 3: [], 9: []}
    for trial in trials:
        here = trial.fidelity or 9
        below = {3: 1, 9: 3}.get(here)
        for rung, above in ((3, 9), (1, 3)):
            best = sorted(rungs[rung], key=SPACE.index, reverse=True)[: len(rungs[rung]) // 3]
            waiting = [a for a in best if a not in rungs[above]]
            if waiting:
                assert (here, trial.architecture) == (above, waiting[0])
                break
        else:
            assert below is None
        rungs[here].append(trial.architecture)
    assert all(rungs.values())


def test_nobody_waits_while_a_rung_is_evaluated():
    for method in ("asha", "hyperband"):
        found = searcher(method, (1, 3, 9))
        trials = found.ask(30)
        assert {t.fidelity for t in trials[:9]} == {1}
        assert not {t.fidelity for t in trials} - {1, 3, None}
        for trial in trials[:9]:
            found.tell(trial.number, Outcome.ok(float(trial.number)))
        assert found.ask()[0].architecture == trials[8].architecture


def test_what_failed_never_goes_on():
    for method in ("asha", "hyperband"):
        found, good = searcher(method, (1, 3, 9)), set()
        for number in range(60):
            (trial,) = found.ask()
            assert trial.fidelity == 1 or trial.architecture in good
            if trial.fidelity == 1 and number % 2:
                found.tell(trial.number, Outcome.failed("no"))
            else:
                good.add(trial.architecture)
                found.tell(trial.number, Outcome.ok(float(number)))
            if method == "hyperband" and number == 12:
                # The second bracket begins higher.
                break


def test_rungs_are_declared_fidelities():
    assert searcher("asha", tuple(range(1, 51))).rungs == (1, 5, 16, 50)
    assert searcher("asha", (12, 200)).rungs == (12, 200)
    assert searcher("asha", (4, 12, 36, 108)).rungs == (4, 12, 36, 108)
    assert searcher("asha", (4, 12, 36, 108), lowest=12).rungs == (12, 36, 108)
    assert searcher("asha", (1 / 9, 1 / 3, 1.0)).rungs == (1 / 9, 1 / 3, 1.0)


def test_what_is_refused():
    with pytest.raises(ConfigError, match=r"method.lowest=5.0: is none of 4, 12"):
        searcher("asha", (4, 12, 36, 108), lowest=5)
    with pytest.raises(ConfigError, match=r"method.eta=20: leaves no fidelity below 200"):
        searcher("hyperband", (12, 200), eta=20)
    with pytest.raises(BudgetError, match="no architecture would come to a full evaluation, before which 5 are spent"):
        searcher("hyperband", (1, 3, 9, 27, 81), budget=4)
    searcher("hyperband", (1, 3, 9, 27, 81), budget=5)


def test_of_a_small_space_the_best_go_on():
    few = PoolSpace(SPACE, [SPACE.at(place) for place in range(10)])
    for method in ("asha", "hyperband"):
        found = searcher(method, (1, 3), space=few)
        trials = []
        while True:
            try:
                (trial,) = found.ask()
            except SearchExhaustedError:
                break
            trials.append(trial)
            found.tell(trial.number, Outcome.ok(float(SPACE.index(trial.architecture))))
        assert len({t.architecture for t in trials}) == 10
        assert trials[-1].fidelity is None or method == "hyperband"
        assert sum(t.fidelity is None for t in trials) >= 4


def test_a_limit_decides_on_every_rung():
    objective = ToyObjective(SPACE, limited=True)
    kind = methods.registry.get("asha")
    domain = Domain(SPACE, SPACE.canonical, goals=objective.goals, fidelities=objective.fidelities)
    found = kind(domain, seed=1)
    for _ in range(40):
        (trial,) = found.ask()
        found.tell(trial.number, objective.evaluate(trial.architecture, seed=0, fidelity=trial.fidelity))
    full = [o.outcome for o in found.observations]
    assert full
    assert sum(objective.goals.feasible(o.metrics) for o in full) > len(full) / 2
