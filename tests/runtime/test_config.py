"""Configurations: YAML files, overrides, and errors that say what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from po_nas import benchmarks, methods
from po_nas.core.settings import validated, yaml_value
from po_nas.errors import BudgetError, ConfigError
from po_nas.runtime import executors
from po_nas.runtime.config import SearchConfig, load_config
from tests.errors import raised

ROOT = Path(__file__).parents[2]
LEAST = ("benchmark=nasbench201/cifar10", "method=random", "budget=5")


def load(*overrides: str, text: str | None = None, tmp_path: Path | None = None) -> SearchConfig:
    path = None
    if text is not None:
        assert tmp_path is not None
        path = tmp_path / "config.yaml"
        path.write_text(text)
    return load_config(path, overrides)


def test_the_least_there_is_to_say():
    config = load(*LEAST)
    assert (config.benchmark, config.method.name, config.method.options) == ("nasbench201/cifar10", "random", {})
    assert config.budget.model_dump() == {"max_evaluations": 5, "max_cost_s": None, "max_wallclock_s": None}
    assert (config.seed, config.feedback, config.batch, config.executor.name) == (0, None, 1, "inline")
    assert (config.tracking, config.plugins) == ((), ())


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configurations_name_what_exists(path):
    config = load_config(path)
    assert config.benchmark in benchmarks.registry
    assert config.method.name in methods.registry
    assert config.executor.name in executors.registry
    validated(methods.registry.get(config.method.name).Options, config.method.options)
    config.budget.check(None)
    # What a run writes down is read back as the same configuration.
    assert SearchConfig.model_validate(yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))) == config


def test_there_is_a_shipped_configuration():
    assert (ROOT / "configs/quickstart.yaml").is_file()


@pytest.mark.parametrize("repeated", ["seed: 1\nseed: 2\n", "method: {name: gp_bo, name: random}\n"])
def test_a_key_that_is_there_twice_is_refused(tmp_path, repeated):
    (tmp_path / "twice.yaml").write_text("benchmark: nasbench201/cifar10\nbudget: 3\n" + repeated)
    with raised(ConfigError, "twice", key="config"):
        load_config(tmp_path / "twice.yaml")


def test_a_merged_key_may_be_set_again():
    assert yaml_value("a: &a {b: 1}\nc: {<<: *a, b: 2}", "key", "text") == {"a": {"b": 1}, "c": {"b": 2}}


def test_overrides_go_over_the_file(tmp_path):
    text = "benchmark: nasbench201/cifar10\nmethod: {name: gp_bo, initial: 3}\nbudget: 50\nseed: 4\n"
    config = load("budget=12", "method.initial=7", "method.ngrams=2", text=text, tmp_path=tmp_path)
    assert (config.budget.max_evaluations, config.seed) == (12, 4)
    assert (config.method.name, config.method.options) == ("gp_bo", {"initial": 7, "ngrams": 2})


@pytest.mark.parametrize(
    ("overrides", "method"),
    [
        (["method=a"], {"name": "a"}),
        (["method.name=a"], {"name": "a"}),
        (["method=a", "method.x=1"], {"name": "a", "x": 1}),
        (["method.x=1", "method.name=a"], {"x": 1, "name": "a"}),
        # Another method has other options, so naming one starts anew.
        (["method=a", "method.x=1", "method=b"], {"name": "b"}),
        (["method=a", "method.x=1", "method=a"], {"name": "a", "x": 1}),
        (["method.x=1", "method=b"], {"name": "b", "x": 1}),
        (["method.x=1", "method={name: b, y: 2}"], {"name": "b", "y": 2}),
        (["method=a", "method.x.y=1", "method.x.z=2"], {"name": "a", "x": {"y": 1, "z": 2}}),
    ],
)
def test_methods_and_their_options(overrides, method):
    config = load("benchmark=b", "budget=1", *overrides)
    assert {"name": config.method.name, **config.method.options} == method


def test_limits_and_executors_keep_the_rest():
    config = load(*LEAST, "budget.max_cost_s=9", "budget=7", "executor.timeout_s=3", "executor=simulated")
    assert (config.budget.max_evaluations, config.budget.max_cost_s) == (7, 9)
    assert (config.executor.name, config.executor.timeout_s) == ("simulated", 3)


def test_folders_of_trainings_are_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = load(*LEAST, "training.data=images", "training.samples=9").training
    assert found == {"data": str(tmp_path / "images"), "samples": 9}


def test_another_executor_has_other_options(tmp_path):
    text = "executor: {name: process, timeout_s: 5, memory_mb: 900, attempts: 2}\n"
    same = load(*LEAST, "executor=process", "executor.attempts=4", text=text, tmp_path=tmp_path).executor
    assert same.options == {"timeout_s": 5, "memory_mb": 900, "attempts": 4}
    other = load(*LEAST, "executor=submitit", "executor.slurm.partition=gpu", text=text, tmp_path=tmp_path).executor
    assert other.options == {"timeout_s": 5, "slurm": {"partition": "gpu"}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("1.5", 1.5), ("true", True), ("no", False), ("null", None), ("", None), ("'1'", "1"),
        ("[1, a]", [1, "a"]), ("{a: 1}", {"a": 1}), ("a=b", "a=b"), ("nasbench201/cifar10", "nasbench201/cifar10"),
        ("ü", "ü"),
    ],
)  # fmt: skip
def test_values_are_yaml(text, value):
    assert load(*LEAST, f"method.x={text}").method.options == {"x": value}


KEYS = st.from_regex(r"[a-z][a-z_0-9]{0,8}", fullmatch=True).filter(lambda key: key != "name")
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False)


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, LEAVES, min_size=1, max_size=3) | LEAVES, max_size=4))
def test_any_option_can_be_set_by_dots(options):
    """A tree of options, written key by key, is read back as it was."""
    overrides = []
    for key, value in options.items():
        leaves = {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
        # Only what follows the first "=" is the value.
        overrides += [
            f"method.{dotted}={yaml.safe_dump(leaf, default_flow_style=True)}" for dotted, leaf in leaves.items()
        ]
    assert load(*LEAST, *overrides).method.options == options


@given(st.lists(st.tuples(st.sampled_from(["seed", "batch", "budget"]), st.integers(1, 99)), min_size=1))
def test_the_last_override_counts(assignments):
    config = load(*LEAST, *(f"{key}={value}" for key, value in assignments))
    last = {"seed": 0, "batch": 1, "budget": 5, **dict(assignments)}
    assert {"seed": config.seed, "batch": config.batch, "budget": config.budget.max_evaluations} == last


@pytest.mark.parametrize(
    ("override", "key", "value", "named"),
    [
        ("budjet=5", "budjet", 5, ["'budget'"]),
        ("zzz=5", "zzz", 5, ["benchmark", "method", "budget", "seed"]),
        ("budget.max_evaluation=5", "budget.max_evaluation", 5, ["'max_evaluations'"]),
        ("seed=many", "seed", "many", ["integer"]),
        ("seed=-1", "seed", -1, ["0"]),
        ("seed=1.5", "seed", 1.5, ["integer"]),
        ("batch=0", "batch", 0, []),
        ("batch=[1]", "batch", [1], ["integer"]),
        ("executor.timeout_s=0", "executor.timeout_s", 0, []),
        ("benchmark=5", "benchmark", 5, ["string"]),
        ("method=5", "method.name", 5, ["string"]),
        ("method=", "method.name", None, ["string"]),
        ("tracking=5", "tracking", 5, ["tuple"]),
        ("plugins=5", "plugins", 5, ["tuple"]),
        ("tracking=[5]", "tracking.0", 5, ["string"]),
        ("seed", "override", "seed", ["key=value", "budget=50"]),
        ("=5", "override", "=5", ["key=value"]),
        ("seed=[1", "seed", "[1", ["YAML"]),
        ("seed.x.y=1", "seed", {"x": {"y": 1}}, ["integer"]),
        ("benchmark.x=1", "benchmark.x", 1, ["nasbench201/cifar10"]),
        ("1=2", "1", 2, []),
    ],
)
def test_what_cannot_be_used_is_named(override, key, value, named):
    with raised(ConfigError, *named, key=key, value=value) as caught:
        load(*LEAST, override)
    assert str(caught.value).startswith(f"{key}={value!r}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("budget", ["0", "-3", "2.5", "many", "[]", "{max_cost_s: -1}", "{max_wallclock_s: 0}"])
def test_impossible_budgets(budget):
    with pytest.raises(BudgetError) as caught:
        load(*LEAST, f"budget={budget}")
    assert caught.value.key.split(".")[0] == "budget"


@pytest.mark.parametrize("missing", ["benchmark", "method", "budget"])
def test_what_is_missing_is_explained(missing):
    with raised(ConfigError, SearchConfig.model_fields[missing].description, key=missing, value=""):
        load(*(o for o in LEAST if not o.startswith(missing)))


def test_a_misspelling_is_told_rather_than_what_it_makes_missing():
    with raised(ConfigError, "'method'", key="metod", value="random"):
        load("benchmark=b", "budget=1", "metod=random")


def test_a_misspelling_in_a_section_is_told_what_that_has():
    with raised(ConfigError, "'device'", key="latency.devic", value="cpu"):
        load(*LEAST, "latency.devic=cpu")


def test_method_options_are_checked_under_the_users_name():
    with raised(ConfigError, "'initial'", key="method.inital", value=3):
        validated(methods.registry.get("gp_bo").Options, {"inital": 3}, prefix="method.")
    with raised(ConfigError, key="method.x", value=3):
        validated(methods.registry.get("random").Options, {"x": 3}, prefix="method.")


def test_names_may_come_alone_or_in_a_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load(*LEAST, "tracking=tensorboard").tracking == ("tensorboard",)
    assert load(*LEAST, "tracking=[tensorboard, mlflow]").tracking == ("tensorboard", "mlflow")
    for overrides, plugins in (((), ()), (["plugins="], ()), (["plugins=a"], ("a",)), (["plugins=[a, x.py]"], "ax")):
        config = load_config(None, [*LEAST, *overrides], plugins=["dir/b.py", "c"])
        first = ("a", str(tmp_path / "x.py")) if plugins == "ax" else plugins
        assert config.plugins == (*first, str(tmp_path / "dir/b.py"), "c")


@pytest.mark.parametrize(
    ("content", "yaml"),
    [
        (b"benchmark: [", False),
        (b"a: b: c", False),
        (b"\tx: 1", False),
        (b"benchmark: \xff\xfe", False),
        (b"x: !!python/object/apply:os.getcwd []", False),
        (b"", True),
        (b"- 1\n- 2", True),
        (b"text", True),
    ],
    ids=str,
)
def test_files_that_are_no_configuration(tmp_path, content, yaml):
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with raised(ConfigError, f"config='{path}'", key="config", value=path) as caught:
        load_config(path)
    assert ("YAML" in str(caught.value)) is not yaml
    assert "\n" not in str(caught.value)


def test_places_where_no_file_is(tmp_path):
    with raised(ConfigError, os.strerror(errno.ENOENT), key="config", value=tmp_path / "absent.yaml"):
        load_config(tmp_path / "absent.yaml")
    with raised(ConfigError, os.strerror(errno.EISDIR), key="config", value=tmp_path):
        load_config(tmp_path)


def test_keys_that_are_no_words(tmp_path):
    with raised(ConfigError, "1=1", key="1", value=1):
        load(*LEAST, text="1: 2", tmp_path=tmp_path)
