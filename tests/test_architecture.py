"""The house rules that a machine can check: who may import whom, sizes of modules, what starts without torch."""

from __future__ import annotations

import ast
import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("losses", "po_nas", "proxies", "surrogates")

FLOORS = (
    ("po_nas._version", "po_nas.files", "po_nas.nearest", "po_nas.switches"),
    ("po_nas.errors",),
    ("po_nas.registry", "po_nas.formula", "po_nas.source_code", "po_nas.packages"),
    ("losses", "proxies"),
    ("surrogates",),
    ("po_nas.spaces",),
    ("po_nas.core",),
    ("po_nas.networks",),
    ("po_nas.proxy_scores",),
    ("po_nas.evolution",),
    ("po_nas.benchmarks",),
    ("po_nas.training",),
    ("po_nas.methods",),
    ("po_nas.runtime",),
    ("po_nas.reports",),
    ("po_nas",),
    ("po_nas.compare",),
    ("po_nas.research",),
    ("po_nas.testing",),
    ("po_nas.commands",),
    ("po_nas.__main__",),
)
"""Rooms from the ground up. A room may import what is below its floor, nothing beside or above it."""

BASE = ("po_nas.errors", "po_nas.files", "po_nas.registry", "po_nas.formula", "po_nas.source_code", "po_nas.switches")
ONLY = {
    "losses": BASE,
    "proxies": BASE,
    "surrogates": (*BASE, "losses"),
    "po_nas.spaces": BASE,
}
"""Rooms that may import these of ours and nothing else."""

_FILES = ("pathlib", "os", "shutil", "tempfile", "io")
BANNED = {
    "po_nas.errors": ("torch", "numpy"),
    "po_nas.files": ("torch", "numpy"),
    "po_nas.registry": ("torch", "numpy"),
    "po_nas.formula": ("torch", "numpy"),
    "po_nas.spaces": ("torch",),
    "po_nas.benchmarks": ("torch", "po_nas.evolution"),
    "po_nas.evolution": ("po_nas.networks", "po_nas.proxy_scores"),
    "po_nas.methods": (*_FILES, "po_nas.benchmarks", "po_nas.training"),
}
"""What a room must not import although it is below or no module of ours."""


@dataclass(frozen=True)
class Import:
    where: str
    module: str
    target: str


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def is_module(root: Path, name: str) -> bool:
    path = root / Path(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


@functools.cache
def import_statements(text: str) -> list[ast.Import | ast.ImportFrom]:
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]


def imports(root: Path) -> Iterator[Import]:
    """Every import statement, those inside functions and those for types alone included."""
    for name, path in modules(root):
        for node in import_statements(path.read_text(encoding="utf-8")):
            where = f"{path.relative_to(root)}:{node.lineno}"
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(where, name, alias.name)
            else:
                base = node.module or ""
                if node.level:
                    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
                    above = package[: len(package) - node.level + 1]
                    base = ".".join([*above, *([base] if base else [])])
                for alias in node.names:
                    deeper = f"{base}.{alias.name}"
                    yield Import(where, name, deeper if is_module(root, deeper) else base)


def room(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "po_nas" else parts[0]


def is_in(target: str, entries: tuple[str, ...]) -> bool:
    return any(target == entry or target.startswith(f"{entry}.") for entry in entries)


def violations(root: Path) -> list[str]:
    """Arrows that do not point down, and imports that a room is not allowed."""
    floors = {name: number for number, names in enumerate(FLOORS) for name in names}
    found = [
        f"{path.relative_to(root)}: {room(name)} has no floor; add it to FLOORS"
        for name, path in modules(root)
        if room(name) not in floors
    ]
    for one in imports(root):
        here, there = room(one.module), room(one.target)
        ours = one.target.split(".")[0] in PACKAGES
        upward = ours and here != there and floors.get(there, 0) >= floors.get(here, 0)
        unlisted = ours and here != there and here in ONLY and not is_in(one.target, ONLY[here])
        if upward or unlisted or is_in(one.target, BANNED.get(here, ())):
            found.append(f"{one.where}: {here} may not import {one.target}")
    return found


def circles(root: Path) -> list[list[str]]:
    """Modules that import each other round a circle (Tarjan's strongly connected components)."""
    names = {name for name, _ in modules(root)}
    arrows: dict[str, set[str]] = {name: set() for name in names}
    for one in imports(root):
        if one.target in names and one.target != one.module:
            arrows[one.module].add(one.target)
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for target in sorted(arrows[name]):
            if target not in order:
                visit(target)
            if target in stack:
                low[name] = min(low[name], low[target])
        if low[name] == order[name]:
            position = stack.index(name)
            if len(stack) - position > 1:
                found.append(sorted(stack[position:]))
            del stack[position:]

    for name in sorted(names):
        if name not in order:
            visit(name)
    return found


def test_arrows_point_down():
    assert violations(ROOT) == []


def test_no_modules_import_each_other():
    assert circles(ROOT) == []


def test_the_checker_sees_the_real_imports():
    """It is no use when it finds nothing to check."""
    seen = {(room(i.module), i.target) for i in imports(ROOT)}
    assert ("po_nas.benchmarks", "po_nas.core.objective") in seen
    assert ("po_nas.runtime", "po_nas.methods") in seen
    assert ("po_nas.commands", "po_nas.runtime.api") in seen
    assert ("po_nas.methods", "surrogates.acquisition") in seen
    assert {room(name) for name, _ in modules(ROOT)} == {name for floor in FLOORS for name in floor}


@pytest.mark.parametrize(
    ("file", "code", "target"),
    [
        ("losses/warp.py", "import po_nas.spaces", "po_nas.spaces"),
        ("losses/warp.py", "from surrogates import x", "surrogates"),
        ("proxies/naswot.py", "def f():\n    import losses", "losses"),
        ("surrogates/gcn.py", "from proxies.base import X", "proxies.base"),
        ("po_nas/registry.py", "import proxies", "proxies"),
        ("po_nas/spaces/a.py", "from po_nas import benchmarks", "po_nas.benchmarks"),
        ("po_nas/spaces/a.py", "from ..core import objective", "po_nas.core"),
        ("po_nas/spaces/a.py", "def f():\n    import torch.nn", "torch.nn"),
        ("po_nas/core/a.py", "def f():\n    from po_nas.methods import gp", "po_nas.methods.gp"),
        ("po_nas/benchmarks/a.py", "if TYPE_CHECKING:\n    import po_nas.reports", "po_nas.reports"),
        ("po_nas/evolution/a.py", "import po_nas.benchmarks", "po_nas.benchmarks"),
        ("po_nas/methods/a.py", "from pathlib import Path", "pathlib"),
        ("po_nas/methods/a.py", "from po_nas.runtime import journal", "po_nas.runtime"),
        ("po_nas/methods/a.py", "import po_nas.benchmarks", "po_nas.benchmarks"),
        ("po_nas/runtime/a.py", "import po_nas.reports", "po_nas.reports"),
        ("po_nas/runtime/a.py", "from po_nas import __version__", "po_nas"),
        ("po_nas/compare/a.py", "import po_nas.research", "po_nas.research"),
    ],
)
def test_the_checker_finds_a_violation(tmp_path, file, code, target):
    for folder in ("methods", "benchmarks", "networks"):
        (tmp_path / "po_nas" / folder).mkdir(parents=True)
    (tmp_path / "po_nas/methods/gp.py").touch()
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code)
    (found,) = violations(tmp_path)
    assert file in found
    assert found.endswith(f" {target}")


