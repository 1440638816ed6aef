"""Pages of README, docs and site: each block of code is run by some test, each command is one that there is."""

from __future__ import annotations

import ast
import importlib
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

import proxies
from po_nas import methods
from po_nas.commands.app import app
from po_nas.errors import PoNasError
from po_nas.runtime.config import load_config
from po_nas.runtime.setup import check_options

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples/README.md", *ROOT.glob("docs/**/*.md"))
)
RUN_BY = {
    "README.md": "test_docs",
    "docs/declared_spaces.md": "test_declared_spaces_page",
    "docs/distributed.md": "test_docs",
    "docs/extending.md": "test_docs",
    "docs/fidelities.md": "test_docs",
    "docs/losses.md": "test_docs",
    "docs/objectives.md": "test_docs",
    "docs/own_networks.md": "test_docs",
    "docs/quick_start.md": "test_docs",
    "docs/searching.md": "test_docs",
    "docs/training.md": "training.test_own_data",
    "docs/using_proxies.md": "test_docs",
    **{f"docs/tutorials/{path.name}": "test_pages" for path in (ROOT / "docs/tutorials").glob("[!i]*.md")},
}
"""The test module that runs the Python blocks of a page."""
OURS = ("po_nas", "proxies", "losses", "surrogates")
PUBLIC = (*OURS, "po_nas.errors", "po_nas.testing")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return [code for kind, code in re.findall(r"^```(\w*)\n(.*?)^```$", text_of(page), re.M | re.S) if kind == language]


