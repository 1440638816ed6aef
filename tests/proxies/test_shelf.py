from __future__ import annotations

import math
from functools import partial

import pytest
import torch

import proxies
from proxies.batch import Batch
from proxies.engine import resolve
from proxies.shelf import Shelf
from tests.proxies import farm

BATCH = Batch.of((torch.ones(2, 3), torch.arange(2)))


@pytest.fixture
def plugged():
    proxies.proxy("shelf_mine", passes=())(farm.first_weight)
    proxies.proxy("shelf_composed", needs=("params", "shelf_mine"))(farm.threads)
    yield ["shelf_mine", "shelf_composed"]
    proxies.registry.remove("shelf_mine")
    proxies.registry.remove("shelf_composed")


def shelf(cache, names, **changes):
    settings = {"seed": 0, "init_seed": 0}
    return Shelf(cache, "space", resolve(names), BATCH, **settings | changes)


def test_what_is_stored_is_known_and_nothing_else(tmp_path):
    with proxies.ScoreCache(tmp_path / "s") as cache:
        one = shelf(cache, ["params", "synflow", "nwot"])
        one.store("a", {"params": 1.5}, ["nwot"])
        found = one.known("a", ["params", "synflow", "nwot"])
        assert found.keys() == {"params", "nwot"}
        assert found["params"] == 1.5
        assert math.isnan(found["nwot"])
        assert one.known("b", ["params"]) == {}
        assert shelf(cache, ["params"], seed=1).known("a", ["params"]) == {}
        assert shelf(cache, ["params"], loss=torch.nn.functional.mse_loss).known("a", ["params"]) == {}
        assert shelf(cache, ["params"]).known("a", ["params"]) == {"params": 1.5}


LOSSES = [
    torch.nn.functional.mse_loss,
    torch.nn.functional.l1_loss,
    torch.nn.CrossEntropyLoss(),
    torch.nn.CrossEntropyLoss(label_smoothing=0.5),
    torch.nn.NLLLoss(),
    partial(torch.nn.functional.cross_entropy, label_smoothing=0.1),
    partial(torch.nn.functional.nll_loss),
    lambda outputs, labels: outputs.mean(),
    lambda outputs, labels: 3 * outputs.mean(),
]


def test_scores_of_one_loss_are_no_scores_of_another(tmp_path):
    with proxies.ScoreCache(tmp_path / "s") as cache:
        for number, loss in enumerate(LOSSES):
            kept = shelf(cache, ["snip"], loss=loss)
            assert kept.known("a", ["snip"]) == {}, number
            kept.store("a", {"snip": float(number)})
        for number, loss in enumerate(LOSSES):
            assert shelf(cache, ["snip"], loss=loss).known("a", ["snip"]) == {"snip": number}


def test_an_edited_plug_in_finds_none_of_its_scores_nor_does_what_needs_it(tmp_path, plugged, monkeypatch):
    names = ["params", *plugged]
    with proxies.ScoreCache(tmp_path / "s") as cache:
        shelf(cache, names).store("a", dict.fromkeys(names, 1.0))
        assert shelf(cache, names).known("a", names).keys() == set(names)
        monkeypatch.setattr("proxies.shelf.code_hash", lambda *things: "edited")
        assert shelf(cache, names).known("a", names).keys() == {"params"}
