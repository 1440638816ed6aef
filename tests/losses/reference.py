"""Slow definitions of every loss on lists of floats, in plain Python, written from the formulas."""

from __future__ import annotations

import itertools
import math

DEFAULT_FRACTION = 0.1


def pairs(y):
    return [(i, j) for i in range(len(y)) for j in range(len(y)) if y[i] > y[j]]


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def rank(y, i):
    return 1 + sum(other > y[i] for other in y)


def quantile(y, i):
    return sum(other <= y[i] for other in y) / len(y)


def top_size(n, fraction):
    return min(max(2, round(fraction * n)), n - 1)


def mse(s, y):
    return mean((a - b) ** 2 for a, b in zip(s, y, strict=True))


def mse_sr(s, y, weight=0.1):
    n = len(y)
    differences = [abs((s[i] - s[j]) - (y[i] - y[j])) for i in range(n) for j in range(n) if i != j]
    return mse(s, y) + weight * (mean(differences) if len(set(y)) > 1 else 0.0)


def hr(s, y, margin=0.1):
    return mean(max(0.0, margin - (s[i] - s[j])) for i, j in pairs(y))


def lr(s, y, temperature=1.0):
    return mean(softplus(-(s[i] - s[j]) / temperature) for i, j in pairs(y))


def listmle(s, y):
    """Groups of ties from the best down; the d-th of g tied ones is drawn when d/g of the group's weight is gone."""
    if len(set(y)) == 1:
        return 0.0
    total = 0.0
    for value in sorted(set(y), reverse=True):
        group = [a for a, b in zip(s, y, strict=True) if b == value]
        left = sum(math.exp(a) for a, b in zip(s, y, strict=True) if b <= value)
        tied = sum(math.exp(a) for a in group)
        for d in range(len(group)):
            total += math.log(left - d / len(group) * tied)
        total -= sum(group)
    return total / len(y)


def plackett_luce(s, order):
    """The negative log-likelihood of one order of all items."""
    total, left = 0.0, list(order)
    for i in order:
        total += math.log(sum(math.exp(s[k]) for k in left)) - s[i]
        left.remove(i)
    return total


def ew(s, y, mode="exp", temperature=1.0):
    def weight(v):
        if mode == "exp":
            return math.exp((v - 1) / temperature)
        if mode == "expm1":
            return (math.exp(v / temperature) - 1) / (math.exp(1 / temperature) - 1)
        return math.exp((v - max(y)) / temperature)

    return mean(weight(b) * (b - a) ** 2 for a, b in zip(s, y, strict=True))


def mape(s, y, lower_bound=None, rho=0.9, floor=1e-3, exponent=1.0):
    smallest = 1 - max(y)
    b = min(rho * smallest, smallest - floor) if lower_bound is None else lower_bound
    return mean(abs((1 - a) - (1 - v)) / max(1 - v - b, floor) ** exponent for a, v in zip(s, y, strict=True))


def violators(s, y, i, margin):
    return [j for j in range(len(y)) if y[j] < y[i] and margin - s[i] + s[j] > 0]


def item_weight(y, i, weight, sharpness=2.0):
    if weight == "exp_z":
        m = mean(y)
        sd = max(math.sqrt(mean((v - m) ** 2 for v in y)), 1e-8)
        every = [math.exp(sharpness * (v - m) / sd) for v in y]
        return every[i] / mean(every)
    return {"none": 1.0, "gt": y[i], "exp_gt": math.exp(y[i]), "ranking": 1 - (rank(y, i) - 1) / len(y)}[weight]


def phi(r, alpha=1.0):
    return sum(k**-alpha for k in range(1, r + 1))


def warp(s, y, margin=1.0, weight="none", alpha=1.0):
    total = 0.0
    for i in range(len(y)):
        worse = violators(s, y, i, margin)
        if worse:
            total += item_weight(y, i, weight) * phi(len(worse), alpha) * mean(margin - s[i] + s[j] for j in worse)
    return total / len(y)


def warp_homotopy(s, y, margin=0.1, alpha=1.0):
    return warp(s, y, margin, alpha=alpha) / phi(len(y), alpha)


