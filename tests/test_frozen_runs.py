"""Every method still proposes what it did: the trials of configs/studies/frozen_runs*.yaml against a record of them.

The record, tests/frozen_runs.json, has one line per trial. Methods in `EVERYWHERE` must repeat it on every machine. The
others fit models, and the last digits of their sums depend on the processor, so theirs is required only on a machine
like that of the record. On another one, or for a look at a part, run this file:

    python tests/test_frozen_runs.py --check                           # one line per search that differs
    python tests/test_frozen_runs.py --check --methods po_nas,gp_bo    # also --benchmarks, --study
    python tests/test_frozen_runs.py --write --record before.json      # before a change, on a machine of another kind
    python tests/test_frozen_runs.py --check --record before.json      # after it
    python tests/test_frozen_runs.py --write                           # where results are meant to change

It goes through the po-nas command and the files that it writes alone, so that it outlives moved modules. Data that is
not there is not fetched: po-nas data get transnasbench101 nasbench101_sample.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
import threadpoolctl
import torch
import yaml

ROOT = Path(__file__).resolve().parents[1]
RECORD = Path(__file__).with_name("frozen_runs.json")
STUDIES = {name: ROOT / "configs" / "studies" / f"{name}.yaml" for name in ("frozen_runs", "frozen_runs_batch")}
EVERYWHERE = ("random", "regularized_evolution", "mo_regularized_evolution", "nsga2", "local_search", "zero_cost")
"""Methods without a model. (Of the others po_nas_paper alone was seen to differ without AVX-512.)"""

ELSEWHERE = {"asha", "hyperband", "po_nas_transfer"}
"""Methods that no comparison over these benchmarks can have: of lower fidelities, and of several tasks of one space."""


class Key(NamedTuple):
    """One search."""

    study: str
    benchmark: str
    method: str
    seed: int

    def __str__(self) -> str:
        return f"{self.study}: {self.method} on {self.benchmark}, seed {self.seed}"


Trials = dict[Key, list[str]]


class Record(NamedTuple):
    machine: dict[str, str]
    trials: Trials


# -- running -----------------------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """The trials of searches, a string each, in the order of completion; the benchmarks without their data."""

    trials: Trials
    missing: tuple[str, ...] = ()


def run(study: str, benchmarks: Sequence[str], methods: Sequence[str], folder: Path, workers: int = 1) -> Found:
    """Run these searches of a study. One that fails has the trials before that, or none."""
    settings = settings_of(study)
    if settings.get("batch", 1) == 1:
        return _compared(study, settings, benchmarks, methods, folder, workers)
    keys = [key for key in keys_of(study) if key.benchmark in benchmarks and key.method in methods]
    return Found({key: _searched(key, settings, folder / f"{number}") for number, key in enumerate(keys)})


def _compared(
    study: str, settings: dict[str, Any], benchmarks: Sequence[str], methods: Sequence[str], folder: Path, workers: int
) -> Found:
    chosen = {label: settings["methods"][label] for label in methods}
    po_nas(
        *("compare", str(STUDIES[study]), f"benchmarks={json.dumps(list(benchmarks))}"),
        *(f"methods={json.dumps(chosen)}", "--workers", str(workers), "--out", str(folder)),
    )
    table = pq.read_table(folder / "results.parquet")
    missing = json.loads(table.schema.metadata[b"po_nas.comparison"])["missing"]
    found: Trials = {}
    for row in sorted(table.to_pylist(), key=lambda row: row["evaluation"]):
        key = Key(study, row["benchmark"], row["method"], row["seed"])
        found.setdefault(key, []).append(f"{row['architecture']} = {row['validation']!r}")
    return Found(found, tuple(missing))


def _searched(key: Key, settings: dict[str, Any], folder: Path) -> list[str]:
    journal = folder / "journal.jsonl"
    with contextlib.suppress(subprocess.CalledProcessError):
        po_nas(
            *("search", f"benchmark={key.benchmark}", f"method={json.dumps(settings['methods'][key.method])}"),
            *(f"budget={settings['budget']}", f"batch={settings['batch']}", f"seed={key.seed}"),
            *("--quiet", "--out", str(folder)),
        )
    asked: dict[int, dict[str, Any]] = {}
    trials = []
    for line in journal.read_text(encoding="utf-8").splitlines() if journal.exists() else ():
        event = json.loads(line)
        if event["event"] == "ask":
            asked[event["number"]] = event
        elif event["event"] in {"tell", "fail"}:
            ask, value = asked[event["number"]], event.get("metrics", {}).get("validation")
            trials.append(f"{ask['number']} {ask['origin']}: {ask['architecture']} = {value!r}")
    return trials


def po_nas(*arguments: str) -> str:
    """What the command of this checkout prints, whatever is installed; run with one thread."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        module, _, function = tomllib.load(file)["project"]["scripts"]["po-nas"].partition(":")
    program = f"import sys; from {module} import {function}; sys.argv[0] = 'po-nas'; {function}()"
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    mirror = os.environ.get("PO_NAS_DATA_MIRROR")
    places = {"PO_NAS_DATA_MIRROR": str(Path(mirror).absolute())} if mirror else {}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | places,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


