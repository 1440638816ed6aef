"""Other optimisers behind one protocol, so that they run in an environment of their own (`install.sh`).

    python others.py METHOD

Lines of JSON on standard input: ``{"declaration": …, "seed": 0, "budget": 50}`` begins a search, ``{"value": 0.93}``
tells the value of the configuration that was proposed last (higher is better). One line on standard output for each:
``{"config": …, "seconds": …}``, and ``{}`` after the last value. The spaces are those of `po_nas.declare` as JSON.
Every optimiser has its default settings; one that cannot express that a choice exists under others alone is offered
all choices, and those that do not exist are ignored.
"""

from __future__ import annotations

import itertools
import json
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator


class Slot:
    """One place of a configuration: a choice, or a layer of one."""

    def __init__(self, name, path, spec):
        self.name, self.path, self.spec = name, path, spec
        self.key = name + "".join(f".{k}" for k in path)


def values_of(spec):
    for kind in ("categorical", "ordinal"):
        if kind in spec:
            return spec[kind]
    low, high = spec["int"]
    return list(range(low, high + 1))


def parents(spec) -> list[str]:
    each = spec.get("each")
    return [*spec.get("when", {}), *([each] if isinstance(each, str) else [])]


def ordered(choices) -> list[str]:
    found: list[str] = []
    while len(found) < len(choices):
        found += [n for n in choices if n not in found and all(p in found for p in parents(choices[n]))]
    return found


def slots_of(choices) -> list[Slot]:
    """All places, those that others depend on first; lists are one deep."""
    found = []
    for name in ordered(choices):
        each = choices[name].get("each")
        if each is None:
            found.append(Slot(name, (), choices[name]))
        else:
            count = each if isinstance(each, int) else max(values_of(choices[each]))
            found += [Slot(name, (k,), choices[name]) for k in range(count)]
    return found


def conditions(slot: Slot, choices) -> Iterator[tuple[str, list]]:
    """Places on which one hangs, and the values that they must have."""
    each = slot.spec.get("each")
    if isinstance(each, str) and slot.path:
        longer = [value for value in values_of(choices[each]) if value > slot.path[0]]
        if len(longer) < len(values_of(choices[each])):
            yield each, longer
    for other, values in slot.spec.get("when", {}).items():
        yield other + (f".{slot.path[0]}" if choices[other].get("each") is not None else ""), values


def assembled(flat: dict, choices) -> dict:
    """The configuration of values by place: without what does not exist."""
    config, there = {}, {}
    for slot in slots_of(choices):
        if all(there.get(other) in values for other, values in conditions(slot, choices) if other in there) and all(
            other in there for other, _ in conditions(slot, choices)
        ):
            there[slot.key] = flat[slot.key]
            if slot.path:
                config.setdefault(slot.name, {})[slot.path[0]] = flat[slot.key]
            else:
                config[slot.name] = flat[slot.key]
    for name, value in config.items():
        if isinstance(value, dict):
            each = choices[name]["each"]
            count = each if isinstance(each, int) else config[each]
            config[name] = [value.get(k) for k in range(count)]
    return config


Ask, Tell = Callable[[], dict], Callable[[float], None]


def with_optuna(sampler, choices, conditional: bool):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    state = {}

    def suggested(trial, slot: Slot):
        spec = slot.spec
        if "categorical" in spec:
            return trial.suggest_categorical(slot.key, spec["categorical"])
        if "ordinal" in spec:
            # Optuna has no ordered values other than numbers; their places are.
            return spec["ordinal"][trial.suggest_int(slot.key, 0, len(spec["ordinal"]) - 1)]
        if "int" in spec:
            return trial.suggest_int(slot.key, *spec["int"], log=spec.get("log", False))
        return trial.suggest_float(slot.key, *spec["float"], log=spec.get("log", False))

    def ask():
        trial = state["trial"] = study.ask()
        flat: dict = {}
        for slot in slots_of(choices):
            needed = list(conditions(slot, choices))
            if not conditional or all(flat.get(other) in values for other, values in needed):
                flat[slot.key] = suggested(trial, slot)
        return assembled(flat, choices)

    def tell(value):
        study.tell(state["trial"], value)

    return ask, tell


def optuna_tpe(choices, seed, budget):
    import optuna

    return with_optuna(optuna.samplers.TPESampler(seed=seed), choices, True)


def optuna_gp(choices, seed, budget):
    import optuna

    return with_optuna(optuna.samplers.GPSampler(seed=seed), choices, True)


def smac(choices, seed, budget):
    import ConfigSpace as cs
    from smac import HyperparameterOptimizationFacade, Scenario
    from smac.runhistory.dataclasses import TrialValue

    space = cs.ConfigurationSpace(seed=seed)
    for slot in slots_of(choices):
        spec = slot.spec
        if "categorical" in spec:
            space.add(cs.CategoricalHyperparameter(slot.key, [json.dumps(v) for v in spec["categorical"]]))
        elif "ordinal" in spec:
            space.add(cs.OrdinalHyperparameter(slot.key, [json.dumps(v) for v in spec["ordinal"]]))
        else:
            kind = cs.UniformIntegerHyperparameter if "int" in spec else cs.UniformFloatHyperparameter
            low, high = spec.get("int") or spec["float"]
            space.add(kind(slot.key, low, high, log=spec.get("log", False)))
    for slot in slots_of(choices):
        found = []
        for other, values in conditions(slot, choices):
            named = "int" in next(s for s in slots_of(choices) if s.key == other).spec
            found.append(cs.InCondition(space[slot.key], space[other], [v if named else json.dumps(v) for v in values]))
        if found:
            space.add(found[0] if len(found) == 1 else cs.AndConjunction(*found))
    scenario = Scenario(
        space, deterministic=True, n_trials=budget, seed=seed, output_directory=tempfile.mkdtemp(prefix="smac")
    )
    facade = HyperparameterOptimizationFacade(
        scenario, lambda config, seed: 0.0, logging_level=logging.ERROR, overwrite=True
    )
    state = {}

    def plain(value):
        return value.item() if hasattr(value, "item") else value

    def ask():
        info = state["info"] = facade.ask()
        flat = {}
        for slot in slots_of(choices):
            if slot.key in info.config:
                value = plain(info.config[slot.key])
                flat[slot.key] = json.loads(value) if "categorical" in slot.spec or "ordinal" in slot.spec else value
        return assembled(flat | {s.key: None for s in slots_of(choices) if s.key not in flat}, choices)

    def tell(value):
        facade.tell(state["info"], TrialValue(cost=-value, time=0.1))

    return ask, tell


METHODS = {"optuna_tpe": optuna_tpe, "optuna_gp": optuna_gp, "smac": smac}


def main() -> None:
    warnings.filterwarnings("ignore")
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        given = json.loads(line)
        ask, tell = METHODS[sys.argv[1]](given["declaration"]["choices"], given["seed"], given["budget"])
        for _ in itertools.repeat(None, given["budget"]):
            started = time.process_time()
            config = ask()
            print(json.dumps({"config": config, "seconds": time.process_time() - started}), file=out, flush=True)
            tell(json.loads(sys.stdin.readline())["value"])
        print("{}", file=out, flush=True)


if __name__ == "__main__":
    main()
