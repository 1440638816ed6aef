"""``po-nas study``: many runs compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from po_nas.commands.config_files import config_path
from po_nas.commands.options import Plugins, page_command, settings_argument, split_settings
from po_nas.commands.tables import ProgressBar

app = typer.Typer(help="Studies: many trainings or searches compared, with statistics.", no_args_is_help=True)


@app.command()
def losses(
    settings: Annotated[list[str] | None, settings_argument("preset=medium")] = None,
    out: Annotated[Path, typer.Option(help="directory of the study; an unfinished one goes on")] = Path("runs/losses"),
    workers: Annotated[int, typer.Option(min=1, help="processes of one thread each")] = 1,
    markdown: Annotated[Path | None, typer.Option(help="also put tables and figures into this page")] = None,
    plugin: Plugins = None,
) -> None:
    """Losses: compare training losses of performance predictors, after arXiv 2506.05869."""
    from po_nas.research.loss_study.design import load_loss_study
    from po_nas.research.loss_study.report import make_loss_report, write_loss_page
    from po_nas.research.loss_study.run import run_loss_study

    config = load_loss_study(*split_settings(settings))
    with ProgressBar("trainings") as bar:
        table = run_loss_study(config, out, workers, bar.update, plugin or ())
    tables, *figures = make_loss_report(table, config, out)
    print(f"results  {out / 'results.parquet'}\ntables   {tables}")
    print("\n".join(f"figure   {path}" for path in figures))
    if markdown is not None:
        write_loss_page(table, config, markdown)
        print(f"page     {markdown}")


@app.command()
def fusion(
    settings: Annotated[list[str] | None, settings_argument("seeds=4")] = None,
    out: Annotated[Path, typer.Option(help="directory of the study; an unfinished one goes on")] = Path("runs/fusion"),
    workers: Annotated[int, typer.Option(min=1, help="processes of one thread each")] = 1,
    markdown: Annotated[Path | None, typer.Option(help="also put tables and figures into this page")] = None,
    plugin: Plugins = None,
) -> None:
    """Fusion: what oracles of the best use of proxies gain over the models as they are, on tables or finished runs."""
    from po_nas.research.fusion.design import load_fusion_study
    from po_nas.research.fusion.report import make_fusion_report, write_fusion_page
    from po_nas.research.fusion.run import run_fusion_study

    config = load_fusion_study(*split_settings(settings))
    with ProgressBar("parts") as bar:
        table = run_fusion_study(config, out, workers, bar.update, plugin or ())
    files = make_fusion_report(table, config, out)
    print(f"results  {out / 'results.parquet'}")
    for path in files:
        print(f"{ {'.png': 'figure', '.jsonl': 'means'}.get(path.suffix, 'tables'):<9}{path}")
    if markdown is not None:
        command = page_command(["study", "fusion", *(settings or ())], out, Path("runs/fusion"), plugin, markdown)
        write_fusion_page(out, markdown, command)
        print(f"page     {markdown}")


@app.command("evolved-proxies")
def evolved_proxies(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="see configs/studies/evolved_proxies*.yaml")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[key=value …]", help="e.g. seeds=3")] = None,
    out: Annotated[Path, typer.Option(help="directory of the study; an unfinished one goes on")] = Path(
        "runs/evolved_proxies"
    ),
    workers: Annotated[int, typer.Option(min=1, help="processes of one thread each")] = 1,
    markdown: Annotated[Path | None, typer.Option(help="also put tables and figures into this page")] = None,
    plugin: Plugins = None,
) -> None:
    """Evolved proxies: how well formulas found by genetic programming order architectures, on unseen spaces above all.

    Every finished run is kept: an interrupted study goes on where it stopped.
    """
    from po_nas.research.evolved_proxies.design import load_evolved_study
    from po_nas.research.evolved_proxies.report import make_evolved_report, write_evolved_page
    from po_nas.research.evolved_proxies.run import run_evolved_study
    from po_nas.research.evolved_proxies.search import run_searches

    study = load_evolved_study(config_path(config), overrides or [])
    with ProgressBar("runs") as bar:
        table = run_evolved_study(study, out, workers, bar.update, plugin or ())
    with ProgressBar("searches") as bar:
        searches = run_searches(study, table, out, workers, bar.update, plugin or ())
    tables = make_evolved_report(table, searches, study, out)
    print(f"results  {out / 'results.parquet'}\ntables   {out / 'tables.md'}\nfigures  {out / 'figures'}")
    if markdown is not None:
        words = ["study", "evolved-proxies", str(config), *(overrides or ())]
        command = page_command(words, out, Path("runs/evolved_proxies"), plugin, markdown)
        write_evolved_page(tables, out, markdown, command)
        print(f"page     {markdown}")
