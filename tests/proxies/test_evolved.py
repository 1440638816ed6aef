from __future__ import annotations

import errno
import json
import os
import pickle

import numpy as np
import pytest
import torch

import proxies
from po_nas import benchmarks
from po_nas.errors import (
    ConfigError,
    EvolvedProxyError,
    PluginError,
    ProxyError,
    ProxyValueError,
    UnknownNameError,
)
from po_nas.formula import parse, text
from po_nas.registry import load_plugin
from proxies.evolved import proxy as evolved
from proxies.evolved.functions import ARITIES
from proxies.evolved.reference import Reference, fit
from tests.errors import check, raised

LEAVES = ("params", "flops", "synflow", "g_conv")
"""Cheap ones."""


def made(formula="log_abs(params) + synflow - 0.5 * max(flops, params)", name="evo_a", default="toy_networks"):
    tree = parse(formula, functions=ARITIES, variables=LEAVES)
    rng = np.random.default_rng(0)
    sample = {leaf: np.exp(3 * rng.normal(size=40) + 6) for leaf in LEAVES}
    used = {leaf: sample[leaf] for leaf in LEAVES if leaf in text(tree)}
    return evolved.EvolvedProxy(name, tree, {"toy_networks": fit("rank", used)}, default, {"problems": ["toy"]})


@pytest.fixture
def registered():
    found = made()
    evolved.register(found, "test")
    yield found
    for name in (found.name, f"{found.name}@toy_networks"):
        proxies.registry.remove(name)


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(6, 3),
    )


BATCH = (torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3)


@pytest.mark.parametrize("kind", ["rank", "raw", "signed_log", "zscore"])
def test_references_are_monotone_and_survive_their_record(kind):
    rng = np.random.default_rng(0)
    reference = fit(kind, {"a": np.r_[np.exp(9 * rng.normal(size=500)), np.nan, np.inf], "none": np.full(5, np.nan)})
    assert len(reference.samples["a"]) == 257
    again = Reference.from_state(json.loads(json.dumps(reference.state())))
    values = np.array([-1e300, -1.0, 0.0, 1e-3, 7.0, 1e9, 1e300])
    found = reference.transform("a", values)
    np.testing.assert_array_equal(found, again.transform("a", values))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()
    assert np.isfinite(reference.transform("a", [np.nan, np.inf])).all()
    assert np.isfinite(reference.transform("none", [1.0])).all()
    strict = fit(kind, {"a": [1.0, 2.0]}, missing="invalid")
    assert np.isnan(strict.transform("a", [np.nan])).all()
    with pytest.raises(UnknownNameError):
        reference.transform("b", [1.0])


def test_ranks_are_shares_of_the_sample():
    reference = fit("rank", {"a": [1.0, 2.0, 2.0, 4.0]})
    np.testing.assert_allclose(reference.transform("a", [0, 1, 2, 3, 4, 9]), [0.125, 0.125, 0.5, 0.6875, 0.875, 0.875])


def test_a_file_says_all_and_gives_all_back(tmp_path):
    found = made()
    evolved.save(found, tmp_path / "deep" / "evo.json")
    again = evolved.load(tmp_path / "deep" / "evo.json")
    assert (text(again.formula), again.leaves, again.default) == (text(found.formula), found.leaves, found.default)
    assert again.training == {"problems": ["toy"]}
    columns = {leaf: np.array([1.0, 100.0, 1e4]) for leaf in found.leaves}
    np.testing.assert_array_equal(
        found.values(columns, found.references["toy_networks"]), again.values(columns, again.references["toy_networks"])
    )
    assert r"\log" in json.loads((tmp_path / "deep" / "evo.json").read_text())["latex"]
    assert list(tmp_path.rglob("*.tmp")) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s: s[: len(s) // 2], "JSON"),
        (lambda s: "[]", "po-nas evolve proxy"),
        (lambda s: s.replace('"schema": 1', '"schema": 99'), "99"),
        (lambda s: s.replace("log_abs(params)", "log_abs(nwot)"), "nwot"),
        (lambda s: s.replace("log_abs(params)", "exec(params)"), "exec"),
        (lambda s: s.replace('"kind": "rank"', '"kind": "rnk"'), "rnk"),
        (lambda s: s.replace('"references"', '"refs"'), "KeyError: 'references'"),
        (lambda s: s.replace('"evo_a"', '"evo a"'), "'evo a'"),
        (lambda s: s.replace('"synflow": [', '"synflow": [1e9, '), "'synflow'"),
        (lambda s: s.replace('"toy_networks",', '"toys",'), "toys"),
    ],
)
def test_faulty_files_are_named_with_the_reason(tmp_path, change, named):
    path = tmp_path / "evo.json"
    evolved.save(made(), path)
    path.write_text(change(path.read_text()))
    with raised(EvolvedProxyError, path, path=path) as caught:
        evolved.load(path)
    assert named in caught.value.reason
    with raised(PluginError, origin=path) as plugin:
        load_plugin(str(path))
    assert str(plugin.value.cause) == str(caught.value)
    assert "evo_a" not in proxies.registry
    assert pickle.loads(pickle.dumps(caught.value)).reason == caught.value.reason


def test_a_metric_must_hold_together():
    with raised(EvolvedProxyError, f"'{text(1.0)}'", path=""):
        evolved.EvolvedProxy("a", 1.0, {"x": fit("rank", {})})
    with raised(EvolvedProxyError, "'x'", "params", path=""):
        evolved.EvolvedProxy("a", "params", {"x": fit("rank", {})})
    references = {"x": fit("rank", {"params": [1.0]}), "y": fit("raw", {"params": [1.0]})}
    with raised(EvolvedProxyError, path=""):
        evolved.EvolvedProxy("a", "params", references)
    evolved.EvolvedProxy("a", "params", references | {"y": fit("rank", {"params": [1.0]})})
    with raised(EvolvedProxyError, os.strerror(errno.ENOENT), path="/nowhere/evo.json"):
        evolved.load("/nowhere/evo.json")


