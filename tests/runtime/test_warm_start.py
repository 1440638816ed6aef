"""Searches that start from earlier runs, through the public entry points."""

from __future__ import annotations

import json
import shutil

import pytest

import po_nas
from po_nas.errors import ConfigError, RunDirectoryError
from po_nas.runtime.journal import read_journal
from tests.errors import raised

CIFAR10, CIFAR100 = "nasbench201/cifar10", "nasbench201/cifar100"
PO_NAS = {"name": "po_nas", "pool": 200}


def run(out, benchmark, budget, method="random", **more):
    return po_nas.search(benchmark=benchmark, method=method, budget=budget, out=out, **more)


def trials(path):
    return [
        (e["architecture"], e["origin"]) for e in read_journal(path / "journal.jsonl").events if e["event"] == "ask"
    ]


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    out = tmp_path_factory.mktemp("earlier") / "run"
    run(out, CIFAR10, 12)
    return out


def test_the_same_task_is_not_evaluated_again_and_needs_no_initial_design(earlier, tmp_path):
    run(tmp_path / "next", CIFAR10, 3, "gp_bo", warm_start=[earlier])
    found = trials(tmp_path / "next")
    assert {origin for _, origin in found} == {"acquisition"}
    assert not {a for a, _ in found} & {a for a, _ in trials(earlier)}


def test_another_task_is_one_more_metric(earlier, tmp_path):
    run(tmp_path / "next", CIFAR100, 6, PO_NAS, warm_start=[earlier])
    explained = json.loads((tmp_path / "next" / "artifacts" / "explanation.json").read_text())
    assert f"transfer:{CIFAR10}" in explained["trust"]["proxies"]
    run(tmp_path / "plain", CIFAR100, 6, PO_NAS)
    assert trials(tmp_path / "plain") != trials(tmp_path / "next")


def test_a_resumed_search_has_the_same_start_though_the_other_run_is_gone(earlier, tmp_path):
    other = shutil.copytree(earlier, tmp_path / "other")
    out = tmp_path / "next"
    run(out, CIFAR100, 6, PO_NAS, warm_start=[other])
    whole = trials(out)
    lines = (out / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (out / "journal.jsonl").write_bytes(b"".join(lines[:6]))
    (out / "summary.json").unlink()
    shutil.rmtree(other)
    po_nas.resume(out)
    assert trials(out) == whole


def test_what_cannot_be_started_from_is_said_before_anything_is_spent(earlier, tmp_path):
    out = tmp_path / "next"
    with pytest.raises(ConfigError, match=r"gp_proxies.*po_nas"):
        run(out, CIFAR100, 3, "random", warm_start=[earlier])
    with raised(ConfigError, "nasbench201", "nasbench_graph", key="warm_start", value=earlier):
        run(out, "nasbench_graph/cora", 3, warm_start=[earlier])
    with raised(ConfigError, CIFAR10, key="warm_start", value=earlier):
        run(out, CIFAR100, 3, PO_NAS, warm_start=[earlier, earlier])
    with raised(RunDirectoryError, "po-nas search", path=tmp_path):
        run(out, CIFAR100, 3, PO_NAS, warm_start=[tmp_path])
    run(tmp_path / "short", CIFAR10, 1)
    with raised(RunDirectoryError, path=tmp_path / "short"):
        run(out, CIFAR100, 3, PO_NAS, warm_start=[tmp_path / "short"])
    assert not out.exists()
