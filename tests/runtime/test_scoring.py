"""How far scoring is: counts, time left, what is kept on disk."""

from __future__ import annotations

import io
import itertools
import json
import math
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import po_nas
from po_nas.core.proxy_source import ScoringStep
from po_nas.errors import ConfigError
from po_nas.reports.page import make_report
from po_nas.reports.run import load_run
from po_nas.reports.terminal import print_status
from po_nas.runtime.callbacks import Callback
from po_nas.runtime.scoring import Scored, ScoringMeter, ScoringProgress
from po_nas.runtime.tracking.console import ConsoleCallback
from tests.errors import raised

from .helpers import trials


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def metered():
    clock, told = Clock(), []
    return clock, told, ScoringMeter(told.append, clock)


batches = st.lists(
    st.lists(st.tuples(st.booleans(), st.integers(1, 9), st.floats(0, 1e4)), min_size=1, max_size=8), max_size=5
)


@given(batches)
def test_whatever_comes_counts_never_fall_and_the_time_left_is_a_number(work):
    clock, told, meter = metered()
    for batch in work:
        meter(ScoringStep(wanted=sum(n for _, n, _ in batch)))
        assert told[-1].done < told[-1].wanted, "told before the first score"
        for kept, n, seconds in batch:
            clock.now += seconds
            meter(ScoringStep(kept=n) if kept else ScoringStep(computed=n))
        assert (told[-1].done, told[-1].eta_s) == (told[-1].wanted, 0.0)
        clock.now += 1000.0  # evaluations
    for before, after in itertools.pairwise(told):
        for name in ("wanted", "done", "kept", "elapsed_s"):
            assert getattr(before, name) <= getattr(after, name)
    for progress in told:
        assert 0 <= progress.kept <= progress.done <= progress.wanted
        assert progress.eta_s is None or (math.isfinite(progress.eta_s) and progress.eta_s >= 0)
    everything = [one for batch in work for one in batch]
    assert meter.scored.computed == sum(n for kept, n, _ in everything if not kept)
    assert meter.scored.kept == sum(n for kept, n, _ in everything if kept)
    assert meter.scored.seconds == pytest.approx(sum(s for *_, s in everything), abs=1e-3)


@given(st.integers(2, 40), st.floats(0.5, 100), st.floats(0, 1e4), st.integers(0, 100))
def test_at_a_steady_rate_the_time_left_is_exact_from_the_second_score_on(count, each_s, start_s, kept):
    """Whatever the start took, and however many scores were on disk."""
    clock, told, meter = metered()
    meter(ScoringStep(wanted=kept + count))
    meter(ScoringStep(kept=kept))
    clock.now += start_s
    for number in range(1, count + 1):
        clock.now += each_s
        meter(ScoringStep(computed=1))
        if number > 1:
            assert told[-1].eta_s == pytest.approx(each_s * (count - number), rel=1e-6, abs=1e-6)
        else:
            assert told[-1].eta_s is None
    meter(ScoringStep(wanted=10))
    assert told[-1].eta_s == pytest.approx(10 * each_s, rel=1e-6), "the last rate holds"


def test_scoring_that_is_on_is_counted_up_to_now():
    clock, _, meter = metered()
    assert meter.scored == Scored()
    meter(ScoringStep(wanted=2))
    clock.now += 3.0
    assert meter.scored == Scored(0, 0, 3.0)


# -- on the console ----------------------------------------------------------------------------------------------------


def lines(*progress, terminal=False):
    screen = Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)
    callback = ConsoleCallback(".", screen)
    for one in progress:
        callback.on_score(one)
    return screen.file.getvalue().splitlines()


def test_lines_begin_before_the_first_score_and_end_with_the_last():
    told = [ScoringProgress(100, n, 10 if n else 0, n / 4, None if n < 20 else 25 - n / 4) for n in range(101)]
    said = lines(*told)
    assert [line.split()[0] for line in said] == ["0/100", "20/100", "40/100", "60/100", "80/100", "100/100"]
    assert "left" not in said[0]
    assert "20 s left" in said[1]
    assert "10 from disk" in said[1]
    assert "left" not in said[-1]


