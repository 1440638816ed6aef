from __future__ import annotations

import numpy as np
import pytest

from po_nas import spaces
from po_nas.errors import MissingDataError, UnknownNameError
from po_nas.research.evolved_proxies.symbolic import expand, names, problem, tau
from po_nas.spaces.graph_leaves import GRAPH_LEAVES, graph_leaves


def test_names_families_and_wildcards():
    assert expand("nasbench201, transnas_macro/jigsaw") == [
        "nasbench201/cifar10",
        "nasbench201/cifar100",
        "nasbench201/imagenet16-120",
        "transnas_macro/jigsaw",
    ]
    assert len(expand(["transnas_m*/normal", "transnas_macro/normal"])) == 2
    assert len(names()) == 28
    with pytest.raises(UnknownNameError, match="nasbench201"):
        expand("nasbench21")
    with pytest.raises(UnknownNameError):
        problem("nasbench201/mnist")


def test_what_is_missing_comes_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("PO_NAS_CACHE", str(tmp_path))
    monkeypatch.delenv("PO_NAS_DATA_MIRROR", raising=False)
    with pytest.raises(MissingDataError, match="po-nas data get suite_zero"):
        problem.__wrapped__("nasbench101/cifar10")


@pytest.mark.parametrize("name", ["nasbench201", "nasbench101", "darts", "transnas_micro", "transnas_macro"])
def test_graph_leaves_of_every_space(name):
    space = spaces.get(name)
    rng = np.random.default_rng(0)
    found = graph_leaves(space, [space.sample(rng) for _ in range(20)])
    assert tuple(found) == GRAPH_LEAVES
    assert all((column >= 0).all() for column in found.values())
    assert (found["g_conv"] >= found["g_conv3"]).all()
    assert (found["g_conv"] >= found["g_conv_depth"]).all()


def test_a_cell_that_can_be_counted():
    space = spaces.get("nasbench201")
    cell = space.from_string("|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|")
    found = {name: column[0] for name, column in graph_leaves(space, [cell]).items()}
    assert found == {
        "g_nodes": 4,
        "g_edges": 6,
        "g_depth": 3,
        "g_conv": 2,
        "g_conv3": 1,
        "g_skip": 1,
        "g_pool": 1,
        "g_conv_depth": 2,
        "g_merge": 2,
    }


def test_public_tables_agree_with_what_was_measured_on_them(public_data):
    """τ of single metrics on the same files, measured with other code; accuracies of NAS-Bench-201 are means here."""
    public_data("suite_zero")
    found = problem("nasbench301/cifar10")
    assert len(found) == 725
    assert tau("nwot", found, "raw") == pytest.approx(0.391, abs=0.001)
    assert tau("fisher", found, "raw") == pytest.approx(-0.205, abs=0.001)
    assert problem("nasbench101/cifar10").space == "nasbench101"
    assert tau("g_conv3", problem("nasbench101/cifar10")) > 0.5
    cells = problem("nasbench201/cifar10")
    assert len(cells) == 725
    assert len(set(cells.classes)) == 445
    assert tau("nwot", cells, "raw") == pytest.approx(0.593, abs=0.02)
    assert "meco" in cells.columns
    assert problem("suite_zero/transbench101_micro-svhn").space == "transnas_micro"
