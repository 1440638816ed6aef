"""Every score against a slow implementation that shares no code with the engine: hooks, loops, finite differences."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import proxies
from proxies.isolation import derive_seed
from proxies.proxy_spec import closure
from tests.proxies.networks import CLASSES, FAMILIES, N, batch, make

LAYERS = (nn.Conv2d, nn.Linear)
RELU = (nn.ReLU, nn.ReLU6, nn.LeakyReLU)
NORM = nn.BatchNorm2d


def outplace(network):
    """A copy whose modules change nothing in place, in training mode."""
    network = copy.deepcopy(network).train()
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    return network


def logits(network, x):
    out = network(x)
    return out[0] if isinstance(out, tuple) else out


def layers(network):
    return [m for m in network.modules() if isinstance(m, LAYERS)]


def watch(network, kinds, run):
    """(module, input, output) of every call of the given kinds of module."""
    calls = []
    handles = [
        m.register_forward_hook(lambda m, i, o: calls.append((m, i[0].detach().clone(), o.detach().clone())))
        for m in network.modules()
        if isinstance(m, kinds)
    ]
    run()
    for handle in handles:
        handle.remove()
    return calls


def gradients(network, x, y):
    network = outplace(network)
    functional.cross_entropy(logits(network, x), y).backward()
    return [(m.weight.detach().numpy(), gradient_of(m.weight).numpy()) for m in layers(network)]


def gradient_of(weight):
    return torch.zeros_like(weight) if weight.grad is None else weight.grad


def grad_norm(network, x, y):
    return sum(np.sqrt((g**2).sum()) for _, g in gradients(network, x, y))


def plain(network, x, y):
    return sum((w * g).sum() for w, g in gradients(network, x, y))


def snip(network, x, y):
    """By masks, as it is defined."""
    network = outplace(network)
    masks = {name: torch.ones_like(p, requires_grad=True) for name, p in network.named_parameters()}
    masked = {name: p.detach() * masks[name] for name, p in network.named_parameters()}
    out = torch.func.functional_call(network, masked, (x,))
    functional.cross_entropy(out[0] if isinstance(out, tuple) else out, y).backward()
    names = [f"{n}.weight" for n, m in network.named_modules() if isinstance(m, LAYERS)]
    return sum(float(gradient_of(masks[name]).abs().sum()) for name in names)


def grasp(network, x, y):
    """The Hessian-vector product by central differences of the gradient along itself."""
    network = outplace(network)
    direction = [torch.from_numpy(g.copy()) for _, g in gradients(network, x, y)]
    step = 1e-6 / max(float(d.abs().max()) for d in direction)
    sides = []
    for sign in (1, -1):
        moved = copy.deepcopy(network)
        for m, d in zip(layers(moved), direction, strict=True):
            m.weight.data += sign * step * d
        sides.append([g for _, g in gradients(moved, x, y)])
    return -sum(
        float((m.weight.detach().numpy() * (up - down) / (2 * step)).sum())
        for m, up, down in zip(layers(network), *sides, strict=True)
    )


def fisher(network, x, y):
    network = outplace(network)
    kept = []

    def keep(module, _, output):
        output.retain_grad()
        kept.append((module, output))

    handles = [m.register_forward_hook(keep) for m in layers(network)]
    functional.cross_entropy(logits(network, x), y).backward()
    for handle in handles:
        handle.remove()
    total = 0.0
    for module, output in kept:
        for k in range(output.shape[1]):
            information = 0.0
            for n in range(len(x)):
                product = (output[n, k] * output.grad[n, k]).sum()
                information += 0.5 * float(product.detach()) ** 2 / len(x)
            total += information * module.weight[k].numel()
    return total


def l2_norm(network, x, y):
    return sum(np.sqrt((m.weight.detach().numpy() ** 2).sum()) for m in layers(network))


def params(network, x, y):
    return sum(np.prod(p.shape) for p in network.parameters())


def flops(network, x, y):
    """Closed form for each layer: outputs times the weights of a channel."""
    model = outplace(network).eval()
    calls = watch(model, LAYERS, lambda: model(x[:1]))
    return sum(output[0].numel() * module.weight[0].numel() for module, _, output in calls)


def jacobian(network, x):
    x = x.clone().requires_grad_()
    logits(outplace(network), x).backward(torch.ones(len(x), CLASSES, dtype=x.dtype))
    return x.grad.flatten(1).numpy()


def jacov(network, x, y):
    values = np.linalg.eigvals(np.corrcoef(jacobian(network, x))).real
    return -sum(math.log(v + 1e-5) + 1 / (v + 1e-5) for v in values)


def epe_nas(network, x, y):
    rows = jacobian(network, x)
    total = 0.0
    for c in range(CLASSES):
        members = [rows[i] for i in range(len(x)) if y[i] == c]
        if members:
            matrix = np.atleast_2d(np.corrcoef(members))
            total += abs(sum(math.log(abs(v) + 1e-5) for v in matrix.flat))
    return total


def codes(network, x):
    model = outplace(network)
    calls = watch(model, RELU, lambda: model(x))
    return [(given > 0).flatten(1).numpy().astype(float) for _, given, _ in calls]


def nwot(network, x, y):
    kernel = sum(c @ c.T + (1 - c) @ (1 - c).T for c in codes(network, x))
    return np.linalg.slogdet(kernel)[1]


def swap(network, x, y):
    return len({tuple(c[:, u]) for c in codes(network, x) for u in range(c.shape[1])})


def linear_regions(network, x, y):
    together = np.concatenate(codes(network, x), axis=1)
    return len({tuple(row) for row in together})


def synflow(network, x, y, keep_norm=False):
    model = outplace(network)
    for value in model.parameters():
        value.data.abs_()
    if not keep_norm:
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, NORM):
                    setattr(module, name, nn.Identity())
    logits(model, torch.ones(1, *x.shape[1:], dtype=x.dtype)).sum().backward()
    return sum(float((m.weight.detach() * gradient_of(m.weight)).abs().sum()) for m in layers(model))


def synflow_bn(network, x, y):
    return synflow(network, x, y, keep_norm=True)


def zen(network, x, y):
    model = outplace(network)
    generator = torch.Generator().manual_seed(derive_seed(0, "gaussian"))
    for name, value in model.named_parameters():
        value.data.fill_(0.0 if name.endswith("bias") else 1.0)
    for module, _, _ in watch(model, LAYERS, lambda: model(x)):  # in the order of their calls
        shape = module.weight.shape
        module.weight.data = torch.randn(shape, generator=generator, dtype=torch.float64)
    first = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    second = first + 0.01 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    # The last feature map: what is pooled, what the last activation puts out, what enters the last layer.
    kind, place = {
        "Residual": (nn.AdaptiveAvgPool2d, 1),
        "NASBench201Network": (nn.AdaptiveAvgPool2d, 1),
        "Depthwise": (nn.ReLU6, 2),
        "Perceptron": (nn.Linear, 1),
    }[type(network).__name__]
    features = [watch(model, kind, lambda given=given: model(given))[-1][place] for given in (first, second)]
    delta = np.mean([float((a - b).norm()) for a, b in zip(*features, strict=True)])
    calls = watch(model, NORM, lambda: model(first))
    scales = [np.sqrt(np.mean(given.transpose(0, 1).flatten(1).numpy().var(1))) for _, given, _ in calls]
    return math.log(delta) + sum(math.log(s) for s in scales)


def zico(network, x, y):
    halves = [gradients(network, x[:3], y[:3]), gradients(network, x[3:], y[3:])]
    total = 0.0
    for (_, g), (_, h) in zip(*halves, strict=True):
        ratios = 0.0
        for pair in zip(np.abs(g).flat, np.abs(h).flat, strict=True):
            deviation = np.std(pair)
            ratios += np.mean(pair) / deviation if deviation > 0 else 0.0
        if ratios > 0:
            total += math.log(ratios)
    return total


def meco(network, x, y):
    generator = torch.Generator().manual_seed(derive_seed(0, "single"))
    one = torch.randn(1, *x.shape[1:], generator=generator, dtype=torch.float64)
    model = outplace(network)
    total = 0.0
    for _, _, output in watch(model, nn.Conv2d, lambda: model(one)):
        matrix = np.nan_to_num(np.corrcoef(output[0].flatten(1).numpy()))
        total += np.linalg.eigvals(matrix).real.min()
    return total


def with_statistics(network, x):
    """A model in evaluation mode whose running statistics are those of the batch."""
    model = outplace(network)
    for module, given, _ in watch(model, NORM, lambda: model(x)):
        by_channel = given.transpose(0, 1).flatten(1)
        module.running_mean.copy_(by_channel.mean(1))
        module.running_var.copy_(by_channel.var(1, unbiased=False))
    return model.eval()


def single_sample_gradients(network, x, value):
    model = with_statistics(network, x)
    rows = []
    for k in range(len(x)):
        model.zero_grad()
        value(logits(model, x[k : k + 1]), k).backward()
        rows.append(np.concatenate([gradient_of(p).numpy().ravel() for p in model.parameters()]))
    return np.array(rows)


def ntk(network, x, y):
    rows = single_sample_gradients(network, x, lambda out, _: out.sum())
    values = np.linalg.svd(rows, compute_uv=False) ** 2
    return values.max() / values.min()


def gradsign(network, x, y):
    rows = single_sample_gradients(network, x, lambda out, k: functional.cross_entropy(out, y[k : k + 1]))
    return np.abs(np.sign(rows).sum(0)).sum()


def block_features(network, x):
    """Graph outputs of the primary blocks, named by hand for each family; that of a residual one is its sum."""
    model = outplace(network)
    put_out, taken = {
        "Residual": lambda m: ([m.stem[0]], [block.relu for block in m.blocks]),
        "NASBench201Network": lambda m: ([m.stem, *m.body], []),
        "Depthwise": lambda m: ([layer for layer in m.units.modules() if isinstance(layer, nn.Conv2d)], []),
        "Perceptron": lambda m: ([m[1], m[3]], []),
    }[type(network).__name__](model)
    found = {}
    for module in put_out:
        module.register_forward_hook(lambda m, i, o: found.__setitem__(m, o))
    for module in taken:
        module.register_forward_hook(lambda m, i, o: found.__setitem__(m, i[0]))
    model(x)
    return [found[m] for m in (*put_out, *taken)]


def entropies(network, x):
    result = []
    for features in block_features(network, x):
        rows = features.detach().transpose(0, 1).flatten(1).numpy()
        values = np.linalg.eigvalsh(np.cov(rows, bias=True)).clip(0)
        share = values / values.sum()
        result.append(-sum(p * math.log(p) for p in share if p > 0))
    return result


def az_expressivity(network, x, y):
    return sum(entropies(network, x))


def az_progressivity(network, x, y):
    return min(b - a for a, b in itertools.pairwise(entropies(network, x)))


def az_trainability(network, x, y):
    features = block_features(network, x)
    generator = torch.Generator().manual_seed(derive_seed(0, "block_jacobians"))
    scores = []
    for before, after in itertools.pairwise(features):
        signs = torch.randint(0, 2, after.shape, generator=generator).double() * 2 - 1
        pulled = torch.autograd.grad((after * signs).sum(), before, retain_graph=True)[0]
        if after.dim() == 2:
            matrix = pulled.T @ signs / len(signs)
        else:
            r = before.shape[2] // after.shape[2]
            matrix = torch.zeros(before.shape[1] * r * r, after.shape[1], dtype=torch.float64)
            places = list(itertools.product(range(len(after)), range(after.shape[2]), range(after.shape[3])))
            for n, i, j in places:
                patch = pulled[n, :, i * r : (i + 1) * r, j * r : (j + 1) * r].flatten()
                matrix += torch.outer(patch, signs[n, :, i, j]) / len(places)
        sigma = np.linalg.svd(matrix.numpy(), compute_uv=False)[0]
        scores.append(2 - sigma - 1 / sigma)
    return np.mean(scores)


def nonlinear(network, x):
    """(input, output) of every call of a ReLU of whatever kind, on the graph, and the logits."""
    model, calls = outplace(network), []
    for module in model.modules():
        if isinstance(module, RELU):
            module.register_forward_hook(lambda m, i, o: calls.append((i[0], o)))
    out = logits(model, x)
    return calls, out


def table(features):
    """Features as a matrix: a row for every position of every sample."""
    if features.dim() == 2:
        return features.detach().numpy()
    n, c, h, w = features.shape
    rows = [features[k, :, i, j].detach().numpy() for k in range(n) for i in range(h) for j in range(w)]
    return np.array(rows).reshape(-1, c)


def near(network, x, y):
    total = 0.0
    for pair in nonlinear(network, x)[0]:
        for features in pair:
            rows = table(features)
            count, width = rows.shape
            starts = [0]
            if count > width:
                generator = torch.Generator().manual_seed(derive_seed(0, f"near/{count}/{width}"))
                starts = torch.randint(count - width + 1, (32,), generator=generator).tolist()
            ranks = []
            for start in starts:
                values = np.linalg.svd(rows[start : start + width], compute_uv=False)
                share = [v / values.sum() for v in values if values.sum() > 0]
                ranks.append(math.exp(-sum(p * math.log(p) for p in share if p > 0)) if share else 0.0)
            total += np.mean(ranks)
    return total


def layer_count(network, x, y):
    return sum(1 for m in network.modules() if isinstance(m, LAYERS))


def vkdnw_entropy(network, x, y):
    """Probabilities themselves are differentiated, class by class: F = Σ (∂p ∂pᵀ) / p."""
    size = layer_count(network, x, y)
    fisher = np.zeros((size, size))
    for k in range(len(x)):
        for c in range(CLASSES):
            chance = []

            def probability(out, _, c=c, chance=chance):
                chance.append(float(out.softmax(1)[0, c]))
                return out.softmax(1)[0, c]

            row = single_sample_weights(network, x, k, probability)
            fisher += np.outer(row, row) / chance[0] / len(x)
    alive = [i for i in range(size) if fisher[i, i] > 0]
    values = sorted(np.linalg.svd(fisher[np.ix_(alive, alive)], compute_uv=False))
    deciles = []
    for tenth in range(1, 10):
        place = tenth / 10 * (len(values) - 1)
        low = int(place)
        high = min(low + 1, len(values) - 1)
        deciles.append(values[low] + (place - low) * (values[high] - values[low]))
    share = [d / sum(deciles) for d in deciles]
    return -sum(p * math.log(p) for p in share if p > 0)


def single_sample_weights(network, x, k, value):
    """The gradient of one sample by the middle weight of each layer, batch statistics held constant."""
    model = with_statistics(network, x)
    value(logits(model, x[k : k + 1]), k).backward()
    return np.array([float(gradient_of(m.weight).flatten()[m.weight.numel() // 2]) for m in layers(model)])


def vkdnw(network, x, y):
    return layer_count(network, x, y) + vkdnw_entropy(network, x, y)


def intrain(network, x, y):
    generator = torch.Generator().manual_seed(derive_seed(0, "noise"))
    noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    labels = torch.randint(CLASSES, (len(x),), generator=generator)
    model = outplace(network)
    capacity, count = 0.0, 0
    for _, _, output in watch(model, LAYERS, lambda: model(noise)):
        values = np.linalg.eigvalsh(np.atleast_2d(np.cov(table(output).T, bias=True)))
        capacity += math.log(sum(values) ** 2 / sum(v * v for v in values)) if max(values) > 0 else 0.0
        count += 1
    functional.cross_entropy(logits(model, noise), labels).backward()
    health, largest = 0.0, max(float(gradient_of(p).abs().max()) for p in model.parameters())
    for parameter in model.parameters():
        entries = gradient_of(parameter).numpy().ravel()
        top = max(abs(g) for g in entries)
        health += min(1.0, np.std(entries) / top) if top > 1e-5 * largest else 0.0
    return capacity * (1 + health) / math.log(count + 1)


def l_swag(network, x, y):
    halves = [gradients(network, x[:3], y[:3]), gradients(network, x[3:], y[3:])]
    steadiness = 0.0
    for (_, g), (_, h) in zip(*halves, strict=True):
        inverse = [1 / np.std(pair) for pair in zip(np.abs(g).flat, np.abs(h).flat, strict=True) if np.std(pair) > 0]
        steadiness += math.log(sum(inverse)) if inverse else 0.0
    return steadiness * swap(network, x, y)


def dextr(network, x, y):
    """Derivatives along the circle by reverse-mode differentiation of each output, twice."""
    generator = torch.Generator().manual_seed(derive_seed(0, "single"))
    one = torch.randn(1, *x.shape[1:], generator=generator, dtype=torch.float64)
    model = outplace(network)
    ratios = []
    for _, _, output in watch(model, nn.Conv2d, lambda: model(one)):
        values = np.linalg.svd(output[0].flatten(1).numpy(), compute_uv=False)
        ratios.append(values.min() / values.max() if values.max() > 0 else 0.0)
    size = x[0].numel()
    draws = torch.Generator().manual_seed(derive_seed(0, "circle"))
    axes = np.linalg.qr(torch.randn(size, 2, generator=draws, dtype=torch.float64).numpy())[0].T * math.sqrt(size)
    u, w = (torch.from_numpy(axis).reshape(1, *x.shape[1:]) for axis in axes)
    bends = []
    for step in range(4):
        angle = torch.tensor(2 * math.pi * step / 4, dtype=torch.float64, requires_grad=True)
        out = logits(model, u * angle.cos() + w * angle.sin())[0]
        v = [torch.autograd.grad(value, angle, create_graph=True)[0] for value in out]
        a = np.array([float(torch.autograd.grad(value, angle, retain_graph=True)[0]) for value in v])
        v = np.array([float(value.detach()) for value in v])
        bends.append(math.sqrt(max(0.0, (v @ v) * (a @ a) - (v @ a) ** 2)) / (v @ v) ** 1.5)
    first, second = math.log(1 + sum(ratios)), math.log(1 + 2 * math.pi * np.mean(bends))
    return first * second / (first + second)


def wrcor(network, x, y):
    """In exact powers of two; gradients by a hook of their own."""
    calls, out = nonlinear(network, x)
    found = torch.autograd.grad(functional.cross_entropy(out, y), [o for _, o in calls], allow_unused=True)
    total = np.zeros((len(x), len(x)))
    for place, ((given, output), gradient) in enumerate(zip(calls, found, strict=True)):
        gradient = torch.zeros_like(output) if gradient is None else gradient
        for rows in (given.detach(), gradient):
            with np.errstate(invalid="ignore", divide="ignore"):
                total += 2**place * np.nan_to_num(np.abs(np.corrcoef(rows.flatten(1).numpy())))
    return math.log(np.linalg.det(total))


def reg_swap(network, x, y):
    return math.log(swap(network, x, y) * math.exp(-((params(network, x, y) / 1e6 - 1.5) ** 2) / 1.5))


def meco_opt(network, x, y):
    generator = torch.Generator().manual_seed(derive_seed(0, "single"))
    one = torch.randn(1, *x.shape[1:], generator=generator, dtype=torch.float64)
    model = outplace(network)
    total = 0.0
    for _, _, output in watch(model, nn.Conv2d, lambda: model(one)):
        channels = output.shape[1]
        draws = torch.Generator().manual_seed(derive_seed(0, f"meco_opt/{channels}"))
        chosen = torch.randperm(channels, generator=draws)[:8].tolist()
        matrix = np.nan_to_num(np.corrcoef([output[0, c].flatten().numpy() for c in chosen]))
        total += np.linalg.eigvals(matrix).real.min() * channels / min(8, channels)
    return total


class _Masked(nn.Module):
    """A convolution whose input is masked."""

    def __init__(self, inner, generator):
        super().__init__()
        self.inner, self.generator = inner, generator

    def forward(self, x):
        return self.inner(torch.where(torch.rand(x.shape, generator=self.generator) < 0.95, 0.0, x))


class _SampleNorm(nn.Module):
    """Layer normalisation over channels and positions, scaled by channel."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        rows = []
        for sample in x:
            centred = (sample - sample.mean()) / (sample.var(correction=0) + self.norm.eps).sqrt()
            rows.append(centred * self.norm.weight[:, None, None] + self.norm.bias[:, None, None])
        return torch.stack(rows)