def test_short_scoring_later_on_is_not_told_of():
    first = [ScoringProgress(100, n, 0, n / 100, None) for n in (0, 100)]
    later = [ScoringProgress(110, n, 0, 1.0 + n / 1000, 0.0) for n in range(100, 111)]
    assert len(lines(*first, *later)) == 2


# -- in a search -------------------------------------------------------------------------------------------------------


class Seen(Callback):
    def __init__(self):
        self.heard = []

    def on_score(self, progress):
        self.heard.append(progress)

    def on_ask(self, trials):
        self.heard.append(trials)


NAMES = ["params", "synflow"]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PO_NAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "scores.sqlite"


def search(out, seen=None, **changes):
    settings = {
        "method": {"name": "zero_cost", "fusion": "mean_rank", "pool": 6},
        "budget": 3,
        "proxies": {"compute": NAMES, "samples": 2},
    }
    return po_nas.search(**settings | changes, out=out, callbacks=[seen or Seen()])


@pytest.fixture
def benchmark(monkeypatch):
    """A toy of NAS-Bench-201 that has no scores on record."""
    from po_nas import benchmarks, spaces
    from po_nas.testing import ToyObjective

    @benchmarks.register("unscored/toy", summary="toy", spec=benchmarks.BenchmarkSpec(space="nasbench201"))
    def load(task, feedback):
        return ToyObjective(spaces.get("nasbench201"))

    yield "unscored/toy"
    benchmarks.registry.remove("unscored/toy")


def test_the_second_search_scores_nothing(tmp_path, cache, benchmark, capsys):
    seen, again = Seen(), Seen()
    first = search(tmp_path / "first", seen, benchmark=benchmark)
    assert seen.heard[0] == ScoringProgress(12, 0, 0, 0.0, None)
    told = [one for one in seen.heard if isinstance(one, ScoringProgress)]
    assert seen.heard.index(told[-1]) < len(told), "scoring comes before the first trial"
    assert told[-1].done == told[-1].wanted == 12
    assert (first.scores_computed, first.scores_kept) == (12, 0)
    assert first.wall_s > first.scoring_s > 0
    assert cache.is_file()

    second = search(tmp_path / "second", again, benchmark=benchmark)
    assert (second.scores_computed, second.scores_kept) == (0, 12)
    assert trials(tmp_path / "first") == trials(tmp_path / "second")
    run = load_run(tmp_path / "second")
    assert run.scored == Scored(0, 12, pytest.approx(second.scoring_s, abs=1e-5))
    capsys.readouterr()
    print_status(run)
    assert "12 from disk" in capsys.readouterr().out
    page = make_report(tmp_path / "second").page.read_text()
    assert "<b>0</b><span>proxy scores computed</span>" in page
    assert "<b>12</b><span>proxy scores from disk</span>" in page
    # Without its summary, a run tells the same.
    (tmp_path / "second/summary.json").unlink()
    found = po_nas.resume(tmp_path / "second")
    assert (found.scores_computed, found.scores_kept) == (0, 12)


@pytest.mark.parametrize(
    ("changes", "computed"),
    [
        ({"samples": 3}, 12),
        ({"cache": False}, 12),
        ({"compute": [*NAMES, "flops"]}, 6),
        ({"workers": 1}, 0),
    ],
)
def test_what_decides_a_score_decides_whether_it_is_computed(tmp_path, cache, benchmark, changes, computed):
    search(tmp_path / "first", benchmark=benchmark)
    told = search(tmp_path / "second", benchmark=benchmark, proxies={"compute": NAMES, "samples": 2} | changes)
    assert told.scores_computed == computed


def test_a_cache_may_be_somewhere_else_or_nowhere(tmp_path, cache, benchmark):
    elsewhere = {"compute": NAMES, "samples": 2, "cache": str(tmp_path / "mine.sqlite")}
    search(tmp_path / "first", benchmark=benchmark, proxies=elsewhere)
    assert (tmp_path / "mine.sqlite").is_file()
    search(tmp_path / "second", benchmark=benchmark, proxies=elsewhere | {"cache": False})
    assert not cache.exists()
    with raised(ConfigError, key="proxies.cache", value=True):
        search(tmp_path / "third", benchmark=benchmark, proxies=elsewhere | {"cache": True})


