"""Plug-ins that a file names are loaded when they are trusted, and never before."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import psutil
import pytest

import po_nas
import proxies
from po_nas.compare.design import load_comparison
from po_nas.compare.runs import read_runs
from po_nas.errors import ConfigError, PluginError, UntrustedPluginError
from po_nas.reports.page import make_report
from po_nas.reports.run import load_run
from po_nas.runtime import trusted_plugins
from po_nas.runtime.api import run_search
from po_nas.runtime.config import is_record, load_config
from po_nas.runtime.trusted_plugins import load_chosen, load_named
from tests.errors import one_line, raised

ROOT = Path(__file__).parents[2]
MARKING = """
from pathlib import Path
Path(__file__).with_name("ran").touch()
"""


@pytest.fixture(autouse=True)
def _nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("PO_NAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def code(tmp_path, request):
    """A plug-in that leaves a file when it runs; its name is that of the test, for modules are loaded once."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    name = "".join(c if c.isalnum() else "_" for c in request.node.name)
    (folder / f"{name}.py").write_text(MARKING)
    return folder / f"{name}.py"


def ran(code):
    return code.with_name("ran").exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    po_nas.search(benchmark="nasbench201/cifar10", method="random", budget=4, out=out)
    return out


@pytest.fixture
def theirs(tmp_path, finished, code):
    """A run directory that names the plug-in."""
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    config = out / "config.yaml"
    config.write_text(config.read_text().replace("plugins: []", f"plugins: [{code}]"))
    assert str(code) in config.read_text()
    return out


def test_what_nobody_knows_is_not_run(code, tmp_path):
    with raised(UntrustedPluginError, code, "--trust", plugin=str(code), path=code, file=tmp_path / "a.yaml"):
        load_named([str(code)], tmp_path / "a.yaml")
    assert not ran(code)
    with pytest.raises(UntrustedPluginError):
        load_named([str(code)], tmp_path / "a.yaml", lambda path, file: False)
    assert not ran(code)


def test_an_answer_is_asked_for_once(code, tmp_path, monkeypatch):
    asked = []

    def yes(path, file):
        asked.append((path, file))
        return True

    load_named([str(code)], tmp_path / "a.yaml", yes)
    assert ran(code)
    assert asked == [(str(code), tmp_path / "a.yaml")]
    monkeypatch.setattr(trusted_plugins, "is_loaded", lambda plugin: False)  # as in another process
    load_named([str(code)], tmp_path / "b.yaml")
    # Edited, it is another plug-in, and so is the same text at another place.
    same = code.with_name("same.py")
    same.write_bytes(code.read_bytes())
    code.write_text(MARKING + "\n# more")
    for path in (code, same):
        with raised(UntrustedPluginError, path=path):
            load_named([str(path)], tmp_path / "a.yaml")


def test_what_was_chosen_is_known(code, tmp_path, monkeypatch):
    load_chosen([str(code)])
    monkeypatch.setattr(trusted_plugins, "is_loaded", lambda plugin: False)
    load_named([str(code)], tmp_path / "a.yaml")
    (known,) = (tmp_path / "cache").glob("trusted_plugins_*.json")
    assert list(json.loads(known.read_text())) == [str(code)]
    # Damaged, or not the user's own: nothing is known.
    for damaged in ("", "[1]", '{"a": 1}', "{" * 5000, "\x00"):
        known.write_text(damaged)
        with pytest.raises(UntrustedPluginError):
            load_named([str(code)], tmp_path / "a.yaml")
    load_named([str(code)], tmp_path / "a.yaml", trust=True)
    load_named([str(code)], tmp_path / "a.yaml")
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    known.rename(known.with_name(f"trusted_plugins_{mine + 1}.json"))
    with pytest.raises(UntrustedPluginError):
        load_named([str(code)], tmp_path / "a.yaml")


