"""What each operator counts, against formulas written here and other ways to compute the same; what is refused."""

from __future__ import annotations

import concurrent.futures
import itertools
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode, flop_registry, register_flop_formula

from po_nas.errors import UnsupportedModuleError
from proxies import score
from proxies.aten_operators import is_free
from proxies.counting import CONVENTIONS, count_operations
from tests.errors import raised


class Call(nn.Module):
    """A function of modules and inputs."""

    def __init__(self, function, *parts: nn.Module) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, *inputs):
        return self.function(*self.parts, *inputs)


def macs(function, *inputs, parts=()) -> int:
    return count_operations(Call(function, *parts), *inputs).total


def randn(*shape: int) -> torch.Tensor:
    return torch.ones(shape)


# -- recurrent layers --------------------------------------------------------------------------------------------------

GATES = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}
CELLS = {nn.LSTMCell: 4, nn.GRUCell: 3, nn.RNNCell: 1}


def recurrent(gates, positions, inputs, hidden, layers, directions, projected=0) -> int:
    """By hand: each layer and direction multiplies every position by its matrices."""
    total, width = 0, inputs
    state = projected or hidden
    for _ in range(layers):
        total += directions * positions * (gates * hidden * (width + state) + projected * hidden)
        width = directions * state
    return total


def test_the_figures_of_one_and_of_four_layers():
    """Both had been counted as nothing."""
    assert count_operations(nn.LSTM(10, 20), randn(1, 7, 10)).total == 16_800
    counts = [count_operations(nn.LSTM(10, 20, n), randn(7, 1, 10)).total for n in (1, 4)]
    assert counts == [16_800, 16_800 + 3 * 7 * 80 * 40]


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_layers(kind, layers, bidirectional):
    options = {"num_layers": layers, "bidirectional": bidirectional}
    expected = recurrent(GATES[kind], 2 * 7, 5, 6, layers, 1 + bidirectional)
    for batch_first in (False, True):
        layer = kind(5, 6, batch_first=batch_first, **options)
        assert count_operations(layer, randn(2, 7, 5)).total == expected
    assert 2 * count_operations(kind(5, 6, **options), randn(7, 5)).total == expected
    meta = kind(5, 6, **options).to("meta")
    assert count_operations(meta, randn(7, 2, 5).to("meta")).total == expected
    # Padding is not computed.
    packed = nn.utils.rnn.pack_padded_sequence(randn(2, 7, 5), [7, 4], batch_first=True)
    expected = recurrent(GATES[kind], 11, 5, 6, layers, 1 + bidirectional)
    assert count_operations(kind(5, 6, **options), packed).total == expected


@pytest.mark.parametrize("bidirectional", [False, True])
def test_projections_of_an_lstm(bidirectional):
    layer = nn.LSTM(5, 6, 2, proj_size=3, bidirectional=bidirectional)
    assert count_operations(layer, randn(7, 2, 5)).total == recurrent(4, 14, 5, 6, 2, 1 + bidirectional, 3)


@pytest.mark.parametrize(("kind", "cell"), list(zip(GATES, CELLS, strict=True)))
def test_a_layer_is_its_cell_at_every_position(kind, cell):
    def unrolled(part, signal):
        state = None
        for position in signal:
            state = part(position, state)
        return state

    assert macs(unrolled, randn(7, 2, 5), parts=[cell(5, 6)]) == count_operations(kind(5, 6), randn(7, 2, 5)).total


def test_a_recurrent_layer_in_a_network():
    """Deeper ones count more, and the parts add up."""
    counts = []
    for layers in (1, 4):
        network = nn.Sequential(nn.Linear(3, 8), nn.LSTM(8, 8, layers))
        count = count_operations(network, randn(5, 2, 3))
        assert count.by_module == {"0": 5 * 2 * 24, "1": recurrent(4, 10, 8, 8, layers, 1)}
        counts.append(count.total)
    assert counts[0] < counts[1]


# -- attention ---------------------------------------------------------------------------------------------------------

BATCH, HEADS, QUERIES, KEYS, WIDTH = 2, 4, 6, 5, 8
ATTENTION = BATCH * HEADS * QUERIES * KEYS * 2 * WIDTH


