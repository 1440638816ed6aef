"""The house rules that a machine can check: who may import whom, sizes of modules, what starts without torch."""

from __future__ import annotations

import ast
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("losses", "po_nas", "proxies", "surrogates")

# What everybody may import: pure Python.
BASE = ("po_nas.registry", "po_nas.errors", "po_nas.formula")
# What a benchmark and a method need of the search: the words they share, not its files or its loop.
WORDS = (
    "po_nas.core.elsewhere",
    "po_nas.core.metrics",
    "po_nas.core.objective",
    "po_nas.core.searcher",
    "po_nas.core.trial",
)


@dataclass(frozen=True)
class Rule:
    """What a room may import of ours: `at_import` when it is imported, `later` inside functions or for types alone.

    An entry allows a module and everything below it; one that begins with ``=`` allows that module alone. `banned` are
    modules of others that the room must not import at all.
    """

    at_import: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    banned: tuple[str, ...] = ()


_FILES = ("pathlib", "os", "shutil", "tempfile", "io")
RULES = {
    "losses": Rule(BASE),
    "proxies": Rule(BASE),
    "surrogates": Rule((*BASE, "losses")),
    "po_nas": Rule(("po_nas.errors",), ("po_nas.core",)),
    "po_nas.errors": Rule(banned=("torch", "numpy")),
    "po_nas.registry": Rule(("po_nas.errors",), banned=("torch", "numpy")),
    "po_nas.formula": Rule(("po_nas.errors",), banned=("torch", "numpy")),
    "po_nas.spaces": Rule(BASE, ("po_nas.networks",), banned=("torch",)),
    "po_nas.networks": Rule((*BASE, "po_nas.spaces")),
    "po_nas.benchmarks": Rule(
        (*BASE, "po_nas.spaces", "po_nas.core.metrics", "po_nas.core.objective", "proxies.evolved"), banned=("torch",)
    ),
    "po_nas.training": Rule(
        (
            *(*BASE, "po_nas.spaces", "po_nas.networks", "po_nas.core.metrics", "po_nas.core.objective"),
            *("po_nas.core.settings", "losses", "proxies"),
        ),
        # Where the cache of public data is.
        ("=po_nas.benchmarks.data.places",),
    ),
    "po_nas.core": Rule(
        (*BASE, "po_nas.spaces", "=po_nas"), ("=po_nas.benchmarks", "=po_nas.methods", "=po_nas.training")
    ),
    "po_nas.symbolic": Rule((*BASE, "po_nas.spaces", "po_nas.benchmarks", "proxies"), banned=("torch",)),
    "po_nas.evolution": Rule((*BASE, "po_nas.spaces")),
    "po_nas.methods": Rule(
        (*BASE, *WORDS, "po_nas.spaces", "po_nas.evolution", "surrogates", "proxies", "losses"),
        ("po_nas.networks",),
        banned=_FILES,
    ),
    "po_nas.studies": Rule(
        (
            *(*BASE, *WORDS, "=po_nas", "po_nas.core", "po_nas.spaces", "po_nas.benchmarks", "po_nas.training"),
            *("=po_nas.methods", "=po_nas.networks", "losses", "surrogates", "proxies", "po_nas.symbolic"),
        ),
    ),
    "po_nas.loss_search": Rule(
        (
            *(*BASE, "losses", "surrogates.isolation", "po_nas.core", "po_nas.spaces"),
            *("po_nas.networks", "po_nas.training", "po_nas.studies.parts"),
        ),
    ),
    "po_nas.reports": Rule(
        (*BASE, "losses.classification", "po_nas.core", "po_nas.spaces", "po_nas.studies", "po_nas.loss_search")
    ),
    "po_nas.commands": Rule(BASE, ("po_nas", "losses", "proxies", "surrogates")),
    "po_nas.testing": Rule(
        (
            *(*BASE, *WORDS, "po_nas.spaces", "=po_nas.core", "po_nas.core.executors", "=po_nas.methods"),
            *("losses", "proxies", "surrogates"),
        ),
    ),
}


