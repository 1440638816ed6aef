"""``po-nas compare``: search methods against each other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from po_nas.commands.config_files import config_path
from po_nas.commands.options import Plugins, Trusted, page_command, trust_of
from po_nas.commands.tables import ProgressBar
from po_nas.errors import ConfigError

if TYPE_CHECKING:
    from po_nas.compare.results import Study
    from po_nas.runtime.trusted_plugins import Trust

__all__ = ["compare"]

_OUT = Path("runs/comparison")


def compare(
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STUDY.yaml … [key=value …]",
            help="one study or several, and overrides for all of them, e.g. seeds=5; or run directories",
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(help="directory of the study (of several: one folder in it for each); an unfinished one goes on"),
    ] = _OUT,
    workers: Annotated[int | None, typer.Option(min=1, help="processes of one thread each; default: all cores")] = None,
    markdown: Annotated[Path | None, typer.Option(help="also write one Markdown page, its figures beside it")] = None,
    report_only: Annotated[bool, typer.Option("--report-only", help="report on what is there, run nothing")] = False,
    plugin: Plugins = None,
    trust: Trusted = False,
) -> None:
    """Compare: run methods × benchmarks × seeds, then write tables, figures and an HTML report.

    Every finished search is kept: an interrupted comparison goes on where it stopped, and results.parquet can be read
    while it runs. The exit code is 1 where a search has failed. Run directories of po-nas search can be compared as
    well.
    """
    from po_nas.compare.report import make_comparison_report, write_markdown
    from po_nas.compare.runs import read_runs

    given = settings or []
    paths, overrides = [config_path(s) for s in given if "=" not in s], [s for s in given if "=" in s]
    if not given and not report_only:
        raise typer.BadParameter("expected STUDY.yaml (see configs/studies/compare_quick.yaml) or run directories")
    found: list[tuple[Study, Path]] = []
    trusted = trust_of(trust)
    if paths and all(path.is_dir() for path in paths):
        if overrides:
            raise ConfigError(
                overrides[0].partition("=")[0], "", "cannot be set: run directories are compared as they are"
            )
        found.append((read_runs(paths, trusted), out))
    elif report_only:
        found += _reported(paths, _directories(paths, out), overrides, plugin or [], trusted)
    else:
        found += _run(
            paths or [None], _directories(paths, out), overrides, plugin or [], trusted, workers or os.cpu_count() or 1
        )
    for study, directory in found:
        written = make_comparison_report(study, directory)
        if (directory / "results.parquet").exists():
            print(f"results  {directory / 'results.parquet'}")
        print(f"tables   {directory / 'tables'}\nfigures  {directory / 'figures'}\nreport   {written.page}")
    if markdown is not None:
        # A report on what is there does not say how it was made.
        command = "" if report_only else page_command(["compare", *given], out, _OUT, plugin, markdown)
        write_markdown([study for study, _ in found], markdown, command)
        print(f"page     {markdown}")
    if any(study.record["failed"] for study, _ in found) and not report_only:
        raise typer.Exit(1)


def _directories(paths: list[Path], out: Path) -> list[Path]:
    if len(paths) < 2:
        return [out]
    named: dict[str, Path] = {}
    for path in paths:
        if path.stem in named:
            remedy = f"and {named[path.stem]} would go to one folder, {out / path.stem}; rename one"
            raise ConfigError("STUDY.yaml", path, remedy)
        named[path.stem] = path
    return [out / stem for stem in named]


def _reported(
    paths: Sequence[Path], directories: list[Path], overrides: list[str], plugins: list[str], trust: Trust
) -> list[tuple[Study, Path]]:
    """What is there, under the titles, notes and counts that the study's file says now."""
    from po_nas.compare.design import load_comparison
    from po_nas.compare.results import Study

    if overrides and not paths:
        raise ConfigError(overrides[0].partition("=")[0], "", "needs the study's YAML file beside --report-only")
    studies = [Study.load(directory) for directory in directories]
    for position, path in enumerate(paths):
        studies[position] = studies[position].presented(load_comparison(path, overrides, plugins, trust))
    return list(zip(studies, directories, strict=True))


def _run(
    paths: Sequence[Path | None],
    directories: list[Path],
    overrides: list[str],
    plugins: list[str],
    trust: Trust,
    workers: int,
) -> list[tuple[Study, Path]]:
    from po_nas.compare.design import load_comparison
    from po_nas.compare.results import Study
    from po_nas.compare.run import run_comparison

    # All are checked before the first is run.
    configs = [load_comparison(path, overrides, plugins, trust) for path in paths]
    found = []
    for config, directory in zip(configs, directories, strict=True):
        with ProgressBar(f"{config.name}: searches", "finished searches are kept") as bar:
            run_comparison(config, directory, workers, bar.update)
        found.append((Study.load(directory), directory))
    return found