def masked(network):
    model = outplace(network)
    generator = torch.Generator().manual_seed(derive_seed(0, "masked"))
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d):
                setattr(module, name, _Masked(child, generator))
            elif isinstance(child, NORM):
                setattr(module, name, _SampleNorm(child))
    return model


def ncd_nwot(network, x, y):
    return nwot(masked(network), x, y)


def ncd_swap(network, x, y):
    return swap(masked(network), x, y)


az_complexity = flops

# Evolved proxies are formulas over the others and have tests of their own, as have those of transformers.
OWN = [
    name
    for name in proxies.names()
    if "evolved" not in proxies.registry.entry(name).tags and "attention" not in closure(proxies.spec(name).passes)
]
REFERENCES = {name: globals()[name] for name in OWN}  # a new proxy needs a reference here
UNSUPPORTED = {("perceptron", name) for name in ("meco", "meco_opt", "dextr", "ncd_nwot", "ncd_swap")}


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_slow_references(family):
    network, (x, y) = make(FAMILIES[family]), batch()
    scores = proxies.evaluate(network, (x, y), OWN)
    assert {(family, name) for name in scores.errors} == {u for u in UNSUPPORTED if u[0] == family}
    for name, value in scores.values.items():
        tolerance = 1e-4 if name == "grasp" else 1e-7
        assert value == pytest.approx(float(REFERENCES[name](network, x, y)), rel=tolerance), name


