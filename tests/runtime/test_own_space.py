"""Searches of a user's own space and function, from Python and from a configuration."""

from __future__ import annotations

import json
import logging
import warnings

import numpy as np
import pytest
import torch
import yaml
from torch import nn

import po_nas
from po_nas import Categorical, Float, Int, Ordinal, methods, spaces
from po_nas.core.objective import Outcome
from po_nas.errors import ConfigError, ProxiesUnavailableError, ProxyBatchError, UnknownNameError
from po_nas.proxy_scores.own_networks import LeftOutWarning
from po_nas.runtime.api import run_search
from po_nas.runtime.config import load_config
from po_nas.runtime.run_directory import read_config
from po_nas.runtime.trial_errors import EvaluationsFailError
from po_nas.spaces.declared import DeclarationError, InfeasibleError, SpaceChangedError
from tests.errors import raised


def declared(**changed):
    choices = {
        "depth": Int(1, 4),
        "width": Ordinal([8, 16, 32]).each("depth"),
        "act": Categorical(["relu", "gelu"]),
        "lr": Float(1e-3, 1e-1, log=True),
        "momentum": Float(0.0, 0.9, when={"act": "relu"}),
    }
    return po_nas.declare("mlp", **choices | changed)


def build(depth, width, act, **rest):
    layers: list[nn.Module] = []
    for before, after in zip([8, *width], width, strict=False):
        layers += [nn.Linear(before, after), {"relu": nn.ReLU, "gelu": nn.GELU}[act]()]
    return nn.Sequential(*layers, nn.Linear(width[-1], 3))


def train(config):
    score = -((np.log10(config["lr"]) + 2) ** 2) - abs(config["depth"] - 2) + 0.01 * sum(config["width"])
    return float(score + config.get("momentum", 0.5))


INPUTS = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))


def own(**choices):
    space = declared(**choices)
    space.network(build)
    return space


def parameters(space, text):
    return sum(p.numel() for p in space.build(space.from_string(text)).parameters())


def trials(out):
    events = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    return [e["architecture"] for e in events if e["event"] == "ask"]


def test_the_whole_interface(tmp_path):
    space = own()
    result = po_nas.search(
        space=space,
        objective=train,
        method={"name": "po_nas", "pool": 40},
        budget=8,
        proxies=["params", "synflow"],
        example_inputs=INPUTS,
        constraints={"params": "<= 300"},
        out=tmp_path / "own",
    )
    asked = trials(tmp_path / "own")
    assert len(asked) == len(set(asked)) == result.evaluations == 8
    assert all(parameters(space, text) <= 300 for text in asked)
    best = space.config_of(space.from_string(result.incumbent))
    assert result.validation == train(best) == max(train(json.loads(text)) for text in asked)
    record = yaml.safe_load((tmp_path / "own" / "config.yaml").read_text())
    assert record["search"]["space"] == space.declaration()
    assert record["search"]["constraints"] == {"params": "<= 300"}
    assert record["protocol"]["constraints"] == "params <= 300"


def test_parameters_may_be_limited_in_millions(tmp_path):
    found = []
    for number, limits in enumerate(
        ({"params": "<= 300"}, {"params_m": "<= 0.0003"}, {"params_m": "<= 0.0003 millions"})
    ):
        out = tmp_path / str(number)
        po_nas.search(
            space=own(),
            objective=train,
            method="random",
            budget=6,
            example_inputs=INPUTS,
            constraints=limits,
            objectives={"validation": "max", "params_m": "min"},
            out=out,
        )
        found.append(trials(out))
    assert found[0] == found[1] == found[2]
    events = [json.loads(line) for line in (tmp_path / "1" / "journal.jsonl").read_text().splitlines()]
    for event in events:
        if event["event"] == "tell":
            assert event["metrics"]["params_m"] == parameters(own(), event["architecture"]) / 1e6
    # Without networks a function must tell it.
    told = po_nas.search(
        space=declared(),
        objective=lambda config: {"validation": 1.0, "params_m": 5.0},
        method="random",
        budget=3,
        constraints={"params_m": "<= 5"},
        out=tmp_path / "told",
    )
    assert told.validation == 1.0


