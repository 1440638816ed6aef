"""HW-GPT-Bench against values that were computed independently of this code."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from po_nas import benchmarks, networks, resume, search, spaces
from po_nas.errors import InvalidArchitectureError, NotATableError, UnknownNameError
from po_nas.spaces.hwgpt import SCALES
from proxies.counting import count_parameters
from tests.errors import raised

# perplexity, params M, params by formula M, flops, flops by formula 10^12, float16 MB, bfloat16 MB
VALUES = {
    ("s", "MIN"): (42.9816, 25.5803, 23.5027, 0.23336, 0.22654, 133.969, 134.281),
    ("s", "MAX"): (21.2994, 178.5970, 190.5946, 2.33652, 2.48777, 1043.339, 1040.713),
    ("s", "A"): (33.0983, 58.8906, 58.9555, 0.64850, 0.64876, 331.002, 329.875),
    ("s", "B"): (24.2965, 153.8254, 153.7912, 1.88868, 1.88540, 870.532, 869.688),
    ("s", "C"): (40.2453, 28.7167, 28.7098, 0.31364, 0.31150, 162.039, 161.779),
    ("m", "MIN"): (36.0517, 38.6934, 46.0058, 0.25520, 0.27075, 248.651, 249.825),
    ("m", "MAX"): (20.6879, 433.9840, 505.9932, 3.31710, 3.72010, 2750.108, 2742.347),
    ("m", "A"): (27.4699, 136.9706, 136.8420, 0.92063, 0.90871, 804.377, 804.101),
    ("m", "B"): (21.9068, 393.3666, 393.7142, 2.80817, 2.80097, 2281.096, 2281.831),
    ("m", "C"): (35.0266, 61.1556, 61.2552, 0.39839, 0.39530, 357.925, 357.988),
    ("l", "MIN"): (30.2008, 44.4522, 75.4961, 0.08261, 0.12135, 310.882, 320.653),
    ("l", "MAX"): (18.0214, 902.6782, 1073.1546, 1.78337, 2.06447, 5893.587, 5906.955),
    ("l", "A"): (22.9375, 269.1313, 269.3988, 0.48315, 0.48513, 1632.699, 1627.596),
    ("l", "B"): (19.0895, 807.8419, 807.9109, 1.52035, 1.52156, 4782.529, 4784.002),
    ("l", "C"): (28.9077, 117.3032, 114.3753, 0.20477, 0.20079, 680.394, 681.822),
}


@pytest.fixture(autouse=True)
def _data(public_data):
    public_data("hwgpt")


def architecture(scale, kind):
    values = SCALES[scale]
    (low, middle, high), (least, mean, most), heads = values.embedding, values.layers, values.heads
    embedding, layers, ratios, chosen, bias = {
        "MIN": (low, least, [2], heads[:1], True),
        "MAX": (high, most, [4], heads[2:], True),
        "A": (middle, least, [2, 3, 4], heads, True),
        "B": (high, mean, [4, 2, 3], [heads[2], heads[0]], False),
        "C": (low, most, [3, 4], [heads[1], heads[2], heads[0]], False),
    }[kind]

    def cyclic(some):
        return list(itertools.islice(itertools.cycle(some), layers))

    config = {"embedding": embedding, "layers": layers, "mlp_ratio": cyclic(ratios), "heads": cyclic(chosen)}
    return spaces.get(f"hwgpt_{scale}").architecture_of(config | {"bias": bias})


@pytest.mark.parametrize(("scale", "kind"), VALUES)
def test_golden_values(scale, kind):
    perplexity, params, by_formula, flops, flops_by_formula, half, brain = VALUES[scale, kind]
    benchmark, one = benchmarks.looked_up(f"hwgpt_{scale}/openwebtext"), architecture(scale, kind)
    assert benchmark.evaluate(one).validation == pytest.approx(perplexity, abs=1.1e-4)
    assert benchmark.predicted([one], "params")[0] == pytest.approx(params, abs=3e-4)
    assert benchmark.predicted([one], "flops")[0] == pytest.approx(flops, abs=1.1e-5)
    told = benchmark.report(one)
    assert told["test"] is None
    assert told["params"] == pytest.approx(by_formula, abs=6e-5)
    assert told["flops"] == pytest.approx(flops_by_formula, abs=6e-6)
    assert told["float16_memory"] == pytest.approx(half, abs=2e-3)
    assert told["bfloat16_memory"] == pytest.approx(brain, abs=2e-3)


@pytest.mark.parametrize("scale", SCALES)
def test_memory_by_formula_follows_the_prediction(scale):
    benchmark, rng = benchmarks.looked_up(f"hwgpt_{scale}/openwebtext"), np.random.default_rng(0)
    some = [benchmark.space.sample(rng) for _ in range(60)]
    found = benchmark.known(some, ["memory", "float16_memory"])
    error = np.sqrt(np.mean((found["memory"] - found["float16_memory"]) ** 2))
    assert error < {"s": 8, "m": 12, "l": 40}[scale]


def test_params_are_those_of_the_network_with_biases():
    benchmark, rng = benchmarks.looked_up("hwgpt_s/openwebtext"), np.random.default_rng(0)
    for _ in range(3):
        one = benchmark.space.sample(rng)
        with_biases = benchmark.space.architecture_of(benchmark.space.config_of(one) | {"bias": True})
        network = networks.build(with_biases, device="meta")
        assert round(1e6 * benchmark.report(one)["params"]) == count_parameters(network)


def test_biases_change_no_size():
    benchmark = benchmarks.looked_up("hwgpt_m/openwebtext")
    one = architecture("m", "A")
    other = benchmark.space.architecture_of(benchmark.space.config_of(one) | {"bias": False})
    names = tuple(benchmark.units)
    for name, values in benchmark.known([one, other], names).items():
        assert values[0] == values[1], name
    assert 0 < abs(np.diff(benchmark.predicted([one, other], "perplexity"))[0]) < 0.2


def test_there_is_no_table():
    with raised(NotATableError, benchmark="hwgpt_s/openwebtext"):
        benchmarks.get("hwgpt_s/openwebtext")
    benchmark = benchmarks.looked_up("hwgpt_s/openwebtext")
    assert benchmark.describe().optimum_validation is None
    with raised(UnknownNameError, name="latency"):
        benchmark.known([architecture("s", "A")], ["latency"])
    with raised(UnknownNameError, name="perplexities", suggestion="perplexity"):
        benchmark.predicted([architecture("s", "A")], "perplexities")
    with raised(InvalidArchitectureError, space="hwgpt_s"):
        benchmark.evaluate(architecture("m", "A"))


@pytest.mark.parametrize("method", ["po_nas", "regularized_evolution"])
def test_it_can_be_searched(method, tmp_path):
    result = search(benchmark="hwgpt_s/openwebtext", method=method, budget=12, out=tmp_path / "run")
    assert (result.evaluations, result.failed) == (12, 0)
    assert 21 < result.validation < 43
    assert result.optimum_validation is None
    assert resume(tmp_path / "run").evaluations == 12


def test_a_search_under_a_limit(tmp_path):
    limits = {"memory": "<= 400"}
    out = tmp_path / "run"
    result = search(benchmark="hwgpt_s/openwebtext", method="random", budget=8, constraints=limits, out=out)
    benchmark = benchmarks.looked_up("hwgpt_s/openwebtext")
    assert benchmark.report(benchmark.space.from_string(result.incumbent))["memory"] <= 400
