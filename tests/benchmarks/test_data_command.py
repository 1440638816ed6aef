"""``po-nas data``."""

from __future__ import annotations

from typer.testing import CliRunner

from po_nas.commands.data import app
from po_nas.errors import UnknownNameError

from . import toy


def invoke(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_list_get_verify_convert(toy_set, cache):
    assert "toy\tabsent\t0/1\t0.0/0.1\tMIT" in invoke("list").output
    assert invoke("verify", "toy").exit_code == 1
    got = invoke("get", "all")
    assert (got.exit_code, got.output.count("toy: ")) == (0, 1)
    assert "toy\tconverted\t1/1" in invoke("list").output
    for verb in ("verify", "convert"):
        done = invoke(verb, "toy")
        assert (done.exit_code, done.output.partition(" ")[0], done.output.count("\n")) == (0, "toy:", 1)
    (cache / "files" / toy.MIRROR).write_bytes(b"short")
    damaged = invoke("verify", "all")
    assert damaged.exit_code == 1
    for named in (cache / "files" / toy.MIRROR, " 5 ", "100,000", "po-nas data get toy"):
        assert str(named) in damaged.output


def test_all_names_are_checked_before_any_work(toy_set, cache):
    result = invoke("get", "toy", "tyo")
    assert isinstance(result.exception, UnknownNameError)
    assert toy_set.requests == 0
