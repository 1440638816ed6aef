"""The scores that come with the package are what their recipe gives."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import proxies
from po_nas import benchmarks, spaces
from po_nas.benchmarks.recorded_scores import chosen_proxies
from po_nas.core.searcher import Domain
from po_nas.methods.candidates.candidate_set import scored_candidates
from po_nas.proxy_scores import tabulate as score_table
from po_nas.proxy_scores.combined import with_computed_proxies, with_proxies
from po_nas.proxy_scores.packaged import packaged

FILES = {path.name: path for path in files("po_nas.proxy_scores").iterdir() if path.name.endswith("_scores.npz")}
# Scores of samples have tests of their own, tests/proxy_scores/test_sample_scores.py.
SPACES = sorted(name.removesuffix("_scores.npz") for name in FILES if name != "suite_scores.npz")

SPREAD = Path(__file__).parents[2] / "docs" / "results" / "kernel_spread.md"
CLOSE = 1e-3
"""What scores agree to, relative to the score or, where terms of both signs cancel, to its usual size."""


def _bounds(space):
    """How far a score may be off, by name: twice the largest difference that any kernels were measured to make."""
    rows = re.findall(rf"^\| {space} \| (\w+) \| (.+) \|$", SPREAD.read_text(encoding="utf-8"), re.MULTILINE)
    largest = {name: max(float(cell.rpartition("/")[2]) for cell in cells.split("|")) for name, cells in rows}
    return {name: max(CLOSE, 2 * gap) for name, gap in largest.items()}


def test_the_bounds_are_those_that_were_measured():
    bounds = _bounds("nasbench201")
    gradients = {"fisher", "grad_norm", "plain", "snip", "grasp", "zico", "epe_nas", "az_trainability", "intrain"}
    assert {name for name, bound in bounds.items() if bound > CLOSE} == gradients
    assert max(bounds.values()) <= 0.2
    assert set(_bounds("nasbench_graph").values()) == {CLOSE}


def test_they_are_small():
    assert "nasbench_graph" in SPACES
    assert sum(len(path.read_bytes()) for path in FILES.values()) <= 2_000_000


@pytest.mark.parametrize("space", SPACES)
def test_a_random_sample_computed_again(space):
    """Cheap architectures, so that it takes seconds; every task and score that the file holds."""
    if space.startswith("nasbench_graph"):
        pytest.importorskip("torch_geometric")
    table = packaged(space)
    recipe = score_table.ScoreRecipe.model_validate(table.made_by["recipe"])
    assert recipe.space == table.space == space
    count = 4 if space.startswith("nasbench_graph") else 2
    rng = np.random.default_rng(2)
    gaps = {}
    for task, columns in table.tasks.items():
        rows = [row for row in rng.permutation(len(table.classes))[:400] if _first(table.classes, row)]
        known = np.isfinite([table.column(task, name) for name in columns]).mean(axis=0)
        rows = [row for row in rows if known[row] == known[rows].max()][: 3 * count]
        every = list(spaces.get(space).enumerate())
        rows = sorted(rows, key=lambda row: _size(space, every[row]))[:count]
        assert len(rows) == count
        again = score_table.score_sample(recipe, task, tuple(columns), [every[row] for row in rows])
        for result, row in zip(again, rows, strict=True):
            for name in columns:
                kept = table.column(task, name)
                if np.isfinite(kept[row]):
                    usual = np.nanmedian(np.abs(kept - np.nanmedian(kept)))
                    size = max(abs(kept[row]), usual)
                    gaps.setdefault(name, []).append(abs(result.values[name] - kept[row]) / size if size else 0.0)
    bounds = _bounds(space)
    assert np.mean(np.concatenate(list(gaps.values())) <= CLOSE) >= 0.9
    for name, found in gaps.items():
        assert max(found) <= bounds.get(name, CLOSE), name


def _first(classes, row):
    """Whether a row stands for its class: scores of the others may be of an isomorphic network."""
    return not (classes[:row] == classes[row]).any()


def _size(space, architecture):
    options = {"num_classes": 10} if space == "nasbench201" else {}
    network = spaces.get(space).build(architecture, device="meta", **options)
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("space", SPACES)
def test_they_are_aligned_with_their_benchmarks(space):
    names = [name for name in benchmarks.scored("own") if name.startswith(f"{space}/")]
    assert names
    for name in names if space == "nasbench201" else ["nasbench_graph/cora", "nasbench_graph/proteins"]:
        benchmark = benchmarks.get(name)
        table = benchmark.score_table("own")
        assert table.values.shape == (len(benchmark.rows), len(table.names))
        assert not np.isinf(table.values).any()
        assert len(table.signs) == len(table.names)
        row = len(benchmark.rows) // 3
        architecture = benchmark.rows.architecture(row)
        # The small space of one data set has other numbers for the same names.
        whole, text = spaces.get(space), benchmark.space.to_string(architecture)
        index = whole.index(whole.from_string(text)) if space == "nasbench_graph" else row
        packed = packaged(space)
        task = name.partition("/")[2] if name.partition("/")[2] in packed.tasks else "any"
        for score in packed.tasks[task]:
            np.testing.assert_array_equal(table.column(score)[row], packed.column(task, score)[index])
        metrics = benchmark.proxies
        assert metrics.names[: len(table.names)] == table.names
        # What is made of others comes after them.
        assert all(proxies.spec(name).needs for name in metrics.names[len(table.names) :])
        assert metrics.origin.startswith("po-nas ")
        first = table.names[0]
        found = metrics.values([architecture], [first])[0, 0]
        np.testing.assert_array_equal(found, table.column(first)[row] * table.signs[0])


def test_searches_use_the_first_parts_of_the_recipe_unless_others_are_asked_for():
    table = benchmarks.get("nasbench201/cifar10")
    recipe, every = packaged("nasbench201").made_by["recipe"], set(packaged("nasbench201").tasks["cifar10"])
    first = {name for part in recipe["parts"][: recipe["by_default"]] for name in part}
    assert table.proxies.further == every - first
    assert {"zico", "zen", "l2_norm"} <= table.proxies.further

    def used(objective, names=None):
        domain = Domain(table.space, table.identity, proxies=objective.proxies)
        return set(scored_candidates(domain, 0, "po_nas", names).names)

    assert used(table) == first | {"params", "flops"}
    assert used(table, ("zico", "params")) == {"zico", "params"}
    everything = with_proxies(table, chosen_proxies(table, "own"))
    # One that is made of others that are there tells nothing beside them.
    assert used(everything) == every - {"reg_swap"} | {"params", "flops"}
    assert with_computed_proxies(table, ["zen"]).proxies.further == table.proxies.further - {"zen"}