def test_a_cache_that_cannot_be_written_only_forgets(code, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PO_NAS_CACHE", str(tmp_path / "file"))
    load_chosen([str(code)])
    assert ran(code)
    assert str(code) in caplog.text


def test_what_this_process_has_loaded_needs_no_trust(code, tmp_path):
    po_nas.registry.load_plugin(str(code))
    load_named([str(code), "json", "po_nas.runtime.trusted_plugins"], tmp_path / "a.yaml")


def test_what_is_nowhere_is_said_to_be_gone(tmp_path):
    for plugin in ("nowhere_at_all", "nowhere_at_all.part", str(tmp_path / "none.py")):
        with pytest.raises(PluginError):
            load_named([plugin], tmp_path / "a.yaml")


def test_modules_are_code(tmp_path, monkeypatch):
    """A package is known by all of its files, and nothing of it runs before it is trusted."""
    package = tmp_path / "strange_package"
    (package / "inner").mkdir(parents=True)
    for path in (package / "__init__.py", package / "inner/__init__.py", package / "inner/part.py"):
        path.write_text(MARKING)
    monkeypatch.syspath_prepend(tmp_path)
    name = "strange_package.inner.part"
    with raised(UntrustedPluginError, plugin=name, path=package):
        load_named([name], tmp_path / "a.yaml")
    assert not (package / "ran").exists()
    load_named([name], tmp_path / "a.yaml", trust=True)
    assert (package / "inner/ran").exists()
    monkeypatch.setattr(trusted_plugins, "is_loaded", lambda plugin: False)
    load_named([name], tmp_path / "a.yaml")
    (package / "inner/more.py").touch()
    with raised(UntrustedPluginError, plugin=name):
        load_named([name], tmp_path / "a.yaml")


@pytest.mark.parametrize(
    "read", [load_run, make_report, po_nas.resume, lambda out, trust=False: read_runs([out], trust)]
)
def test_the_run_of_somebody(theirs, code, read):
    with raised(UntrustedPluginError, plugin=str(code), file=theirs / "config.yaml"):
        read(theirs)
    assert not ran(code)
    read(theirs, trust=True)
    assert ran(code)
    read(theirs)


def test_the_study_of_somebody(tmp_path, code):
    study = code.with_name("study.yaml")
    study.write_text(f"benchmarks: nasbench201/cifar10\nmethods: random\nseeds: 2\nbudget: 4\nplugins: {code.name}\n")
    with raised(UntrustedPluginError, plugin=str(code), file=study):
        load_comparison(study)
    assert not ran(code)
    assert load_comparison(study, trust=True).plugins == (str(code),)
    assert ran(code)


def test_what_is_given_beside_a_study_is_chosen(tmp_path, code):
    study = code.with_name("study.yaml")
    study.write_text("benchmarks: nasbench201/cifar10\nmethods: random\nseeds: 2\nbudget: 4\n")
    load_comparison(study, plugins=[str(code)])
    assert ran(code)
    other = code.with_name(code.stem + "_2.py")
    other.write_text(MARKING)
    assert load_comparison(study, [f"plugins=[{other}]"]).plugins == (str(other),)


def test_a_search_that_is_started_is_the_users(tmp_path, code, monkeypatch):
    settings = ["benchmark=nasbench201/cifar10", "method=random", "budget=4"]
    out = tmp_path / "run"
    run_search(load_config(None, settings, plugins=[str(code)]), out)
    monkeypatch.setattr(trusted_plugins, "is_loaded", lambda plugin: False)
    assert len(load_run(out).told) == 4
    po_nas.resume(out)
    assert is_record(out / "config.yaml")
    (tmp_path / "own.yaml").write_text("method: random\nsearch: {}\n")
    assert not is_record(tmp_path / "own.yaml")


def test_data_need_no_trust(tmp_path):
    """A file of an evolved proxy is read, not run; this one is none."""
    path = tmp_path / "evolved.json"
    path.write_text("{}")
    with pytest.raises(PluginError):
        load_named([str(path)], tmp_path / "a.yaml")


@pytest.fixture
def formula(tmp_path):
    """A proxy by a formula in a file, and what writes another one there; taken out of the registry afterwards."""
    shipped = resources.files("proxies.evolved") / "shipped" / "evolved_rank.json"
    content = json.loads(shipped.read_text(encoding="utf-8")) | {"name": "own_formula"}
    path = tmp_path / "own_formula.json"

    def write(text):
        path.write_text(json.dumps(content | {"formula": text}))

    write("nwot + swap")
    yield path, write
    for name in [name for name in proxies.names() if name.startswith("own_formula")]:
        proxies.registry.remove(name)


def test_a_run_does_not_go_on_with_another_formula(tmp_path, formula):
    path, write = formula
    settings = ["benchmark=nasbench201/cifar10", "method=zero_cost", "method.proxies=[own_formula]", "budget=4"]
    first = run_search(load_config(None, settings, plugins=[str(path)]), tmp_path / "run")
    write("flops")
    with raised(ConfigError, path, key="plugins"):
        po_nas.resume(tmp_path / "run")
    write("nwot + swap")
    assert po_nas.resume(tmp_path / "run") == first


@pytest.mark.parametrize("value", ["true", "false", "3", "0", "{a: 1}", "[[a]]", "[1]", "[null]", "{}", "2026-01-01"])
def test_what_names_no_plugins(tmp_path, value):
    study = tmp_path / "study.yaml"
    study.write_text(f"benchmarks: nasbench201/cifar10\nmethods: random\nseeds: 2\nbudget: 4\nplugins: {value}\n")
    with pytest.raises(ConfigError) as caught:
        load_comparison(study)
    assert caught.value.key.startswith("plugins")
    with pytest.raises(ConfigError) as caught:
        load_config(None, ["benchmark=nasbench201/cifar10", "method=random", "budget=4", f"plugins={value}"])
    assert caught.value.key.startswith("plugins")


def po_nas_in(cwd, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "po_nas", *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)}, **options,
    )  # fmt: skip