def attend(backend, **options):
    def call(*inputs):
        with sdpa_kernel(backend):
            return functional.scaled_dot_product_attention(*inputs, **options)

    return call


def tokens(heads: int = HEADS, device: str = "cpu") -> list[torch.Tensor]:
    sizes = ((HEADS, QUERIES), (heads, KEYS), (heads, KEYS))
    return [torch.ones(BATCH, h, n, WIDTH, device=device) for h, n in sizes]


@pytest.mark.parametrize("backend", [SDPBackend.MATH, SDPBackend.FLASH_ATTENTION])
def test_attention_counts_alike_on_all_backends(backend):
    assert macs(attend(backend), *tokens()) == ATTENTION
    assert macs(attend(backend, is_causal=True), *tokens()) == ATTENTION
    mask = torch.zeros(QUERIES, KEYS)
    assert macs(attend(backend, attn_mask=mask), *tokens()) == ATTENTION
    assert macs(attend(backend, enable_gqa=True), *tokens(heads=2)) == ATTENTION
    with torch.inference_mode():
        assert macs(attend(backend), *tokens()) == ATTENTION


@pytest.mark.parametrize("operator", ["_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention"])
def test_attention_on_a_gpu(operator):
    """By shapes alone."""
    more = (None, False) if "efficient" in operator else ()
    for heads in (HEADS, 1):
        given = [part.expand(BATCH, HEADS, -1, WIDTH) for part in tokens(heads, "meta")]
        assert macs(lambda *qkv: getattr(torch.ops.aten, operator)(*qkv, *more), *given) == ATTENTION


def multi_head(tokens_, width, keys):
    return 4 * tokens_ * width * width + 2 * tokens_ * keys * width


def test_multi_head_attention():
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    for options in ({}, {"need_weights": False}, {"key_padding_mask": torch.zeros(3, 5).bool()}):
        assert macs(lambda a, x, o=options: a(x, x, x, **o)[0], randn(3, 5, 8), parts=[layer]) == 3 * multi_head(
            5, 8, 5
        )
    other = nn.MultiheadAttention(8, 2, kdim=6, vdim=7, batch_first=True)
    given = randn(1, 5, 8), randn(1, 4, 6), randn(1, 4, 7)
    projections = 2 * 5 * 64 + 4 * 8 * (6 + 7)
    assert macs(lambda a, *x: a(*x)[0], *given, parts=[other]) == projections + 2 * 5 * 4 * 8