def test_python_blocks_are_run_by_a_test():
    assert {page for page in PAGES if blocks(page, "python")} <= RUN_BY.keys()
    for page, module in RUN_BY.items():
        tests = (ROOT / "tests" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        assert Path(page).stem in tests, f"{module} says nothing of {page}"


@pytest.mark.parametrize("page", RUN_BY)
def test_python_blocks_import_what_users_need_from_the_top(page):
    for code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for module in modules:
                assert module.partition(".")[0] not in OURS or module in PUBLIC, f"{page} imports {module}"


def commands(page: str) -> list[list[str]]:
    """The commands of po-nas in the blocks of a page without a language; those with an ellipsis are synopses."""
    found = []
    for block in blocks(page, ""):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(re.split(r"\s{2,}#|\s+# |\s&&\s", line)[0]) if line.startswith("po-nas ") else []
            if words and not any("…" in word or word.startswith("[") for word in words):
                found.append(words[1:])
    return found


def problem(words: list[str]) -> str | None:
    """What is wrong with a command; None for one that can be run."""
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        if words[0].startswith("-"):
            return None if any(words[0] in p.opts for p in command.params) else f"no option {words[0]}"
        if words[0] not in command.commands:
            return f"no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    try:
        given, left, _ = command.make_parser(typer.Context(command)).parse_args(list(words))
    except Exception as error:
        return str(error)
    if left:
        return f"superfluous: {left}"
    if command.name == "search":
        # A configuration that is not in the repository is one of the reader's.
        files = [ROOT / word for word in given["settings"] if "=" not in word and (ROOT / word).is_file()]
        overrides = [word for word in given["settings"] if "=" in word]
        try:
            config = load_config(files[0], overrides) if files else load_config(None, [*BARE, *overrides])
            if not given.get("plugin"):
                check_options(config)
        except PoNasError as error:
            return str(error)
    return None


BARE = ("benchmark=nasbench201/cifar10", "method=random", "budget=5")


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_commands_can_be_run(page):
    assert [(words, found) for words in commands(page) if (found := problem(words)) is not None] == []


@pytest.mark.parametrize(
    "command",
    [
        "serch benchmark=nasbench201/cifar10",
        "search --owt runs/a",
        "search benchmrk=nasbench201/cifar10",
        "search method=gp_bo method.initail=3",
        "proxies score nasbench201 random more than that",
    ],
)
def test_the_checker_finds_wrong_commands(command):
    assert problem(shlex.split(command)) is not None


def test_the_reference_has_every_exported_name():
    for package in OURS:
        page = text_of(f"docs/reference/{package}.md")
        for name in importlib.import_module(package).__all__:
            assert f"::: {package}.{name}\n" in page or f"`{package}.{name}`" in page or name == "__version__", name
        for name in re.findall(rf"^::: {package}\.(\w+)$", page, re.M):
            assert name in importlib.import_module(package).__all__


# -- the tutorials -----------------------------------------------------------------------------------------------------


def tutorial(page: str, folder: Path) -> None:
    """Write the files of a tutorial, as a reader would copy them."""
    for language in ("python", "yaml"):
        for code in blocks(f"docs/tutorials/{page}.md", language):
            name = re.match(r"# file: (\S+)", code)
            if name:
                (folder / name[1]).write_text(code.replace("budget=20,", "budget=4,"), encoding="utf-8")


@pytest.fixture
def reader(tmp_path, monkeypatch, capsys):
    """Runs a command of po-nas, or a Python file, in an empty folder, and gives what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    registries = {room.registry: set(room.registry.names()) for room in (methods, proxies)}

    def run(*words: str) -> str:
        if words[0].endswith(".py"):
            capsys.readouterr()
            runpy.run_path(words[0], run_name="__main__")
            return capsys.readouterr().out
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == 0, (words, done.output, done.exception)
        return done.output

    yield run
    for registry, known in registries.items():
        for name in set(registry.names()) - known:
            registry.remove(name)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def smaller(words: list[str], **instead: str) -> list[str]:
    """A command with other words in place of some."""
    return [instead.get(word.replace("=", "_").replace(".", "_"), word) for word in words]


@pytest.mark.slow
def test_tutorial_own_network(tmp_path, reader):
    tutorial("own_network", tmp_path)
    code = (tmp_path / "digits_cnn.py").read_text()
    (tmp_path / "digits_cnn.py").write_text(code.replace('"pool": 100', '"pool": 8').replace("range(5)", "range(1)"))
    assert '"depth":' in reader("digits_cnn.py")
    status, report = commands("docs/tutorials/own_network.md")
    assert "4/4" in reader(*status)
    assert "index.html" in reader(*report)
    assert int(reader("final_network.py").split()[0]) <= 20_000


@pytest.mark.slow
def test_tutorial_own_proxy(tmp_path, reader, capsys):
    tutorial("own_proxy", tmp_path)
    score, correlate, search, _ = commands("docs/tutorials/own_proxy.md")
    assert "gradient_spread" in reader(*score)
    assert "gradient_spread" in reader(*smaller(correlate, **{"50": "10"}))
    reader(*smaller(search, method_pool_200="method.pool=6", budget_20="budget=3"))
    snippet = next(code for code in blocks("docs/tutorials/own_proxy.md", "python") if "# file" not in code)
    exec(compile(snippet, "own_proxy", "exec"), {})
    assert "synflow" in capsys.readouterr().out


@pytest.mark.slow
def test_tutorial_own_proxy_passes_the_kit_and_is_ablated(tmp_path, reader):
    tutorial("own_proxy", tmp_path)
    kit = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_gradient_spread.py")
    done = subprocess.run(kit, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout
    ablate = commands("docs/tutorials/own_proxy.md")[3]
    reader(*smaller(ablate, pool_200="pool=6", **{"20": "11"}), "--seeds", "2", "--workers", "1")


@pytest.mark.slow
def test_tutorial_compare_with_pwlnas(tmp_path, reader):
    tutorial("compare_with_pwlnas", tmp_path)
    search, quick, *_ = commands("docs/tutorials/compare_with_pwlnas.md")
    reader(*smaller(search, budget_50="budget=12"))
    assert "12/12" in reader("status", "runs/neighbours")
    quick = ["at=[12]" if word.startswith("at=") else word for word in smaller(quick, seeds_5="seeds=2")]
    only = ("benchmarks=nasbench_graph/proteins", "--workers", "1", "--trust")
    assert "report.html" in reader(*smaller(quick, budget_30="budget=12"), *only)
    assert "neighbours" in (tmp_path / "runs/quick/tables/validation.md").read_text()


@pytest.mark.slow
def test_tutorial_several_objectives(tmp_path, reader):
    tutorial("several_objectives", tmp_path)
    for words in commands("docs/tutorials/several_objectives.md"):
        assert reader(*smaller(words, budget_40="budget=12", method_po_nas="method=gp_bo", **{"2": "1"}))
    assert "milliseconds" in reader("two_objectives.py")


@pytest.mark.slow
def test_the_front_of_the_tutorial_is_drawn(tmp_path):
    draw = runpy.run_path(str(ROOT / "docs/draw_front.py"))["main"]
    draw(budget=12, out=tmp_path / "front.png")
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.processes
def test_tutorial_many_gpus(tmp_path):
    tutorial("many_gpus", tmp_path)
    done = subprocess.run(
        (sys.executable, "on_all_gpus.py"), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280
    )
    assert (done.returncode, done.stdout.strip()) == (0, "4 0"), done.stderr


def test_tutorial_reading_a_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (snippet,) = blocks("docs/tutorials/reading_a_report.md", "python")
    exec(compile(snippet, "reading_a_report", "exec"), {})
    assert capsys.readouterr().out.strip().endswith("True")


@pytest.mark.processes
def test_the_site_builds_without_a_warning(tmp_path):
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = (sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site"))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=280)
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "site/reference/po_nas.html").read_text(encoding="utf-8")
    assert 'id="po_nas.search"' in page
    assert "po-nas search" in (tmp_path / "site/reference/command_line.html").read_text(encoding="utf-8")
    assert 'href="own_networks.html' in (tmp_path / "site/index.html").read_text(encoding="utf-8")
    for html in (tmp_path / "site").rglob("*.html"):
        assert not re.search(r'(src|href)="(https?:)?//[^"]*\.(js|css|woff2?)"', html.read_text(encoding="utf-8")), html