def test_the_checker_finds_a_room_without_a_floor(tmp_path):
    (tmp_path / "po_nas/attic").mkdir(parents=True)
    (tmp_path / "po_nas/attic/a.py").touch()
    (found,) = violations(tmp_path)
    assert "po_nas.attic" in found


def test_the_checker_finds_circles(tmp_path):
    (tmp_path / "po_nas/core").mkdir(parents=True)
    for name, code in (("a", "from . import b"), ("b", "def f():\n    import po_nas.core.c"), ("c", "from . import d")):
        (tmp_path / f"po_nas/core/{name}.py").write_text(code)
    (tmp_path / "po_nas/core/d.py").write_text("")
    assert circles(tmp_path) == []
    (tmp_path / "po_nas/core/d.py").write_text("if TYPE_CHECKING:\n    from po_nas.core import a")
    assert circles(tmp_path) == [[f"po_nas.core.{name}" for name in "abcd"]]


def test_good_code_passes(tmp_path):
    (tmp_path / "po_nas/methods").mkdir(parents=True)
    (tmp_path / "po_nas/core").mkdir()
    (tmp_path / "po_nas/methods/a.py").write_text("from po_nas.core.searcher import Searcher\nfrom . import b\n")
    (tmp_path / "po_nas/core/a.py").write_text("def f():\n    from po_nas.spaces import registry\n")
    assert violations(tmp_path) == []


def too_long(root: Path) -> list[str]:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for _, path in modules(root)}
    return [f"{path.relative_to(root)} has {n} lines" for path, n in lengths.items() if n > 500]


def test_no_module_has_more_than_500_lines(tmp_path):
    assert too_long(ROOT) == []
    (tmp_path / "losses").mkdir()
    for name, lines in (("a", 501), ("b", 500)):
        (tmp_path / f"losses/{name}.py").write_text("x = 1\n" * lines)
    assert too_long(tmp_path) == ["losses/a.py has 501 lines"]


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_say_that_they_are_typed(package):
    assert (ROOT / package / "py.typed").is_file()


def undocumented(root: Path) -> list[str]:
    """Public methods without a docstring that do not implement one of a class of ours, or a library's."""
    classes: dict[str, ast.ClassDef] = {}
    where: dict[str, str] = {}
    for name, path in modules(root):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                classes[node.name], where[node.name] = node, name

    def methods(node: ast.ClassDef) -> Iterator[str]:
        for base in node.bases:
            above = classes.get(ast.unparse(base).partition("[")[0].rpartition(".")[2])
            for inner in ast.walk(above) if above is not None else ():
                if isinstance(inner, ast.FunctionDef):
                    yield inner.name
            yield from methods(above) if above is not None else ()

    found = []
    for name, node in classes.items():
        for method in node.body if name[0] != "_" else ():
            if not isinstance(method, ast.FunctionDef) or method.name[0] == "_" or method.name == "forward":
                continue
            setter = any(ast.unparse(decorator).endswith(".setter") for decorator in method.decorator_list)
            if not (setter or ast.get_docstring(method) or method.name in methods(node)):
                found.append(f"{where[name]}.{name}.{method.name}")
    return found


def test_public_methods_say_what_they_do(tmp_path):
    ours = [name for name in undocumented(ROOT) if ".compare." not in name and ".research." not in name]
    assert ours == []
    (tmp_path / "losses").mkdir()
    code = 'class A:\n    def f(self):\n        """What it does."""\n'
    code += "class B(A):\n    def f(self): ...\n    def g(self): ..."
    (tmp_path / "losses/a.py").write_text(code)
    assert undocumented(tmp_path) == ["losses.a.B.g"]


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
