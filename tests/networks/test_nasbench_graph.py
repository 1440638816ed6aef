from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from po_nas import benchmarks, networks, spaces
from po_nas.errors import ConfigError, MissingExtraError, UnknownNameError
from po_nas.networks.nasbench_graph import DATASETS, Layer, layers_of
from proxies.counting import count_parameters
from tests.errors import raised
from tests.networks.sampling import SMALL, inputs

SPACE = spaces.get("nasbench_graph")
DIFFERENT = 1_567
"""Records of physics whose count is a mean over runs that carry another network's: not reproducible."""


def build(text, **options):
    return networks.build(SPACE.from_string(text), **{**SMALL["nasbench_graph"], **options})


@pytest.mark.parametrize("dataset", DATASETS)
def test_parameters_are_the_published_ones(dataset):
    pytest.importorskip("torch_geometric")
    benchmark = benchmarks.get(f"nasbench_graph/{dataset}")
    params = np.round(benchmark.extras["params"] * 1e6)
    rows = np.random.default_rng(0).choice(len(params), 8, replace=False).tolist()
    if dataset == "physics":
        rows = [row for row in rows if wanted("physics", benchmark.rows.architecture(row)) == params[row]]
        assert len(rows) > 4
    for row in rows:
        network = networks.build(benchmark.rows.architecture(row), dataset=dataset, device="meta")
        assert count_parameters(network) == params[row]


def wanted(dataset, architecture):
    """Parameters by arithmetic."""
    own = DATASETS[dataset]
    width = own.hidden
    layers = layers_of(spaces.get(architecture.space).canonical(architecture))
    total = 8 * width + (own.features + 1) * width * own.before
    for operation, parent in layers:
        size = (own.features if not parent and not own.before else width) * width
        matrices = {"skip": 0, "sage": 2, "graph": 2, "cheb": 2, "arma": 2}.get(operation, 1)
        total += matrices * size + (operation != "skip") * width
        total += {"gat": 2 * width, "arma": width * width}.get(operation, 0)
    ends = len(layers) - len({layer.parent for layer in layers} - {0})
    out = (
        (ends * width + 1) * width + (width + 1) * own.num_classes
        if own.after
        else (ends * width + 1) * own.num_classes
    )
    return total + out


@pytest.mark.parametrize(
    "dataset",
    [
        "proteins",
        "physics",
        *(pytest.param(name, marks=pytest.mark.slow) for name in DATASETS if name not in ("proteins", "physics")),
    ],
)
def test_the_whole_table_follows_the_arithmetic(dataset):
    benchmark = benchmarks.get(f"nasbench_graph/{dataset}")
    params = np.round(benchmark.extras["params"] * 1e6)
    found = np.array([wanted(dataset, benchmark.rows.architecture(row)) for row in range(len(params))])
    assert (found != params).sum() == (DIFFERENT if dataset == "physics" else 0)


@pytest.mark.parametrize(
    ("key", "layers"),
    [
        ("gcn", [("gcn", 0)]),
        ("gcn(gat,skip),sage", [("gcn", 0), ("gat", 1), ("skip", 1), ("sage", 0)]),
        ("fc(gin(arma(cheb)))", [("fc", 0), ("gin", 1), ("arma", 2), ("cheb", 3)]),
    ],
)
def test_keys_are_read_as_trees(key, layers):
    assert layers_of(key) == [Layer(*layer) for layer in layers]


def test_isomorphic_architectures_are_one_network():
    pytest.importorskip("torch_geometric")
    x, edges = inputs("nasbench_graph")
    first, same, other = (
        build(text).eval()(x, edges)
        for text in ("0-1-2-2|gcn-skip-gat-fc", "0-1-2-2|skip-gcn-gat-fc", "0-1-1-1|skip-gcn-gat-fc")
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    twins = build("0-0-0-0|gcn-gat-fc-sage"), build("0-0-0-0|sage-fc-gat-gcn")
    assert torch.equal(twins[0].eval()(x, edges), twins[1].eval()(x, edges))


def test_layers_hear_their_neighbours_only():
    """Two graph convolutions: an output depends on nodes at most two edges away."""
    pytest.importorskip("torch_geometric")
    network = build("0-1-2-3|skip-skip-gcn-gcn").eval()
    x, edges = inputs("nasbench_graph")
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(network(x, edges)[0].sum(), x)
    reached = gradient.abs().sum(1).nonzero().flatten().tolist()
    assert set(reached) <= {0, 1, 2, 10, 11}
    assert len(reached) > 1


@pytest.mark.parametrize("operation", [o for o in SPACE.operations if o != "skip"])
def test_every_operation_trains(operation):
    pytest.importorskip("torch_geometric")
    network = build(f"0-0-1-3|{operation}-skip-{operation}-fc", dropout=0.0)
    network(*inputs("nasbench_graph")).square().sum().backward()
    # The skip connection carries raw features to the output, so it is moved to the front, where it does nothing.
    for layer in network.layers[1:]:
        gradients = [p.grad for p in layer.parameters() if p.grad is not None]
        assert gradients
        assert any(g.any() for g in gradients)
        assert all(g.isfinite().all() for g in gradients)


def test_raw_features_are_not_normalised_and_hidden_ones_are():
    pytest.importorskip("torch_geometric")
    x, edges = inputs("nasbench_graph")
    used = {}
    for dataset in ("cora", "computers"):
        network = build("0-1-2-3|skip-skip-gcn-fc", dataset=dataset)
        calls = []
        for k, norm in enumerate(network.norms):
            norm.register_forward_hook(lambda *_, k=k, calls=calls: calls.append(k))
        network(x, edges)
        used[dataset] = calls
    assert used == {"cora": [3], "computers": [0, 1, 2, 3]}


def test_proteins_have_their_own_default():
    pytest.importorskip("torch_geometric")
    space = spaces.get("nasbench_graph_proteins")
    network = networks.build(space.sample(np.random.default_rng(0)), device="meta")
    assert network.before.in_features == 8


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_geometric", None)
    with raised(MissingExtraError, extra="gnn"):
        build("0-1-2-3|gcn-gcn-gcn-gcn")


def test_bad_options():
    with raised(UnknownNameError, name="corra", suggestion="cora"):
        build("0-1-2-3|gcn-gcn-gcn-gcn", dataset="corra")
    with raised(ConfigError, "4", key="hidden", value=6):
        build("0-1-2-3|gcn-gcn-gcn-gcn", hidden=6)
    with raised(ConfigError, key="dropout", value=1.0):
        build("0-1-2-3|gcn-gcn-gcn-gcn", dropout=1.0)
