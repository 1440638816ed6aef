"""The scores of the suite's samples that come with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from po_nas import spaces
from po_nas.core.settings import read_settings
from po_nas.proxy_scores.computed import ComputedProxies
from po_nas.proxy_scores.packaged import key_of, sample_origin, sample_scores
from po_nas.research.evolved_proxies.suite_scores import SuiteRecipe, compute, write
from proxies.synthetic import synthetic_images

RECIPE = Path(__file__).parents[2] / "configs" / "scores" / "suite_zero.yaml"


def test_the_table_is_that_of_the_recipe():
    recipe = SuiteRecipe.model_validate(read_settings(RECIPE))
    assert sample_origin()["recipe"] == recipe.model_dump(mode="json")


def test_the_macro_networks_of_the_sample_have_scores():
    every = list(spaces.get("transnas_macro").enumerate())
    found = sample_scores(every)
    assert set(found) == {"nwot", "swap", "az_expressivity", "az_progressivity"}
    assert np.isfinite(found["nwot"]).sum() == 725


def test_scores_are_those_that_the_engine_computes_now():
    space = spaces.get("transnas_micro")
    every = list(space.enumerate())
    known = np.flatnonzero(np.isfinite(sample_scores(every)["nwot"]))
    classes: dict[int, list[int]] = {}
    for row in known:
        classes.setdefault(int(key_of(every[row])), []).append(int(row))
    assert len(classes) == 385
    sample = SuiteRecipe.model_validate(read_settings(RECIPE)).samples["transnas_micro"]
    images = synthetic_images(sample.samples, sample.num_classes, sample.size, seed=0)
    live = ComputedProxies(space, ["swap", "nwot"], images, network=sample.network)
    # Of a class with several members it is one of them that was scored.
    rows = [members[0] for members in classes.values() if len(members) == 1][:2]
    computed = live.values([every[row] for row in rows], ["swap", "nwot"])
    stored = sample_scores([every[row] for row in rows])
    assert computed[:, 0] == pytest.approx(stored["swap"], rel=1e-4)
    assert computed[:, 1] == pytest.approx(stored["nwot"], rel=1e-4)


def test_twins_share_scores_and_others_have_none():
    space = spaces.get("transnas_micro")
    every = list(space.enumerate())
    scores = dict(zip(map(str, every), sample_scores(every)["swap"], strict=True))
    classes: dict[str, set[str]] = {}
    for architecture in every:
        classes.setdefault(space.canonical(architecture), set()).add(repr(scores[str(architecture)]))
    assert all(len(values) == 1 for values in classes.values())
    assert sample_scores([spaces.get("nasbench201").at(0)]) == {}


def test_a_recipe_is_computed_and_written(tmp_path, monkeypatch):
    from po_nas.research.evolved_proxies import suite_scores as tool

    space = spaces.get("transnas_micro")
    some = [space.at(row) for row in (4000, 4090)]
    monkeypatch.setattr(tool, "suite_architectures", lambda name: some)
    small = {"network": {"task": "class_scene"}, "num_classes": 47, "size": 16, "samples": 2, "parts": [["synflow"]]}
    recipe = SuiteRecipe.model_validate({"samples": {"transnas_micro": small}})
    for name in ("first", "second"):
        write(compute(recipe, tmp_path / "cache.sqlite"), recipe, tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    with np.load(tmp_path / "first") as content:
        assert content["transnas_micro/keys"].tolist() == sorted(int(key_of(a)) for a in some)
        assert (content["transnas_micro/synflow"] > 0).all()