@pytest.mark.parametrize("training", [False, True])
def test_a_transformer_encoder_is_the_sum_of_its_layers(training):
    """Torch has a fused path for evaluation, and nested tensors where tokens are masked."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2).train(training)
    expected = 2 * 3 * (multi_head(5, 8, 5) + 2 * 5 * 8 * 16)
    assert count_operations(encoder, randn(3, 5, 8)).total == expected
    mask = torch.tensor([[False] * 4 + [True]] * 3)
    assert macs(lambda e, x: e(x, src_key_padding_mask=mask), randn(3, 5, 8), parts=[encoder]) == expected
    decoder = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
    expected = multi_head(5, 8, 5) + 2 * 5 * 64 + 2 * 4 * 64 + 2 * 5 * 4 * 8 + 2 * 5 * 8 * 16
    assert macs(lambda d, *x: d(*x), randn(1, 5, 8), randn(1, 4, 8), parts=[decoder]) == expected


@pytest.mark.slow
def test_attention_that_is_compiled():
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, QUERIES, KEYS, device="cpu")
    for options in ({}, {"score_mod": lambda score, b, h, i, j: 2 * score}, {"block_mask": mask}):
        assert macs(lambda *x, o=options: flex_attention(*x, **o), *tokens()) == ATTENTION
    assert macs(lambda *x: flex_attention(*x, enable_gqa=True), *tokens(heads=2)) == ATTENTION


# -- one product, many ways to write it --------------------------------------------------------------------------------


def _dense_graph(a, b):
    """A matrix product as messages along all edges of a bipartite graph."""
    rows, middle = (index.flatten() for index in torch.meshgrid(torch.arange(3), torch.arange(4), indexing="ij"))
    return torch.zeros(3, 5).index_add_(0, rows, b[middle] * a[rows, middle, None])


PRODUCTS = {
    "mm": torch.mm,
    "matmul": lambda a, b: a @ b,
    "bmm": lambda a, b: torch.bmm(a[None], b[None]),
    "einsum": lambda a, b: torch.einsum("ik,kj->ij", a, b),
    "tensordot": lambda a, b: torch.tensordot(a, b, 1),
    "inner": lambda a, b: torch.inner(a, b.T),
    "linear": lambda a, b: functional.linear(a, b.T.contiguous(), torch.ones(5)),
    "addmm": lambda a, b: torch.addmm(torch.ones(3, 5), a, b),
    "addmm in place": lambda a, b: torch.ones(3, 5).addmm_(a, b),
    "baddbmm": lambda a, b: torch.ones(1, 3, 5).baddbmm_(a[None], b[None]),
    "addbmm": lambda a, b: torch.addbmm(torch.ones(3, 5), a[None], b[None]),
    "vectors": lambda a, b: torch.stack([torch.dot(row, column) for row in a for column in b.T]),
    "rows": lambda a, b: torch.stack([b.T @ row for row in a]),
    "columns": lambda a, b: torch.stack([torch.addmv(torch.ones(3), a, column) for column in b.T], 1),
    "outer products": lambda a, b: sum(torch.outer(a[:, k], b[k]) for k in range(4)),
    "added outer products": lambda a, b: torch.zeros(3, 5).addr(a[:, 0], b[0]) + sum(map(torch.outer, a.T[1:], b[1:])),
    "split": lambda a, b: a[:, :1] @ b[:1] + a[:, 1:] @ b[1:],
    "halves": lambda a, b: torch.cat([a @ b[:, :2], a @ b[:, 2:]], 1),
    "broadcasting": lambda a, b: (a[:, :, None] * b).sum(1),
    "expanded": lambda a, b: (a[:, :, None].expand(3, 4, 5) * b.expand(3, 4, 5)).sum(1),
    "convolution": lambda a, b: functional.conv2d(a.T[None, :, None], b.T[:, :, None, None]),
    "transposed convolution": lambda a, b: functional.conv_transpose1d(a.T[None], b[:, :, None]),
    "convolution over time": lambda a, b: torch.conv_tbc(a[:, None], b[None], torch.zeros(5)),
    "messages": _dense_graph,
    "scattered messages": lambda a, b: torch.zeros(3, 4, 5).scatter_add(
        0, torch.arange(3)[:, None, None].expand(3, 4, 5), a[:, :, None] * b
    ),
    "vmap": lambda a, b: torch.vmap(torch.mv, (None, 1), 1)(a, b),
    "checkpointed": lambda a, b: checkpoint(torch.mm, a, b, use_reentrant=False),
    "checkpointed again": lambda a, b: checkpoint(torch.mm, a.requires_grad_(), b, use_reentrant=True),
}


@pytest.mark.parametrize("way", PRODUCTS)
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_a_product_counts_alike_however_it_is_written(way, mode):
    with mode():
        assert macs(PRODUCTS[way], torch.ones(3, 4), torch.ones(4, 5)) == 3 * 4 * 5


def test_batches_of_products():
    assert macs(torch.matmul, randn(2, 3, 4), randn(4)) == 24
    assert macs(torch.matmul, randn(6, 2, 3, 4), randn(2, 4, 5)) == 6 * 2 * 60
    assert macs(torch.kron, randn(3, 2), randn(4, 5)) == 120
    assert macs(lambda *m: torch.linalg.multi_dot(m), randn(3, 4), randn(4, 5), randn(5, 6)) == 60 + 90
    assert macs(lambda x: torch.linalg.matrix_power(x, 4), randn(3, 3)) == 2 * 27


def test_bilinear_layers_are_two_products():
    given = randn(2, 3), randn(2, 4)
    expected = macs(lambda x, y: torch.einsum("bkj,bj->bk", torch.einsum("bi,kij->bkj", x, randn(5, 3, 4)), y), *given)
    assert macs(lambda part, x, y: part(x, y), *given, parts=[nn.Bilinear(3, 4, 5)]) == expected == 2 * 5 * (12 + 4)


def test_convolutions():
    """By hand; and a grouped one is as many small ones, any is a product with unfolded patches."""
    image = randn(2, 4, 9, 7)
    assert count_operations(nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), groups=2), image).total == 2 * 5 * 6 * 6 * 6 * 2
    assert count_operations(nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), image).total == 2 * 63 * 9 * 4 * 3
    assert count_operations(nn.Conv1d(4, 6, 3, dilation=2), randn(4, 9)).total == 5 * 6 * 12
    assert count_operations(nn.Conv3d(1, 2, 2), randn(1, 1, 3, 3, 3)).total == 8 * 2 * 8
    circular = nn.Conv2d(4, 6, 3, padding="same", padding_mode="circular")
    assert count_operations(circular, image).total == 2 * 63 * 6 * 36
    grouped = count_operations(nn.Conv2d(4, 6, 3, groups=2, bias=False), image).total
    split = macs(lambda a, b, x: torch.cat([a(x[:, :2]), b(x[:, 2:])], 1), image, parts=[nn.Conv2d(2, 3, 3)] * 2)
    unfolded = macs(lambda x: torch.ones(6, 36) @ functional.unfold(x, 3), image)
    assert 2 * grouped == 2 * split == unfolded == 2 * 35 * 6 * 36


def test_tables_are_read_for_nothing_and_weighted_sums_are_products():
    rows = torch.tensor([[1, 2, 2]])
    assert count_operations(nn.Embedding(5, 4), rows).total == 0
    assert count_operations(nn.EmbeddingBag(5, 4), rows).total == 0
    weighted = nn.EmbeddingBag(5, 4, mode="sum")
    assert macs(lambda bag, x: bag(x, per_sample_weights=torch.ones(1, 3)), rows, parts=[weighted]) == 3 * 4


def test_messages_along_edges():
    """Weighted ones are multiplied and added up; without weights, or replaced, they are not."""
    into = torch.tensor([0, 0, 1, 2])
    wide = into[:, None].expand(4, 3)
    weighted = {
        "index_add": lambda m: torch.zeros(3, 3).index_add(0, into, m),
        "index_put": lambda m: torch.zeros(3, 3).index_put_((into,), m, accumulate=True),
        "scatter_add": lambda m: torch.zeros(3, 3).scatter_add_(0, wide, m),
        "scatter": lambda m: torch.zeros(3, 3).scatter(0, wide, m, reduce="add"),
        "scatter_reduce": lambda m: torch.zeros(3, 3).scatter_reduce(0, wide, m, "mean"),
        "index_reduce": lambda m: torch.zeros(3, 3).index_reduce(0, into, m, "mean"),
    }
    free = {
        "index_put": lambda m: torch.zeros(3, 3).index_put_((into,), m),
        "scatter": lambda m: torch.zeros(3, 3).scatter(0, wide, m),
        "scatter_reduce": lambda m: torch.zeros(3, 3).scatter_reduce(0, wide, m, "amax"),
        "index_copy": lambda m: torch.zeros(4, 3).index_copy(0, torch.arange(4), m),
    }
    messages, weights = randn(4, 3), randn(4, 1)
    for add in weighted.values():
        assert macs(lambda m, w, add=add: add(m * w), messages, weights) == 12
        assert macs(lambda m, w, add=add: add((m * w).double().view(12).view(4, 3).float()), messages, weights) == 12
        assert macs(lambda m, w, add=add: add(m.clone().mul_(w)), messages, weights) == 12
        assert macs(lambda m, w, add=add: add(m + w), messages, weights) == 0
        assert macs(lambda m, w, add=add: add(2 * m), messages, weights) == 0
    for write in free.values():
        assert macs(lambda m, w, write=write: write(m * w), messages, weights) == 0


def test_graph_convolutions_of_a_library():
    geometric = pytest.importorskip("torch_geometric.nn", reason="pip install 'po-nas[gnn]'")
    edges = torch.tensor([[0, 1, 2], [1, 2, 0]])
    # With one loop at each of three nodes.
    for kind in (geometric.GCNConv, geometric.GATConv):
        assert macs(lambda part, x: part(x, edges), randn(3, 4), parts=[kind(4, 5)]) == 3 * 20 + 6 * 5


# -- random networks ---------------------------------------------------------------------------------------------------


def random_layers(rng) -> tuple[list[nn.Module], int]:
    """Layers for inputs (2, 6, 8), and their multiply-accumulates by hand."""
    layers, total, channels, length = [], 0, 6, 8
    for _ in range(rng.integers(3, 8)):
        kind, out = rng.integers(6), int(rng.choice([2, 4, 6]))
        if kind == 0:
            size, groups = int(rng.choice([1, 3])), int(rng.choice([1, 2]))
            layers.append(nn.Conv1d(channels, out, size, padding="same", groups=groups))
            total += 2 * length * out * size * channels // groups
            channels = out
        elif kind == 1:
            layers.append(nn.ConvTranspose1d(channels, out, 3, padding=1))
            total += 2 * length * channels * out * 3
            channels = out
        elif kind == 2:
            layers.append(nn.Linear(length, out))
            total += 2 * channels * length * out
            length = out
        elif kind == 3:
            layers.append(nn.GRU(length, out, bidirectional=True, batch_first=True))
            layers.append(Call(lambda pair: pair[0]))
            total += recurrent(3, 2 * channels, length, out, 1, 2)
            length = 2 * out
        elif kind == 4:
            layers.append(nn.TransformerEncoderLayer(length, 2, 12, batch_first=True))
            total += 2 * (multi_head(channels, length, channels) + 2 * channels * length * 12)
        else:
            free = (nn.BatchNorm1d(channels), nn.LayerNorm(length), nn.GELU(), nn.AvgPool1d(3, 1, 1), nn.Dropout())
            layers.append(free[rng.integers(len(free))])
    return layers, total


@pytest.mark.parametrize("seed", range(12))
def test_networks_are_the_sum_of_their_layers(seed):
    layers, expected = random_layers(np.random.default_rng(seed))
    network = nn.Sequential(*layers)
    count = count_operations(network, randn(2, 6, 8))
    assert count.total == expected == sum(count.by_module.values())
    assert 2 * count_operations(network, randn(1, 6, 8)).total == expected
    assert count_operations(nn.Sequential(nn.Sequential(*layers[:2]), *layers[2:]), randn(2, 6, 8)).total == expected
    assert count_operations(network.to("meta"), randn(2, 6, 8).to("meta")).total == expected


def test_torch_counts_the_same_where_it_counts():
    layers = [nn.Conv2d(3, 4, 3, groups=1), nn.ConvTranspose2d(4, 2, 3), nn.Flatten(), nn.Linear(128, 5), nn.ReLU()]
    network = nn.Sequential(*layers).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(randn(2, 3, 8, 8))
    assert counter.get_total_flops() == 2 * count_operations(network, randn(2, 3, 8, 8)).total


# -- compiled and scripted ---------------------------------------------------------------------------------------------

PLAIN = 9 * 4 * 27 + 36 * 5


def plain() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 5)).eval()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_scripted_networks_count_as_they_did():
    image = randn(1, 3, 5, 5)
    for network in (torch.jit.script(plain()), torch.jit.trace(plain(), image)):
        for _ in range(3):
            assert count_operations(network, image).total == PLAIN
        assert count_operations(nn.Sequential(network), image).total == PLAIN
    frozen = torch.jit.optimize_for_inference(torch.jit.script(plain()))
    with raised(UnsupportedModuleError, operator="aten.to_mkldnn"):
        count_operations(frozen, image)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_compiled_networks_count_as_they_did(backend):
    image, compiled = randn(1, 3, 5, 5), torch.compile(plain(), backend=backend)
    assert count_operations(compiled, image).total == PLAIN
    if backend == "eager":
        compiled(image)
        assert count_operations(compiled, image).total == PLAIN
        network = plain()
        network.compile(backend=backend, fullgraph=True)
        assert count_operations(network, image).total == PLAIN


# -- what is free, and what is refused ---------------------------------------------------------------------------------

FREE = {
    "batch normalisation": nn.BatchNorm1d(3),
    "layer normalisation": nn.LayerNorm(4),
    "group normalisation": nn.GroupNorm(1, 3),
    "instance normalisation": nn.InstanceNorm1d(3),
    "root mean square normalisation": nn.RMSNorm(4),
    "local response normalisation": nn.LocalResponseNorm(2),
    "activations": nn.Sequential(nn.PReLU(), nn.RReLU(), nn.Hardswish(), nn.GELU(), nn.SiLU(), nn.Softmax(1)),
    "gates": nn.Sequential(nn.GLU(), nn.LogSoftmax(-1), nn.Softplus(), nn.Mish(), nn.ELU()),
    "pooling": nn.Sequential(nn.AvgPool1d(2, 1), nn.MaxPool1d(2), nn.LPPool1d(2, 1), nn.AdaptiveAvgPool1d(3)),
    "resampling": nn.Sequential(nn.Upsample(scale_factor=2, mode="linear"), nn.ReflectionPad1d(1)),
    "squeeze and excitation": Call(lambda x: (x * x.mean(-1, keepdim=True).sigmoid()).mean(-1)),
    "swish and pooling": Call(lambda x: (x * x.sigmoid()).mean()),
    "in place": Call(lambda x: x.clone().unsqueeze_(0).squeeze_(0).t_() if x.dim() == 2 else x.clone().relu_()),
    "indices": Call(lambda x: x.sort(-1)[0].topk(2)[0].gather(-1, torch.zeros(2, 3, 1).long()).cumsum(1)),
    "assignment": Call(lambda x: torch.zeros_like(x).index_fill_(0, torch.tensor([0]), 2.0) + float(x.sum())),
    "distances": Call(lambda x: functional.cosine_similarity(x, x) + functional.pairwise_distance(x, x).norm()),
    "draws": Call(lambda x: functional.gumbel_softmax(x) + torch.randn_like(x) + torch.rand(4).bernoulli()),
    "losses": Call(lambda x: functional.cross_entropy(x, x.softmax(1)) + functional.huber_loss(x, 2 * x)),
}


@pytest.mark.parametrize("kind", FREE)
def test_what_multiplies_and_accumulates_nothing_is_free(kind):
    assert count_operations(FREE[kind], torch.rand(2, 3, 4)).total == 0


@torch.library.custom_op("po_nas_tests::product", mutates_args=())
def _product(x: torch.Tensor) -> torch.Tensor:
    return x @ x.mT


SPARSE = torch.eye(3).to_sparse()
REFUSED = {
    "a custom operator": (_product, "po_nas_tests.product"),
    "fft": (lambda x: torch.fft.rfft(x).abs(), "aten._fft_r2c"),
    "stft": (lambda x: torch.stft(x.flatten(), 4, return_complex=True, window=torch.ones(4)).abs(), "aten._fft_r2c"),
    "distances": (lambda x: torch.cdist(x, x), "aten._cdist_forward"),
    "solve": (lambda x: torch.linalg.solve(torch.eye(3), x), "aten._linalg_solve_ex"),
    "inverse": (lambda x: torch.linalg.inv(torch.eye(3)), "aten.linalg_inv_ex"),
    "singular values": (torch.linalg.svdvals, "aten._linalg_svd"),
    "cholesky": (lambda x: torch.linalg.cholesky(torch.eye(3)), "aten.linalg_cholesky_ex"),
    "matrix exponential": (lambda x: torch.matrix_exp(torch.eye(3)), "aten.linalg_matrix_exp"),
    "a sparse product": (lambda x: SPARSE @ x, "aten.mm"),
    "another sparse product": (lambda x: torch.sparse.mm(SPARSE, x), "aten._sparse_addmm"),
    "a complex product": (lambda x: (x.to(torch.complex64) @ x.T.to(torch.complex64)).abs(), "aten.mm"),
    "a branch": (lambda x: torch.cond(x.sum() > 0, lambda y: y @ y.T, lambda y: y @ y.T, (x,)), "cond"),
    "what is caught": (lambda x: _caught(x), "aten._fft_r2c"),
}


def _caught(x):
    try:
        return torch.fft.rfft(x).abs()
    except Exception:
        return x


@pytest.mark.parametrize("kind", [kind for kind in REFUSED if kind != "a branch"])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_what_is_not_known_is_refused_by_name(kind, convention):
    function, operator = REFUSED[kind]
    with raised(UnsupportedModuleError, operator, operator=operator, lacks="formula"):
        count_operations(Call(function), torch.rand(3, 16), convention=convention)


@pytest.mark.slow
def test_control_flow_is_refused():
    function, operator = REFUSED["a branch"]
    with raised(UnsupportedModuleError, operator=operator):
        macs(function, torch.rand(3, 16))


def test_quantised_layers_are_refused():
    quantised = torch.ao.nn.quantized.dynamic.Linear(4, 4)
    with raised(UnsupportedModuleError, operator="quantized.linear_dynamic"):
        count_operations(quantised, randn(3, 4))


def test_layers_that_run_in_another_thread_are_refused():
    def elsewhere(part, x):
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            return executor.submit(part, x).result()

    with raised(UnsupportedModuleError, operator="Linear"):
        macs(elsewhere, randn(3, 4), parts=[nn.Linear(4, 4)])


def test_layers_without_shapes_are_refused_and_left_alone():
    layer = nn.LazyLinear(4)
    with raised(UnsupportedModuleError, operator=""):
        count_operations(layer, randn(3, 4))
    assert torch.nn.parameter.is_lazy(layer.weight)


def test_the_fused_path_of_attention_is_refused_when_a_network_insists():
    def insist(part, x):
        torch.backends.mha.set_fastpath_enabled(True)
        return part(x, x, x)[0]

    before = torch.backends.mha.get_fastpath_enabled()
    with raised(UnsupportedModuleError, operator="aten._native_multi_head_attention"):
        macs(insist, randn(1, 5, 8), parts=[nn.MultiheadAttention(8, 2, batch_first=True)])
    assert torch.backends.mha.get_fastpath_enabled() == before


def test_a_formula_teaches_an_operator():
    @torch.library.custom_op("po_nas_tests::taught", mutates_args=())
    def taught(x: torch.Tensor) -> torch.Tensor:
        return x @ x.mT

    @torch.library.custom_op("po_nas_tests::wrong", mutates_args=())
    def wrong(x: torch.Tensor) -> torch.Tensor:
        return x @ x.mT

    packet = torch.ops.po_nas_tests.taught
    register_flop_formula(torch.ops.po_nas_tests.wrong)(lambda shape, **_: shape[5])
    register_flop_formula(packet)(lambda shape, **_: 2 * shape[0] * shape[0] * shape[1])
    try:
        assert macs(taught, randn(3, 4)) == 36
        with raised(UnsupportedModuleError, operator="po_nas_tests.wrong"):
            macs(lambda x: functional.relu(wrong(x)), randn(3, 4))
    finally:
        del flop_registry[packet], flop_registry[torch.ops.po_nas_tests.wrong]


def test_proxies_say_why():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), Call(lambda x: torch.fft.rfft2(x).abs()), nn.Flatten(), nn.LazyLinear(2)
    )
    network(randn(1, 3, 5, 5))
    batch = torch.rand(4, 3, 5, 5), torch.tensor([0, 1, 0, 1])
    with raised(UnsupportedModuleError, proxy="flops", operator="aten._fft_r2c"):
        score(network, batch, "flops")
    assert score(network, batch, "params")["params"] == sum(p.numel() for p in network.parameters())


def all_operators() -> list:
    names = [name for name in torch._C._dispatch_get_all_op_names() if name.startswith("aten::")]
    found = []
    for name in names:
        packet, _, overload = name.removeprefix("aten::").partition(".")
        found.append(getattr(getattr(torch.ops.aten, packet), overload or "default", None))
    return [operator for operator in found if operator is not None]


_PRODUCT = re.compile(
    r"mm|mv$|conv|attention|lstm|gru_|rnn|matmul|linear$|solve|fft_[cr]|cholesky|inv_ex|svd|qr|eig|cdist|bilinear|"
    r"trilinear|dot$|vdot|addr|ldl|lu_factor|matrix_exp|sparse|quantized|embedding_bag|einsum|tensordot|outer|kron"
)
_NAMED_LIKE_ONE = re.compile(
    r"upsample|cummax|cummin|logcumsum|convert|lgamma|comma|polygamma|digamma|gammainc|igamma|_thnn_fused|fftfreq|"
    r"rnn_flatten_weight|dense_dim|lstm_cell|gru_cell|_cudnn_init|broadcast|_fused_sdp|plan_cache|fft_fft|sparse_dim|"
    r"weight_norm|resolve|sqrt|_standard_gamma"
)


def test_no_product_is_free():
    """Of the thousands of operators, those that are named like a product or a decomposition."""
    products = [o for o in all_operators() if _PRODUCT.search(o._schema.name) and not _NAMED_LIKE_ONE.search(str(o))]
    assert len(products) > 300
    tensors = [o for o in products if any("Tensor" in str(a.type) and not a.is_out for a in o._schema.arguments)]
    assert sorted({str(o) for o in tensors if is_free(o)}) == []


def test_most_operators_of_networks_are_decided():
    """Networks should be refused for a reason, not because somebody forgot an operator."""
    implicit = "CompositeImplicitAutograd"
    forgotten = {
        str(operator.overloadpacket).removeprefix("aten.")
        for operator in all_operators()
        if torch.Tag.core in operator.tags
        and not is_free(operator)
        and not torch._C._dispatch_has_kernel_for_dispatch_key(operator.name(), implicit)
    }
    products = {"addmm", "bmm", "convolution", "mm", "_embedding_bag", "index_put", "scatter_add", "scatter_reduce"}
    distances, transforms = {"_cdist_forward", "_pdist_forward"}, {"_fft_c2r", "_fft_r2c"}
    assert {name for name in forgotten if "backward" not in name} == products | distances | transforms


# -- the published convention ------------------------------------------------------------------------------------------


class Leaf(nn.Module):
    """A layer of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 4))

    def forward(self, x):
        return x @ self.weight


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.LSTM(4, 4), (2, 3, 4)),
        (nn.Conv1d(4, 4, 1), (2, 4, 3)),
        (nn.Conv3d(4, 4, 1), (2, 4, 3, 3, 3)),
        (nn.TransformerEncoderLayer(4, 2, 4), (2, 3, 4)),
        (nn.Bilinear(3, 3, 3), None),
        (Leaf(), (2, 3, 4)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_publication_has_no_count_for_is_refused(layer, shape):
    if shape is None:
        layer, shape = Call(lambda part, x: part(x, x), layer), (2, 3)
    with raised(UnsupportedModuleError, lacks="formula"):
        count_operations(nn.Sequential(layer), randn(*shape), convention="suite_zero")


def test_what_the_publication_counts_as_nothing():
    layers = [nn.ConvTranspose2d(3, 3, 1), nn.Tanh(), nn.GroupNorm(1, 3), nn.GELU(), nn.Conv2d(3, 2, 1, bias=False)]
    count = count_operations(nn.Sequential(*layers), randn(1, 3, 4, 4), convention="suite_zero")
    assert count.by_module == {"4": 16 * 6}


def test_counts_do_not_depend_on_how_the_caller_computes():
    """Gradients, inference, autocast, precision and weights that are not finite change nothing."""
    layers, expected = random_layers(np.random.default_rng(3))
    network = nn.Sequential(*layers)
    signal = randn(2, 6, 8)
    modes = (torch.enable_grad, torch.no_grad, torch.inference_mode)
    for mode, enabled in itertools.product(modes, (False, True)):
        with mode(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            assert count_operations(network, signal).total == expected
    assert count_operations(network.double(), signal.double()).total == expected
    assert count_operations(network, signal.double() * torch.nan).total == expected
