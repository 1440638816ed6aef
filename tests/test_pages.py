"""Pages of README, docs and site: each block of code is run by some test, each command is one that there is."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

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


def run(folder: Path, *words: str) -> str:
    """What a command prints; po-nas is that of this environment."""
    if words[0] == "po-nas":
        words = (sys.executable, "-m", "po_nas", *words[1:])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.getenv("PYTHONPATH")]))}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.processes
def test_tutorial_own_network(tmp_path):
    tutorial("own_network", tmp_path)
    code = (tmp_path / "digits_cnn.py").read_text()
    (tmp_path / "digits_cnn.py").write_text(code.replace('"pool": 100', '"pool": 8'))
    assert '"depth":' in run(tmp_path, sys.executable, "digits_cnn.py")
    assert "4/4" in run(tmp_path, "po-nas", "status", "runs/digits_cnn")
    assert "index.html" in run(tmp_path, "po-nas", "report", "runs/digits_cnn")
    parameters = run(tmp_path, sys.executable, "final_network.py")
    assert int(parameters.split()[0]) <= 20_000


@pytest.mark.processes
def test_tutorial_own_proxy(tmp_path, monkeypatch, capsys):
    tutorial("own_proxy", tmp_path)
    score, correlate, search, _ = (words for words in commands("docs/tutorials/own_proxy.md"))
    assert "gradient_spread" in run(tmp_path, "po-nas", *score)
    assert "gradient_spread" in run(tmp_path, "po-nas", *["10" if word == "50" else word for word in correlate])
    smaller = {"method.pool=200": "method.pool=6", "budget=20": "budget=3"}
    run(tmp_path, "po-nas", *[smaller.get(word, word) for word in search])
    snippet = next(code for code in blocks("docs/tutorials/own_proxy.md", "python") if "# file" not in code)
    exec(compile(snippet, "own_proxy", "exec"), {})
    assert "synflow" in capsys.readouterr().out


@pytest.mark.slow
def test_tutorial_own_proxy_passes_the_kit_and_is_ablated(tmp_path):
    tutorial("own_proxy", tmp_path)
    run(tmp_path, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_gradient_spread.py")
    ablate = commands("docs/tutorials/own_proxy.md")[3]
    ablate = [{"pool=200": "pool=6", "20": "2"}.get(word, word) for word in ablate]
    run(tmp_path, "po-nas", *ablate[:-1], "11", "--workers", "1")


@pytest.mark.processes
def test_tutorial_compare_with_pwlnas(tmp_path):
    tutorial("compare_with_pwlnas", tmp_path)
    search, quick, *_ = commands("docs/tutorials/compare_with_pwlnas.md")
    run(tmp_path, "po-nas", *[word.replace("budget=50", "budget=12") for word in search])
    assert "12/12" in run(tmp_path, "po-nas", "status", "runs/neighbours")
    smaller = {"seeds=5": "seeds=2", "budget=30": "budget=12", "at=[10, 30]": "at=[12]"}
    quick = [smaller.get(word, word) for word in quick]
    only = ("benchmarks=nasbench_graph/proteins", "--workers", "1", "--trust")
    assert "report.html" in run(tmp_path, "po-nas", *quick, *only)
    assert "neighbours" in (tmp_path / "runs/quick/tables/validation.md").read_text()


@pytest.mark.processes
def test_tutorial_several_objectives(tmp_path):
    tutorial("several_objectives", tmp_path)
    for words in commands("docs/tutorials/several_objectives.md"):
        smaller = [word.replace("budget=40", "budget=12").replace("method=po_nas", "method=gp_bo") for word in words]
        assert run(tmp_path, "po-nas", *["0" if word == "2" else word for word in smaller])
    assert "milliseconds" in run(tmp_path, sys.executable, "two_objectives.py")


@pytest.mark.processes
def test_tutorial_many_gpus(tmp_path):
    tutorial("many_gpus", tmp_path)
    assert run(tmp_path, sys.executable, "on_all_gpus.py").strip() == "4 0"


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
