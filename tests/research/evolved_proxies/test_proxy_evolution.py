"""Evolution with several seeds: split, resumed, judged, calibrated, drawn, and from the command line."""

from __future__ import annotations

import dataclasses
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import proxies
from po_nas.errors import EvolvedProxyError, PoNasError, ProblemError, StudyError, UnknownNameError
from po_nas.formula import text
from po_nas.registry import load_plugin
from po_nas.research.evolved_proxies import proxy_evolution
from po_nas.research.evolved_proxies.engine_reference import add_reference
from po_nas.research.evolved_proxies.proxy_evolution_report import summary_rows, write_evolution
from po_nas.research.evolved_proxies.symbolic import Settings, evolve, sources, tau
from proxies.evolved.proxy import EvolvedProxy, load, save
from proxies.evolved.reference import fit
from tests.errors import raised
from tests.research.evolved_proxies.symbolic.toy import TOYS

SETTINGS = Settings(population=20, generations=3)


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.setattr(proxy_evolution, "problem", TOYS.__getitem__)
    monkeypatch.setattr(proxy_evolution, "expand", lambda wanted: [wanted] if isinstance(wanted, str) else list(wanted))
    proxy_evolution._parts.cache_clear()
    yield
    proxy_evolution._parts.cache_clear()


def plan(seeds=3, **options):
    given = {"seeds": seeds, "rows": 40, "settings": SETTINGS} | options
    return proxy_evolution.make_plan(["toy/one", "toy/two"], ["toy/far"], **given)