def test_a_damaged_cache_costs_time_and_nothing_else(tmp_path, cache, benchmark, caplog):
    search(tmp_path / "first", benchmark=benchmark)
    with sqlite3.connect(cache) as connection:
        connection.execute("UPDATE scores SET value = 2 * value + 1 WHERE proxy = 'params'")
    found = search(tmp_path / "second", benchmark=benchmark)
    assert (found.scores_computed, found.scores_kept) == (6, 6)
    assert trials(tmp_path / "first") == trials(tmp_path / "second")
    cache.write_bytes(b"x" * 5000)
    for extra in ("-wal", "-shm"):
        cache.with_name(cache.name + extra).unlink(missing_ok=True)
    found = search(tmp_path / "third", benchmark=benchmark)
    assert (found.scores_computed, found.scores_kept) == (12, 0)
    assert str(cache) in caplog.text
    assert trials(tmp_path / "first") == trials(tmp_path / "third")


def test_a_killed_search_counts_what_its_sessions_scored(tmp_path, cache, benchmark):
    class Stop(Seen):
        def on_tell(self, trial, outcome, progress):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "run", Stop(), benchmark=benchmark)
    found = po_nas.resume(tmp_path / "run")
    assert (found.scores_computed, found.scores_kept) == (12, 12)
    events = [json.loads(line) for line in (tmp_path / "run/journal.jsonl").read_text().splitlines()]
    asks = [event for event in events if event["event"] == "ask" and "scoring_s" in event]
    assert [(event["scores_computed"], event["scores_kept"]) for event in asks] == [(12, 0), (0, 12)]


def test_the_time_left_for_evaluations_does_not_take_scoring_for_evaluations(tmp_path, cache, monkeypatch):
    """A scoring of an hour on the clock, then evaluations of a second each."""
    from po_nas.runtime import loop as loops
    from po_nas.runtime import scoring
    from po_nas.testing.executors import Scripted

    from .timed import TimedSource

    clock = Clock()
    monkeypatch.setattr(loops.time, "perf_counter", clock)
    monkeypatch.setattr(scoring.ScoringMeter.__init__, "__defaults__", (clock,))

    class Timed(Scripted):
        proxies = TimedSource(clock, 3600.0)

        def evaluate(self, architecture, *, seed, fidelity=None):
            clock.now += 1.0
            return super().evaluate(architecture, seed=11)

    left = []

    class Left(Callback):
        def on_tell(self, trial, outcome, progress):
            left.append(progress.eta_s)

    method = {"name": "zero_cost", "fusion": "single", "proxy": "sum", "pool": 20}
    po_nas.search(benchmark=Timed(), method=method, budget=8, out=tmp_path / "run", callbacks=[Left()])
    assert left == pytest.approx([7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0])


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["process", "ray"])
def test_workers_score_and_the_search_keeps_what_they_found(tmp_path, cache, benchmark, executor):
    if executor == "ray":
        pytest.importorskip("ray")
    from po_nas import spaces
    from po_nas.testing import ToyObjective

    toy, seen = ToyObjective(spaces.get("nasbench201")), Seen()
    settings = {"benchmark": toy, "executor": {"name": executor, "workers": 2}}
    first = search(tmp_path / "first", seen, **settings)
    told = [one for one in seen.heard if isinstance(one, ScoringProgress)]
    assert (told[0].done, told[0].wanted) == (0, 12)
    assert len(told) > 3, "not all at once"
    assert (first.scores_computed, first.scores_kept) == (12, 0)
    here = search(tmp_path / "here", benchmark=toy)
    assert (here.scores_computed, here.scores_kept) == (0, 12)
    second = search(tmp_path / "second", **settings)
    assert (second.scores_computed, second.scores_kept) == (0, 12)