NEED_PROXIES = {"po_nas", "po_nas_paper", "gp_proxies", "robot", "zero_cost"}


@pytest.mark.parametrize("method", methods.names())
def test_every_method_takes_a_declared_space(tmp_path, method):
    small = {"pwlnas": {"initial": 4}, "po_nas_paper": {"initial": 4}, "weaknas": {"initial": 4}}
    options = {"name": method, **small.get(method, {})}
    if methods.registry.get(method).needs_other_tasks:
        with raised(ConfigError, method, "warm_start"):
            po_nas.search(space=own(), objective=train, method=options, budget=5, out=tmp_path / "none")
        return
    if methods.registry.get(method).uses_fidelities(methods.registry.get(method).Options()):
        with raised(ConfigError, "fidelities", method):
            po_nas.search(space=own(), objective=train, method=options, budget=5, out=tmp_path / "none")
        return
    space, with_proxies = own(), method in NEED_PROXIES
    if with_proxies:
        options |= {"pool": 40}
        with raised(ProxiesUnavailableError):
            po_nas.search(space=space, objective=train, method=options, budget=5, out=tmp_path / "none")
    result = po_nas.search(
        space=space,
        objective=train,
        method=options,
        budget=8,
        proxies=["params", "synflow"] if with_proxies else (),
        example_inputs=INPUTS if with_proxies else None,
        out=tmp_path / "run",
    )
    assert result.evaluations == len(set(trials(tmp_path / "run"))) == 8
    assert result.failed == 0


def test_proxies_that_networks_cannot_have_are_left_out(tmp_path, caplog):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = po_nas.search(
            space=own(),
            objective=train,
            method={"name": "gp_proxies", "pool": 40},
            budget=5,
            proxies=["params", "grad_norm", "zico"],
            example_inputs=INPUTS,
            out=tmp_path / "run",
        )
    assert result.evaluations == 5
    left_out = [w.message for w in caught if isinstance(w.message, LeftOutWarning)]
    assert {w.proxy for w in left_out} == {"grad_norm", "zico"}
    assert all("\n" not in str(w) for w in left_out)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING], "said once"