def test_seeds_are_judged_where_they_learned_and_where_not(toys, tmp_path):
    told = []
    outcome = proxy_evolution.run(plan(), tmp_path, name="found", progress=told.append)
    rows = outcome.table.to_pylist()
    assert {(r["problem"], r["role"]) for r in rows} == {
        ("toy/one", "train"),
        ("toy/one", "held-out"),
        ("toy/two", "train"),
        ("toy/two", "held-out"),
        ("toy/far", "unseen"),
    }
    assert len(rows) == 15
    held = outcome.means("held-out")
    assert outcome.seed == int(np.argmax(held))
    assert [j.tau for j in outcome.judged() if j.role == "unseen"] == [
        pytest.approx(tau(outcome.proxy.formula, TOYS["toy/far"]))
    ]
    learned = [part for part, _ in proxy_evolution._parts(plan())]
    alone = evolve(learned, plan().settings, np.random.default_rng(outcome.seed))
    assert text(alone.best.formula) == text(outcome.proxy.formula)
    assert (told[0].done, told[-1].done, told[-1].total) == (0, 3, 3)
    assert [t.done for t in told if 0 < t.done < 1] == [0.25, 0.5, 0.75]
    assert set(outcome.proxy.references) == {"toy"}
    assert outcome.proxy.training["hold_out"] == ["toy/far"]
    assert "jacov" not in proxy_evolution.left_out(plan())
    assert set(re.findall(r"toy/\w+", proxy_evolution.left_out(plan())["zen"])) == {"toy/one", "toy/two"}
    header = summary_rows(outcome)
    assert [r[1] for r in header if r[0] == "mean"] == ["train", "held-out", "unseen"]
    assert len(header[0]) == 5
    write_evolution(outcome, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"


def test_the_best_single_metric_is_the_best_single_metric(toys):
    single, ranks = proxy_evolution.baselines(plan())
    learned = [part for part, _ in proxy_evolution._parts(plan())]
    best = max(abs(np.mean([tau(leaf, p) for p in learned])) for leaf in ("nwot", "flops", "snip", "jacov"))
    assert np.mean([j.tau for j in single.judged if j.role == "train"]) == pytest.approx(best)
    assert len(ranks.judged) == 5


def test_an_interrupted_evolution_goes_on_where_it_stopped(toys, tmp_path):
    def stop(progress):
        if 1 < progress.done < 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        proxy_evolution.run(plan(), tmp_path / "a", progress=stop)
    kept = next((tmp_path / "a/parts").glob("*.parquet"))
    stamp = kept.stat().st_mtime_ns
    told = []
    outcome = proxy_evolution.run(plan(), tmp_path / "a", progress=told.append)
    assert told[0].done == 1
    assert kept.stat().st_mtime_ns == stamp
    assert outcome.table.equals(proxy_evolution.run(plan(), tmp_path / "b").table)
    other = proxy_evolution.run(plan(seeds=1, settings=dataclasses.replace(SETTINGS, generations=1)), tmp_path / "a")
    assert len(other.table) == 5


KILLED = """
import os, signal, sys
from pathlib import Path
from po_nas.research.evolved_proxies import proxy_evolution
from po_nas.research.evolved_proxies.symbolic import Settings
from tests.research.evolved_proxies.symbolic.toy import TOYS
assert "torch" not in sys.modules
proxy_evolution.problem = TOYS.__getitem__
proxy_evolution.expand = lambda wanted: list(wanted)
plan = proxy_evolution.make_plan(
    ["toy/one", "toy/two"], ["toy/far"], seeds=3, rows=40, settings=Settings(population=20, generations=3)
)
def die(progress):
    if 1 < progress.done < 2:
        (Path(sys.argv[1]) / "parts" / "torn.1.tmp").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
proxy_evolution.run(plan, Path(sys.argv[1]), progress=die)
"""


def test_so_does_one_that_was_killed(toys, tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, timeout=200)
    assert done.returncode == -signal.SIGKILL, done.stderr
    told = []
    outcome = proxy_evolution.run(plan(), tmp_path, progress=told.append)
    assert told[0].done == 1
    assert len(outcome.table) == 15
    assert not list(tmp_path.rglob("torn.1.tmp"))


DIES = """
import os
from po_nas.research.evolved_proxies import proxy_evolution
from tests.research.evolved_proxies.symbolic.toy import TOYS
proxy_evolution.problem = TOYS.__getitem__
real = proxy_evolution.evolve

def dies(problems, settings, rng, progress):
    if rng.bit_generator.seed_seq.entropy == 1:
        os._exit(9)
    return real(problems, settings, rng, progress)

proxy_evolution.evolve = dies
"""


@pytest.mark.slow
def test_a_seed_of_which_its_process_dies_stops_no_other(toys, tmp_path):
    plugin = tmp_path / "evolution_dies.py"
    plugin.write_text(DIES)
    with pytest.raises(StudyError) as caught:
        proxy_evolution.run(plan(), tmp_path / "out", workers=2, plugins=[str(plugin)])
    assert list(caught.value.failed) == ["seed 1"]
    told = []
    outcome = proxy_evolution.run(plan(), tmp_path / "out", progress=told.append)
    assert told[0].done == 2
    assert outcome.table.equals(proxy_evolution.run(plan(), tmp_path / "whole").table)


def test_plans_are_checked(toys):
    with raised(ProblemError, "--train"):
        proxy_evolution.make_plan([], [], seeds=1, rows=40, settings=SETTINGS)
    with raised(ProblemError, "toy/one"):
        proxy_evolution.make_plan(["toy/one"], ["toy/one"], seeds=1, rows=40, settings=SETTINGS)
    with raised(UnknownNameError, name="snipp", suggestion="snip"):
        plan(settings=dataclasses.replace(SETTINGS, leaves=("snipp",)))


def metric(formula="params", **options):
    return EvolvedProxy("evo_c", formula, {"toy": fit("rank", {formula: [1.0, 2.0]})}, **options)


def test_calibration_on_networks_of_a_space(tmp_path):
    told = []
    found = add_reference(metric(), "nasbench201", sample=8, images=2, size=8, progress=told.append)
    assert told == list(range(1, 9))
    assert found.default == "nasbench201_networks"
    sample = found.references["nasbench201_networks"].samples["params"]
    assert len(sample) == 8
    assert 70_000 < min(sample) < max(sample) < 2_000_000
    save(found, tmp_path / "evo.json")
    load_plugin(str(tmp_path / "evo.json"))
    try:
        assert proxies.names("evo_c*") == ["evo_c", "evo_c@nasbench201_networks"]
    finally:
        for name in proxies.names("evo_c*"):
            proxies.registry.remove(name)
    with pytest.raises(UnknownNameError, match="nasbench201"):
        add_reference(metric(), "nasbench20")
    with pytest.raises(EvolvedProxyError, match="g_conv"):
        add_reference(metric("g_conv"), "nasbench201")


def command(*arguments):
    from po_nas.commands.app import app

    found = CliRunner().invoke(app, ["evolve", *map(str, arguments)])
    return found.exit_code, found.output, found.exception


SMALL = ["--population", 12, "--generations", 2, "--seeds", 2, "--name", "evo_d", "--rows", 60]
SMALL += ["--leaf", "params", "--leaf", "flops", "--leaf", "synflow"]
SMALL += ["--train", "nasbench201/cifar10", "--hold-out", "suite_zero/nasbench301-svhn,nasbench101"]


def test_the_command_writes_what_it_promises(public_data, tmp_path):
    public_data("suite_zero")
    code, output, error = command("proxy", *SMALL, "--workers", 1, "--reference", 8, "--out", tmp_path)
    assert code == 0, (output, error)
    assert "formula" in output
    assert "LaTeX    $" in output
    assert "unseen" in output
    assert (tmp_path / "evolved.png").is_file()
    found = load(tmp_path / "evolved.json")
    assert found.name == "evo_d"
    assert set(found.leaves) <= {"params", "flops", "synflow"}
    assert found.default == "nasbench201_networks"
    assert any("unseen" in key for key in found.training["tau"])


@pytest.mark.slow
def test_workers_change_nothing(public_data, tmp_path):
    public_data("suite_zero")
    for workers in (1, 2):
        code, _, error = command(
            "proxy", *SMALL, "--workers", workers, "--reference", 0, "--out", tmp_path / str(workers)
        )
        assert code == 0, error
    one, two = (load(tmp_path / str(workers) / "evolved.json").state() for workers in (1, 2))
    assert one == two


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["proxy", "--train", "nasbench210"], "nasbench201"),
        (["proxy", "--train", "nasbench201/cifar10", "--normaliser", "rnak"], "rank"),
        (["proxy", "--train", "nasbench201/cifar10", "--aggregate", "means"], "mean"),
        (["proxy", "--train", "nasbench101"], "po-nas data get suite_zero"),
        (["reference", "/nowhere.json", "--space", "darts"], "/nowhere.json"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, reason, tmp_path):
    sources.problem.cache_clear()
    proxy_evolution._parts.cache_clear()
    code, _, error = command(*arguments, *(["--out", tmp_path] if arguments[0] == "proxy" else []))
    assert code != 0
    assert isinstance(error, PoNasError)
    assert reason in str(error)
    assert not list(tmp_path.iterdir())


