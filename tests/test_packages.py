from __future__ import annotations

import importlib.util
import pickle
import sys
import types

import pytest

from po_nas.packages import ShadowedPackageError, check_packages
from tests.errors import raised

NAMES = ("losses", "proxies", "surrogates")


@pytest.fixture
def fresh(monkeypatch):
    """As if none of them had been imported."""
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()


def test_our_own_are_found(fresh):
    check_packages()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["file", "package"])
def test_a_file_beside_the_script_is_named(fresh, tmp_path, monkeypatch, name, kind):
    path = tmp_path / f"{name}.py" if kind == "file" else tmp_path / name / "__init__.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text("raise RuntimeError('this is never run')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with raised(ShadowedPackageError, package=name, file=path) as caught:
        check_packages()
    assert isinstance(caught.value, ImportError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.package, again.file) == (name, path)


@pytest.mark.parametrize("name", NAMES)
def test_one_that_was_imported_before_is_named(fresh, tmp_path, monkeypatch, name):
    theirs = types.ModuleType(name)
    theirs.__file__ = str(tmp_path / "their.py")
    monkeypatch.setitem(sys.modules, name, theirs)
    with raised(ShadowedPackageError, package=name, file=theirs.__file__):
        check_packages()


def test_a_folder_without_code_hides_nothing(fresh, tmp_path, monkeypatch):
    (tmp_path / "losses").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    check_packages()


def test_one_that_is_missing_is_named(fresh, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "proxies" else find(name))
    with raised(ShadowedPackageError, package="proxies", file=None):
        check_packages()