def test_proxies_with_labels_of_a_data_loader(tmp_path):
    data = torch.utils.data.TensorDataset(INPUTS, torch.arange(4) % 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", LeftOutWarning)
        po_nas.search(
            space=own(),
            objective=train,
            method={"name": "zero_cost", "pool": 20},
            budget=3,
            proxies=["grad_norm"],
            example_inputs=torch.utils.data.DataLoader(data, batch_size=4),
            out=tmp_path / "run",
        )


def test_bad_calls_are_refused_before_anything_is_spent(tmp_path):
    def search(**given):
        return po_nas.search(**{"method": "random", "budget": 3, "out": tmp_path / "run"} | given)

    space = own()
    mine = {"space": space, "objective": train}
    scored = {**mine, "example_inputs": INPUTS}
    broken = declared()
    broken.network(lambda **choices: nn.Linear("x", 3))
    for error, given in (
        (ConfigError, {}),
        (ConfigError, {"objective": train}),
        (ConfigError, {"space": space}),
        (ConfigError, {"space": space, "objective": 3}),
        (ConfigError, {"space": space, "benchmark": "nasbench201/cifar10"}),
        (ConfigError, {"space": 3, "objective": train}),
        (UnknownNameError, {"space": "no_such_space", "objective": train}),
        (ConfigError, {"benchmark": "nasbench201/cifar10", "example_inputs": INPUTS}),
        (ProxyBatchError, {**mine, "example_inputs": "x"}),
        (ProxyBatchError, {**mine, "example_inputs": torch.ones(4, 9), "proxies": ["params", "synflow"]}),
        (DeclarationError, {**mine, "proxies": ["params"]}),
        (DeclarationError, {**scored, "space": declared(), "proxies": ["params"]}),
        (DeclarationError, {**scored, "space": broken, "proxies": ["params"]}),
        (UnknownNameError, {**scored, "proxies": ["parms"]}),
        (ConfigError, {**mine, "constraints": {"params": "300"}}),
        (ConfigError, {**mine, "constraints": {"params": "<= x"}}),
        (DeclarationError, {**mine, "constraints": {"params": "<= 300"}}),
        (UnknownNameError, {**scored, "constraints": {"parms": "<= 3"}}),
        (ConfigError, {**scored, "constraints": {"zico": "<= 3"}}),
        (InfeasibleError, {**scored, "constraints": {"params": "<= 9"}}),
    ):
        with pytest.raises(error) as caught:
            search(**given)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run").exists()


def without_gelu(act, **choices):
    if act == "gelu":
        raise RuntimeError("no gelu here")
    return build(act=act, **choices)


def test_networks_that_cannot_be_built_for_some_configurations_fail_their_trials(tmp_path):
    """The others are searched on, and bounds and proxies are had of them."""
    space = declared(act=Categorical(["relu", "gelu", "relu6", "silu"]))

    @space.network
    def some(act, **choices):
        return without_gelu(act if act == "gelu" else "relu", **choices)

    result = po_nas.search(
        space=space,
        objective=lambda config: train(config) + len(some(**config)),
        method="random",
        budget=12,
        proxies=["params"],
        example_inputs=INPUTS,
        out=tmp_path / "run",
    )
    failures = [json.loads(line) for line in (tmp_path / "run/journal.jsonl").read_text().splitlines()]
    failures = [event for event in failures if event["event"] == "fail"]
    assert 0 < len(failures) == result.failed < 12
    for event in failures:
        assert event["config"]["act"] == "gelu"
        assert event["traceback"].rstrip().endswith("RuntimeError: no gelu here")
    po_nas.search(
        space=space,
        objective=train,
        method={"name": "zero_cost", "pool": 30},
        budget=3,
        proxies=["params"],
        example_inputs=INPUTS,
        constraints={"params": "<= 900"},
        out=tmp_path / "bounded",
    )
    assert not any('"gelu"' in text for text in trials(tmp_path / "bounded"))


def test_networks_that_can_hardly_be_built_are_refused_with_the_reason(tmp_path):
    space = declared(act=Categorical(["gelu", "relu", "silu", "tanh"]))
    # One of the first that are tried can be built, three quarters of all cannot.
    good = space.config_of(space.sample(np.random.default_rng(0)))["act"]
    space.network(lambda act, **choices: without_gelu("relu" if act == good else "gelu", **choices))
    with raised(ProxiesUnavailableError, "params", "no gelu here"):
        po_nas.search(
            space=space,
            objective=train,
            method={"name": "zero_cost", "pool": 30},
            budget=3,
            proxies={"compute": ["params"], "cache": False},
            example_inputs=INPUTS,
            out=tmp_path / "run",
        )


@pytest.mark.parametrize(
    ("made", "came"), [(None, "None"), ((nn.ReLU(),), "tuple"), ("net", "str"), (INPUTS, "Tensor")]
)
def test_what_is_no_network_is_refused_with_what_came_and_for_what(tmp_path, made, came):
    space = declared()
    space.network(lambda **choices: made)
    with raised(DeclarationError, came, "'depth'"):
        po_nas.search(
            space=space,
            objective=train,
            method="random",
            budget=3,
            proxies=["params"],
            example_inputs=INPUTS,
            out=tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()


def test_a_function_that_returns_no_number_fails_its_trials(tmp_path):
    values = iter([1.0, "text", np.float32(2), torch.tensor(3.0), float("nan"), None])
    result = po_nas.search(
        space=declared(), objective=lambda config: next(values), method="random", budget=6, out=tmp_path / "run"
    )
    assert (result.failed, result.validation) == (3, 3.0)


@pytest.mark.parametrize(
    "method",
    [{"name": "gp_bo", "initial": 4, "population": 20, "generations": 3}, {"name": "regularized_evolution"}],
    ids=["gp_bo", "regularized_evolution"],
)
def test_a_run_goes_on_with_the_same_space_only(tmp_path, method):
    class Stopped(Exception):
        pass

    calls = []

    def interrupted(config):
        calls.append(config)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return train(config)

    whole = po_nas.search(space=declared(), objective=train, method=method, budget=10, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        po_nas.search(space=declared(), objective=interrupted, method=method, budget=10, out=tmp_path / "run")
    with raised(SpaceChangedError, "act", "lr", space="mlp") as caught:
        po_nas.resume(
            tmp_path / "run",
            objective=train,
            space=declared(act=Categorical(["relu", "gelu", "silu"]), lr=Float(1e-4, 1e-1, log=True)),
        )
    assert len(caught.value.changes) == 2
    result = po_nas.resume(tmp_path / "run", objective=train)
    assert trials(tmp_path / "run") == trials(tmp_path / "whole")
    assert result.validation == whole.validation


def test_gp_proxies_learns_from_what_is_not_in_its_sample(tmp_path):
    space = own()
    given = {"proxies": ["params"], "example_inputs": INPUTS}
    po_nas.search(space=space, objective=train, method="random", budget=8, out=tmp_path / "first", **given)
    given["warm_start"] = [tmp_path / "first"]
    method = {"name": "gp_proxies", "pool": 40}
    po_nas.search(space=space, objective=train, method=method, budget=3, out=tmp_path / "run", **given)
    events = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    assert [e["origin"] for e in events if e["event"] == "ask"] == ["acquisition"] * 3


PLUGIN = '''
import torch
from torch import nn
import po_nas
from po_nas import Categorical, Float, Int

@po_nas.declare
class plugged:
    """Two layers."""

    width = Int(1, 30)
    act = Categorical(["relu", "tanh"])
    lr = Float(1e-3, 1.0, log=True)
    constraints = "width > 2"

def inputs():
    return torch.ones(4, 5)

@plugged.network(example_inputs=inputs)
def build(width, act, **rest):
    return nn.Sequential(nn.Linear(5, width), nn.ReLU() if act == "relu" else nn.Tanh(), nn.Linear(width, 2))

def train(config):
    return config["width"] - config["lr"]
'''


def test_a_plug_in_with_space_networks_and_function(tmp_path):
    file = tmp_path / "own_plugin.py"
    file.write_text(PLUGIN)
    try:
        config = load_config(
            None,
            [
                *("space=plugged", "objective=train", "method=gp_proxies", "method.pool=30", "budget=5"),
                *("proxies=[params, synflow]", "constraints.params='<= 150'"),
            ],
            plugins=[str(file)],
        )
        assert config.benchmark == "plugged/train"
        result = run_search(config, tmp_path / "run")
        assert result.evaluations == 5
        widths = [json.loads(text)["width"] for text in trials(tmp_path / "run")]
        assert all(width > 2 and width * 8 + 2 <= 150 for width in widths)
        assert read_config(tmp_path / "run").space["declare"] == "plugged"
        assert po_nas.resume(tmp_path / "run", trust=True).evaluations == 5
    finally:
        if "plugged" in spaces.registry:
            spaces.registry.remove("plugged")


def test_a_declaration_in_yaml(tmp_path, monkeypatch):
    (tmp_path / "own_functions.py").write_text(
        "from torch import nn\n"
        "def net(width, **rest):\n    return nn.Linear(3, width)\n"
        "def train(config):\n    return config['width'] + config['lr']\n"
    )
    (tmp_path / "own.yaml").write_text(
        "space:\n"
        "  declare: yaml_space\n"
        "  network: net\n"
        "  choices:\n"
        "    width: {int: [1, 9]}\n"
        "    kind: {categorical: [a, b]}\n"
        "    lr: {float: [1e-3, 1e-1], log: true, when: {kind: a}}\n"
        "  constraints: [width != 3]\n"
        "objective: train\n"
        "plugins: [own_functions.py]\n"
        "method: random\n"
        "budget: 6\n"
    )
    monkeypatch.chdir(tmp_path)
    config = load_config(tmp_path / "own.yaml", ["executor=process", "batch=2"])
    result = run_search(config, tmp_path / "run")
    assert result.evaluations == 6
    found = [json.loads(text) for text in trials(tmp_path / "run")]
    assert result.failed == sum("lr" not in c for c in found)
    assert all(c["width"] != 3 for c in found)
    with raised(UnknownNameError, name="trian", suggestion="train"):
        run_search(load_config(tmp_path / "own.yaml", ["objective=trian"]), tmp_path / "other")


# -- what a run began with ---------------------------------------------------------------------------------------------


def interrupted_after(calls, function=lambda config: float(config["a"])):
    left = [calls]

    def train(config):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return function(config)

    return train


@pytest.mark.parametrize(
    "wanted", [{"constraints": {"area": "<= 3"}}, {"objectives": {"validation": "max", "area": "min"}}]
)
def test_a_run_does_not_go_on_without_what_is_known_beforehand(tmp_path, wanted):
    space, known = po_nas.declare("s", a=Int(1, 6), f=Float(0, 1)), {"area": lambda config: config["a"]}
    search = {"space": space, "method": "random", "budget": 8, "known_metrics": known, **wanted}
    whole = po_nas.search(objective=interrupted_after(9), out=tmp_path / "whole", **search)
    with pytest.raises(KeyboardInterrupt):
        po_nas.search(objective=interrupted_after(3), out=tmp_path / "run", **search)
    before = (tmp_path / "run" / "journal.jsonl").read_bytes()
    with raised(ConfigError, key="known_metrics"):
        po_nas.resume(tmp_path / "run", objective=interrupted_after(9))
    assert (tmp_path / "run" / "journal.jsonl").read_bytes() == before
    found = po_nas.resume(tmp_path / "run", objective=interrupted_after(9), known_metrics=known)
    assert found.incumbent == whole.incumbent
    assert trials(tmp_path / "run") == trials(tmp_path / "whole")


def test_a_session_does_not_go_on_without_what_is_known_beforehand(tmp_path):
    space, known = po_nas.declare("s", a=Int(1, 6)), {"area": lambda config: config["a"]}
    started = {
        "space": space,
        "method": "random",
        "budget": 8,
        "out": tmp_path / "run",
        "constraints": {"area": "<= 3"},
    }
    with po_nas.Session(**started, known_metrics=known) as session:
        session.tell(session.ask(), 1.0)
    with raised(ConfigError, key="known_metrics"):
        po_nas.Session(**started)
    with raised(ConfigError, key="known_metrics"):
        po_nas.Session.resume(tmp_path / "run", space=space)
    with po_nas.Session.resume(tmp_path / "run", known_metrics=known) as session:
        assert session.ask().number == 1


def test_a_run_goes_on_with_its_example_inputs_alone(tmp_path):
    space = own()
    search = {"space": space, "method": {"name": "po_nas", "pool": 20}, "budget": 6, "proxies": ["params", "grad_norm"]}
    with pytest.raises(KeyboardInterrupt):
        po_nas.search(objective=interrupted_after(3, train), example_inputs=INPUTS, out=tmp_path / "given", **search)
    with raised(ConfigError, key="example_inputs"):
        po_nas.resume(tmp_path / "given", objective=train, space=space)
    assert po_nas.resume(tmp_path / "given", objective=train, space=space, example_inputs=INPUTS).evaluations == 6


def test_a_function_of_another_name_is_said(tmp_path, caplog):
    space = po_nas.declare("s", a=Int(1, 6))

    def renamed(config):
        return float(config["a"])

    with pytest.raises(KeyboardInterrupt):
        po_nas.search(space=space, objective=interrupted_after(2), method="random", budget=4, out=tmp_path / "run")
    assert po_nas.resume(tmp_path / "run", objective=renamed).evaluations == 4
    assert [record.args[1:] for record in caplog.records if "goes on" in record.msg] == [("s/train", "s/renamed")]


@pytest.mark.parametrize("maximize", ["min", None, 1, "False"])
def test_a_direction_is_true_or_false(tmp_path, maximize):
    space = po_nas.declare("s", a=Int(1, 6))
    with raised(ConfigError, key="maximize", value=maximize):
        po_nas.search(space=space, objective=train, method="random", budget=2, out=tmp_path / "a", maximize=maximize)
    with raised(ConfigError, key="maximize", value=maximize):
        po_nas.Session(space=space, method="random", budget=2, out=tmp_path / "b", maximize=maximize)


def test_directions_may_be_written_out(tmp_path):
    space = po_nas.declare("s", a=Int(1, 6))

    def both(config):
        return {"acc": float(config["a"]), "sec": float(config["a"] % 3)}

    search = {"space": space, "objective": both, "metric": "acc", "method": "random", "budget": 6, "seed": 2}
    short = po_nas.search(objectives={"acc": "max", "sec": "min"}, out=tmp_path / "short", **search)
    long = po_nas.search(objectives={"acc": "maximize", "sec": "minimize"}, out=tmp_path / "long", **search)
    assert long.front == short.front


@pytest.mark.parametrize(
    ("wanted", "said"), [("latency <= 1", "latency_ms"), ("memory <= 1", "memory_mb"), ("sce <= 1", "'sec'")]
)
def test_a_metric_that_is_not_told_says_what_was(tmp_path, wanted, said):
    name, limit = wanted.split(" ", 1)
    space = po_nas.declare("s", a=Int(1, 6))
    with raised(EvaluationsFailError) as caught:
        po_nas.search(
            space=space,
            objective=lambda config: {"validation": float(config["a"]), "sec": 1.0},
            method="random",
            budget=4,
            constraints={name: limit},
            out=tmp_path / "run",
        )
    assert said in str(caught.value)


@pytest.mark.parametrize("method", ["random", "gp_bo", "regularized_evolution"])
def test_a_known_metric_that_raises_for_some_configurations_ends_nothing(tmp_path, method):
    space = po_nas.declare("s", a=Int(1, 400), f=Float(0, 1))

    def area(config):
        if config["a"] == 400 or (config["f"] > 0.93 and config["a"] % 7 == 0):
            raise ValueError("cannot be counted")
        return config["a"]

    found = po_nas.search(
        space=space,
        objective=lambda config: config["f"] + config["a"] / 100,
        method=method,
        budget=25,
        seed=1,
        known_metrics={"area": area},
        constraints={"area": "<= 300"},
        out=tmp_path / "run",
    )
    assert (found.evaluations, found.failed) == (25, 0)
    assert space.config_of(space.from_string(found.incumbent))["a"] <= 300


def test_a_long_reason_is_cut(tmp_path):
    def fails(config):
        if config["a"] > 1:
            raise ValueError("x" * 100_000)
        return 1.0

    space = po_nas.declare("s", a=Int(1, 6))
    po_nas.search(space=space, objective=fails, method="random", budget=6, out=tmp_path / "run")
    events = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    reasons = [event["reason"] for event in events if event["event"] == "fail"]
    assert reasons
    assert all(reason.startswith("ValueError: xxx") and len(reason) <= 2000 for reason in reasons)
    assert all(Outcome.failed(reason).failure == reason for reason in reasons)


def test_a_configuration_belongs_to_the_caller(tmp_path):
    space = po_nas.declare("s", a=Int(1, 6), f=Float(0, 1))
    with po_nas.Session(space=space, method="random", budget=2, out=tmp_path / "run") as session:
        trial = session.ask()
        trial.config.pop("f")
        trial.config["own"] = 3
        session.tell(trial, 1.0)
        assert session.ask().config.keys() == {"a", "f"}
