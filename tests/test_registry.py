"""Registries: metadata, names, lazy loading, plug-ins from installed distributions and from files."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from po_nas.errors import DuplicateNameError, PluginError, UnknownNameError
from po_nas.registry import Entry, Registry, load_plugin
from tests.errors import check, one_line, raised


@pytest.fixture
def registry() -> Registry[object]:
    found: Registry[object] = Registry("toy", "po_nas.no_such_group")
    for name in ("apple/red", "apple/green", "pear"):
        found.add(Entry(name, f"a {name}", "json:dumps", tags=("fruit",)))
    return found


def test_what_comes_with_a_package_is_declared_in_rows():
    registry: Registry[object] = Registry("declared", "tests.declared")
    registry.declare("os", ("join", "path:join", "joins"), ("sep", "path:sep", "separates", "POSIX", ("text",), 1))
    assert registry.names() == ["join", "sep"]
    assert registry.entry("sep") == Entry("sep", "separates", "os.path:sep", "POSIX", ("text",), 1)
    assert registry.get("sep") == os.path.sep


def test_a_registry_says_who_reads_files_that_are_no_code(tmp_path, monkeypatch):
    reader = ModuleType("reader_of_words")
    registry: Registry[object] = Registry("word", "tests.words", files={".words": "reader_of_words:read"})
    reader.read = lambda path: registry.add(Entry(path.read_text(), "a word", reader))
    monkeypatch.setitem(sys.modules, "reader_of_words", reader)
    (tmp_path / "greeting.words").write_text("hello")
    assert load_plugin(str(tmp_path / "greeting.words")) is reader
    assert registry.names() == ["hello"]


def test_metadata_cannot_be_changed(registry):
    entry = registry.entry("pear")
    assert (entry.summary, entry.tags, entry.origin) == ("a pear", ("fruit",), "po-nas")
    with pytest.raises(dataclasses.FrozenInstanceError):
        entry.summary = "another"


def test_the_decorator_returns_what_it_decorates(registry):
    @registry.register("plum", summary="a plum", reference="arXiv 0", tags=("blue",), spec=7)
    class Plum:
        pass

    entry = registry.entry("plum")
    assert registry.get("plum") is Plum is entry.target
    assert (entry.summary, entry.reference, entry.tags, entry.spec) == ("a plum", "arXiv 0", ("blue",), 7)
    assert entry.origin.endswith(".Plum")
    registry.remove("plum")
    assert "plum" not in registry
    with pytest.raises(UnknownNameError):
        registry.remove("plum")


def test_a_name_can_be_taken_once(registry):
    with raised(DuplicateNameError, "'pear'", kind="toy", name="pear", first="po-nas") as caught:

        @registry.register("pear", summary="another pear")
        class Other:
            pass

    assert caught.value.second.endswith(".Other")
    assert registry.entry("pear").summary == "a pear", "the first one stays"


def test_wildcards(registry):
    assert registry.names() == ["apple/green", "apple/red", "pear"]
    assert registry.names("apple/*") == ["apple/green", "apple/red"]
    assert registry.names("*[ab]r") == ["pear"]
    assert registry.names("PEAR") == []
    assert [e.name for e in registry.entries("*e*r*")] == ["apple/green", "apple/red", "pear"]


@pytest.mark.parametrize(
    ("name", "suggestion", "named"),
    [
        ("paer", "pear", "'pear'"),
        ("Apple/Red", "apple/red", "'apple/red'"),
        ("zzz", None, "apple/green, apple/red, pear"),
    ],
)
def test_did_you_mean(registry, name, suggestion, named):
    known = ("apple/green", "apple/red", "pear")
    for look_up in (registry.get, registry.entry):
        with raised(
            UnknownNameError, "toy", repr(name), named, kind="toy", name=name, known=known, suggestion=suggestion
        ):
            look_up(name)
    assert name not in registry


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("cifar10", "'a/cifar10', 'b/cifar10' or 'train/a/cifar10'?"),
        ("CIFAR100", "'b/cifar100'?"),
        ("b", "'b/cifar10', 'b/cifar100' or 'b/task0'? (21 more"),
        ("cifar", "'a/cifar10', 'b/cifar10' or 'b/cifar100'? (1 more"),
        ("zzz", "known: a/*, b/*, lone, train/*"),
    ],
)
def test_a_part_of_a_name_brings_all_that_have_it(name, named):
    known = ("a/cifar10", "b/cifar10", "b/cifar100", "train/a/cifar10", "lone", *(f"b/task{k}" for k in range(22)))
    with raised(UnknownNameError, "benchmark", repr(name), named, known=tuple(sorted(known))):
        raise UnknownNameError("benchmark", name, known)


def test_an_unknown_name_is_a_lookup_error():
    empty: Registry[object] = Registry("toy", "po_nas.no_such_group")
    with raised(LookupError, kind="toy", name="x", known=(), suggestion=None):
        empty.get("x")


def module(folder: Path, name: str, code: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text(textwrap.dedent(code))
    return path


def test_nothing_is_imported_before_it_is_used(registry, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    module(tmp_path, "lazy_pear", "value = 7")
    registry.add(Entry("lazy", "", "lazy_pear:value"))
    assert "lazy" in registry.names()
    assert "lazy" in registry
    assert [e.name for e in registry.entries("lazy")] == ["lazy"]
    assert "lazy_pear" not in sys.modules
    assert registry.get("lazy") == 7
    assert sys.modules.pop("lazy_pear").value == 7


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("no_such_module_at_all:x", ModuleNotFoundError),
        ("json:no_such_attribute", AttributeError),
        ("json", AttributeError),
        ("raises_on_import:x", ZeroDivisionError),
    ],
)
def test_a_broken_one_does_not_hide_the_others(registry, tmp_path, monkeypatch, target, cause):
    monkeypatch.syspath_prepend(tmp_path)
    module(tmp_path, "raises_on_import", "1 / 0")
    registry.add(Entry("broken", "", target, origin="somewhere 1.0"))
    with raised(PluginError, "somewhere 1.0", kind="toy", name="broken", origin="somewhere 1.0") as caught:
        registry.get("broken")
    assert isinstance(caught.value.cause, cause)
    states = {r.name: (r.kind, r.origin, type(r.error)) for r in registry.check()}
    assert states.pop("broken") == ("toy", "somewhere 1.0", PluginError)
    assert set(states.values()) == {("toy", "po-nas", type(None))}
    assert len(states) == 3


# -- plug-ins of an installed distribution -----------------------------------------------------------------------------


def installed(folder: Path, points: str, name: str = "orchard", version: str = "2.5") -> dict[str, str]:
    """Make `folder` look like a site directory with a distribution; the environment that sees it."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(textwrap.dedent(points))
    module(
        folder,
        "orchard_methods",
        """
        from po_nas.methods.model_free import RandomSearch

        class Shake(RandomSearch):
            "Shakes the tree."
        """,
    )
    module(folder, "orchard_broken", "raise RuntimeError('worms')")
    return {**os.environ, "PYTHONPATH": str(folder)}


