"""``po-nas train``."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from po_nas.commands.options import Plugins, Trusted, settings_argument, split_settings, trust_of
from po_nas.errors import ConfigError, RunDirectoryError

if TYPE_CHECKING:
    from po_nas.runtime.trusted_plugins import Trust
    from po_nas.training.final import TrainConfig
    from po_nas.training.records import EpochRecord

__all__ = ["train"]


def train(
    settings: Annotated[list[str] | None, settings_argument("dataset=cifar10 seed=1")] = None,
    genotype: Annotated[str | None, typer.Option(help="the architecture's text, or a file that holds it")] = None,
    run: Annotated[Path | None, typer.Option(help="run directory whose best architecture is trained")] = None,
    out: Annotated[Path | None, typer.Option(help="folder; default: a new one under runs/")] = None,
    plugin: Plugins = None,
    trust: Trusted = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="no progress")] = False,
) -> None:
    """Train one architecture by a recipe, to the end; the same command again goes on where it stopped."""
    from po_nas.core.settings import read_settings, validated
    from po_nas.training.final import TrainConfig
    from po_nas.training.final import train as train_network

    path, overrides = split_settings(settings)
    raw = read_settings(path, overrides)
    if genotype is not None and run is not None:
        raise ConfigError("genotype", genotype, "give --genotype or --run, not both")
    if genotype is not None:
        raw["genotype"] = genotype
    if run is not None:
        raw = _winner(run, trust_of(trust)) | raw
    config = validated(TrainConfig, raw)
    folder = out or _folder(config)

    def show(record: EpochRecord, epochs: int) -> None:
        validation = "" if record.validation is None else f"  validation {record.validation:.2f} %"
        print(
            f"epoch {record.epoch}/{epochs}  loss {record.train_loss:.4f}  train {record.train_metric:.2f} %"
            f"{validation}  {record.samples / max(record.train_s, 1e-9):.0f} samples/s",
            file=sys.stderr,
        )

    try:
        result = train_network(config, folder, (lambda record, epochs: None) if quiet else show)
    except KeyboardInterrupt:
        print(f"\ninterrupted; the same command with --out {folder} goes on", file=sys.stderr)
        raise typer.Exit(130) from None
    best = result.best
    rows = [
        ("validation, last epoch", result.last),
        ("validation, best epoch", None if best is None else best.validation),
        ("test, last epoch", result.test_last),
        ("test, best epoch by validation", result.test_best),
    ]
    for name, value in rows:
        if value is not None:
            print(f"{name}\t{value:.2f} %")
    if best is not None:
        print(f"best epoch\t{best.epoch} of {len(result.curve)}")
    print(f"folder\t{folder}")


def _winner(run: Path, trust: Trust) -> dict[str, Any]:
    """Genotype, space and, from a search that trained, data set and folder of the images."""
    from po_nas.reports.run import load_run

    found = load_run(run, trust)
    winner = found.winner()
    if winner is None:
        raise RunDirectoryError(run, "has no successful trial whose architecture could be trained")
    said: dict[str, Any] = {"genotype": winner["string"], "space": found.protocol.get("space", "darts")}
    family, _, task = str(found.config["benchmark"]).partition("/")
    if family == "train":
        training = found.config.get("training") or {}
        said |= {"dataset": task.rpartition("/")[2]}
        said |= {key: training[key] for key in ("data", "device") if key in training}
    return said


def _folder(config: TrainConfig) -> Path:
    """The same for the same architecture, data set, recipe and seed, so that the command can be repeated."""
    told = {"genotype", "space", "recipe", "changes", "samples"}
    said = config.model_dump_json(include=told if config.training.loss is None else told | {"training"})
    name = hashlib.sha256(said.encode()).hexdigest()[:8]
    return Path("runs") / f"train_{config.dataset}_{name}_seed{config.seed}"
