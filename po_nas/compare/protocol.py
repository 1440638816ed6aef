"""The protocol of a comparison: a sentence under every table, and a table of its own."""

from __future__ import annotations

from collections.abc import Sequence

from po_nas.compare.results import MIXED, Study
from po_nas.compare.table import Table

__all__ = ["protocol_line", "protocol_table", "summary_line"]
_FED_BACK = ("feedback_name", "dataset", "split", "epochs", "runs")


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{len(seeds)} seeds ({seeds[0]}–{seeds[-1]})"
    return f"{len(seeds)} seeds ({', '.join(map(str, seeds))})"


def protocol_line(study: Study) -> str:
    """What must be printed with every number that is common to all benchmarks."""
    config = study.config
    batch, executor = config["batch"], config["executor"]["name"]
    parallel = "one evaluation at a time"
    if MIXED in (batch, executor):
        parallel = "trials at a time as the methods' names say"
    elif batch > 1:
        how = {"inline": "told together", "simulated": "asynchronous, on a virtual clock of recorded seconds"}
        parallel = f"{batch} trials at a time, {how.get(executor, 'asynchronous')}"
    feedbacks = {
        str(found.get("feedback_name", "the objective's own")) for found in study.record["benchmarks"].values()
    }
    goals = "".join(
        f"; {key} {', '.join(f'{name} {value}' for name, value in config[key].items())}"
        for key in ("objectives", "constraints")
        if config.get(key)
    )
    state = "" if study.finished else f" **Not finished: {summary_line(study)}.**"
    if study.finished and study.record["failed"]:
        state = f" **{summary_line(study)}.**"
    lower = "; those at lower fidelities count by the share of their cost" if study.lower_fidelities else ""
    seeds: dict[tuple[str, str], set[int]] = {}
    for benchmark, method, seed in study.searches:
        seeds.setdefault((benchmark, method), set()).add(seed)
    alike = all(own == next(iter(seeds.values())) for own in seeds.values())
    pairs = "paired" if alike else "paired as far as methods have the same"
    return (
        f"Protocol: {study.budget} evaluations, initial and failed ones counted{lower}; {_seeds(config['seeds'])}, "
        f"{pairs}; feedback `{', '.join(sorted(feedbacks))}`{goals}; {_pools(study)}; incumbent chosen by validation, "
        "test attached afterwards; values not normalised, proxy scores scaled over the candidates of each search; "
        f"{parallel}.{state}"
    )


def _pools(study: Study) -> str:
    sizes = {study.record["benchmarks"][name].get("pool_size") for name in study.benchmarks}
    known = sorted(size for size in sizes if isinstance(size, int))
    if len(known) < len(sizes) or not known:
        return "pool: see the protocol of each benchmark"
    return f"pool of {known[0]:,}" + (f" to {known[-1]:,}" if len(known) > 1 else "") + " architectures"


def summary_line(study: Study) -> str:
    """How much of it is done."""
    done, total, failed = study.record["finished"], study.record["searches"], len(study.record["failed"])
    return f"{done} of {total} searches done" + (f", {failed} failed" if failed else "")


def protocol_table(study: Study) -> Table:
    """Per benchmark: what was fed back, what is reported, what could be searched, and the optima."""
    rows = []
    for name, found in study.record["benchmarks"].items():
        if name not in study.benchmarks:
            continue
        told = {key: str(found[key]) for key in _FED_BACK if found.get(key)}
        if told.get("epochs", "").isdigit():
            told["epochs"] += " epochs"
        size = found.get("pool_size")
        pool = f"{found.get('pool', 'unknown')}" + (f", {size:,}" if isinstance(size, int) else "")
        rows.append(
            [
                name,
                f"{found.get('metric', 'validation')} ({found.get('unit') or 'no unit'}), {found.get('direction')}",
                "; ".join(told.values()),
                str(found.get("report", "unknown")),
                pool,
                _value(found.get("optimum_validation")),
                _value(found.get("test_of_optimum_validation")),
                _value(found.get("optimum_test")),
            ]
        )
    options = "; ".join(
        f"{label}: {method['name']}"
        + (
            f" ({', '.join(f'{k}={v}' for k, v in study.record['options'][label].items())})"
            if _given(study, label)
            else ""
        )
        for label, method in study.config["methods"].items()
    )
    versions = ", ".join(f"{name} {version}" for name, version in study.record["versions"].items())
    header = (
        *("benchmark", "metric", "fed back", "reported", "pool", "optimum, validation"),
        *("test of that optimum", "optimum, test"),
    )
    note = f"Methods, with all options: {options}. Versions: {versions}."
    return Table("protocol", "Protocol of each benchmark", header, rows, note, labels=5)


def _given(study: Study, label: str) -> bool:
    return bool(study.record["options"].get(label))


def _value(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}" if abs(value) < 1 else f"{value:.2f}"