def command(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "po_nas.commands.app", *arguments]
    return subprocess.run(line, capture_output=True, text=True, env=environment, timeout=120)


@pytest.mark.processes
def test_installed_plugins_are_listed_loaded_and_checked(tmp_path):
    environment = installed(
        tmp_path / "site",
        """
        [po_nas.methods]
        shake = orchard_methods:Shake
        wormy = orchard_broken:Wormy

        [po_nas.losses]
        absent = orchard_methods:NoSuchLoss
        """,
    )
    listed = command(environment, "plugins")
    assert listed.returncode == 0
    assert {"method\tshake\torchard 2.5", "method\twormy\torchard 2.5", "loss\tabsent\torchard 2.5"} <= set(
        listed.stdout.splitlines()
    )

    checked = command(environment, "plugins", "--check")
    assert checked.returncode == 1
    assert checked.stderr == ""
    rows = [line.split("\t") for line in checked.stdout.splitlines()[1:]]
    broken = {name: state for _, name, _, state in rows if state != "ok"}
    assert set(broken) == {"wormy", "absent"}
    assert all(part in broken["wormy"] for part in ("method 'wormy'", "orchard 2.5", "RuntimeError: worms"))
    assert all(part in broken["absent"] for part in ("loss 'absent'", "orchard 2.5", "AttributeError", "'NoSuchLoss'"))
    assert ["method", "shake", "orchard 2.5", "ok"] in rows
    assert ["method", "gp_bo", "po-nas", "ok"] in rows

    out = tmp_path / "run"
    searched = command(
        environment, "search", "benchmark=nasbench201/cifar10", "method=shake", "budget=3", "--quiet", "--out", str(out)
    )
    assert (searched.returncode, searched.stderr) == (0, "")
    assert '"method": "shake"' in (out / "summary.json").read_text()
    failed = command(environment, "search", "benchmark=nasbench201/cifar10", "method=wormy", "budget=3")
    assert failed.returncode == 2
    one_line(failed.stderr, "method 'wormy'", "orchard 2.5")


