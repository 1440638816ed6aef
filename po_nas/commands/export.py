"""``po-nas export``."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from po_nas.commands.options import Plugins, Trusted, trust_of
from po_nas.errors import ConfigError, RunDirectoryError

if TYPE_CHECKING:
    from po_nas.runtime.trusted_plugins import Trust
    from po_nas.training.export import NetworkFile

__all__ = ["export"]


class Format(StrEnum):
    """What is written."""

    JSON = "json"
    GENOTYPE = "genotype"
    TORCH = "torch"
    ONNX = "onnx"


def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="run directory, or folder of po-nas train")],
    output: Annotated[
        Path | None, typer.Option("--output", "--out", "-o", help="file to write; default: stdout")
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="torch and onnx write the network, trained if DIR is of po-nas train")
    ] = Format.JSON,
    index: Annotated[
        int | None,
        typer.Option(help="with several objectives: which trial of the front, counted from 1 as in po-nas status"),
    ] = None,
    prefer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OBJECTIVE[=WEIGHT]",
            help="with several objectives: the trial of the front that is best by this one, or by weights, given again",
        ),
    ] = None,
    text: Annotated[bool, typer.Option("--string", help="the same as --format genotype")] = False,
    plugin: Plugins = None,
    trust: Trusted = False,
) -> None:
    """Export: the winning architecture as JSON, text, torch weights or ONNX."""
    form = Format.GENOTYPE if text else form
    trained = (directory / "weights.pt").is_file()
    if form in (Format.TORCH, Format.ONNX):
        _export_network(directory, output, form, trained, trust_of(trust), index, prefer)
        return
    winner = _trained(directory) if trained else _winner(directory, trust_of(trust), index, prefer)
    rendered = str(winner["string"]) if form is Format.GENOTYPE else json.dumps(winner, indent=2, ensure_ascii=False)
    if output is None:
        print(rendered)
        return
    try:
        output.write_text(rendered + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError("output", str(output), f"cannot be written ({error.strerror})") from error


def _winner(directory: Path, trust: Trust, index: int | None = None, prefer: list[str] | None = None) -> dict[str, Any]:
    from po_nas.reports.run import load_run

    run, chosen = load_run(directory, trust), None
    if index is not None or prefer:
        from po_nas.reports.front import preferred

        chosen = preferred(run, index, _weights(prefer or []))
    winner = run.winner(chosen)
    if winner is None:
        raise RunDirectoryError(directory, "has no successful trial to export")
    return winner


def _weights(prefer: list[str]) -> dict[str, float]:
    found = {}
    for text in prefer:
        name, equals, weight = text.partition("=")
        try:
            found[name] = float(weight) if equals else 1.0
        except ValueError as error:
            raise ConfigError("prefer", text, "write OBJECTIVE=WEIGHT, for example --prefer params=2") from error
    return found


def _trained(directory: Path) -> dict[str, Any]:
    """The architecture of a finished training, with what came of it."""
    from po_nas import spaces

    try:
        result = json.loads((directory / "result.json").read_text(encoding="utf-8"))
        space = spaces.get(result["space"])
        found: dict[str, Any] = space.to_json(space.from_string(result["string"])) | {"string": result["string"]}
        wanted = ("dataset", "validation_last", "validation_best", "test_last", "test_best")
        return found | {key: result[key] for key in wanted}
    except (OSError, ValueError, KeyError) as error:
        raise RunDirectoryError(directory, f"its result.json cannot be read ({type(error).__name__})") from error


def _export_network(
    directory: Path,
    output: Path | None,
    form: Format,
    trained: bool,
    trust: Trust,
    index: int | None,
    prefer: list[str] | None,
) -> None:
    from po_nas.training.export import read_weights, write_onnx, write_torch

    if output is None:
        raise ConfigError("output", "", f"is required for --format {form}: name a file with -o")
    file = read_weights(directory / "weights.pt") if trained else _initial(directory, trust, index, prefer)
    which = (write_torch if form is Format.TORCH else write_onnx)(output, file)
    said = "untrained, initial weights of seed 0" if which == "initial" else f"weights of the {which} epoch"
    print(f"{output}: {said}", file=sys.stderr)


def _initial(directory: Path, trust: Trust, index: int | None, prefer: list[str] | None) -> NetworkFile:
    """The winner of a search with initial weights, in the size of a final training; that for CIFAR-10 after a table."""
    from po_nas.reports.run import load_run
    from po_nas.training import data_sets
    from po_nas.training.export import untrained
    from po_nas.training.final import default_recipe

    winner, run = _winner(directory, trust, index, prefer), load_run(directory, trust)
    family, _, task = str(run.config["benchmark"]).partition("/")
    space = str(winner.get("space"))
    if space != "darts" and family != "train":
        raise ConfigError("format", space, "of searches in tables, networks of the space darts alone can be exported")
    dataset = task.rpartition("/")[2] if family == "train" else "cifar10"
    if dataset not in data_sets.registry:
        network = f"space.build(space.from_string({winner['string']!r}))"
        remedy = f"is searched on data of your own program; build the network there: {network}"
        raise ConfigError("format", run.config["benchmark"], remedy)
    return untrained(space, winner["string"], dataset, default_recipe(dataset), {})
