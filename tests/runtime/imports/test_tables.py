"""Evaluations from tables: every spelling of a configuration comes back as it was, and what does not fit is listed."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import po_nas
from po_nas import Categorical, Float, Int
from po_nas.errors import ConfigError, RunDirectoryError
from po_nas.reports.run import load_run
from po_nas.runtime.imports.evaluations import ImportFileError, NothingFitsError
from tests.errors import raised

from .space import SPACE, flat, in_lists, told

RNG = np.random.default_rng(3)
DRAWN = list({SPACE.canonical(a): a for a in (SPACE.sample(RNG) for _ in range(60))}.values())
VALUES = {SPACE.to_string(a): float(v) for a, v in zip(DRAWN, RNG.normal(size=len(DRAWN)), strict=True)}


def write_csv(path, rows, separator=","):
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, delimiter=separator, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def rows_of(spelling):
    return [spelling(SPACE.config_of(a)) | {"accuracy": VALUES[SPACE.to_string(a)]} for a in DRAWN]


SPELLINGS = {
    "lists": lambda config: config,
    "lists as JSON": in_lists,
    "lists as Python": lambda config: {k: repr(v) if isinstance(v, list) else v for k, v in config.items()},
    "layers from 0": flat,
    "layers from 1": lambda config: flat(config, first=1),
    "layers in brackets": lambda config: flat(config, form="{}[{}]"),
    "all as text": lambda config: {k: str(v) if v is not None else None for k, v in flat(config).items()},
    "numbers as floats": lambda config: {
        k: float(v) if isinstance(v, int) and not isinstance(v, bool) else v for k, v in flat(config).items()
    },
    "single precision": lambda config: {k: np.float32(v) if isinstance(v, float) else v for k, v in config.items()},
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_every_spelling_of_a_configuration_comes_back(tmp_path, spelling):
    found = po_nas.import_evaluations(rows_of(spelling), space=SPACE, out=tmp_path, value="accuracy", maximize=True)
    assert (found.left_out, found.repeats, found.failed) == ((), 0, 0)
    assert dict(told(tmp_path)) == VALUES


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_csv_file(tmp_path, separator):
    path = write_csv(tmp_path / "a.csv", rows_of(lambda config: flat(config, first=1)), separator)
    po_nas.import_evaluations(path, space=SPACE, out=tmp_path / "run", value="accuracy", maximize=False)
    assert dict(told(tmp_path / "run")) == VALUES
    assert load_run(tmp_path / "run").incumbent().validation == min(VALUES.values())


def test_a_parquet_file(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(rows_of(lambda config: config)), path)
    po_nas.import_evaluations(path, space=SPACE, out=tmp_path / "run", value="accuracy", maximize=True)
    assert dict(told(tmp_path / "run")) == VALUES


SMALL = po_nas.declare(
    "small",
    depth=Int(1, 4),
    lr=Float(1e-3, 1e-1, log=True),
    act=Categorical(["relu", "gelu"]),
    momentum=Float(0.0, 0.9, when={"act": "relu"}),
    constraints=["depth * lr <= 0.2"],
)
GOOD = "2,0.01,gelu,,0.9"
BAD = {
    "5,0.01,gelu,,0.9": ("depth", "5"),
    "2,0.5,gelu,,0.9": ("lr", "0.5"),
    "2,-0.01,gelu,,0.9": ("lr", "-0.01"),
    "2,0.01,tanh,,0.9": ("act", "tanh"),
    "2,0.01,relu,,0.9": ("momentum", "missing"),
    "2,0.01,gelu,0.5,0.9": ("momentum", "does not exist"),
    "4,0.1,gelu,,0.9": ("depth * lr <= 0.2",),
    "2,0.01,gelu,,": ("no value",),
    "2,0.01,gelu,,high": ("high", "no number"),
    "2,0.01,gelu,0.9": ("4 cells",),
    "2.5,0.01,gelu,,0.9": ("depth", "2.5"),
    "two,0.01,gelu,,0.9": ("depth", "two"),
}


def small_csv(path, *lines, header="depth,lr,act,momentum,acc"):
    path.write_text("\n".join((header, *lines)) + "\n")
    return path


def read(source, out, space=SMALL, **options):
    return po_nas.import_evaluations(source, **{"space": space, "out": out, "value": "acc", "maximize": True} | options)


def test_what_does_not_fit_is_listed_with_line_and_reason_and_the_rest_is_imported(tmp_path):
    found = read(small_csv(tmp_path / "a.csv", *BAD, GOOD), tmp_path / "run")
    assert found.evaluations == 1
    assert [one.where for one in found.left_out] == [f"line {number}" for number in range(2, 2 + len(BAD))]
    reasons = {one.where: one.reason for one in found.left_out}
    for number, words in enumerate(BAD.values(), 2):
        assert all(word in reasons[f"line {number}"] for word in words), reasons[f"line {number}"]
    listed = [json.loads(line) for line in (tmp_path / "run/artifacts/left_out.jsonl").read_text().splitlines()]
    assert {row["where"]: row["reason"] for row in listed} == reasons


@pytest.mark.parametrize("lines", [[], list(BAD)])
def test_nothing_is_written_when_nothing_fits(tmp_path, lines):
    with pytest.raises(NothingFitsError) as caught:
        read(small_csv(tmp_path / "a.csv", *lines), tmp_path / "run")
    assert len(caught.value.left_out) == len(lines)
    assert not (tmp_path / "run").exists()


def test_repeated_evaluations_are_averaged_and_failures_are_failures(tmp_path):
    lines = [GOOD, "2,0.0100000001,gelu,,0.7", "1,0.01,gelu,,nan", "1,0.01,gelu,,0.5", "3,0.01,gelu,,inf"]
    found = read(small_csv(tmp_path / "a.csv", *lines), tmp_path / "run")
    assert (found.evaluations, found.repeats, found.failed) == (3, 2, 1)
    assert [value for _, value in told(tmp_path / "run")] == [pytest.approx(0.8), 0.5, None]
    assert (found.result.validation, found.result.failed) == (pytest.approx(0.8), 1)


def test_names_are_mapped_ignored_selected_and_filled(tmp_path):
    header = "n,learning_rate,time,sys.host,epochs,acc"
    lines = ["2,0.01,3,a,27,0.9", "3,0.01,4,b,9,0.8", "4,0.02,5,b,27.0,0.7"]
    options = {
        "rename": {"n": "depth", "learning_rate": "lr"},
        "ignore": "sys.*",
        "where": {"epochs": 27},
        "fill": {"act": "gelu", "momentum": 0.5},
        "cost": "time",
    }
    found = read(small_csv(tmp_path / "a.csv", *lines, header=header), tmp_path / "run", **options)
    assert (found.evaluations, found.result.cost_s) == (2, 8.0)
    assert [(one.where, "epochs" in one.reason) for one in found.left_out] == [("line 3", True)]
    assert json.loads(found.result.incumbent) == {"depth": 2, "lr": 0.01, "act": "gelu"}


def test_selected_by_a_choice_and_by_a_name_like_a_pattern(tmp_path):
    header = "depth,lr,act,momentum,run[1],acc"
    lines = ["2,0.01,gelu,,a,0.9", "2,0.02,gelu,,b,0.8", "3,0.02,gelu,,a,0.7"]
    found = read(
        small_csv(tmp_path / "a.csv", *lines, header=header), tmp_path / "r", where={"depth": 2, "run[1]": "a"}
    )
    assert (found.evaluations, [one.where for one in found.left_out]) == (1, ["line 3", "line 4"])


def test_unknown_names_are_all_told_at_once(tmp_path):
    with raised(NothingFitsError, "host", "time", "small"):
        read(small_csv(tmp_path / "a.csv", GOOD + ",1,2", header="depth,lr,act,momentum,acc,host,time"), tmp_path / "r")


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"value": None}, "value"),
        ({"value": "accuracy"}, "value"),
        ({"maximize": None}, "maximize"),
        ({"cost": "seconds"}, "cost"),
        ({"rename": {"a": "depht"}}, "rename"),
        ({"fill": {"widht": 3}}, "fill"),
        ({"study": "a"}, "study"),
        ({"categories": {"act": ["a"]}}, "categories"),
        ({"space": "darts"}, "space"),
    ],
)
def test_arguments_that_cannot_be_used(tmp_path, options, key):
    with raised(ConfigError, key=key):
        read(small_csv(tmp_path / "a.csv", GOOD), tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_sources_that_cannot_be_read(tmp_path):
    for name, content in {
        "empty.csv": b"",
        "binary.csv": b"\xff\xfe\x00",
        "twice.csv": b"a,a\n1,2\n",
        "quote.csv": b'a,acc\n"1,2\n',
        "damaged.parquet": b"PAR1",
        "damaged.db": b"SQLite format 3\x00",
        "notes.txt": b"hello",
    }.items():
        (tmp_path / name).write_bytes(content)
        with raised(ImportFileError, path=tmp_path / name):
            read(tmp_path / name, tmp_path / "run", **({"value": None} if name.endswith(".db") else {}))
    for path in (tmp_path, tmp_path / "absent.csv"):
        with raised(ImportFileError, path=path):
            read(path, tmp_path / "run")
    for source in ({"depth": 3}, 7, ["a"], "mysql://host/db"):
        with raised(ConfigError, key="source"):
            read(source, tmp_path / "run")


def test_a_search_starts_from_it(tmp_path):
    """What was evaluated is told to the method, and not made again."""
    space = po_nas.declare("tiny", a=Int(1, 3), b=Categorical(["x", "y"]))
    rows = [{"a": a, "b": b, "acc": a if b == "x" else np.nan} for a in (1, 2, 3) for b in ("x", "y")]
    read(rows[:4], tmp_path / "run", space=space)
    given = {"space": space, "method": "random", "budget": 2, "warm_start": [tmp_path / "run"]}
    with po_nas.Session(out=tmp_path / "next", **given) as session:
        told_before = session._loop.searcher.observations
        assert [o.outcome.validation for o in told_before] == [1.0, None, 2.0, None]
        asked = [trial.config for trial in (session.ask(), session.ask())]
    assert sorted(config["b"] for config in asked if config["a"] == 3) == ["x", "y"]
    # A resumed session has the same start, though what was imported is gone.
    shutil.rmtree(tmp_path / "run")
    with po_nas.Session(out=tmp_path / "next", **given) as session:
        assert [o.outcome.validation for o in session._loop.searcher.observations] == [1.0, None, 2.0, None]
        assert [trial.config for trial in session.pending] == asked


def test_a_search_of_the_other_direction_does_not(tmp_path):
    read([{"depth": k, "lr": 0.01, "act": "gelu", "acc": k} for k in (1, 2)], tmp_path / "run")
    given = {"space": SMALL, "method": "random", "budget": 2, "warm_start": [tmp_path / "run"], "maximize": False}
    with raised(ConfigError, "maximize", key="warm_start"):
        po_nas.search(objective=lambda config: 1.0, out=tmp_path / "next", **given)
    with raised(ConfigError, "maximize", key="warm_start"):
        po_nas.Session(out=tmp_path / "next", **given)


def test_a_search_in_a_part_of_the_space_takes_what_is_in_it(tmp_path):
    read([{"depth": k, "lr": 0.01, "act": "gelu", "acc": k} for k in (1, 2, 3, 4)], tmp_path / "run")
    narrow = po_nas.declare("small", depth=Int(1, 3), lr=SMALL.choices["lr"], act=SMALL.choices["act"])
    session = po_nas.Session(
        space=narrow, method="random", budget=2, warm_start=[tmp_path / "run"], out=tmp_path / "next"
    )
    with session:
        custom = [o.trial.architecture for o in session._loop.searcher.observations]
    assert [narrow.config_of(a)["depth"] for a in custom] == [1, 2, 3]


def test_there_is_no_search_to_go_on_with(tmp_path):
    read(small_csv(tmp_path / "a.csv", GOOD), tmp_path / "run")
    for go_on in (po_nas.resume, po_nas.Session.resume):
        with raised(RunDirectoryError, "warm_start", path=tmp_path / "run"):
            go_on(tmp_path / "run")
    with raised(RunDirectoryError, path=tmp_path / "run"):
        po_nas.Session(space=SMALL, method="random", budget=2, out=tmp_path / "run")
    with raised(RunDirectoryError, path=tmp_path / "run"):
        read(small_csv(tmp_path / "a.csv", GOOD), tmp_path / "run")