@dataclass(frozen=True)
class Import:
    where: str
    module: str
    target: str
    later: bool


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def is_module(root: Path, name: str) -> bool:
    path = root / Path(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


class _Imports(ast.NodeVisitor):
    def __init__(self, root: Path, name: str, path: Path) -> None:
        self.root, self.name, self.path, self.later = root, name, path, 0
        self.found: list[Import] = []

    def _add(self, node: ast.stmt, target: str) -> None:
        where = f"{self.path.relative_to(self.root)}:{node.lineno}"
        self.found.append(Import(where, self.name, target, self.later > 0))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            package = self.name.split(".") if self.path.name == "__init__.py" else self.name.split(".")[:-1]
            above = package[: len(package) - node.level + 1]
            base = ".".join([*above, *([base] if base else [])])
        for alias in node.names:
            deeper = f"{base}.{alias.name}"
            self._add(node, deeper if is_module(self.root, deeper) else base)

    def _inside(self, node: ast.AST) -> None:
        self.later += 1
        self.generic_visit(node)
        self.later -= 1

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _inside

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            self._inside(node)
        else:
            self.generic_visit(node)


def imports(root: Path) -> Iterator[Import]:
    for name, path in modules(root):
        visitor = _Imports(root, name, path)
        visitor.visit(ast.parse(path.read_text(encoding="utf-8"), str(path)))
        yield from visitor.found


def room(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "po_nas" else parts[0]


def matches(target: str, entries: tuple[str, ...]) -> bool:
    return any(
        target == entry[1:] if entry.startswith("=") else target == entry or target.startswith(f"{entry}.")
        for entry in entries
    )


def violations(root: Path) -> list[str]:
    found = []
    for name, path in modules(root):
        if room(name) not in RULES:
            found.append(f"{path.relative_to(root)}: no rule for {room(name)}; add one to RULES")
    for one in imports(root):
        rule = RULES.get(room(one.module), Rule())
        own = one.target.split(".")[0] in PACKAGES
        if own and room(one.target) != room(one.module):
            if not matches(one.target, rule.at_import + (rule.later if one.later else ())):
                when = "in a function" if one.later else "on import"
                found.append(f"{one.where}: {room(one.module)} may not import {one.target} {when}")
        elif not own and matches(one.target, rule.banned):
            found.append(f"{one.where}: {room(one.module)} may not import {one.target}")
    return found


def test_arrows_go_one_way():
    assert violations(ROOT) == []


def test_the_checker_sees_the_real_imports():
    """It is no use when it finds nothing to check."""
    seen = {(room(i.module), i.target, i.later) for i in imports(ROOT)}
    assert ("po_nas.benchmarks", "po_nas.core.objective", False) in seen
    assert ("po_nas.core", "po_nas.methods", True) in seen
    assert ("po_nas.commands", "po_nas.core.api", True) in seen
    assert ("po_nas.methods", "surrogates.acquisition", False) in seen


@pytest.mark.parametrize(
    ("file", "code", "complaint"),
    [
        ("losses/warp.py", "import po_nas.spaces", "losses may not import po_nas.spaces on import"),
        ("losses/warp.py", "from surrogates import x", "losses may not import surrogates on import"),
        ("proxies/naswot.py", "def f():\n    import losses", "proxies may not import losses in a function"),
        ("surrogates/gcn.py", "from proxies.base import X", "surrogates may not import proxies.base on import"),
        ("po_nas/spaces/a.py", "from po_nas import benchmarks", "may not import po_nas.benchmarks on import"),
        ("po_nas/spaces/a.py", "from ..core import objective", "may not import po_nas.core on import"),
        ("po_nas/spaces/a.py", "from po_nas import networks", "may not import po_nas.networks on import"),
        ("po_nas/spaces/a.py", "def f():\n    import torch.nn", "po_nas.spaces may not import torch.nn"),
        ("po_nas/networks/a.py", "from po_nas.core import loop", "po_nas.networks may not import po_nas.core"),
        ("po_nas/benchmarks/a.py", "import po_nas.core.loop", "may not import po_nas.core.loop on import"),
        ("po_nas/benchmarks/a.py", "if TYPE_CHECKING:\n    import po_nas.reports", "may not import po_nas.reports"),
        ("po_nas/core/a.py", "from po_nas import methods", "may not import po_nas.methods on import"),
        ("po_nas/core/a.py", "def f():\n    from po_nas.methods import gp", "may not import po_nas.methods.gp in a"),
        ("po_nas/evolution/a.py", "import po_nas.benchmarks", "may not import po_nas.benchmarks on import"),
        ("po_nas/methods/a.py", "from pathlib import Path", "po_nas.methods may not import pathlib"),
        ("po_nas/methods/a.py", "from po_nas.core import journal", "po_nas.methods may not import po_nas.core"),
        ("po_nas/methods/a.py", "def f():\n    import po_nas.benchmarks", "may not import po_nas.benchmarks in a"),
        ("po_nas/reports/a.py", "import po_nas.methods.gp", "may not import po_nas.methods.gp on import"),
        ("po_nas/commands/a.py", "import po_nas.core.api", "may not import po_nas.core.api on import"),
        ("po_nas/attic/a.py", "", "no rule for po_nas.attic"),
    ],
)
def test_the_checker_finds_a_violation(tmp_path, file, code, complaint):
    for folder in ("methods", "benchmarks", "networks"):
        (tmp_path / "po_nas" / folder).mkdir(parents=True)
    (tmp_path / "po_nas/methods/gp.py").touch()
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code)
    (found,) = violations(tmp_path)
    assert file in found
    assert complaint in found


def test_the_checker_lets_good_code_pass(tmp_path):
    (tmp_path / "po_nas/methods").mkdir(parents=True)
    (tmp_path / "po_nas/core").mkdir()
    (tmp_path / "po_nas/methods/a.py").write_text("from po_nas.core.searcher import Searcher\nfrom . import b\n")
    (tmp_path / "po_nas/core/a.py").write_text("def f():\n    from po_nas.methods import registry\n")
    assert violations(tmp_path) == []


def too_long(root: Path) -> list[str]:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for _, path in modules(root)}
    found = [f"{path.relative_to(root)} has {n} lines, more than 600" for path, n in lengths.items() if n > 600]
    median = statistics.median(lengths.values())
    return [*found, *([f"the median module has {median} lines, 150 or more"] if median >= 150 else [])]