def test_it_is_a_proxy_like_any_other(tmp_path):
    path = tmp_path / "evo.json"
    evolved.save(made(), path)
    load_plugin(str(path))
    try:
        assert proxies.spec("evo_a").needs == ("params", "synflow", "flops")
        alone = proxies.score(network(), BATCH, "evo_a")["evo_a"]
        found = proxies.score(network(), BATCH, ["synflow", "evo_a", "evo_a@toy_networks", "params", "flops"])
        assert list(found) == ["synflow", "evo_a", "evo_a@toy_networks", "params", "flops"]
        assert found["evo_a"] == found["evo_a@toy_networks"] == alone
        reference = made().references["toy_networks"]
        columns = {leaf: np.array([found[leaf]]) for leaf in ("params", "synflow", "flops")}
        assert alone == pytest.approx(float(made().values(columns, reference)[0]))
        results = list(proxies.score_many([network()], BATCH, ["evo_a"]))
        assert results[0].values == {"evo_a": alone}
        load_plugin(str(path))
    finally:
        for name in proxies.names("evo_a*"):
            proxies.registry.remove(name)


def test_leaves_are_computed_once(registered):
    count = 0

    @proxies.proxy("counted", summary="counts its calls", passes=())
    def counted(context):
        nonlocal count
        count += 1
        return 1.0

    proxies.proxy("twice", summary="needs it", needs=("counted", "evo_a"))(lambda s: s["counted"] + s["evo_a"])
    proxies.proxy("thrice", summary="needs it", needs=("twice", "counted"))(lambda s: s["twice"] * s["counted"])
    try:
        found = proxies.score(network(), BATCH, ["thrice", "counted", "twice"])
        assert count == 1
        assert found["thrice"] == found["twice"] == 1 + proxies.score(network(), BATCH, "evo_a")["evo_a"]
    finally:
        for name in ("counted", "twice", "thrice"):
            proxies.registry.remove(name)


def test_a_need_without_a_score_is_named(registered):
    proxies.proxy("broken", summary="breaks")(lambda context: 1 / 0)
    proxies.proxy("above", summary="needs it", needs=("broken",))(lambda scores: scores["broken"] + 1)
    proxies.proxy("lenient", summary="can do without", needs=("broken",))(lambda scores: 2.0)
    try:
        found = proxies.evaluate(network(), BATCH, ["above", "lenient"])
        assert isinstance(found.errors["above"], ProxyError)
        check(found.errors["above"], "'broken'", proxy="above")
        assert found.values == {"lenient": 2.0}
    finally:
        for name in ("broken", "above", "lenient"):
            proxies.registry.remove(name)


def test_circles_and_strangers_are_refused():
    proxies.proxy("hen", summary="needs egg", needs=("egg",))(lambda s: 1.0)
    proxies.proxy("egg", summary="needs hen", needs=("hen",))(lambda s: 1.0)
    proxies.proxy("lost", summary="needs nobody", needs=("nobody_has_this",))(lambda s: 1.0)
    try:
        with raised(ConfigError, key="needs", value="egg -> hen -> egg"):
            proxies.score(network(), BATCH, "egg")
        with raised(UnknownNameError, name="nobody_has_this"):
            proxies.score(network(), BATCH, "lost")
        with raised(ConfigError, "'a'", key="needs", value=("nwot",)):
            proxies.ProxySpec("a", ("forward",), needs=("nwot",))
        with raised(ConfigError, "'a'", key="needs", value="nwot"):
            proxies.proxy("a", needs="nwot")
    finally:
        for name in ("hen", "egg", "lost"):
            proxies.registry.remove(name)


def test_without_a_reference_or_with_a_graph_a_network_has_no_score():
    for found, named in (
        (made(default=""), "po-nas evolve reference"),
        (made("params + g_conv"), "g_conv"),
    ):
        function = evolved.EvolvedScore(found, found.default)
        with raised(ProxyValueError, named, proxy="evo_a"):
            function({"params": 1.0, "flops": 1.0, "synflow": 1.0})


def test_a_benchmark_that_has_the_leaves_offers_the_metric():
    tree = parse("nwot + log_abs(flops) * g_conv", functions=ARITIES, variables=("nwot", "flops", "g_conv"))
    reference = fit("rank", {leaf: [0.0, 1.0] for leaf in ("nwot", "flops", "g_conv")})
    evolved.register(evolved.EvolvedProxy("evo_table", tree, {"any": reference}), "test")
    try:
        found = benchmarks.get("nasbench201/cifar10")
        assert "evo_table" in found.proxies.names
        some = [found.rows.architecture(row) for row in (3, 777, 15_000)]
        together = found.proxies.values(some, ["nwot", "evo_table"])
        alone = found.proxies.values(some[1:2], ["evo_table"])
        assert together[1, 1] == alone[0, 0]
        assert np.isfinite(together[:, 1]).all()
        rows = np.arange(0, 15_625, 40)
        column = found.proxies.values([found.rows.architecture(int(row)) for row in rows], ["evo_table"])[:, 0]
        assert benchmarks.base.spearman(column, found.validation[rows]) > 0.3
    finally:
        proxies.registry.remove("evo_table")
    assert "evo_table" not in found.proxies.names