def test_the_metric_as_the_only_goal_of_a_search(tmp_path):
    """Evolution, without one evaluation of an accuracy, climbs the metric; the accuracy is reported at the end."""
    from po_nas import benchmarks
    from po_nas.runtime import api
    from po_nas.runtime.config import load_config

    path = tmp_path / "evo.json"
    found = EvolvedProxy("evo_e", "nwot", {"toy": fit("rank", {"nwot": [1.0, 2.0]})})
    save(found, path)
    common = ["benchmark=nasbench201/cifar10", "budget=80", f"plugins=[{path}]"]
    try:
        config = load_config(None, [*common, "method=regularized_evolution", "proxies.objective=evo_e"])
        result = api.run_search(config, tmp_path / "run")
        assert 0.9 < result.validation <= 1
        table = benchmarks.get("nasbench201/cifar10")
        assert table.evaluate(table.space.from_string(result.incumbent)).validation > 85
        config = load_config(None, [*common, "method=zero_cost", "method.proxies=[evo_e]", "budget=1"])
        result = api.run_search(config, tmp_path / "best")
        assert result.validation > 85
        wrong = load_config(None, [*common, "method=regularized_evolution", "proxies.objective=evo_f"])
        with pytest.raises(UnknownNameError, match="evo_e"):
            api.run_search(wrong, tmp_path / "wrong")
    finally:
        for name in proxies.names("evo_e*"):
            proxies.registry.remove(name)


def test_networks_that_are_built_are_ranked_among_their_own(monkeypatch):
    from po_nas import spaces
    from po_nas.proxy_scores.computed import ComputedProxies
    from proxies.evolved.proxy import register
    from proxies.synthetic import synthetic_images

    register(metric(), "test")
    try:
        space = spaces.get("nasbench201")
        live = ComputedProxies(
            space, ["evo_c", "params"], synthetic_images(2, 10, 8), network={"channels": 4}, reference=10
        )
        rng = np.random.default_rng(3)
        drawn = [space.sample(rng) for _ in range(6)]
        found = live.values(drawn, ["evo_c", "params"])
        assert np.array_equal(np.argsort(found[:, 1], kind="stable"), np.lexsort((found[:, 1], found[:, 0])))
        assert len(set(found[:, 0])) > 2
        assert live.values(drawn[:1], ["evo_c"])[0, 0] == found[0, 0]
    finally:
        proxies.registry.remove("evo_c")
