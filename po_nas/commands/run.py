"""``po-nas search | resume | repair | status | report``."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from po_nas.commands.options import Plugins, Trusted, settings_argument, split_settings, trust_of

if TYPE_CHECKING:
    from po_nas.runtime.api import Result
    from po_nas.runtime.callbacks import Callback

__all__ = ["add_to"]

_RunDirectory = Annotated[Path, typer.Argument(metavar="DIR", help="run directory")]
_Quiet = Annotated[bool, typer.Option("--quiet", help="no progress, no report; only summary.json")]


def add_to(app: typer.Typer) -> None:
    """Add the verbs that act on runs."""
    app.command()(search)
    app.command()(resume)
    app.command()(repair)
    app.command()(status)
    app.command()(report)


def search(
    settings: Annotated[list[str] | None, settings_argument("budget=50")] = None,
    out: Annotated[Path | None, typer.Option(help="run directory; default: a new one under runs/")] = None,
    plugin: Plugins = None,
    quiet: _Quiet = False,
    trust: Trusted = False,
) -> None:
    """Search: spend a budget of evaluations and write what was found to a run directory."""
    started = time.perf_counter()  # what is imported here takes seconds that one waits for, too
    from po_nas.runtime.api import run_search
    from po_nas.runtime.config import is_record, load_config, sets_plugins
    from po_nas.runtime.trusted_plugins import load_named

    path, overrides = split_settings(settings)
    config = load_config(path, overrides, plugins=plugin or ())
    if path is not None and not sets_plugins(overrides) and is_record(path):
        # Its own configuration is the user's; the record of a run may be somebody else's.
        load_named(config.plugins, path, trust_of(trust))
    directory = out or _new_directory(config.benchmark, config.method.name, config.seed)
    _with_progress(directory, config.tracking, quiet, partial(run_search, config, directory, started=started))


def resume(directory: _RunDirectory, plugin: Plugins = None, trust: Trusted = False, quiet: _Quiet = False) -> None:
    """Resume: go on with an interrupted search exactly where it stopped."""
    started = time.perf_counter()
    from po_nas.runtime.api import resume as go_on
    from po_nas.runtime.run_directory import read_config

    tracking = read_config(directory).tracking
    go = partial(go_on, directory, trust=trust_of(trust), progress=False, started=started)
    _with_progress(directory, tracking, quiet, go)


def repair(
    directory: _RunDirectory,
    to_line: Annotated[int, typer.Option(min=0, metavar="N", help="the last line of the journal to keep")],
) -> None:
    """Repair: go back to the first N lines of a damaged journal; the damaged one is kept beside it."""
    from po_nas.runtime.run_directory import repair as cut

    kept = cut(directory, to_line)
    print(f"kept     {kept}\nlines    {to_line}\ngo on    po-nas resume {directory}")


def _with_progress(directory: Path, tracking: tuple[str, ...], quiet: bool, run: Callable[..., Result]) -> None:
    from po_nas.runtime.tracking import make
    from po_nas.runtime.tracking.console import ConsoleCallback
    from po_nas.runtime.trial_errors import EvaluationsFailError

    callbacks: list[Callback] = [make(name, directory) for name in tracking if name != "console"]
    console = ConsoleCallback(directory)
    if not quiet:
        callbacks.append(console)
    try:
        with _terminated_as_by_ctrl_c():
            result = run(callbacks=callbacks)
    except EvaluationsFailError as error:
        console.close()
        print(f"po-nas: {' '.join(str(error).split())}", file=sys.stderr)
        if not quiet:
            _say_report(directory)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        begun = (directory / "config.yaml").exists()
        hint = f"; nothing is lost, go on with: po-nas resume {directory}" if begun else " before the search began"
        print(f"\ninterrupted{hint}", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        console.close()
    if not quiet:
        _say_result(result, directory)
    if result.evaluations and result.failed == result.evaluations:
        raise typer.Exit(1)


def _say_result(result: Result, directory: Path) -> None:
    """Print what was found; make its figure and page."""
    from po_nas.reports.run import load_run
    from po_nas.reports.terminal import print_result

    print_result(result, load_run(directory))
    _say_report(directory)


def _say_report(directory: Path) -> None:
    """Make the figure and the page of a run, and print where they are."""
    from po_nas.reports.page import make_report

    paths = make_report(directory)
    print(f"figure  {paths.figure}\nreport  {paths.page}")


@contextmanager
def _terminated_as_by_ctrl_c() -> Iterator[None]:
    """A scheduler that wants its machine back sends SIGTERM first: it interrupts as Ctrl-C does."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _new_directory(benchmark: str, method: str, seed: int) -> Path:
    base = Path("runs") / f"{benchmark.replace('/', '-')}_{method}_seed{seed}"
    candidate, number = base, 2
    while candidate.exists():
        candidate, number = base.with_name(f"{base.name}_{number}"), number + 1
    return candidate


def status(directory: _RunDirectory, plugin: Plugins = None, trust: Trusted = False) -> None:
    """Status: how far a run is, also while it is running."""
    from po_nas.reports.run import load_run
    from po_nas.reports.terminal import print_status

    print_status(load_run(directory, trust_of(trust)))


def report(
    directory: _RunDirectory,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="also the front of validation against the costs that the table records")
    ] = False,
    cost: Annotated[
        list[str] | None, typer.Option(help="a recorded cost for --pareto, may be given again; default: the usual ones")
    ] = None,
    plugin: Plugins = None,
    trust: Trusted = False,
) -> None:
    """Report: (re)make the figure and the HTML page of a run."""
    from po_nas.reports.page import make_report

    paths = make_report(directory, trust_of(trust))
    print(f"figure  {paths.figure}\nreport  {paths.page}")
    if pareto or cost:
        figure, page = _pareto(directory, cost or None)
        print(f"pareto  {figure}\npareto  {page}")


def _pareto(directory: Path, costs: list[str] | None) -> list[Path]:
    from po_nas import benchmarks
    from po_nas.reports.pareto import write_pareto
    from po_nas.reports.run import load_run

    run = load_run(directory)
    table = benchmarks.get(run.config["benchmark"], run.config["feedback"])
    return write_pareto(table, directory / "report", run, costs)
