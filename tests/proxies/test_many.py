from __future__ import annotations

import itertools

import pytest
import torch

import proxies
from po_nas.errors import ConfigError, ProxyBatchError, ProxyFailedError, ProxyWorkerError, UnknownNameError
from tests.errors import check, raised
from tests.proxies import farm

NAMES = ("grad_norm", "synflow", "nwot", "farm_first_weight", "farm_threads")
BATCH = (torch.linspace(-9, 9, 40).sin().mul(7).reshape(8, 5), torch.arange(8) % 3)


@pytest.fixture(autouse=True, scope="module")
def _proxies():
    proxies.proxy("farm_first_weight", passes=())(farm.first_weight)
    proxies.proxy("farm_threads", passes=())(farm.threads)
    yield
    proxies.registry.remove("farm_first_weight")
    proxies.registry.remove("farm_threads")


def scored(items, **options):
    return list(proxies.score_many(items, BATCH, NAMES, build=farm.build, **options))


def test_several_processes_give_what_one_gives_and_bad_items_stop_nothing():
    items = [20, -1, 30, 25, -3, farm.Unreadable(), lambda: 3, -4, *range(31, 45), -2, 26]
    one = scored([item for item in items if isinstance(item, int) and item != -2])
    two = scored(items, workers=2)
    assert [r.index for r in two] == list(range(len(items)))
    by_item = {item: r for item, r in zip(items, two, strict=True) if isinstance(item, int)}
    threads = {"farm_threads": 1.0}
    alone = dict(zip([i for i in items if isinstance(i, int) and i != -2], one, strict=True))
    for item, result in alone.items():
        assert {**by_item[item].values, **threads} == {**result.values, **threads}
        assert {n: str(e) for n, e in by_item[item].errors.items()} == {n: str(e) for n, e in result.errors.items()}
        assert bool(result.errors) == (item < 0)
        assert set(result.values) | set(result.errors) == set(NAMES)
    for found, name, kind, named in (
        (by_item[-1], "nwot", ProxyFailedError, "ValueError: -1"),
        (by_item[-3], "nwot", ProxyFailedError, "TypeError: str"),
        (by_item[-2], "synflow", ProxyWorkerError, ""),
        (two[5], "nwot", ProxyWorkerError, "'seven'"),
        (two[6], "nwot", ProxyWorkerError, "lambda"),
    ):
        assert type(found.errors[name]) is kind
        check(found.errors[name], named, proxy=name)
    assert [by_item[width].values["farm_threads"] for width in (20, 40)] == [1.0, 1.0]
    # A forward that fails spoils what needs a forward, and nothing else.
    assert by_item[-4].values.keys() == {"farm_first_weight", "farm_threads"}
    assert isinstance(by_item[-4].errors["grad_norm"], ProxyFailedError)


def test_weights_depend_on_the_initial_seed_alone():
    torch.manual_seed(1)
    first = scored([20, 20, 30])
    torch.manual_seed(2)
    assert [r.values for r in scored([30, 20], init_seed=0)] == [first[2].values, first[0].values]
    assert first[0].values == first[1].values
    assert scored([20], init_seed=1)[0].values["farm_first_weight"] != first[0].values["farm_first_weight"]


def test_items_may_be_modules():
    networks = [farm.build(20), farm.build(21)]
    found = list(proxies.score_many(networks, BATCH, "synflow"))
    assert [r.values for r in found] == [proxies.score(n, BATCH, "synflow") for n in networks]


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    log = tmp_path / "log"

    def run(names, items=range(20, 26), **options):
        log.write_text("")
        with proxies.ScoreCache(tmp_path / "scores") as cache:
            return list(
                proxies.score_many(
                    ((str(log), width) for width in items), BATCH, names, build=farm.build_and_log, cache=cache,
                    key=lambda item: str(item[1]), space="perceptrons", **options,
                )
            )  # fmt: skip

    def built():
        return [int(line) for line in log.read_text().splitlines()]

    with proxies.ScoreCache(tmp_path / "scores") as cache:
        begun = proxies.score_many(
            ((str(log), width) for width in range(20, 26)), BATCH, NAMES[:2], build=farm.build_and_log, cache=cache,
            key=lambda item: str(item[1]), space="perceptrons",
        )  # fmt: skip
        some = list(itertools.islice(begun, 3))
        begun.close()
    whole = run(NAMES[:2])
    assert built() == [23, 24, 25]
    assert whole[:3] == some
    assert [r.values for r in whole] == [{n: r.values[n] for n in NAMES[:2]} for r in scored(range(20, 26))]
    more = run(NAMES)
    assert built() == list(range(20, 26))
    assert [r.values for r in more] == [r.values for r in scored(range(20, 26))]
    run(NAMES)
    assert built() == []
    run(NAMES, init_seed=1)
    assert built() == list(range(20, 26))
    run(NAMES, seed=1)
    assert built() == list(range(20, 26))
    run(NAMES, loss=torch.nn.functional.multi_margin_loss)
    assert built() == list(range(20, 26))
    failed = run(NAMES, items=[-1, 20])
    assert built() == [-1]
    assert failed[0].errors
    assert failed[1].values == more[0].values


def test_mistakes_are_found_before_anything_is_scored(tmp_path):
    with pytest.raises(ProxyBatchError):
        proxies.score_many([20], "batch", NAMES, build=farm.build)
    with pytest.raises(UnknownNameError):
        proxies.score_many([20], BATCH, "grap", build=farm.build)
    with raised(ConfigError, key="workers", value=0):
        proxies.score_many([20], BATCH, NAMES, build=farm.build, workers=0)
    with proxies.ScoreCache(tmp_path / "s") as cache, raised(ConfigError, "space=", key="cache", value=cache.path):
        proxies.score_many([20], BATCH, NAMES, build=farm.build, cache=cache)
    with raised(ProxyWorkerError, "lambda", proxy="*"):
        next(proxies.score_many([20], BATCH, NAMES, build=lambda width: farm.build(width), workers=2))