def warp_sampled_expectation(s, y, margin=1.0):
    """The first of `r` violators among `m` worse ones is the q-th tried with probability C(m-q, r-1)/C(m, r)."""
    total = 0.0
    for i in range(len(y)):
        m, wrong = sum(v < y[i] for v in y), violators(s, y, i, margin)
        r = len(wrong)
        if r:
            chance = [math.comb(m - q, r - 1) / math.comb(m, r) for q in range(1, m - r + 2)]
            expected = sum(p * phi(m // q) for q, p in enumerate(chance, 1))
            total += expected * mean(margin - s[i] + s[j] for j in wrong)
    return total / len(y)


def weighted_lr(s, y, gamma=4.0, scale="quantile"):
    m = mean(y)
    sd = max(math.sqrt(mean((v - m) ** 2 for v in y)), 1e-8)
    w = [math.exp(gamma * (quantile(y, i) if scale == "quantile" else (y[i] - m) / sd)) for i in range(len(y))]
    total = sum(w[i] for i, _ in pairs(y))
    return sum(w[i] * softplus(-(s[i] - s[j])) for i, j in pairs(y)) / total if total else 0.0


def top_pairs(y, k):
    """Pairs of one that is in the top and one that is not, for some way to break ties, the first strictly better."""
    possible_top = [i for i in range(len(y)) if sum(v > y[i] for v in y) < k]
    possible_rest = [i for i in range(len(y)) if sum(v >= y[i] for v in y) > k]
    return [(i, j) for i in possible_top for j in possible_rest if y[i] > y[j]]


def top_vs_rest(s, y, fraction=DEFAULT_FRACTION):
    return mean(softplus(-(s[i] - s[j])) for i, j in top_pairs(y, top_size(len(y), fraction)))


def place(s, y, i):
    """Predicted place; ties of predictions go to the worse target first, and full ties share the mean place."""
    before = sum(s[j] > s[i] or (s[j] == s[i] and y[j] < y[i]) for j in range(len(y)))
    same = sum(s[j] == s[i] and y[j] == y[i] for j in range(len(y)))
    return before + (same + 1) / 2


def lambda_ndcg(s, y, fraction=DEFAULT_FRACTION, gain=5.0):
    k = top_size(len(y), fraction)
    discount = lambda x: 1 / math.log2(1 + x)  # noqa: E731
    value = total = 0.0
    for i, j in pairs(y):
        a, b = place(s, y, i), place(s, y, j)
        delta = abs(discount(abs(a - b)) - discount(abs(a - b) + 1))
        mu = 1.0 if max(a, b) <= k else 1 / (1 - discount(max(a, b)))
        w = abs(2 ** (gain * quantile(y, i)) - 2 ** (gain * quantile(y, j))) * delta * mu
        value, total = value + w * softplus(-(s[i] - s[j])), total + w
    return value / total if total else 0.0


def lambda_precision(s, y, fraction=DEFAULT_FRACTION, epsilon=0.1):
    n = len(y)
    k = top_size(n, fraction)
    chosen = [place(s, y, i) < k + 0.75 for i in range(n)]
    value = sum(softplus(-(s[i] - s[j])) for i, j in top_pairs(y, k) if chosen[i] != chosen[j])
    return value / max(1, k * (n - k)) + epsilon * lr(s, y)


def _membership(s, k, temperature):
    falling = sorted(s, reverse=True)
    threshold = (falling[k - 1] + falling[k]) / 2
    return [sigmoid((v - threshold) / temperature) for v in s]


def soft_topk(s, y, fraction=DEFAULT_FRACTION, temperature=1.0, mode="bce"):
    n = len(y)
    k = top_size(n, fraction)
    if k < 1 or len(set(y)) == 1:
        return 0.0
    q = _membership(s, k, temperature)
    truth = []
    for i in range(n):
        above, tied = sum(v > y[i] for v in y), sum(v == y[i] for v in y)
        truth.append(min(1.0, max(0.0, (k - above) / tied)))
    if mode == "precision":
        return 1 - sum(a * t for a, t in zip(q, truth, strict=True)) / k
    return -mean(t * math.log(a) + (1 - t) * math.log(1 - a) for a, t in zip(q, truth, strict=True))


def soft_nk(s, y, fraction=DEFAULT_FRACTION, temperature=1.0):
    """The expectation over all subsets, each drawn with the product of its members' probabilities."""
    n = len(y)
    k = top_size(n, fraction)
    if k < 1 or len(set(y)) == 1:
        return 0.0
    q, expected = _membership(s, k, temperature), 0.0
    for drawn in itertools.product((False, True), repeat=n):
        chance = math.prod(a if d else 1 - a for a, d in zip(q, drawn, strict=True))
        expected += chance * min((rank(y, i) for i in range(n) if drawn[i]), default=n + 1)
    return math.log(expected)


def diff_kendall(s, y, slope=1.0):
    return mean(1 - math.tanh(slope * (s[i] - s[j])) for i, j in pairs(y))


def po_nas(s, y, align=0.5, direction=None, threshold=0.1, labels="standardized"):
    paper = labels == "fraction"
    weight = direction if direction is not None else (100.0 if paper else 1.0)
    y = [100 * v for v in y] if paper else y
    if min(y) == max(y):
        return 0.0

    def deviation(values):
        return math.sqrt(mean((v - mean(values)) ** 2 for v in values))

    def standard_sizes(gaps, kept):
        sizes = [abs(gap) for gap in gaps]
        scale = deviation(sizes) if deviation(sizes) > 1e-6 * mean(sizes) else max(mean(sizes), 1e-12)
        return [((size if keep else 0.0) - mean(sizes)) / scale for size, keep in zip(sizes, kept, strict=True)]

    both = deviation(s) * deviation(y)
    correlation = mean((a - mean(s)) * (b - mean(y)) for a, b in zip(s, y, strict=True)) / both
    listed = list(itertools.combinations(range(len(s)), 2))
    gaps = [s[i] - s[j] for i, j in listed], [y[i] - y[j] for i, j in listed]
    kept = [abs(t) < threshold or d * t > 0 for d, t in zip(*gaps, strict=True)]
    sizes = [standard_sizes(one, kept) for one in gaps]
    aligned = mean(abs(a - b) for a, b in zip(*sizes, strict=True))
    wrong = mean(max(-d * t, 0.0) for d, t in zip(*gaps, strict=True)) / (1.0 if paper else both)
    return 1 - correlation + align * aligned + weight * wrong
