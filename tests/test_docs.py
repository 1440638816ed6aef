"""What README and docs print is what runs."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"```python\n(.*?)```", re.DOTALL)


def blocks(name: str) -> list[str]:
    return FENCE.findall((ROOT / name).read_text(encoding="utf-8"))


def run(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """The files of docs/extending.md, as a reader would copy them."""
    folder = tmp_path_factory.mktemp("examples")
    for block in blocks("docs/extending.md"):
        name = re.match(r"# file: (\S+)", block)
        assert name, "every example says which file it is"
        (folder / name[1]).write_text(block, encoding="utf-8")
    return folder


def test_links_between_pages_lead_somewhere_and_no_picture_is_left_over():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    linked = set()
    for page in pages:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            path = link.partition("#")[0]
            if path and "://" not in path:
                target = (page.parent / path).resolve()
                assert target.exists(), f"{page.relative_to(ROOT)} links to {link}"
                linked.add(target)
    pictures = {path for kind in ("png", "svg") for path in (ROOT / "docs").rglob(f"*.{kind}")}
    assert pictures - linked == set()


def test_docs_stay_light():
    """Pages hold what one reads; the commands that made them write the rest."""
    sizes = {path: path.stat().st_size for path in (ROOT / "docs").rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 4_000_000
    assert max(sizes.values()) < 250_000


SMALLER = {"budget=50": "budget=14", "budget=20": "budget=8"}
SNIPPET_PAGES = (
    *("README.md", "docs/quick_start.md", "docs/searching.md", "docs/objectives.md", "docs/losses.md"),
    "docs/using_proxies.md",
)
SNIPPETS = [
    (page, k) for page in SNIPPET_PAGES for k, block in enumerate(blocks(page)) if not block.startswith("# file:")
]


@pytest.mark.parametrize(("page", "number"), SNIPPETS)
def test_snippets_run(page, number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = blocks(page)[number]
    for words, fewer in SMALLER.items():
        code = code.replace(words, fewer)
    exec(compile(code, f"{page}, block {number}", "exec"), {"__name__": "__main__"})
    assert "print(" not in code or capsys.readouterr().out.strip()
    # What the text around it says that it writes.
    for folder in re.findall(r'out="(\S+)"', code):
        assert json.loads((tmp_path / folder / "summary.json").read_text())["evaluations"] in (8, 14)


def test_a_function_with_fidelities(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (example,) = blocks("docs/fidelities.md")
    (tmp_path / "longer.py").write_text(example)
    runpy.run_path("longer.py", run_name="__main__")
    assert capsys.readouterr().out.strip()
    found = json.loads((tmp_path / "runs/longer/summary.json").read_text())
    assert found["full_evaluations"] <= 8 < found["evaluations"]


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.processes
def test_readme_proxy(tmp_path):
    example = next(b for b in blocks("README.md") if "@proxies.proxy(" in b)
    (tmp_path / "mean_gradient.py").write_text(example)
    program = "from po_nas.commands.app import main; main()"
    found = run(
        *(sys.executable, "-c", program, "proxies", "correlate", "nasbench201/cifar10", "-p", "mean_gradient"),
        *("--sample", "10", "--plugin", "mean_gradient.py"),
        cwd=tmp_path,
    )
    assert "mean_gradient" in found


@pytest.mark.processes
def test_readme_study(examples, tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    study = next(b for b in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "# file: study.yaml" in b)
    (examples / "study.yaml").write_text(study)
    program = "from po_nas.commands.app import main; main()"
    small = ("seeds=2", "budget=21", "at=21", "benchmarks=nasbench_graph/proteins", "--workers", "1")
    found = run(
        sys.executable, "-c", program, "compare", "study.yaml", *small, "--trust", "--out", str(tmp_path), cwd=examples
    )
    assert "report.html" in found
    tests = (tmp_path / "tables" / "validation.md").read_text(encoding="utf-8")
    assert "| benchmark | evaluations | greedy | pwlnas | po_nas |" in tests


@pytest.mark.processes
def test_two_workers(tmp_path):
    (example,) = blocks("docs/distributed.md")
    (tmp_path / "two.py").write_text(example)
    assert run(sys.executable, "two.py", cwd=tmp_path).strip() == "6 0"


def test_pages_name_every_benchmark_method_space_loss_and_executor():
    import losses.classification
    from po_nas import benchmarks, methods, spaces
    from po_nas.runtime import executors

    text = "".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("searching.md", "losses.md"))
    for name in benchmarks.names():
        family, task = name.partition("/")[0], name.rpartition("/")[2]
        assert f"`{family}/" in text
        assert family == "suite_zero" or f"`{task}`" in text or f"`{name}`" in text, name
    shown = [*methods.names(), *spaces.names(), *losses.names(), *executors.names()]
    for name in [*shown, *losses.classification.names()]:
        assert f"`{name}`" in text, name


def test_the_options_of_every_executor_are_explained():
    from po_nas.runtime import executors

    text = (ROOT / "docs/distributed.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| `executor\.(\w+)` \| ([a-z, ]+) \|", text)
    told = {(name, option) for option, names in rows for name in names.split(", ")}
    real = {
        (name, option) for name in executors.names() for option in executors.registry.get(name).Options.model_fields
    }
    assert told == {(name, option) for name, option in real if option != "timeout_s"}
    assert "`executor.timeout_s`" in text


KITS = ["test_greedy.py", "test_chains.py", "test_huber.py", "test_poly.py", "test_output_spread.py"]


@pytest.mark.processes
@pytest.mark.parametrize("kits", [KITS, pytest.param(["test_background.py"], marks=pytest.mark.slow)])
def test_the_examples_pass_their_kits(examples, kits):
    out = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *kits, cwd=examples)
    assert " passed" in out


@pytest.mark.processes
def test_the_examples_search(examples):
    po_nas = str(Path(sys.executable).with_name("po-nas"))
    plugins = ("--plugin", "chains.py", "--plugin", "chain_table.py", "--plugin", "greedy.py")
    settings = ("benchmark=chains/toy", "method=greedy", "method.initial=3", "budget=12")
    run(po_nas, "search", *settings, *plugins, "--out", "mine", cwd=examples)
    assert "12/12" in run(po_nas, "status", "mine", cwd=examples)
    assert "chains" in run(po_nas, "export", "mine", cwd=examples)
    assert run(sys.executable, "own_objective.py", cwd=examples).strip()
    assert run(sys.executable, "computed_scores.py", cwd=examples).strip()


@pytest.mark.processes
def test_ones_own_networks(tmp_path, monkeypatch, capsys):
    for block in blocks("docs/own_networks.md"):
        name = re.match(r"# file: (\S+)", block)
        assert name, "every example says which file it is"
        (tmp_path / name[1]).write_text(block, encoding="utf-8")
    assert '"depth":3' in run(sys.executable, "one_function.py", cwd=tmp_path)
    assert run(sys.executable, "ask_and_tell.py", cwd=tmp_path).startswith("budget spent: 8 evaluations {")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    runpy.run_path("go_on.py", run_name="__main__")
    del sys.modules["one_function"]
    assert re.fullmatch(r"row 3 depth is 9, .*\n2 4\n", capsys.readouterr().out)


@pytest.mark.processes
def test_a_plug_in_benchmark_brings_scores_and_a_plug_in_space_has_them_computed(examples):
    po_nas = str(Path(sys.executable).with_name("po-nas"))
    settings = ("method=zero_cost", "method.fusion=single", "budget=3")
    scored = ("benchmark=chains/scored", "method.proxy=depth", "--plugin", "scored_chains.py")
    run(po_nas, "search", *settings, *scored, "--out", "scored", cwd=examples)
    built = ("benchmark=chains/toy", "proxies=[params]", "method.proxy=params")
    plugins = ("--plugin", "chain_table.py", "--plugin", "chain_networks.py")
    run(po_nas, "search", *settings, *built, *plugins, "--out", "built", cwd=examples)
    first = [
        json.loads(line)["architecture"]
        for folder in ("scored", "built")
        for line in (examples / folder / "journal.jsonl").read_text().splitlines()
        if json.loads(line).get("number") == 0 and json.loads(line)["event"] == "ask"
    ]
    assert "skip" not in first[0]
    assert first[1] == "conv-conv-conv"
