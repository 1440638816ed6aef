"""``po-nas evolve loss``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from po_nas.commands.options import Plugins, split_settings
from po_nas.commands.progress import ProgressBar
from po_nas.commands.tables import print_table

__all__ = ["loss"]


def loss(
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CONFIG.yaml] [key=value …]", help="a configuration and overrides, e.g. children=50"),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="image data set: digits, fashion-mnist, cifar10")] = None,
    preset: Annotated[str | None, typer.Option(help="sizes: laptop or paper")] = None,
    out: Annotated[Path, typer.Option(help="directory; an unfinished evolution goes on")] = Path("runs/evolved_losses"),
    workers: Annotated[int, typer.Option(min=1, help="processes of one thread each")] = 1,
    seed: Annotated[int | None, typer.Option(min=0, help="of graphs and trainings")] = None,
    shared: Annotated[
        Path | None, typer.Option(help="folder of trainings that several evolutions share; default: that of --out")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Evolve classification losses, and compare the best with known ones.

    Writes losses.json, DIR/losses/NAME.json for training.loss=FILE, report.html, tables and figures. Finished trainings
    are kept: the same command goes on where it stopped.
    """
    from po_nas.research.evolved_losses.config import load_evolve_loss
    from po_nas.research.evolved_losses.report import make_report
    from po_nas.research.evolved_losses.run import evolve_loss

    path, overrides = split_settings(settings)
    options = {"dataset": dataset, "seed": seed}
    given = [f"{key}={value}" for key, value in options.items() if value is not None]
    config = load_evolve_loss(path, [*overrides, *given], preset)
    with ProgressBar("trainings") as bar:
        result = evolve_loss(config, out, workers, bar.update, shared)
    make_report(out)
    found = ((one["name"], one["formula"], f"{one['sign']:+d}", f"{one['scale']:g}") for one in result["losses"])
    print_table(("loss", "f(y, p)", "sign", "scale"), found)
    print(f"losses   {out / 'losses.json'}\nreport   {out / 'report.html'}")
    print(f"use one  training.loss={out / 'losses' / result['losses'][0]['name']}.json")
