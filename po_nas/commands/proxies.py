"""``po-nas proxies``."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated

import typer

from po_nas.commands.config_files import config_path
from po_nas.commands.example_network import SIZE, example_network, read_batch
from po_nas.commands.options import Plugins, load_proxies, writable_file, writable_folder
from po_nas.commands.tables import ProgressBar, print_table
from po_nas.errors import ConfigError

if TYPE_CHECKING:
    from po_nas.proxy_scores.tabulate import Part

_DATA = ".npz file with `inputs` (n, 3, height, width) and `labels` (n,); default: what the space says"

_SUMMARY = 72
"""Characters of a summary in the list, so that it takes at most three lines of a terminal 80 columns wide."""

app = typer.Typer(help="Zero-cost proxies: scores without training, and how well they rank.", no_args_is_help=True)


@app.command("list")
def list_(pattern: Annotated[str, typer.Argument(help="wildcard")] = "*", plugin: Plugins = None) -> None:
    """List the proxies."""
    import proxies

    rows = []
    for entry in proxies.registry.entries(pattern):
        spec = proxies.spec(entry.name)
        better = {1: "higher", -1: "lower", None: "unknown"}[spec.direction]
        # Formulas of evolved proxies fill a screen; `describe` tells all of them.
        summary = shorten(entry.summary, _SUMMARY, placeholder=" …")
        rows.append((entry.name, spec.cost, better, "yes" if spec.needs_labels else "no", summary))
    print_table(("name", "cost", "better", "labels", "summary"), rows)


@app.command()
def describe(name: str, plugin: Plugins = None) -> None:
    """Describe a proxy: what it computes, what it needs, where it is known to fail."""
    import proxies

    spec = proxies.spec(name)
    print(inspect.cleandoc(proxies.registry.get(name).__doc__ or "") + "\n")
    rows = [
        ("direction", {1: "higher is better", -1: "lower is better", None: "not known"}[spec.direction]),
        ("passes", ", ".join(spec.passes) or "none"),
        ("labels", "needed" if spec.needs_labels else "not needed"),
        ("smallest batch", str(spec.min_samples)),
        ("precision", "that of the module" if spec.dtype == "model" else spec.dtype),
        ("known failure", spec.failure or "none known"),
        ("reference", spec.reference or "none"),
        ("version", str(spec.version)),
    ]
    print_table(("", ""), rows)


@app.command()
def score(
    space: Annotated[str, typer.Argument(help="search space, such as nasbench201")],
    architecture: Annotated[str, typer.Argument(help="the architecture's string; 'random' draws one")],
    proxy: Annotated[
        list[str] | None,
        typer.Option("--proxy", "-p", callback=load_proxies, help="name, wildcard or evolved proxy .json (repeatable)"),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="size of the batch")] = 32,
    size: Annotated[int | None, typer.Option(min=1, help=SIZE)] = None,
    data: Annotated[Path | None, typer.Option(help=_DATA)] = None,
    option: Annotated[list[str] | None, typer.Option("--option", "-o", help="key=value of the network")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of weights, images and scoring")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON; null where there is no score")] = False,
    plugin: Plugins = None,
) -> None:
    """Score one architecture without training it; exit code 1 when there is no score."""
    import proxies

    found = example_network(space, architecture, samples=samples, size=size, data=data, options=option, seed=seed)
    scores = proxies.evaluate(found.network, found.batch, proxy or "*", seed=seed)
    if as_json:
        print(json.dumps({name: scores.values.get(name) for name in proxies.expand(proxy or "*")}))
    else:
        print(found.architecture)
        rows = [(name, f"{value:.6g}", "") for name, value in scores.values.items()]
        rows += [(name, "–", error.reason) for name, error in scores.errors.items()]
        print_table(("proxy", "score", "why there is none"), rows)
    if not scores.values:
        raise typer.Exit(1)


@app.command()
def correlate(
    benchmark: Annotated[list[str] | None, typer.Argument(help="names or wildcards; default: all with scores")] = None,
    against: Annotated[str, typer.Option(help="'test' (validation where none is) or 'validation'")] = "test",
    scores: Annotated[
        list[str] | None,
        typer.Option(
            help="'own' (by our engine), 'published', or files that `tabulate` wrote; default: own, published"
        ),
    ] = None,
    groups: Annotated[bool, typer.Option(help="also within groups of alike architectures")] = False,
    out: Annotated[Path, typer.Option(help="directory for tables and figures")] = Path("runs/correlation"),
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--proxy",
            "-p",
            callback=load_proxies,
            help="compute this proxy, or evolved proxy .json, for a sample instead (repeatable)",
        ),
    ] = None,
    sample: Annotated[int, typer.Option(min=10, help="architectures that --proxy is computed for")] = 100,
    cache: Annotated[str | None, typer.Option(help="file that keeps the scores of --proxy")] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes for --proxy")] = 1,
    plugin: Plugins = None,
) -> None:
    """Correlate scores and their fusions with the accuracies of benchmarks; with --proxy, proxies computed now."""
    from po_nas import benchmarks
    from po_nas.proxy_scores.packaged import OwnScores
    from po_nas.research.proxy_correlation import run
    from po_nas.research.proxy_correlation.report import write_correlation

    writable_folder(out)
    given = [one for one in scores or [] if one != "all"]
    files = [OwnScores.read(path) for path in given if path not in benchmarks.ORIGINS]
    if files and (proxy or len(files) < len(given)):
        raise ConfigError("scores", given, "are of files here; leave out --proxy, and own and published")
    what, kept = ("scores", "what is in the cache is kept") if proxy else ("benchmarks", "nothing is kept")
    with ProgressBar(what, kept) as bar:
        show = partial(bar.count, description=what)
        if proxy:
            compared, missing = run.correlate_computed(
                benchmark or ["nasbench201/*"],
                proxy,
                sample=sample,
                against=against,
                cache=cache,
                workers=workers,
                progress=show,
            )
        elif files:
            compared, missing = run.correlate_tables(
                files,
                benchmark or ["*"],
                against=against,
                within_groups=groups,
                progress=show,
            )
        else:
            compared, missing = run.correlate(
                benchmark or ["*"],
                origins=[o for o in benchmarks.ORIGINS if o in given] or benchmarks.ORIGINS,
                against=against,
                within_groups=groups,
                progress=show,
            )
    for reason in dict.fromkeys(missing):
        print(f"left out: {reason}", file=sys.stderr)
    if not compared:
        print("no benchmark has a score of ten architectures or more to correlate", file=sys.stderr)
        raise typer.Exit(1)
    if proxy:
        rows = [
            (a.benchmark, a.score, str(a.rows), f"{a.kendall:+.2f} [{a.kendall_low:+.2f}, {a.kendall_high:+.2f}]")
            for c in compared
            for a in c.found
        ]
        print_table(("benchmark", "proxy", "architectures", "Kendall τ_b, sign as it comes, 95 %"), rows)
    for path in write_correlation(compared, out):
        print(path)


@app.command()
def agree(
    benchmark: Annotated[str, typer.Argument(help="a benchmark with scores of both kinds")] = "nasbench201/cifar10",
    recipe: Annotated[
        Path | None, typer.Option(help="of our table; also score a sample with one thing changed at a time")
    ] = None,
    proxy: Annotated[list[str] | None, typer.Option("--proxy", "-p", help="name (repeatable); for --recipe")] = None,
    cells: Annotated[int, typer.Option(min=3, help="architectures in the sample")] = 60,
    data: Annotated[Path | None, typer.Option(help="other images for one more condition, as for score")] = None,
    cache: Annotated[Path, typer.Option(help="scores of the sample; an interrupted run goes on from it")] = Path(
        "runs/agreement.sqlite"
    ),
    out: Annotated[Path | None, typer.Option(help="Markdown file that the table is written to as well")] = None,
    plugin: Plugins = None,
) -> None:
    """Compare our own scores with the published ones, and show what makes them differ."""
    from po_nas.research.proxy_correlation import score_agreement
    from po_nas.research.proxy_correlation.report import plain_table

    if out is not None:
        writable_file(out)

    def show(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
        print_table(header, rows)
        if out is not None:
            out.write_text(plain_table(header, rows) + "\n", encoding="utf-8")

    if recipe is None:
        found = [
            (m.score, f"{m.rows:,}", f"{m.spearman:.3f}", f"{m.pairs:,}", f"{m.repeat:.3f}")
            for m in score_agreement.matches(benchmark)
        ]
        show(("score", "architectures", "ρ with published", "isomorphic pairs", "ρ of published within pairs"), found)
        return
    from po_nas.proxy_scores.tabulate import load_recipe
    from proxies import ScoreCache

    plan = load_recipe(config_path(recipe))
    ways = score_agreement.conditions(plan, benchmark.partition("/")[2], read_batch(data, 64) if data else None)
    names = tuple(proxy or ("jacov", "epe_nas", "plain", "grasp", "grad_norm", "snip", "l2_norm"))
    with ScoreCache(cache) as store:
        rows = score_agreement.condition_table(benchmark, plan, names, ways, cells, store)
    show(("condition", "score", "ρ with published", "ρ with the recipe's"), rows)


@app.command()
def ablate(
    proxy: Annotated[str, typer.Argument(help="the proxy whose worth is asked; of a plug-in, for example")],
    benchmark: Annotated[str, typer.Option(help="a benchmark with a table")] = "nasbench201/cifar10",
    method: Annotated[str, typer.Option(help="a method with an option `proxies`")] = "po_nas",
    option: Annotated[list[str] | None, typer.Option("--option", "-o", help="key=value of the method")] = None,
    other: Annotated[
        list[str] | None,
        typer.Option(help="the other proxies (repeatable, wildcards); default: all whose scores the benchmark has"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="paired searches of each kind")] = 20,
    budget: Annotated[int, typer.Option(min=1, help="evaluations of each search")] = 50,
    out: Annotated[Path, typer.Option(help="directory of the comparison; an unfinished one goes on")] = Path(
        "runs/ablation"
    ),
    workers: Annotated[int | None, typer.Option(min=1, help="processes of one thread each; default: all cores")] = None,
    plugin: Plugins = None,
) -> None:
    """What a proxy adds to searches: with all proxies, with all but it, and with it alone, in paired runs."""
    from po_nas.compare.ablation import ablation, worth_rows
    from po_nas.compare.captions import headline
    from po_nas.compare.report import make_comparison_report
    from po_nas.compare.results import Study
    from po_nas.compare.run import run_comparison
    from po_nas.core.settings import read_settings

    config = ablation(
        proxy,
        benchmark,
        method=method,
        options=read_settings(None, tuple(option or ())),
        others=tuple(other or ()),
        seeds=seeds,
        budget=budget,
        plugins=plugin or (),
    )
    with ProgressBar(f"{config.name}: searches", "finished searches are kept") as bar:
        run_comparison(config, out, workers or os.cpu_count() or 1, bar.update)
    study = Study.load(out)
    header = ("search with", "measure", "seeds", "mean", f"better than {config.baseline} by", "p, adjusted", "verdict")
    print_table(header, worth_rows(study))
    for sentence in headline(study):
        print(sentence)
    print(f"report   {make_comparison_report(study, out).page}")


@app.command()
def tabulate(
    recipe: Annotated[Path, typer.Argument(help="what to compute, such as configs/scores/nasbench201.yaml")],
    out: Annotated[Path | None, typer.Option(help="file of the table; default: <space>_scores.npz")] = None,
    cache: Annotated[Path, typer.Option(help="scores computed so far; an interrupted run goes on from it")] = Path(
        "runs/scores.sqlite"
    ),
    parts: Annotated[int | None, typer.Option(min=1, help="only the first parts of the recipe")] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes of one thread each")] = 1,
    compute: Annotated[
        bool, typer.Option(help="compute what the cache lacks; else the table holds what there is, NaN for the rest")
    ] = True,
    packaged: Annotated[bool, typer.Option(help="take the scores that come with the package, compute the rest")] = True,
    plugin: Plugins = None,
) -> None:
    """Score a whole search space, the architectures of a benchmark, or a sample of either, and write the table."""
    from po_nas import benchmarks
    from po_nas.proxy_scores import packaged as shipped
    from po_nas.proxy_scores.tabulate import collect, load_recipe, scored_space, take_over
    from po_nas.proxy_scores.tabulate import compute as compute_scores
    from proxies import ScoreCache

    plan = load_recipe(config_path(recipe))
    space = scored_space(plan, None if plan.benchmark is None else benchmarks.get(plan.benchmark).space)
    target = writable_file(out or Path(f"{plan.space}_scores.npz"))
    table = shipped.packaged(plan.space) if packaged else None
    with ScoreCache(cache) as store:
        if table is not None:
            take_over(plan, table, store)
        if compute:
            with ProgressBar("scores", f"the scores are in {cache}") as bar:
                compute_scores(plan, store, workers=workers, parts=parts, progress=partial(_show, bar), space=space)
        collect(plan, store, parts=parts, computing=compute, space=space).write(target)
    print(target)


def _show(bar: ProgressBar, part: Part, done: int) -> None:
    """A line for each part."""
    name = part.names[0] if len(part.names) == 1 else f"{part.names[0]} … {part.names[-1]}"
    bar.count(done, part.count, line=f"{part.task}: {name}")