@pytest.mark.processes
def test_an_installed_plugin_that_takes_a_name(tmp_path):
    environment = installed(
        tmp_path / "one", "[po_nas.methods]\nrandom = orchard_methods:Shake\nshake = orchard_methods:Shake\n"
    )
    second = installed(tmp_path / "two", "[po_nas.methods]\nshake = orchard_methods:Shake\n", "grove", "1.0")
    environment["PYTHONPATH"] += os.pathsep + second["PYTHONPATH"]
    out = tmp_path / "run"
    used = command(environment, "search", "benchmark=nasbench201/cifar10", "method=random", "budget=3", f"--out={out}")
    assert used.returncode == 2
    one_line(used.stderr, "method 'random'", "po-nas", "orchard 2.5")
    assert not out.exists()
    rows = {
        line.split("\t")[1]: line.split("\t")[2] for line in command(environment, "plugins").stdout.splitlines()[1:]
    }
    assert "po-nas" in rows["random"]
    assert "orchard 2.5" in rows["random"]
    assert "grove 1.0" in rows["shake"]
    assert "orchard 2.5" in rows["shake"]
    assert rows["local_search"] == "po-nas"
    listed = command(environment, "methods", "list", "l*")
    assert listed.returncode == 0, "the others can be used"
    assert "local_search" in listed.stdout


# -- plug-ins in files -------------------------------------------------------------------------------------------------


def test_a_plugin_file_is_run_once(tmp_path):
    path = module(tmp_path, "my_plugin", "import sys\ntimes = [1]")
    first = load_plugin(str(path))
    first.times.append(2)
    assert load_plugin(str(path)) is first
    assert first.times == [1, 2]


def test_check_reports_a_name_that_is_taken_twice(monkeypatch, registry):
    """The name cannot be used, whichever was meant; the others can."""
    point = EntryPoint("pear", "json:dumps", registry.group)
    monkeypatch.setattr("po_nas.registry.entry_points", lambda group: [point])
    states = {r.name: r.error for r in registry.check()}
    assert isinstance(states.pop("pear"), DuplicateNameError)
    assert set(states.values()) == {None}


def test_two_plugin_files_of_one_name_are_two_plugins(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        module(tmp_path / folder, "same_name", f"where = {folder!r}")
    assert [load_plugin(str(tmp_path / f / "same_name.py")).where for f in "ab"] == ["a", "b"]


def test_a_plugin_may_be_a_module():
    assert load_plugin("po_nas.methods.model_free").__name__ == "po_nas.methods.model_free"


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (None, FileNotFoundError),
        ("1 / 0", ZeroDivisionError),
        ("x = (", SyntaxError),
        ("import nothing_such", ImportError),
    ],
)
def test_a_plugin_file_that_fails(tmp_path, code, cause):
    path = tmp_path / "failing_plugin.py"
    if code is not None:
        path.write_text(code)
    for _ in range(2):
        with raised(PluginError, kind="plug-in", name="failing_plugin", origin=path) as caught:
            load_plugin(str(path))
        assert isinstance(caught.value.cause, cause)
    path.write_text("repaired = True")
    assert load_plugin(str(path)).repaired, "a repaired file can be loaded"


def test_a_plugin_module_that_is_not_there():
    with raised(PluginError, name="no_such_plugin", origin="no_such_plugin") as caught:
        load_plugin("no_such_plugin")
    check(caught.value.cause, name="no_such_plugin")
    assert isinstance(caught.value.cause, ModuleNotFoundError)
