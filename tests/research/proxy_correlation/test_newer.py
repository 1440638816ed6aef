"""The newer proxies beside their published figures: which cells, which figures, which intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

import proxies
from po_nas import benchmarks
from po_nas.core.settings import read_settings, validated
from po_nas.research.proxy_correlation.newer import (
    PRINTED,
    NewerRecipe,
    chosen_rows,
    convolution_lines,
    lines,
    page,
    scores,
)
from proxies.fusion import VKDNW, log_rank, oriented

RECIPE = Path(__file__).parents[3] / "configs/scores/newer_proxies.yaml"
TASK = "nasbench201/cifar10"


def truth_of(benchmark):
    return benchmark.validation if benchmark.test is None else benchmark.test


def recipe(*parts):
    images = {"num_classes": 10, "size": 8, "samples": 4, "against": [TASK]}
    wanted = [{"cells": cells, "proxies": list(names)} for cells, names in parts]
    return validated(NewerRecipe, {"sets": {"images": images}, "parts": wanted})


def test_more_cells_begin_with_the_same():
    assert chosen_rows(500, 20, 3).tolist() == chosen_rows(500, 70, 3)[:20].tolist()
    assert len(set(chosen_rows(500, 500, 3).tolist())) == 500


@pytest.mark.slow
def test_scores_and_their_agreement_with_the_table(tmp_path):
    wanted = recipe((21, ["params", "flops"]), (20, ["az_complexity"]))
    columns = scores(wanted, "images", tmp_path / "scores.sqlite")
    assert {name: len(column) for name, column in columns.items()} == {"params": 21, "flops": 21, "az_complexity": 20}
    truths = truth_of(benchmarks.get(TASK))
    for line in lines(wanted, "images", columns):
        truth = truths[chosen_rows(len(truths), line.asked, 0)]
        known = np.isfinite(columns[line.score])
        assert line.rows == known.sum()
        assert line.kendall == pytest.approx(kendalltau(columns[line.score][known], truth[known]).statistic)
        assert line.spearman == pytest.approx(spearmanr(columns[line.score][known], truth[known]).statistic)
        assert line.kendall_interval[0] < line.kendall < line.kendall_interval[1]
    # From the cache, nothing is computed.
    again = scores(wanted, "images", tmp_path / "scores.sqlite")
    for name, column in columns.items():
        np.testing.assert_array_equal(again[name], column)


def made_up(count=60):
    rng = np.random.default_rng(0)
    names = {*VKDNW, "nwot", "ncd_nwot", "swap", "ncd_swap", "near", "intrain", "ntk"}
    return {name: rng.normal(size=count) for name in sorted(names)}


def test_fusions_and_published_figures():
    wanted, columns = recipe((60, ["params"])), made_up()
    columns["jacov"][:7] = np.nan
    found = {line.score: line for line in lines(wanted, "images", columns)}
    turned = oriented({member: columns[member][7:] for member in VKDNW})
    truth = truth_of(benchmarks.get(TASK))[chosen_rows(15625, 60, 0)][7:]
    assert found["log rank (VKDNW)"].rows == 53
    assert found["log rank (VKDNW)"].kendall == pytest.approx(kendalltau(log_rank(turned), truth).statistic)
    # Lower is better for this one.
    everything = truth_of(benchmarks.get(TASK))[chosen_rows(15625, 60, 0)]
    assert found["ntk"].kendall == pytest.approx(-kendalltau(columns["ntk"], everything).statistic)
    text = page(list(found.values()))
    (near,) = [row for row in text.splitlines() if row.startswith("| near |")]
    assert PRINTED["near"][TASK][0] in near
    assert "53 of 60" in text


def test_cells_by_their_number_of_convolutions():
    groups = convolution_lines(recipe((60, ["params"])), "images", made_up())
    assert sum(size for _, size, _ in groups) == 60
    assert all(len(taus) == 6 for _, _, taus in groups)


def test_the_recipe_names_what_there_is():
    wanted = validated(NewerRecipe, read_settings(RECIPE))
    names = [name for part in wanted.parts for name in part.proxies]
    assert proxies.expand(names) == names
    newer = {"near", "vkdnw", "intrain", "l_swag", "dextr", "wrcor", "reg_swap", "meco_opt", "ncd_nwot", "ncd_swap"}
    assert newer | set(VKDNW) <= set(names)
    known = set(benchmarks.names())
    for images in wanted.sets.values():
        assert known >= set(images.against)
        parts = [name for part in images.parts or () for name in part.proxies]
        assert proxies.expand(parts) == parts
    measured = {name for images in wanted.sets.values() for name in images.against}
    assert measured >= {name for figures in PRINTED.values() for name in figures}


def test_a_set_has_a_network_and_parts_of_its_own(tmp_path):
    images = {"num_classes": 10, "size": 8, "samples": 2, "against": [TASK]}
    own = {**images, "network": {"channels": 4}, "parts": [{"cells": 20, "proxies": ["params"]}]}
    wanted = validated(
        NewerRecipe,
        {"sets": {"whole": images, "narrow": own}, "parts": [{"cells": 20, "proxies": ["params", "flops"]}]},
    )
    found = {name: scores(wanted, name, tmp_path / "scores.sqlite") for name in wanted.sets}
    assert set(found["whole"]) == {"params", "flops"}
    assert set(found["narrow"]) == {"params"}
    assert (found["narrow"]["params"] < found["whole"]["params"]).all()