@pytest.mark.parametrize("family", FAMILIES)
def test_single_precision_is_close_to_double(family):
    double = proxies.score(make(FAMILIES[family]), batch(), OWN, on_error="nan")
    single = proxies.score(make(FAMILIES[family]).float(), batch(torch.float32), OWN, on_error="nan")
    for name, value in single.items():
        assert value == pytest.approx(
            double[name], rel=2e-2 if name in {"l_swag", "ntk", "swap", "zico"} else 1e-3, nan_ok=True
        )


def test_synflow_of_a_linear_chain_in_closed_form():
    weights = [torch.randn(5, 7), torch.randn(3, 5), torch.randn(2, 3)]
    chain = nn.Sequential(*(nn.Linear(w.shape[1], len(w), bias=False) for w in weights))
    for layer, weight in zip(chain, weights, strict=True):
        layer.weight.data = weight
    flow = weights[2].abs().double() @ weights[1].abs().double() @ weights[0].abs().double()
    # Each layer carries the whole flow.
    assert proxies.score(chain, torch.zeros(1, 7), "synflow")["synflow"] == pytest.approx(3 * float(flow.sum()))


def test_swap_and_regions_with_many_samples():
    """More samples than fit one word of packed bits, and not a multiple of eight."""
    network = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 2))
    x = torch.randn(75, 2)
    active = (network[0](x) > 0).numpy()
    found = proxies.score(network, x, ["swap", "linear_regions"])
    assert found["swap"] == len({tuple(column) for column in active.T})
    assert found["linear_regions"] == len({tuple(row) for row in active})
    assert found["linear_regions"] < 75


