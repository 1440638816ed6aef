"""``po-nas benchmarks``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from po_nas.commands.options import Plugins
from po_nas.commands.tables import print_table

app = typer.Typer(help="Benchmarks: what a search may spend its budget on.", no_args_is_help=True)


@app.command("list")
def list_(
    pattern: Annotated[str, typer.Argument(help="wildcard, e.g. 'nasbench201/*'")] = "*", plugin: Plugins = None
) -> None:
    """List the benchmarks, what they need and which feedback they offer."""
    from po_nas import benchmarks

    rows = []
    for entry in benchmarks.registry.entries(pattern):
        spec = entry.spec
        feedback = needs = "?"
        if isinstance(spec, benchmarks.BenchmarkSpec):
            feedback, needs = ", ".join(spec.feedbacks), f"data get {spec.dataset}" if spec.dataset else "nothing"
            needs = "images, training" if spec.trained else needs
        rows.append((entry.name, feedback, needs, entry.summary))
    print_table(("name", "feedback", "needs", "summary"), rows)


@app.command()
def describe(
    name: str,
    feedback: Annotated[str | None, typer.Option(help="feedback preset")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
    plugin: Plugins = None,
) -> None:
    """Describe a benchmark: metric, split, epochs, runs, size, optima, noise ceiling."""
    from dataclasses import asdict

    from po_nas import benchmarks

    if benchmarks.trains(name):
        _describe_training(dict(benchmarks.objective(name, feedback).protocol()), as_json)
        return
    d = benchmarks.looked_up(name, feedback).describe()
    if as_json:
        print(json.dumps(asdict(d), indent=2, ensure_ascii=False))
        return
    unit = d.metric.unit
    epochs = f"{d.feedback.epochs} epochs" if d.feedback.epochs.isdigit() else d.feedback.epochs

    def optimum(value: tuple[float, str] | None) -> str:
        return "unknown" if value is None else f"{value[0]:.4f} {unit}  {value[1]}"

    def number(value: float | None, digits: int = 3) -> str:
        return "unknown" if value is None else f"{value:.{digits}f}"

    ceiling = "unknown"
    if d.ceiling_test is not None:
        ceiling = f"{d.ceiling_test:.4f} {unit}, rank {d.ceiling_test_rank} of {d.architectures:,} on test"
    rows = [
        ("benchmark", d.name),
        ("space", d.space),
        (
            "search signal",
            f"{d.metric.name} ({unit or 'no unit'}), {'higher' if d.metric.maximize else 'lower'} is better",
        ),
        ("feedback", f"{d.feedback.name}: {d.feedback.dataset}, {d.feedback.split}, {epochs}"),
        ("runs averaged", d.feedback.runs),
        ("source", d.feedback.source),
        ("report metric", d.report),
        ("pool", f"{d.pool} ({d.architectures:,} different evaluations)"),
        ("optimum, validation", optimum(d.optimum_validation)),
        ("its test value", ceiling),
        ("optimum, test", optimum(d.optimum_test)),
        ("Spearman, validation and test", number(d.spearman)),
        ("same, best tenth by validation", number(d.spearman_top_tenth)),
        ("cost", d.cost),
        ("fidelities", d.fidelities or "full evaluations only"),
        ("known without an evaluation", ", ".join(f"{n} ({unit})" if unit else n for n, unit in d.extras) or "nothing"),
        ("reference", d.reference),
        *(("note", note) for note in d.notes),
    ]
    print_table(("", ""), rows)


def _describe_training(protocol: dict[str, Any], as_json: bool) -> None:
    """There are no optima where architectures are trained; what there is to say is how."""
    from po_nas.core.settings import flat

    if as_json:
        print(json.dumps(protocol, indent=2, ensure_ascii=False))
    else:
        print_table(("", ""), flat(protocol).items())
