"""Tables of scores of a benchmark's architectures, or of a sample, on images and texts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import proxies
from po_nas import benchmarks, networks, spaces
from po_nas.errors import ConfigError
from po_nas.proxy_scores import tabulate
from po_nas.spaces.pool import PoolSpace
from tests.errors import raised

CONFIGS = Path(__file__).parents[2] / "configs" / "scores"
NEW = ("hwgpt_s", "nasbench_bert", "nasbench_mr", "vit_bench_autoformer", "vit_bench_pit")
TEXTS = {
    "space": "nasbench_bert",
    "sample": 3,
    "tasks": {
        "classes": {
            "tokens": 5,
            "vocabulary": 11,
            "num_classes": 3,
            "samples": 2,
            "options": {"context": 5, "first_feed_forward": 8},
        }
    },
    "parts": [["params", "softmax_confidence"]],
}


def recipe(**changes):
    return tabulate.ScoreRecipe.model_validate(TEXTS | changes)


def test_a_sample_of_a_space_that_cannot_be_listed(tmp_path):
    plan = recipe()
    with proxies.ScoreCache(tmp_path / "cache.sqlite") as cache:
        tabulate.compute(plan, cache)
        table = tabulate.collect(plan, cache, computing=False)
    names = table.made_by["architectures"]
    assert len(set(names)) == 3
    space = spaces.get("nasbench_bert")
    network = plan.tasks["classes"].network
    assert network == {"vocabulary": 11, "num_classes": 3, "context": 5, "first_feed_forward": 8}
    built = [networks.build(space.from_string(name), **network) for name in names]
    counted = [sum(p.numel() for p in one.parameters()) for one in built]
    np.testing.assert_allclose(table.column("classes", "params"), counted, rtol=1e-4)
    assert np.isfinite(table.column("classes", "softmax_confidence")).any()
    assert json.loads(table.origin)["recipe"]["sample"] == 3


def test_the_architectures_of_a_table_in_their_order():
    space = spaces.get("vit_pit")
    members = [space.sample(np.random.default_rng(seed)) for seed in range(9)]
    pool = PoolSpace(space, members)
    plan = recipe(space="vit_pit", benchmark="some/table", sample=None)
    assert list(tabulate.scored_space(plan, pool).enumerate()) == members
    some = list(tabulate.scored_space(recipe(space="vit_pit", benchmark="some/table", sample=4), pool).enumerate())
    assert len(some) == 4
    assert some == [member for member in members if member in some]


def test_what_cannot_be_scored():
    with raised(ConfigError, key="sample"):
        tabulate.scored_space(recipe(sample=None))
    with raised(ConfigError, key="sample", value=1_601):
        tabulate.scored_space(recipe(space="vit_pit", sample=1_601))
    with raised(ConfigError, key="space", value="nasbench_bert"):
        tabulate.scored_space(recipe(), spaces.get("vit_pit"))
    with pytest.raises(ValueError, match="sample"):
        recipe(sample=1)


@pytest.mark.parametrize("name", NEW)
def test_the_recipes_are_of_networks_that_there_are(name):
    plan = tabulate.load_recipe(CONFIGS / f"{name}.yaml")
    space = spaces.get(plan.space)
    assert plan.benchmark is None or plan.benchmark in benchmarks.registry
    for inputs in plan.tasks.values():
        network = networks.build(space.sample(np.random.default_rng(0)), device="meta", **inputs.network)
        batch = inputs.batch(0)
        labels = network(*(part.to("meta") for part in batch.inputs))
        assert labels.shape[0] == len(batch)
        assert labels.shape[1] == (getattr(inputs, "num_classes", None) or inputs.vocabulary)