def test_modules_are_short(tmp_path):
    assert too_long(ROOT) == []
    for package, lines in (("losses", 601), ("proxies", 150), ("surrogates", 3)):
        (tmp_path / package).mkdir()
        (tmp_path / package / "a.py").write_text("x = 1\n" * lines)
    assert too_long(tmp_path) == [
        "losses/a.py has 601 lines, more than 600",
        "the median module has 150 lines, 150 or more",
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_say_that_they_are_typed(package):
    assert (ROOT / package / "py.typed").is_file()


def test_nothing_is_called_utils():
    vague = {"utils", "util", "helpers", "misc", "common"}
    names = [name for name, _ in modules(ROOT)]
    assert len(names) > 50
    assert [name for name in names if vague & set(name.split("."))] == []


_HEAVY = ["torch", "gpytorch", "botorch", "matplotlib", "scipy", "pandas", "sklearn", "pymoo", "mlflow"]


@pytest.mark.parametrize(
    ("code", "banned"),
    [
        ("import po_nas, losses, proxies, surrogates, po_nas.registry, po_nas.errors", [*_HEAVY, "numpy", "pydantic"]),
        ("sys.argv = ['po-nas', '--help']\nfrom po_nas.commands.app import main\nmain()", [*_HEAVY, "numpy"]),
        (
            "from po_nas.commands.plugins import registries\n"
            "assert all(r.names() for r in registries() if r.kind in {'method', 'benchmark', 'search space'})",
            _HEAVY,
        ),
        (
            "import numpy as np\nfrom po_nas import spaces\nrng = np.random.default_rng(0)\n"
            "for name in spaces.names():\n    s = spaces.get(name)\n    s.encode_graph(s.mutate(s.sample(rng), rng))",
            _HEAVY,
        ),
        (
            "from po_nas import benchmarks\n"
            "for name in ('nasbench201/cifar10', 'nasbench_graph/proteins'):\n"
            "    b = benchmarks.get(name)\n    b.evaluate(b.optimum_validation[1])\n    b.describe()",
            _HEAVY,
        ),
    ],
    ids=["import", "help", "registries", "spaces", "benchmarks"],
)
def test_what_needs_no_torch_imports_none(code, banned):
    watch = (
        "import atexit, json, os, sys\n"
        "atexit.register(lambda: print('LOADED', json.dumps(sorted({m.partition('.')[0] for m in sys.modules}))))\n"
    )
    done = subprocess.run([sys.executable, "-c", watch + code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout.rpartition("LOADED ")[2])
    assert {"json", "po_nas"} <= set(loaded)
    assert sorted(set(loaded) & set(banned)) == []
