"""Texts that are no configuration, formula, architecture or file: refused by an error of po-nas, never a traceback."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import losses.classification
import proxies  # noqa: F401 - its registry reads files of evolved proxies
from po_nas import spaces
from po_nas.compare.design import ComparisonConfig, load_comparison
from po_nas.errors import ConfigError, FormulaError, InvalidArchitectureError, PoNasError
from po_nas.formula import parse
from po_nas.research.evolved_losses.config import EvolveLossConfig, load_evolve_loss
from po_nas.research.evolved_proxies.design import EvolvedStudyConfig, load_evolved_study
from po_nas.research.loss_study.design import LossStudyConfig, load_loss_study
from po_nas.runtime.config import SearchConfig, load_config
from proxies.evolved import proxy

_SETTINGS = (
    "benchmark: nasbench201/cifar10", "method: random", "budget: 5", "method: {name: gp_bo, initial: 4}", "seed: 0b_",
    "x: !!bool maybe", "training: {data: 2026-13-01}", "budget: 2026-13-01", "budget: " + "9" * 5000, "seed: 1e400",
    "budget: .nan", "budget: 0x_", "a: &a [*a]", "x: !!python/object/apply:os.system ['true']",
    "!!python/object/new:os.system [true]", "plugins: true", "plugins: [1]", "plugins: {a: 1}",
    "metrics: {compute: [nwot, [1]]}", "executor: {name: 3}", "[" * 400, "{" * 400, "- " * 400, "? ", ": ", "\t",
    "|", "%YAML 9.9", "---", "...", "!!int", "!!timestamp 2026-99-99", "!!binary x", "!!set {a}", "<<: 1", "\x00",
    "\ud800", "é", "'", '"', "warm_start: {a: 1}", "tracking: 3", "search: {}", "versions: {}", "search: [1]", "\x85",
    "\u2028",
)  # fmt: skip
_FORMULAS = (
    "x", "y", "1", "9" * 400, "1e999", "-", "+", "*", "(", ")", "add(", "mul(x, y)", "**", "/", "lambda: 1",
    "__import__('os').system('true')", "x.__class__", "[x for x in y]", "'a'", "f'{x}'", "x if y else 1",
    "0x" + "f" * 300, ",", "neg(x)", "\n", "\x00", "not x", "await x", "(" * 500, "1j", "True", "...", "x:=1", "\ud800",
)  # fmt: skip
_JSON = (
    '{"formula": "p_t"}', '{"formula": ', '"' + "9" * 100, "{", "}", "[" * 20_000, "]", "null", "NaN",
    '{"formula": {"a": 1}}', '"sign": 3', "\x00", "1e999", ",", ":", "9" * 5000, "\ud800",
    '{"name": "x", "leaves": [], "formula": "nwot", "references": {}, "default": ""}',
)  # fmt: skip


def joined(pieces, between=""):
    """Some of the pieces, and at a place drawn a few characters gone and others put in."""
    text = st.lists(st.sampled_from(pieces), min_size=1, max_size=5).map(between.join)
    put = st.sampled_from(["", "{", "[", "!", "&", "*", "\\", "\x07", "#", "\u2028", "'", "\ufeff"])
    return st.tuples(text, st.floats(0, 1), st.integers(0, 4), put).map(
        lambda drawn: drawn[0][: (at := int(drawn[1] * len(drawn[0])))] + drawn[3] + drawn[0][at + drawn[2] :]
    )


fuzz = settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@fuzz
@given(text=joined(_SETTINGS, "\n"))
def test_files_of_settings(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(ConfigError):
        load_config(path)


@settings(fuzz, max_examples=60)
@given(text=joined(_SETTINGS, "\n"))
def test_files_of_studies(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    for load in (load_comparison, load_loss_study, load_evolved_study, load_evolve_loss):
        with contextlib.suppress(PoNasError):
            load(path)


@fuzz
@given(pairs=st.lists(st.sampled_from(_SETTINGS).map(lambda piece: piece.replace(": ", "=", 1)), max_size=4))
def test_overrides(pairs):
    with contextlib.suppress(ConfigError):
        load_config(None, pairs)


@fuzz
@given(text=joined(_FORMULAS) | joined(_FORMULAS, " + "))
def test_formulas(text):
    with contextlib.suppress(FormulaError):
        parse(text, functions={"add": 2, "mul": 2, "sub": 2, "neg": 1}, variables=["x", "y"])


@pytest.mark.parametrize("name", spaces.names())
def test_architectures(name):
    space = spaces.get(name)
    pieces = ("9", "|", "(", "nan", "-1", "\x00", "9" * 5000, "[" * 5000, "", "\ud800", "٣", " ", "1e9", "_", "None")

    @settings(max_examples=50, deadline=None, derandomize=True)
    @given(seed=st.integers(0, 9), at=st.floats(0, 1), gone=st.integers(0, 8), put=st.sampled_from(pieces) | st.text())
    def read(seed, at, gone, put):
        text = space.to_string(space.sample(np.random.default_rng(seed)))
        start = int(at * len(text))
        for hostile in (text[:start] + put + text[start + gone :], put):
            try:
                found = space.from_string(hostile)
            except InvalidArchitectureError:
                continue
            assert space.from_string(space.to_string(found)) == found

    read()


@fuzz
@given(text=joined(_JSON))
def test_json_files(tmp_path, text):
    path = tmp_path / "file.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    for read in (losses.classification.formula_of, proxy.load):
        with contextlib.suppress(PoNasError):
            read(path)


_WRONG = (True, 3, -1, 1.5, float("nan"), {"a": 1}, [[1]], [None], "no such thing", "", [], {}, [{"a": [1]}], 10**30)
_STUDY = {"benchmarks": ["nasbench201/cifar10"], "methods": ["random"], "seeds": 2, "budget": 4}
_SEARCH = {"benchmark": "nasbench201/cifar10", "method": "random", "budget": 4}


@pytest.mark.parametrize(
    ("load", "model", "least"),
    [
        (load_config, SearchConfig, _SEARCH),
        (load_comparison, ComparisonConfig, _STUDY),
        (load_loss_study, LossStudyConfig, {}),
        (load_evolved_study, EvolvedStudyConfig, {}),
        (load_evolve_loss, EvolveLossConfig, {}),
    ],
)
def test_values_of_another_type(tmp_path, load, model, least):
    """Every key of every configuration with values that are none; also one that it does not know."""
    path = tmp_path / "config.yaml"
    for key in (*model.model_fields, "plugins"):
        for value in _WRONG:
            path.write_text(json.dumps(least | {key: value}))
            try:
                load(path)
            except PoNasError:
                continue
    for text in ("true", "3", "[1]", "[[a]]", "{a: 1}"):
        path.write_text(json.dumps(least)[:-1] + (", " if least else "") + f"plugins: {text}}}")
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert caught.value.key.startswith("plugins")
