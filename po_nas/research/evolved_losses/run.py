"""The whole of an evolution: graphs, trainings, rounds, the final comparison, and what is written of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from losses.classification import latex, simplified
from po_nas.core.settings import read_yaml
from po_nas.errors import ConfigError
from po_nas.formula import text
from po_nas.research.evolved_losses.checks import Funnel
from po_nas.research.evolved_losses.config import EvolveLossConfig
from po_nas.research.evolved_losses.elimination import Rounds, eliminate
from po_nas.research.evolved_losses.evolution import Evolution, Member
from po_nas.research.evolved_losses.final import BASELINES, compare, final_jobs, rate_jobs
from po_nas.research.evolved_losses.jobs import climb, loss_of
from po_nas.research.evolved_losses.trainings import Trainings
from po_nas.runtime.study import Progress, open_study
from po_nas.training.data import image_set, locate
from po_nas.training.records import write

__all__ = ["evolve_loss"]

RESULT = "result.json"


def evolve_loss(
    config: EvolveLossConfig,
    directory: Path,
    workers: int = 1,
    progress: Callable[[Progress], None] = lambda _: None,
    shared: Path | None = None,
) -> dict[str, Any]:
    """Evolve (or go on evolving); what ``result.json`` then holds. Writes ``losses.json`` and ``losses/NAME.json`` too.

    An evolution is a function of its configuration. Every training is kept when it has ended, so one that was killed
    takes the same course again, at the speed of reading. `shared` is a folder for trainings that several
    evolutions have in common (their final comparisons). Raises `ConfigError` where the directory holds another
    evolution, `MissingImagesError` before anything is trained, and what `Trainings.run` raises.
    """
    for name in dict.fromkeys((config.dataset, *config.compared_on)):
        locate(image_set(name), config.data.get(name))
    with open_study(directory):
        _claim(directory, config)
        total, phase = _total(config), "starting"

        def told(done: int) -> None:
            progress(Progress(done, max(total, done), phase=phase))

        def enter(name: str) -> None:
            nonlocal phase
            phase = name
            told(trainings.ended)

        with Trainings(shared or directory, workers, told, config.executor) as trainings:
            evolution = Evolution(config, trainings, enter)
            members = evolution.run()
            rounds = eliminate(config, members, trainings, enter)
            names = {f"{config.dataset}-{k + 1}": member for k, member in enumerate(rounds.winners)}
            enter("baselines on the ladder")
            references = _references(config, trainings)
            enter("final comparison")
            final = compare(config, _compared(names), trainings)
            result = {
                "config": _determining(config),
                "funnel": {"random": _funnel(evolution.drawn), "mutants": _funnel(evolution.by_mutation)},
                "members": [_member(member) for member in evolution.members],
                "rounds": [{str(number): _number(v) for number, v in scores.items()} for scores in rounds.scores],
                "ladder": list(rounds.ladder),
                "references": references,
                "losses": [_loss(name, member, rounds) for name, member in names.items()],
                "final": [row | {"test": _number(row["test"])} for row in final],
                "trainings": trainings.ended,
                "seconds": trainings.seconds,
            }
        _write(directory, result)
    return result


def _compared(names: Mapping[str, Member]) -> dict[str, dict[str, Any]]:
    return {name: loss_of(member.candidate) for name, member in names.items()} | BASELINES


def _references(config: EvolveLossConfig, trainings: Trainings) -> dict[str, list[float | None]]:
    """Validation accuracies of the known losses on every step, which are no candidates; None where one failed."""
    rungs = (config.screen, config.fitness, *config.elimination)
    found = [climb(config, rung, step, list(BASELINES.values()), trainings) for step, rung in enumerate(rungs)]
    return {name: [_number(float(scores[k])) for scores in found] for k, name in enumerate(BASELINES)}


def _total(config: EvolveLossConfig) -> int:
    """About how many trainings there will be."""
    screen, fitness = (len(rung.settings) * rung.seeds for rung in (config.screen, config.fitness))
    known = len(BASELINES) * (screen + fitness)
    found = known + config.initial * screen + config.screen.keep * fitness + config.children * (screen + fitness)
    alive = config.fitness.keep
    for rung in config.elimination:
        found += (alive + config.ladder + len(BASELINES)) * len(rung.settings) * rung.seeds
        alive = rung.keep
    compared = len(final_jobs(config, {"": {}}, {}))
    compared += sum(len(jobs) for tried in rate_jobs(config, {"": {}}).values() for _, jobs in tried)
    return found + compared * (config.winners + len(BASELINES))


def _claim(directory: Path, config: EvolveLossConfig) -> None:
    """Write the configuration, or see that the one that is there is the same."""
    path, given = directory / "config.yaml", _determining(config)
    if not path.is_file():
        write(path, yaml.safe_dump(given, sort_keys=False, allow_unicode=True))
    elif read_yaml(path, "out") != given:
        raise ConfigError("out", str(directory), "holds another evolution; choose another folder")


def _determining(config: EvolveLossConfig) -> dict[str, Any]:
    """The configuration without what makes no difference to the result."""
    return config.model_dump(mode="json", exclude={"executor"})


def _funnel(funnel: Funnel) -> dict[str, Any]:
    return {"stages": funnel.rows(), "reasons": dict(sorted(funnel.reasons.items()))}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _member(member: Member) -> dict[str, Any]:
    return {
        "number": member.number,
        "parent": member.parent,
        "formula": member.candidate.text,
        "sign": member.candidate.sign,
        "scale": member.candidate.scale,
        "screen": _number(member.screen),
        "fitness": _number(member.fitness),
    }


def _loss(name: str, member: Member, rounds: Rounds) -> dict[str, Any]:
    shorter = simplified(member.candidate.graph.formula)
    return {
        "name": name,
        "formula": text(shorter),
        "sign": member.candidate.sign,
        "scale": member.candidate.scale,
        "about": {
            "evolved": member.candidate.text,
            "latex": latex(shorter),
            "number": member.number,
            "screen": member.screen,
            "fitness": member.fitness,
            "rounds": [_number(scores[member.number]) for scores in rounds.scores if member.number in scores],
        },
    }


def _write(directory: Path, result: Mapping[str, Any]) -> None:
    """All files of the result; ``losses/NAME.json`` are as ``training.loss=FILE`` takes them."""
    (directory / "losses").mkdir(exist_ok=True)
    for one in result["losses"]:
        write(directory / "losses" / f"{one['name']}.json", json.dumps(one, indent=1) + "\n")
    write(directory / "evolved_losses.py", _module(result))
    tests = _tests(result)
    told = [one | {"test": tests.get(one["name"], {})} for one in result["losses"]]
    write(directory / "losses.json", json.dumps({"losses": told}, indent=1) + "\n")
    write(directory / RESULT, json.dumps(result, indent=1) + "\n")


def _module(result: Mapping[str, Any]) -> str:
    """Python text: one function a loss, which makes the torch module."""
    where = result["config"]["dataset"]
    lines = [
        f'"""Losses evolved on {where}; each function makes a torch module, called with logits and labels."""',
        "",
        "from losses import classification",
    ]
    for one in result["losses"]:
        name = one["name"].replace("-", "_")
        given = f"formula={one['formula']!r}, sign={one['sign']}, scale={one['scale']}"
        lines += ["", "", f"def {name}(**options):", f'    return classification.get("formula", {given}, **options)']
    return "\n".join(lines) + "\n"


def _tests(result: Mapping[str, Any]) -> dict[str, dict[str, list[float | None]]]:
    """Test accuracies over seeds, by loss and ``dataset / setting``."""
    found: dict[str, dict[str, list[float | None]]] = {}
    for row in result["final"]:
        found.setdefault(row["loss"], {}).setdefault(f"{row['dataset']} / {row['setting']}", []).append(row["test"])
    return found
