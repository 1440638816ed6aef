"""``po-nas evolve``: what people design by hand, found by evolution."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from po_nas.commands.options import Plugins, settings_argument, split_settings, writable_folder
from po_nas.commands.tables import ProgressBar, print_table
from po_nas.errors import ConfigError

if TYPE_CHECKING:
    from po_nas.research.evolved_proxies.proxy_evolution import Outcome
    from proxies.evolved.proxy import EvolvedProxy


app = typer.Typer(
    help="Evolve zero-cost proxies (proxy) or classification losses (loss) as readable formulas.",
    no_args_is_help=True,
)

_PROBLEMS = "problems, families such as nasbench201, wildcards; comma-separated or repeated"


@app.command()
def proxy(
    train: Annotated[list[str], typer.Option(help=f"learn from these: {_PROBLEMS}")],
    hold_out: Annotated[
        list[str] | None, typer.Option(help=f"never learn from these, judge on them: {_PROBLEMS}")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="independent runs; 31 is customary")] = 5,
    workers: Annotated[int | None, typer.Option(min=1, help="processes of one thread each; default: all cores")] = None,
    out: Annotated[Path, typer.Option(help="directory; an unfinished evolution goes on")] = Path("runs/evolved"),
    name: Annotated[str, typer.Option(help="name of the new proxy")] = "evolved",
    population: Annotated[int, typer.Option(help="formulas in a generation")] = 200,
    generations: Annotated[int, typer.Option(help="generations after the random one")] = 30,
    max_depth: Annotated[int, typer.Option(help="largest depth of a tree")] = 6,
    max_size: Annotated[int, typer.Option(help="largest number of nodes")] = 25,
    parsimony: Annotated[float, typer.Option(help="fitness that a node costs")] = 0.001,
    aggregate: Annotated[str, typer.Option(help="τ of several problems as one: mean, mean-sd or min")] = "mean",
    sd_weight: Annotated[float, typer.Option(help="λ of mean-sd: mean − λ · standard deviation")] = 0.5,
    normaliser: Annotated[str, typer.Option(help="of the leaves: rank, raw, signed_log or zscore")] = "rank",
    objectives: Annotated[str, typer.Option(help="tau, or nsga2: τ, size and seconds of the proxies")] = "tau",
    constants: Annotated[bool, typer.Option("--constants", help="numbers as weights and addends, tuned")] = False,
    leaf: Annotated[
        list[str] | None, typer.Option(help="leaf or wildcard (repeatable); default: what is there")
    ] = None,
    graph_features: Annotated[
        bool, typer.Option("--graph-features", help="leaves g_…: such a proxy is for benchmarks, not for networks")
    ] = False,
    rows: Annotated[int, typer.Option(min=10, help="architectures of each problem to learn from")] = 200,
    reference_sample: Annotated[
        int, typer.Option("--reference", min=0, help="random networks that the new proxy is calibrated on; 0: none")
    ] = 32,
    plugin: Plugins = None,
) -> None:
    """Evolve a proxy over existing ones, and judge it where it was not evolved.

    Writes the formula, the τ of all seeds, a figure and DIR/evolved.json. With --plugin DIR/evolved.json (or -p
    DIR/evolved.json) that is a proxy like any other: for proxies score and correlate, as a proxy of a search
    (method.proxies), or as its only goal (proxies.objective). Finished seeds are kept: the same command goes on.
    """
    from po_nas.research.evolved_proxies import proxy_evolution
    from po_nas.research.evolved_proxies.proxy_evolution_report import write_evolution
    from po_nas.research.evolved_proxies.symbolic import Settings
    from proxies import registry
    from proxies.evolved.proxy import EvolvedScore, check_name, save

    check_name(name)
    if name in registry and not isinstance(registry.get(name), EvolvedScore):
        raise ConfigError("--name", name, "is a proxy that there is; choose another name")
    writable_folder(out)
    settings = Settings(
        population=population,
        generations=generations,
        max_depth=max_depth,
        max_size=max_size,
        parsimony=parsimony,
        aggregate=cast(Any, aggregate),
        sd_weight=sd_weight,
        normaliser=cast(Any, normaliser),
        objectives=cast(Any, objectives),
        constants=constants,
        leaves=tuple(leaf) if leaf else None,
        graph_features=graph_features,
    )
    plan = proxy_evolution.make_plan(train, hold_out or (), seeds=seeds, rows=rows, settings=settings)
    print(f"leaves: {', '.join(plan.settings.leaves or ())}", file=sys.stderr)
    for column, reason in proxy_evolution.left_out(plan).items():
        print(f"no leaf: {column}: {reason}", file=sys.stderr)
    with ProgressBar(f"{name}: seeds", "finished seeds are kept") as bar:
        outcome = proxy_evolution.run(
            plan, out, workers=workers or os.cpu_count() or 1, name=name, progress=bar.update, plugins=plugin or ()
        )
        proxy = _calibrated(outcome.proxy, reference_sample, bar)
    save(proxy, out / "evolved.json")
    write_evolution(outcome, out / "evolved.png")
    _show(proxy, outcome)
    print(f"results  {out / 'results.parquet'}\nfigure   {out / 'evolved.png'}\nproxy    {out / 'evolved.json'}")


@app.command()
def reference(
    file: Annotated[Path, typer.Argument(help="file of an evolved proxy")],
    space: Annotated[str, typer.Option(help="whose networks: nasbench201, darts, …")],
    sample: Annotated[int, typer.Option(min=8, help="random networks that are scored")] = 32,
    images: Annotated[int, typer.Option(min=1, help="made-up images in the batch, as --samples of proxies score")] = 32,
    size: Annotated[int, typer.Option(min=1, help="their height and width, pixels")] = 32,
    seed: Annotated[int, typer.Option(min=0, help="of the architectures, weights and images")] = 0,
) -> None:
    """Calibrate an evolved proxy on random networks of a space, so that one network of it can be scored.

    The file gets a reference sample of the scores of its leaves (no accuracies), which becomes its default. Benchmarks
    and searches do not need it: they rank leaves among their own architectures.
    """
    from po_nas.research.evolved_proxies.engine_reference import add_reference
    from proxies.evolved.proxy import load, save

    proxy = load(file)
    with ProgressBar(f"networks of {space}", "nothing is changed") as bar:
        progress = partial(bar.count, total=sample, description=f"networks of {space}")
        save(add_reference(proxy, space, sample=sample, images=images, size=size, seed=seed, progress=progress), file)
    print(file)


def _calibrated(proxy: EvolvedProxy, sample: int, bar: ProgressBar) -> EvolvedProxy:
    """With a reference of our own engine's scores for the first space that has networks, where that can be."""
    from po_nas.errors import EvolvedProxyError
    from po_nas.research.evolved_proxies.engine_reference import SPACES, add_reference

    spaces = [{"nasbench301": "darts"}.get(space, space) for space in proxy.references]
    space = next((space for space in spaces if space in SPACES), None)
    if not sample or space is None:
        return proxy
    try:
        progress = partial(bar.count, total=sample, line=f"calibrating on {space}")
        return add_reference(proxy, space, sample=sample, progress=progress)
    except EvolvedProxyError as error:
        print(f"not calibrated, so it serves benchmarks and searches alone: {error}", file=sys.stderr)
        return proxy


def _show(proxy: EvolvedProxy, outcome: Outcome) -> None:
    import numpy as np

    from po_nas.formula import text
    from po_nas.research.evolved_proxies.proxy_evolution_report import summary_rows

    print(f"formula  {text(proxy.formula)}\nLaTeX    ${proxy.latex}$\n")
    print_table(("problem", "rows", "evolved", *(b.name for b in outcome.baselines)), summary_rows(outcome))
    print()
    spread = []
    for role in ("train", "held-out", "unseen"):
        means = outcome.means(role)
        if means:
            quantiles = np.quantile(means, (0, 0.25, 0.5, 0.75, 1))
            spread.append((role, str(len(means)), *(f"{q:+.3f}" for q in quantiles)))
    print_table(("mean τ over problems", "seeds", "least", "25 %", "median", "75 %", "most"), spread)
    print()


@app.command()
def loss(
    settings: Annotated[list[str] | None, settings_argument("children=50")] = None,
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
