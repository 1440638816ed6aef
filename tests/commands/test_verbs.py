"""Every verb, called in this process."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import po_nas
import proxies
from po_nas import benchmarks, methods, spaces
from po_nas.commands import app as application
from po_nas.commands.app import app
from po_nas.errors import ConfigError, EvolvedProxyError, RunDirectoryError, UnknownNameError
from po_nas.proxy_scores.table import ScoreTable
from po_nas.reports import terminal
from po_nas.reports.run import load_run
from po_nas.runtime.trial_errors import EvaluationsFailError
from tests.errors import check, one_line


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def rows(*arguments):
    """A listing that is not on a terminal: tab-separated under its header."""
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    header, *lines = [line.split("\t") for line in result.output.splitlines()]
    assert all(len(line) == len(header) for line in lines)
    return [dict(zip(header, line, strict=True)) for line in lines]


def refused(*arguments):
    """The error behind a refusal; the command line prints it as one line (see `main`)."""
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, po_nas.PoNasError)
    assert "\n" not in str(result.exception)
    return result.exception


VERBS = [
    [], ["search"], ["resume"], ["repair"], ["status"], ["report"], ["export"], ["import"], ["profile"], ["plugins"],
    ["spaces"], ["spaces", "list"],
    ["spaces", "describe"], ["spaces", "sample"], ["benchmarks"], ["benchmarks", "list"], ["benchmarks", "describe"],
    ["methods"], ["methods", "list"], ["methods", "describe"], ["data"], ["data", "list"], ["data", "get"],
    ["data", "verify"], ["data", "convert"], ["losses"], ["losses", "list"], ["losses", "describe"],
    ["study"], ["study", "losses"],
    ["study", "fusion"], ["proxies"], ["proxies", "list"], ["proxies", "describe"], ["proxies", "score"],
    ["proxies", "correlate"], ["proxies", "agree"], ["proxies", "tabulate"], ["surrogates"], ["surrogates", "list"],
    ["surrogates", "describe"], ["compare"], ["train"], ["evolve"], ["evolve", "proxy"], ["evolve", "reference"],
    ["evolve", "loss"], ["study", "evolved-proxies"],
    ["proxies", "ablate"], ["configs"], ["configs", "list"], ["configs", "show"], ["configs", "copy"],
    ["watch"], ["serve"],
]  # fmt: skip


@pytest.mark.parametrize("verb", VERBS, ids="-".join)
def test_help(verb):
    result = invoke(*verb, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert len(result.output.split()) > 8


def test_every_verb_is_helped():
    commands = {c.name or c.callback.__name__ for c in app.registered_commands}
    groups = {
        g.name: {c.name or c.callback.__name__ for c in g.typer_instance.registered_commands}
        for g in app.registered_groups
    }
    everything = (
        {(c,) for c in commands} | {(g,) for g in groups} | {(g, c) for g, names in groups.items() for c in names}
    )
    assert everything == {tuple(verb) for verb in VERBS if verb}


@pytest.mark.parametrize(
    "arguments",
    [
        ["serch"],
        ["search", "--bugdet", "5"],
        ["spaces", "sample", "darts", "--count", "0"],
        ["status"],
        ["search", "a.yaml", "b.yaml"],
    ],
)
def test_wrong_usage(arguments):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert not isinstance(result.exception, po_nas.PoNasError)


def test_main_turns_errors_into_one_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["po-nas", "spaces", "describe", "dart"])
    with pytest.raises(SystemExit) as caught:
        application.main()
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    one_line(err, "'dart'", "'darts'")


def test_spaces():
    assert [r["name"] for r in rows("spaces", "list")] == spaces.names()
    assert {r["name"] for r in rows("spaces", "list", "trans*")} == {"transnas_micro", "transnas_macro"}
    text = invoke("spaces", "describe", "nasbench201").output
    for fact in ("15,625", "nor_conv_3x3", "(4, 10)", "arXiv 2001.00326", "4,930 classes"):
        assert fact in text
    assert refused("spaces", "describe", "nasbench21").suggestion == "nasbench201"


@pytest.mark.parametrize("kind", ["methods", "losses", "surrogates"])
def test_what_is_described_has_defaults_that_can_be_read(kind):
    for row in rows(kind, "list"):
        text = invoke(kind, "describe", row["name"]).output
        assert not re.search(r"Undefined|MISSING|<class|<function| object at ", text), row["name"]


def test_samples_are_architectures_and_repeat():
    first, again, other = (invoke("spaces", "sample", "darts", "--count", "3", "--seed", s).output for s in (1, 1, 2))
    assert first == again != other
    assert len(first.splitlines()) == 3
    for line in first.splitlines():
        assert spaces.get("darts").to_string(spaces.get("darts").from_string(line)) == line


def test_benchmarks_list():
    found = rows("benchmarks", "list")
    assert [r["name"] for r in found] == benchmarks.names()
    needs = {r["name"]: r["needs"] for r in found}
    assert needs["nasbench201/cifar10"] == needs["nasbench_graph/cora"] == "nothing"
    assert needs["transnas_micro/jigsaw"].split() == ["data", "get", "transnasbench101"]
    for row in rows("benchmarks", "list", "nasbench201/*"):
        assert row["feedback"].split(", ") == ["full", "robot", "epochs12"]
    assert rows("benchmarks", "list", "no such*") == []


def test_benchmarks_describe():
    text = invoke("benchmarks", "describe", "nasbench_graph/cora").output
    for fact in ("accuracy (%)", "3 runs", "26,206", "83.13", "Spearman"):
        assert fact in text
    unknown = invoke("benchmarks", "describe", "nasbench201/cifar10").output
    assert re.search(r"^optimum, test\tunknown$", unknown, re.M)
    assert "po-nas data get nasbench201" in unknown


def test_benchmarks_describe_as_json():
    described = json.loads(invoke("benchmarks", "describe", "nasbench201/imagenet16-120", "--json").output)
    assert "accuracy" in described["metric"].pop("name")
    assert described["metric"] == {"unit": "%", "maximize": True, "known": False}
    assert described["optimum_validation"][0] == pytest.approx(46.7333, abs=1e-4)
    assert described["architectures"] == 15_625
    assert described["optimum_test"] is None


def test_benchmarks_that_cannot_be_described():
    assert refused("benchmarks", "describe", "nasbench201/cifar1").suggestion == "nasbench201/cifar10"
    assert refused("benchmarks", "describe", "nasbench201/cifar10", "--feedback", "robt").suggestion == "robot"
    error = refused("benchmarks", "describe", "nasbench201/cifar10", "--feedback", "robot")
    check(error, dataset="nasbench201", command="po-nas data get nasbench201")


def test_methods():
    assert [r["name"] for r in rows("methods", "list")] == methods.names()
    assert {"random", "gp_bo", "local_search", "regularized_evolution"} <= set(methods.names())
    text = invoke("methods", "describe", "gp_bo").output
    assert "arXiv 2310.20708" in text
    assert re.search(r"^method\.initial\t10\t\w", text, re.M)
    assert refused("methods", "describe", "gp-bo").suggestion == "gp_bo"


def test_plugins_lists_every_kind_and_loads_on_request(tmp_path):
    listed = rows("plugins")
    assert {"benchmark", "method", "executor", "loss", "proxy"} <= {r["kind"] for r in listed}
    assert {r["name"] for r in listed} >= set(spaces.names())
    checked = rows("plugins", "--check")
    assert len(checked) == len(listed)
    assert {r["state"] for r in checked} == {"ok"}
    path = tmp_path / "more.py"
    path.write_text(
        "from po_nas import methods\nfrom po_nas.registry import Entry\n"
        "methods.registry.add(Entry('absent', 'x', 'no_such_module:x', origin='more'))"
    )
    try:
        result = invoke("plugins", "--plugin", path, "--check")
    finally:
        methods.registry.remove("absent")
    assert result.exit_code == 1
    assert re.search(r"^method\tabsent\tmore\tmethod 'absent' from more .*no_such_module", result.output, re.M)
    assert "gp_bo\tpo-nas\tok" in result.output


@pytest.mark.parametrize("verb", ["resume", "status", "report", "export"])
def test_a_directory_without_a_run(tmp_path, verb):
    error = refused(verb, tmp_path / "nothing")
    assert isinstance(error, RunDirectoryError)
    check(error, "config.yaml", "po-nas search", path=tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


@pytest.fixture
def run(tmp_path):
    return po_nas.search(benchmark="nasbench_graph/proteins", method="random", budget=6, out=tmp_path / "run")


def test_export_to_a_file(tmp_path, run):
    assert invoke("export", run.directory, "-o", tmp_path / "winner.json").output == ""
    winner = json.loads((tmp_path / "winner.json").read_text())
    assert (winner["string"], winner["test"]) == (run.incumbent, run.test)
    assert winner["space"] == "nasbench_graph_proteins"
    invoke("export", run.directory, "--string", "-o", tmp_path / "winner.txt")
    assert (tmp_path / "winner.txt").read_text() == run.incumbent + "\n"
    path = tmp_path / "nowhere" / "winner.json"
    error = refused("export", run.directory, "-o", path)
    assert isinstance(error, ConfigError)
    check(error, os.strerror(errno.ENOENT), key="output", value=path)


def test_export_without_a_success(tmp_path):
    from po_nas.testing import ToyObjective

    toy = ToyObjective(spaces.get("transnas_micro"), fail_every=1)
    with pytest.raises(EvaluationsFailError):
        po_nas.search(benchmark=toy, method="random", budget=3, out=tmp_path / "run")
    error = refused("export", tmp_path / "run")
    assert isinstance(error, RunDirectoryError)
    check(error, path=tmp_path / "run")
    counts = next(line for line in invoke("status", tmp_path / "run").output.splitlines() if "3/3" in line)
    assert re.findall(r"\d+", counts) == ["3", "3", "3", "0"]


def test_a_run_in_a_space_of_ones_own_can_be_exported(tmp_path):
    """Its space has no registered name, so there is the string and no code."""
    from po_nas.testing import ToyObjective

    class Own(type(spaces.get("transnas_micro"))):
        name = "own"

    po_nas.search(benchmark=ToyObjective(Own()), method="random", budget=3, out=tmp_path / "run")
    winner = json.loads(invoke("export", tmp_path / "run").output)
    assert "code" not in winner
    Own().from_string(winner["string"])
    assert invoke("report", tmp_path / "run").exit_code == 0


def test_the_exported_code_is_the_architecture(run):
    winner = json.loads(invoke("export", run.directory).output)
    space = spaces.get(winner["space"])
    assert space.to_string(space.from_json({k: winner[k] for k in ("space", "code")})) == run.incumbent
    assert (winner["validation"], winner["benchmark"]) == (run.validation, run.benchmark)


def test_reports_can_be_made_again(run, tmp_path):
    for _ in range(2):
        result = invoke("report", run.directory)
        assert (
            result.output == f"figure  {run.directory}/report/regret.png\nreport  {run.directory}/report/index.html\n"
        )
        assert (tmp_path / "run/report/regret.png").stat().st_size > 10_000
        (tmp_path / "run/report/index.html").unlink()


def test_resuming_a_finished_run_shows_it_and_changes_nothing(run, tmp_path):
    before = (tmp_path / "run/journal.jsonl").read_bytes()
    result = invoke("resume", run.directory)
    assert result.exit_code == 0
    assert run.incumbent in result.output
    assert (tmp_path / "run/journal.jsonl").read_bytes() == before


def test_a_damaged_summary_is_made_again(tmp_path, run):
    path = tmp_path / "run/summary.json"
    whole = json.loads(path.read_text())
    for text in ("", "{", "[]"):
        path.write_text(text)
        assert "6/6 evaluations" in invoke("status", run.directory).output
        assert invoke("resume", run.directory, "--quiet").exit_code == 0
        remade = json.loads(path.read_text())
        ignored = {"wall_s", "overhead_s"}
        assert {k: v for k, v in remade.items() if k not in ignored} == {
            k: v for k, v in whole.items() if k not in ignored
        }


def test_quiet_writes_the_summary_alone(tmp_path):
    settings = ["benchmark=nasbench201/cifar10", "method=random", "budget=3", "tracking=console"]
    result = invoke("search", *settings, "--quiet", "--out", tmp_path / "run")
    assert (result.exit_code, result.output) == (0, "")
    assert (tmp_path / "run/summary.json").is_file()
    assert not (tmp_path / "run/report").exists()


def test_runs_get_directories_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert invoke("search", "benchmark=nasbench201/cifar10", "method=random", "budget=2", "--quiet").exit_code == 0
    found = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert found == ["nasbench201-cifar10_random_seed0", "nasbench201-cifar10_random_seed0_2"]


@pytest.mark.parametrize(
    "settings",
    [
        ["method=rando"], ["benchmark=nasbench201/c"], ["feedback=ful"], ["budget=0"], ["budget=99999"],
        ["tracking=tensorbord"], ["tracking=tensorboard", "method=rando"], ["executor=inlne"], ["method.x=1"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_nothing_is_written_when_a_setting_is_wrong(tmp_path, settings):
    base = ["benchmark=nasbench201/cifar10", "method=random", "budget=5"]
    error = refused("search", *base, *settings, "--out", tmp_path / "run")
    assert isinstance(error, UnknownNameError | ConfigError)
    assert list(tmp_path.iterdir()) == []


def test_out_cannot_be_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    error = refused("search", "benchmark=nasbench201/cifar10", "method=random", "budget=2", "--out", tmp_path / "file")
    assert isinstance(error, RunDirectoryError)
    assert (tmp_path / "file").read_text() == "mine"


def test_tables_on_a_terminal_are_aligned(monkeypatch):
    from po_nas.commands import tables

    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("COLUMNS", "60")
    tables.print_table(("name", "state"), [("a", None), ("much_longer", 7)])
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in screen.getvalue().splitlines()]
    assert lines == [f"{'name':13}state", "a", f"{'much_longer':13}7"]


def test_the_result_is_printed_as_it_is(monkeypatch, run):
    """Square brackets are no markup."""
    import dataclasses

    screen = Console(file=io.StringIO(), width=200)
    monkeypatch.setattr(terminal, "Console", lambda **_: screen)
    incumbent = "[conv]-[/red] [bold]x"
    terminal.print_result(dataclasses.replace(run, incumbent=incumbent), load_run(Path(run.directory)))
    assert incumbent in screen.file.getvalue()
    screen.file = io.StringIO()
    terminal.print_result(dataclasses.replace(run, incumbent=None), load_run(Path(run.directory)))
    assert screen.file.getvalue().strip()
    assert incumbent not in screen.file.getvalue()
    assert run.incumbent not in screen.file.getvalue()


def test_losses():
    assert {row["name"] for row in rows("losses", "list")} >= {"mse", "hr", "warp", "scheduled"}
    assert "margin" in invoke("losses", "describe", "hr").output
    found = {row["name"]: row for row in rows("losses", "list", "--kind", "classification")}
    assert found["baikal"]["formula"] == "div(y, p) - log(p)"
    assert "arXiv" in found["focal"]["reference"]
    assert "label_smoothing" in invoke("losses", "describe", "baikal").output
    assert r"\frac{y}" in invoke("losses", "describe", "baikal").output


def test_proxies():
    found = {row["name"]: row for row in rows("proxies", "list")}
    assert found["synflow"]["labels"] == "no"
    assert found["ntk"]["better"] == "lower"
    assert max(len(row["summary"]) for row in found.values()) <= 72, "a row fills a terminal"
    assert found["evolved_sum"]["summary"].endswith("…")
    assert "arXiv 2006.05467" in invoke("proxies", "describe", "synflow").output
    assert len(invoke("proxies", "describe", "evolved_sum").output) > 500, "here is all of it"
    assert isinstance(refused("proxies", "describe", "sinflow"), UnknownNameError)


def test_score_an_architecture(tmp_path):
    small = ("-o", "cells=1", "-o", "channels=4", "--size", "8", "--samples", "4")
    found = json.loads(
        invoke("proxies", "score", "nasbench201", "random", "-p", "params", "-p", "nwot", *small, "--json").output
    )
    assert found["params"] > 1000
    text = invoke("proxies", "score", "nasbench201", "random", "-p", "epe_nas", *small).output
    assert text.startswith("|")
    assert re.search(r"^epe_nas\t–\t.+", text, re.M), "no score, and why"
    np.savez(tmp_path / "batch.npz", inputs=np.random.default_rng(0).normal(size=(6, 3, 8, 8)), labels=np.zeros(6, int))
    own = ("--data", tmp_path / "batch.npz")
    text = invoke("proxies", "score", "nasbench201", "random", "-p", "epe_nas", *small, *own).output
    assert re.search(r"^epe_nas\t-?\d", text, re.M)
    error = refused("proxies", "score", "nasbench201", "random", "--data", tmp_path / "none.npz", *small)
    check(error, ".npz", key="data", value=tmp_path / "none.npz")
    for name, arrays in {
        "words": {"labels": np.array(list("abcdef"))},
        "halves": {"labels": np.full(6, 0.5)},
        "complex": {"inputs": np.ones((6, 3, 8, 8), complex)},
    }.items():
        path = tmp_path / f"{name}.npz"
        np.savez(path, **{"inputs": np.ones((6, 3, 8, 8)), "labels": np.zeros(6, int)} | arrays)
        error = refused("proxies", "score", "nasbench201", "random", "-p", "params", "--data", path, *small)
        check(error, next(iter(arrays)), key="data", value=path)


@pytest.mark.parametrize(
    "verb",
    [
        ("proxies", "correlate", "nasbench_graph/cora", "--out"), ("proxies", "tabulate", "nasbench201", "--out"),
        ("proxies", "agree", "nasbench201/cifar10", "--out"), ("configs", "copy", "quickstart", "--out"),
        ("evolve", "proxy", "--train", "nasbench201", "--out"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_output_that_cannot_be_written_is_said_before_anything_is_computed(tmp_path, verb):
    (tmp_path / "file").write_text("")
    check(refused(*verb, tmp_path / "file" / "x"), "folder", key="--out")


def test_a_name_for_an_evolved_proxy_is_checked_before_it_evolves(tmp_path):
    command = ("evolve", "proxy", "--train", "nasbench201", "--out", tmp_path / "out", "--name")
    check(refused(*command, "params"), key="--name", value="params")
    assert isinstance(refused(*command, "my proxy"), EvolvedProxyError)
    assert not (tmp_path / "out").exists()


def test_there_are_two_splits_to_correlate_with(tmp_path):
    command = ("proxies", "correlate", "nasbench_graph/cora", "--out", tmp_path / "out", "--against", "nonsense")
    assert isinstance(refused(*command), UnknownNameError)


def test_profile_and_score_a_network():
    small = ("-o", "cells=1", "-o", "channels=4", "--size", "8")
    told = json.loads(
        invoke("profile", "nasbench201", "random", *small, "--samples", "3", "--seconds", "0.01", "--json").output
    )
    assert told["samples"] == 3
    assert told["latency_ms"] == told["median_ms"] > 0
    assert told["memory_mb"] * 1e6 > 4 * told["params"]
    network = spaces.get("nasbench201").build(
        spaces.get("nasbench201").from_string(told["architecture"]), cells=1, channels=4
    )
    assert told["params"] == sum(p.numel() for p in network.parameters())
    text = invoke("profile", "nasbench_graph", "random", "--seconds", "0.01").output
    assert re.search(r"^latency\t[\d.e+-]+ ms\tmedian of a batch of \d+ on cpu, 1 threads", text, re.M)
    check(refused("profile", "nasbench201", "random", "--device", "abacus"), "abacus", key="device", value="abacus")
    check(refused("profile", "nasbench_graph", "random", "--size", "8"), "8", key="size", value=8)


def test_a_declared_space_is_profiled_and_scored(tmp_path):
    plugin = tmp_path / "own_profiled.py"
    plugin.write_text(
        "import po_nas, torch\n"
        "@po_nas.declare\n"
        "class own_profiled:\n"
        "    width = po_nas.Int(1, 90)\n"
        "@own_profiled.network(example_inputs=torch.ones(5, 7))\n"
        "def build(width, bias=True):\n"
        "    return torch.nn.Sequential(torch.nn.Linear(7, width, bias), torch.nn.Linear(width, 2, bias))\n"
    )
    try:
        own = ("own_profiled", '{"width": 9}', "--plugin", plugin, "-o", "bias=false", "--json")
        told = json.loads(invoke("profile", *own, "--seconds", "0.01").output)
        assert (told["params"], told["flops"], told["samples"]) == (81, 81, 5)
        assert json.loads(invoke("proxies", "score", *own, "-p", "params").output) == {"params": 81}
        check(refused("proxies", "score", *own, "--size", "8"), "8", key="size", value=8)
    finally:
        spaces.registry.remove("own_profiled")


def test_correlate(tmp_path, monkeypatch):
    told = _params_alone(benchmarks.get("nasbench201/cifar10"))
    monkeypatch.setattr(benchmarks, "scored", lambda origin: [told.name])
    monkeypatch.setattr(benchmarks, "get", lambda name: told)
    result = invoke("proxies", "correlate", "nasbench201/*", "--out", tmp_path, "--groups", "--scores", "published")
    assert result.exit_code == 0, result.output
    assert {Path(line).name for line in result.stdout.split()} == {
        *("correlation.parquet", "correlation.md", "fusions.md", "correlation.png", "nasbench201-cifar10.png"),
        "nasbench201-cifar10-scatter.png",
    }
    assert "mostly nor_conv_3x3" in (tmp_path / "correlation.md").read_text()
    assert isinstance(refused("proxies", "correlate", "darts/*", "--out", tmp_path), UnknownNameError)


def _params_alone(benchmark):
    column = np.asarray(benchmark.extras["params"])[:, None]
    table = ScoreTable(benchmark.name, ("params",), column, np.full_like(column, np.nan), "embedded", ())
    return dataclasses.replace(benchmark, scores={"published": lambda: table})


def test_a_search_that_only_fails_exits_with_the_reason(tmp_path):
    plugin = tmp_path / "own_failing.py"
    plugin.write_text(
        "import po_nas\n"
        "@po_nas.declare\n"
        "class own_failing:\n"
        "    width = po_nas.Int(1, 90)\n"
        "def train(config):\n"
        "    raise RuntimeError(f'no data for {config[\"width\"]}')\n"
        "def odd(config):\n"
        "    raise RuntimeError('ab' if config['width'] % 2 else 'cd')\n"
    )
    try:
        settings = ("--plugin", plugin, "space=own_failing", "method=random", "budget=30")
        for function, evaluations in (("train", 3), ("odd", 30)):
            out = tmp_path / function
            result = invoke("search", *settings, f"objective={function}", "--out", out)
            assert (result.exit_code, type(result.exception)) == (1, SystemExit)
            assert ("po-nas: all 3 evaluations failed" in result.stderr) == (function == "train")
            assert f"report  {out / 'report' / 'index.html'}" in result.output
            assert {"train": "no data for", "odd": "ab"}[function] in (out / "report" / "index.html").read_text()
            status = invoke("status", out)
            assert f"{evaluations}/30 evaluations, {evaluations} failed" in status.output
    finally:
        spaces.registry.remove("own_failing")


def test_a_proxy_that_raises_is_named_with_its_line(tmp_path):
    plugin = tmp_path / "breaking_proxy.py"
    plugin.write_text(
        "import proxies\n"
        "@proxies.proxy('breaking', passes=('activations',), direction=+1)\n"
        "def breaking(context):\n"
        "    return context.activations.values()\n"
    )
    try:
        score = ("proxies", "score", "nasbench201", "random", "--plugin", plugin)
        result = invoke(*score, "-p", "breaking")
        assert (result.exit_code, type(result.exception)) == (1, SystemExit)
        assert "breaking_proxy.py, line 4" in result.output
        assert json.loads(invoke(*score, "-p", "breaking", "--json").output) == {"breaking": None}
        assert invoke(*score, "-p", "breaking", "-p", "params").exit_code == 0
        told = invoke("proxies", "correlate", "nasbench201/cifar10", *("-p", "breaking", "--sample", "10"), *score[-2:])
        assert told.exit_code == 1
        assert "breaking_proxy.py, line 4" in told.stderr
        assert "left 0:00:00" in told.stderr
    finally:
        proxies.registry.remove("breaking")
