"""Arguments of `po_nas.search`, `po_nas.resume` and `po_nas.Session` that cannot be used cost nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import po_nas
from po_nas import Int
from po_nas.errors import ConfigError, PoNasError
from tests.errors import raised

SPACE = po_nas.declare("s", a=Int(1, 6))


class Callback(po_nas.Callback):
    """One of the user's."""


class Silent(po_nas.Searcher):
    """Proposes nothing."""

    def propose(self, rng):
        return None


class Bare(po_nas.Searcher):
    """Proposes an architecture without saying why."""

    def propose(self, rng):
        return self.domain.space.sample(rng)


def search(where, /, **changed):
    calls = []

    def train(config):
        calls.append(config)
        return float(config["a"])

    arguments = {"space": SPACE, "objective": train, "method": "random", "budget": 3, "out": where} | changed
    try:
        return po_nas.search(**arguments)
    except PoNasError:
        assert not calls
        raise


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("method", value) for value in (None, 3, int)),
        *(("out", value) for value in (None, "", "a\0b", "x" * 300, 5)),
        *(("training", value) for value in ("x", {"epochs": 3})),
        *(("warm_start", value) for value in (5, [3])),
        *(("latency", value) for value in (5, {}, {"device": "cpu"})),
        ("executor", 5),
        *(("callbacks", value) for value in (print, [print], [Callback], Callback())),
        *(("metric", value) for value in (["a"], None, "")),
        *(("known_metrics", value) for value in ([1], "area")),
        ("feedback", "full"),
        ("objectives", ["acc", "sec"]),
        ("constraints", ["acc"]),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_spent(tmp_path, key, value):
    with raised(ConfigError, key=key):
        search(tmp_path / "run", **{key: value})
    assert not (tmp_path / "run").exists()


def test_a_known_metric_is_a_function(tmp_path):
    with raised(ConfigError, key="known_metrics.area", value=5):
        search(tmp_path / "run", known_metrics={"area": 5})


@pytest.mark.parametrize("key", ["out", "callbacks", "known_metrics"])
def test_a_session_refuses_the_same(tmp_path, key):
    with raised(ConfigError, key=key):
        po_nas.Session(**{"space": SPACE, "method": "random", "budget": 3, "out": tmp_path / "run"} | {key: 5})
    assert not (tmp_path / "run").exists()


def test_whole_numbers_of_numpy_will_do(tmp_path):
    found = search(tmp_path / "run", budget=np.int64(4), seed=np.int32(3))
    assert (found.evaluations, found.seed) == (4, 3)


def test_numbers_of_numpy_will_do_in_settings(tmp_path):
    budget = {"max_evaluations": np.int64(4), "max_cost_s": np.float64(1e6)}
    method = {"name": "regularized_evolution", "population": np.int64(3), "sample": np.int32(2)}
    assert search(tmp_path / "run", budget=budget, method=method).evaluations == 4


@pytest.mark.parametrize(
    "key", ["fidelities", "budget", "seed", "objectives", "constraints", "proxies", "warm_start", "out", "method",
            "metric", "executor", "batch", "known_metrics", "callbacks", "space", "objective", "latency", "training",
            "feedback"],
)  # fmt: skip
def test_arrays_are_refused_in_a_sentence(tmp_path, key):
    arguments = {"space": SPACE, "objective": len, "method": "random", "budget": 3, "out": tmp_path / "run"}
    with raised(ConfigError) as caught:
        po_nas.search(**arguments | {key: np.array([1, 3])})
    assert caught.value.key.partition(".")[0] == key
    with pytest.raises(PoNasError):
        po_nas.search(benchmark=np.array([1, 3]), method="random", budget=3, out=tmp_path / "run")


@pytest.mark.parametrize("kind", ["search", "Session"])
@pytest.mark.parametrize("name", ["size", "validation"])
def test_a_known_metric_that_nothing_is_about_is_refused(tmp_path, kind, name):
    own = {"objective": lambda config: 1.0} if kind == "search" else {}
    with raised(ConfigError, key=f"known_metrics.{name}"):
        getattr(po_nas, kind)(
            space=SPACE, method="random", budget=3, out=tmp_path / "run", known_metrics={name: lambda c: 1.0}, **own
        )


def test_a_path_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert search("~/run").evaluations == 3
    assert (tmp_path / "run" / "summary.json").is_file()
    assert not Path("~").exists()


@pytest.mark.parametrize("method", [Silent, Bare])
def test_a_method_that_proposes_something_else_is_named(tmp_path, method):
    with raised(PoNasError) as caught:
        search(tmp_path / "run", method=method)
    assert method.__name__ in str(caught.value)
