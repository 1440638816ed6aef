"""The contract of objectives: defaults, wrappers, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
import sys

import numpy as np
import pytest

import po_nas
from po_nas import benchmarks, spaces
from po_nas.core.objective import Metric, Objective, ObjectiveWrapper, Outcome, complete
from po_nas.core.proxy_source import ProxySource
from po_nas.errors import BudgetError, ConfigError, DataError, IncompleteObjectiveError, UnknownNameError
from po_nas.proxy_scores.combined import CombinedProxies, ProxyObjective, with_computed_proxies, with_proxies
from po_nas.proxy_scores.table import RecordedProxies
from po_nas.testing import ToyObjective

SPACE = spaces.get("nasbench201")


class Short(Objective):
    name = "mine/short"
    space = SPACE
    metric = Metric("a number", "")

    def evaluate(self, architecture, *, seed, fidelity=None):
        return Outcome.ok(float(sum(architecture.code)))


def _members(kind):
    return {name for name in {*vars(kind), *kind.__annotations__} if not name.startswith("_")}


def test_a_short_objective_is_searched(tmp_path):
    found = po_nas.search(benchmark=Short(), method="random", budget=3, out=tmp_path / "run")
    assert (found.evaluations, found.test, found.optimum_test) == (3, None, None)


def test_a_wrapper_forwards_all_of_the_contract():
    assert _members(Objective) - {"evaluate"} <= set(vars(ObjectiveWrapper))
    table = benchmarks.get("nasbench_graph/cora")
    wrapped = ObjectiveWrapper(table)
    for name in ("name", "space", "metric", "proxies", "costs_known", "fidelities", "distinct", "validation"):
        assert np.all(getattr(wrapped, name) == getattr(table, name))
    best = table.optimum_validation[1]
    assert wrapped.evaluate(best, seed=0) == table.evaluate(best)
    assert (wrapped.identity(best), wrapped.report(best)) == (table.identity(best), table.report(best))
    assert wrapped.optimum_test == table.optimum_test
    assert wrapped.protocol() == table.protocol()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda table: table,
        lambda table: with_proxies(table, table.proxies),
        lambda table: with_computed_proxies(table, ["params"]),
        lambda table: ProxyObjective(table, "params"),
    ],
)
def test_a_budget_in_costs_is_refused_where_there_are_none(wrap, tmp_path):
    """NAS-Bench-Graph has no training times; a limit in seconds of cost would never end the search."""
    objective = wrap(benchmarks.get("nasbench_graph/cora"))
    assert not objective.costs_known
    with pytest.raises(BudgetError):
        po_nas.search(benchmark=objective, method="random", budget={"max_cost_s": 10}, out=tmp_path / "run")


@pytest.mark.parametrize("metrics", [{"compute": ["params"]}, {"objective": "params"}])
def test_so_it_is_where_proxies_are_computed_or_the_goal(metrics, tmp_path):
    settings = {"benchmark": "nasbench_graph/cora", "method": "random", "budget": {"max_cost_s": 10}}
    with pytest.raises(BudgetError):
        po_nas.search(**settings, proxies=metrics, out=tmp_path / "run")


def _duck(**more):
    """An object with the methods and attributes of version 0.1, no subclass of `Objective`."""
    toy = ToyObjective(SPACE)
    parts = ("name", "space", "metric", "evaluate", "report", "identity", "protocol", "example_inputs")
    given = {part: getattr(toy, part) for part in parts}
    given |= {"distinct": None, "validation": None, "optimum_validation": None, "optimum_test": None}
    given |= {"costs_known": True, "fidelities": (), "proxies": None}
    return type("Duck", (), {k: staticmethod(v) if callable(v) else v for k, v in (given | more).items()})()


def test_a_complete_object_will_do_and_an_incomplete_one_is_told_what_it_lacks(tmp_path):
    duck = _duck()
    assert complete(duck).objective is duck
    assert po_nas.search(benchmark=duck, method="random", budget=2, out=tmp_path / "run").evaluations == 2
    del type(duck).proxies
    with pytest.raises(IncompleteObjectiveError) as caught:
        po_nas.search(benchmark=duck, method="random", budget=2, out=tmp_path / "other")
    assert (caught.value.kind, caught.value.missing) == ("Duck", "proxies")

    class Nameless(Short):
        @property
        def metric(self):
            raise AttributeError("forgotten")

    with pytest.raises(IncompleteObjectiveError) as caught:
        complete(Nameless())
    assert caught.value.missing == "metric"


class Doubled(ProxySource):
    names, origin = ("low", "high"), "made up"
    directions = {"low": -1}  # noqa: RUF012 - a constant

    def raw(self, architectures, names):
        values = np.array([float(sum(a.code)) for a in architectures])
        values[0] = np.inf
        return dict.fromkeys(names, values)


def test_names_signs_and_missing_scores_are_the_business_of_the_base_class():
    some = [SPACE.at(row) for row in (1, 2, 3)]
    found = Doubled().values(some, ("high", "low", "high"))
    assert found.shape == (3, 3)
    np.testing.assert_array_equal(found[:, 0], [np.nan, 2, 3])
    np.testing.assert_array_equal(found[:, 1], [np.nan, -2, -3])
    with pytest.raises(UnknownNameError):
        Doubled().values(some, ("hight",))
    assert Doubled().computed == 0


def test_two_sources_as_one():
    table = benchmarks.get("nasbench_graph/cora")
    rows = table.rows
    one = RecordedProxies.of(rows, {"a": np.arange(len(rows)), "b": np.ones(len(rows))}, "one", {"a": -1})
    two = RecordedProxies.of(rows, {"b": np.zeros(len(rows)), "c": np.arange(len(rows))}, "two", {"b": -1, "c": -1})
    both = CombinedProxies(one, two)
    assert both.names == ("a", "b", "c")
    found = both.values([rows.architecture(5)], ["c", "b", "a"])
    assert found.tolist() == [[-5, 1, -5]]


def test_columns_of_another_length_are_refused():
    table = benchmarks.get("nasbench_graph/cora")
    with pytest.raises(DataError):
        RecordedProxies.of(table.rows, {"a": [1.0]}, "mine")
    own = RecordedProxies.of(table.rows, {"a": np.ones(len(table.rows))}, "mine")
    assert dataclasses.replace(table, proxies=own).proxies is own


def test_a_goal_needs_proxy_scores():
    with pytest.raises(ConfigError):
        ProxyObjective(Short(), "params")
    with pytest.raises(UnknownNameError):
        ProxyObjective(benchmarks.get("nasbench_graph/cora"), "nonsense")


@pytest.mark.parametrize("value", [1e101, -sys.float_info.max, math.inf, math.nan])
def test_what_no_sum_of_squares_holds_is_a_failure(value):
    assert Outcome.ok(value).failure is not None
    assert Outcome.ok(1.0, size=1e200).metrics["size"] == 1e200


@pytest.mark.parametrize("method", ["gp_bo", "nsga2", "random"])
def test_a_search_goes_on_whatever_the_size_of_a_value(tmp_path, method):
    space = po_nas.declare("sizes", a=po_nas.Int(0, 5), b=po_nas.Int(0, 5))

    def train(config):
        worst = config["a"] == 2
        return {"acc": -sys.float_info.max if worst else config["b"], "t": 1e155 if config["a"] == 3 else config["a"]}

    found = po_nas.search(
        space=space,
        objective=train,
        method=method,
        budget=24,
        metric="acc",
        objectives={"acc": "max", "t": "min"},
        out=tmp_path,
    )
    assert found.evaluations == 24
    assert 0 < found.failed < 24
    assert json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)["hypervolume"] > 0