# -- the record --------------------------------------------------------------------------------------------------------


def settings_of(study: str) -> dict[str, Any]:
    return dict(yaml.safe_load(STUDIES[study].read_text(encoding="utf-8")))


def keys_of(study: str) -> list[Key]:
    """All searches of a study, in its order."""
    found = settings_of(study)
    return [Key(study, b, m, seed) for b in found["benchmarks"] for m in found["methods"] for seed in found["seeds"]]


def this_machine() -> dict[str, str]:
    """What decides the last digits of sums, as far as it can be asked for."""
    kinds = {str(pool["architecture"]) for pool in threadpoolctl.threadpool_info() if "architecture" in pool}
    return {
        "torch": str(torch.__version__),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "blas": " ".join(sorted(kinds)),
    }


def read_record(path: Path) -> Record:
    content = json.loads(path.read_text(encoding="utf-8"))
    trials = {
        Key(study, benchmark, method, int(seed)): found
        for study, by_benchmark in content["trials"].items()
        for benchmark, by_method in by_benchmark.items()
        for method, by_seed in by_method.items()
        for seed, found in by_seed.items()
    }
    return Record(content["machine"], trials)


def write_record(path: Path, record: Record) -> None:
    """In the order of the studies, one line per trial; searches that are in none of them any more are dropped."""
    nested: dict[str, Any] = {}
    for key in (key for study in STUDIES for key in keys_of(study) if key in record.trials):
        by_seed = nested.setdefault(key.study, {}).setdefault(key.benchmark, {}).setdefault(key.method, {})
        by_seed[str(key.seed)] = record.trials[key]
    text = json.dumps({"machine": record.machine, "trials": nested}, indent=0, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def difference(key: Key, expected: Sequence[str] | None, found: Sequence[str] | None) -> str | None:
    """Where a search first differs from the record, in words; None where it does not."""
    if expected is None:
        return f"{key}: is not in the record"
    found = found or []
    for number in range(max(len(expected), len(found))):
        pair = [trials[number] if number < len(trials) else "no trial" for trials in (expected, found)]
        if pair[0] != pair[1]:
            return f"{key}: differs from trial {number} on: recorded {pair[0]}, now {pair[1]}"
    return None


# -- tests -------------------------------------------------------------------------------------------------------------

NEEDED = {"transnas": "transnasbench101", "nasbench101": "nasbench101_sample"}
"""By what the benchmark's name begins with, the public data that it needs."""
PLACES = [(study, benchmark) for study in STUDIES for benchmark in settings_of(study)["benchmarks"]]


def compare_with_record(study: str, benchmark: str, methods: Sequence[str], folder: Path) -> None:
    found, record = run(study, [benchmark], methods, folder).trials, read_record(RECORD).trials
    keys = [key for key in keys_of(study) if key.benchmark == benchmark and key.method in methods]
    differences = [difference(key, record.get(key), found.get(key)) for key in keys]
    assert not any(differences), "\n".join(["", *filter(None, differences)])


@pytest.fixture
def benchmark_data(public_data):
    def need(benchmark: str) -> None:
        public_data(*(data for start, data in NEEDED.items() if benchmark.startswith(start)))

    return need


@pytest.mark.slow
@pytest.mark.parametrize(("study", "benchmark"), PLACES)
def test_methods_without_a_model_repeat_their_trials(study, benchmark, benchmark_data, tmp_path):
    benchmark_data(benchmark)
    compare_with_record(study, benchmark, EVERYWHERE, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("study", "benchmark"), PLACES)
def test_methods_with_a_model_repeat_their_trials(study, benchmark, benchmark_data, tmp_path):
    recorded, here = read_record(RECORD).machine, this_machine()
    if here != recorded:
        pytest.skip(f"their last digits depend on the machine; recorded with {recorded}, this is {here}")
    benchmark_data(benchmark)
    methods = [method for method in settings_of(study)["methods"] if method not in EVERYWHERE]
    compare_with_record(study, benchmark, methods, tmp_path)


def test_every_search_is_on_record():
    record = read_record(RECORD).trials
    assert list(record) == [key for study in STUDIES for key in keys_of(study)]
    assert {len(trials) for trials in record.values()} == {settings_of(study)["budget"] for study in STUDIES}
    assert RECORD.stat().st_size < 400_000


def test_every_method_is_in_the_studies():
    listed = po_nas("methods", "list").splitlines()
    names = {line.split("\t")[0] for line in listed if "\t" in line} - {"name"}
    for study in STUDIES:
        used = {method["name"] for method in settings_of(study)["methods"].values()}
        assert names
        assert names - ELSEWHERE == used


def test_a_difference_is_located():
    key = Key("frozen_runs", "nasbench_graph/cora", "random", 1)
    assert difference(key, ["a = 1.0"], ["a = 1.0"]) is None
    where = "frozen_runs: random on nasbench_graph/cora, seed 1: differs from trial 1 on: recorded "
    assert difference(key, ["a = 1.0", "b = 2.0"], ["a = 1.0", "b = 2.5"]) == where + "b = 2.0, now b = 2.5"
    shorter = difference(key, ["a = 1.0", "b = 2.0"], ["a = 1.0"])
    assert shorter.startswith(where + "b = 2.0, ")
    longer = difference(key, ["a = 1.0"], ["a = 1.0", "b = 2.0"])
    assert longer.startswith(where)
    assert longer.endswith(", now b = 2.0")


# -- the command -------------------------------------------------------------------------------------------------------


def _listed(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def main() -> int:
    """Write or check the record; the exit code is 1 where a search differs."""
    parser = argparse.ArgumentParser(description="Check the trials of every method against a record, or write it.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="run, and print one line per search that differs")
    action.add_argument("--write", action="store_true", help="run, and put the trials into the record")
    parser.add_argument("--study", choices=STUDIES, help="one study alone")
    parser.add_argument("--methods", type=_listed, help="these alone, such as po_nas,gp_bo")
    parser.add_argument("--benchmarks", type=_listed, help="these alone, such as nasbench_graph/cora")
    parser.add_argument("--workers", type=int, default=1, help="processes of po-nas compare (default: 1)")
    parser.add_argument("--record", type=Path, default=RECORD, help="another file than tests/frozen_runs.json")
    parser.add_argument("--strict", action="store_true", help="check methods with a model whatever the machine")
    given = parser.parse_args()

    known = {name: [str(getattr(k, name)) for s in STUDIES for k in keys_of(s)] for name in ("method", "benchmark")}
    for name, chosen in (("method", given.methods), ("benchmark", given.benchmarks)):
        wrong = [value for value in chosen or () if value not in known[name]]
        if wrong:
            parser.error(f"{wrong[0]} is no {name} of the studies, which are {', '.join(dict.fromkeys(known[name]))}")
    old = read_record(given.record) if given.record.exists() else Record(this_machine(), {})
    if given.check and not old.trials:
        parser.error(f"{given.record} is not there; write it first")
    wanted = list(_wanted(given))
    alike = old.machine == this_machine()
    if given.write and not alike and {key for study in STUDIES for key in keys_of(study)} - set(wanted):
        parser.error(f"{given.record} is of {old.machine}, this is {this_machine()}: write all of it, or another file")
    if given.check and not alike and not given.strict:
        others = sorted({key.method for key in wanted} - set(EVERYWHERE))
        if others:
            print(f"not compared: {', '.join(others)}; recorded with {old.machine}, this is {this_machine()}")
        wanted = [key for key in wanted if key.method in EVERYWHERE]

    began, found, missing = time.monotonic(), {}, set()
    with tempfile.TemporaryDirectory() as folder:
        for study in dict.fromkeys(key.study for key in wanted):
            benchmarks, methods = (
                list(dict.fromkeys(getattr(key, name) for key in wanted if key.study == study))
                for name in ("benchmark", "method")
            )
            here = run(study, benchmarks, methods, Path(folder) / study, given.workers)
            found |= here.trials
            missing |= set(here.missing)
    if given.write:
        short = [str(key) for key in wanted if len(found.get(key, ())) < settings_of(key.study)["budget"]]
        if short:
            parser.error(f"not written: data is missing, or a search failed (see above): {'; '.join(short)}")
        write_record(given.record, Record(this_machine(), old.trials | found))
        print(f"{len(found)} searches written to {given.record} in {time.monotonic() - began:.0f} s")
        return 0
    for benchmark in sorted(missing):
        print(f"not compared: {benchmark}, whose data is not there (see above)")
    compared = [key for key in wanted if key.benchmark not in missing]
    differences = [line for line in (difference(key, old.trials.get(key), found.get(key)) for key in compared) if line]
    print(*differences, sep="\n", end="\n" if differences else "")
    print(f"{len(differences)} of {len(compared)} searches differ ({time.monotonic() - began:.0f} s)")
    return int(bool(differences))


def _wanted(given: argparse.Namespace) -> Iterator[Key]:
    for study in STUDIES:
        for key in keys_of(study):
            if (
                given.study in (None, study)
                and (given.methods is None or key.method in given.methods)
                and (given.benchmarks is None or key.benchmark in given.benchmarks)
            ):
                yield key


if __name__ == "__main__":
    sys.exit(main())