@pytest.mark.processes
def test_the_command_line_asks_nobody_who_is_not_there(tmp_path, theirs, code):
    study = code.with_name("study.yaml")
    study.write_text(f"benchmarks: nasbench201/cifar10\nmethods: random\nseeds: 2\nbudget: 4\nplugins: {code.name}\n")
    for words in (
        ["status", theirs], ["report", theirs], ["export", theirs], ["resume", theirs], ["compare", theirs],
        ["compare", study], ["train", "--run", theirs], ["search", theirs / "config.yaml"],
    ):  # fmt: skip
        refused = po_nas_in(tmp_path, *words, input="y\n")
        assert refused.returncode == 2, (words, refused.stdout, refused.stderr)
        one_line(refused.stderr, code, "--trust")
        assert not ran(code), words
    given = po_nas_in(tmp_path, "status", theirs, "--plugin", code)
    assert given.returncode == 0, given.stderr
    assert po_nas_in(tmp_path, "status", theirs).returncode == 2, "given for one command"
    assert po_nas_in(tmp_path, "status", theirs, "--trust").returncode == 0
    assert po_nas_in(tmp_path, "export", theirs).returncode == 0, "remembered"


@pytest.mark.parametrize(("answer", "code_of_exit"), [("y\n", 0), ("no\n", 2), ("\x04", 2), ("\x03", 130)])
def test_a_person_at_a_terminal_is_asked(tmp_path, theirs, code, answer, code_of_exit):
    number, terminal = pty.fork()
    if number == 0:
        # Tests that run in the background of a shell inherit that Ctrl-C is ignored.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execv(sys.executable, [sys.executable, "-m", "po_nas", "status", str(theirs)])
    said = b""
    sent = False
    while True:
        try:
            more = os.read(terminal, 4096)
        except OSError:
            break
        if not more:
            break
        said += more
        if b"[y/N]" in said and not sent:
            # A Ctrl-C between the prompt and the read behind it would be taken note of, and the read go on.
            while psutil.Process(number).status() != psutil.STATUS_SLEEPING:
                time.sleep(0.01)
            os.write(terminal, answer.encode())
            sent = True
    os.close(terminal)
    _, status = os.waitpid(number, 0)
    assert os.waitstatus_to_exitcode(status) == code_of_exit, said
    assert str(code) in said.decode().replace("\r\n", "")
    assert b"Traceback" not in said
    assert ran(code) == (code_of_exit == 0)