def test_epe_nas_with_more_than_a_hundred_outputs():
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.Tanh(), nn.Linear(8, 101)).double()
    x, y = batch()
    inputs = x.clone().requires_grad_()
    network(inputs).sum().backward()
    rows = inputs.grad.flatten(1).numpy()
    by_class = [np.log(np.abs(np.corrcoef(rows[y.numpy() == c])) + 1e-5).sum() / 2 for c in range(3)]
    expected = sum(abs(a - b) for a in by_class for b in by_class) / 3
    assert proxies.score(network, (x, y), "epe_nas")["epe_nas"] == pytest.approx(expected)


def test_tangent_kernel_does_not_depend_on_the_memory_limit():
    from proxies.batch import Batch
    from proxies.context import ProxyContext
    from proxies.functions.sample_gradients import tangent_kernel
    from proxies.passes import Passes

    network = make(FAMILIES["residual"])
    passes = Passes(network, Batch.of(batch()), loss=None, seed=0, wanted={"sample_gradients"})
    passes.run("sample_gradients")
    context = ProxyContext(proxies.spec("ntk"), passes)
    whole = tangent_kernel(context)
    for kept in (1, 4):
        torch.testing.assert_close(tangent_kernel(context, kept * context.sample_gradients.size), whole)
    assert len(whole) == N


if torch.cuda.is_available():

    @pytest.mark.parametrize("family", FAMILIES)
    def test_scores_on_a_gpu_are_those_on_the_cpu(family):
        network, data = make(FAMILIES[family]), batch()
        here = proxies.score(network, data, OWN, on_error="nan")
        before = torch.cuda.get_rng_state()
        there = proxies.score(network.cuda(), data, OWN, on_error="nan")
        assert torch.equal(before, torch.cuda.get_rng_state())
        for name, value in there.items():
            assert value == pytest.approx(here[name], rel=1e-6, nan_ok=True), name
