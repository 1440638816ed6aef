from __future__ import annotations

import math
import multiprocessing
import sqlite3

import pytest

from po_nas.errors import ProxyValueError, ScoreCacheError
from proxies import CacheKey, ScoreCache
from proxies.batch import Batch
from tests.errors import raised
from tests.proxies.networks import batch


def key(architecture="a", proxy="snip", **changes):
    return CacheKey("space", architecture, proxy, 1, "0/0", "f00", "model")._replace(**changes)


def test_what_is_put_is_got_again_also_by_another_process(tmp_path):
    values = {key("a"): 0.1 + 0.2, key("b"): -1e300, key("a", "synflow"): 5e-324}
    with ScoreCache(tmp_path / "deep" / "scores.sqlite") as cache:
        assert cache.get(key("a")) is None
        cache.put(values)
        cache.put({})
    with ScoreCache(tmp_path / "deep" / "scores.sqlite") as cache:
        for _ in range(2):
            assert {k: cache.get(k) for k in values} == values
        assert dict(cache.items()) == values
        assert dict(cache.items("other")) == {}
        assert len(cache) == 3


@pytest.mark.parametrize("field", CacheKey._fields)
def test_everything_in_the_key_matters(tmp_path, field):
    with ScoreCache(tmp_path / "s") as cache:
        cache.put({key(): 1.0})
        changed = key(**{field: 2 if field == "version" else "other"})
        assert cache.get(changed) is None
        cache.put({changed: 2.0})
        assert (cache.get(key()), cache.get(changed)) == (1.0, 2.0)


def test_first_score_stays_and_bad_ones_are_refused(tmp_path):
    with ScoreCache(tmp_path / "s") as cache, ScoreCache(tmp_path / "s") as other:
        cache.put({key(): 1.0})
        other.put({key(): 2.0})
        assert cache.get(key()) == other.get(key()) == 1.0
        with raised(ProxyValueError, "nan", proxy=key("c").proxy):
            cache.put({key("b"): 3.0, key("c"): float("nan")})
        assert cache.get(key("b")) is None


def test_memory_is_bounded(tmp_path):
    with ScoreCache(tmp_path / "s", remember=10) as cache:
        keys = [key(str(k)) for k in range(50)]
        cache.put(dict.fromkeys(keys, 1.0))
        for k in keys:
            assert cache.get(k) == 1.0
            assert len(cache._memory) <= 10


def test_damaged_and_foreign_files(tmp_path):
    with ScoreCache(tmp_path / "s") as cache:
        cache.put({key(str(k)): 1.0 for k in range(2000)})
    content = bytearray((tmp_path / "s").read_bytes())
    content[:40] = b"x" * 40
    (tmp_path / "s").write_bytes(content)
    with raised(ScoreCacheError, path=tmp_path / "s") as damaged:
        ScoreCache(tmp_path / "s")
    assert type(damaged.value.__cause__) is sqlite3.DatabaseError
    content[:40] = b""
    with raised(ScoreCacheError, path=tmp_path) as unusable:
        ScoreCache(tmp_path)
    assert isinstance(unusable.value.__cause__, (OSError, sqlite3.OperationalError))
    with sqlite3.connect(tmp_path / "foreign") as connection:
        connection.execute("CREATE TABLE photographs (x)")
    with raised(ScoreCacheError, path=tmp_path / "foreign") as foreign:
        ScoreCache(tmp_path / "foreign")
    assert foreign.value.__cause__ is None
    with ScoreCache(tmp_path / "new") as cache:
        cache._connection.execute("PRAGMA user_version = 7")
    with raised(ScoreCacheError, "format 7", path=tmp_path / "new"):
        ScoreCache(tmp_path / "new")


def test_damage_in_the_middle_is_noticed_when_it_is_read(tmp_path):
    with ScoreCache(tmp_path / "s") as cache:
        cache.put({key(str(k)): 1.0 for k in range(2000)})
    content = bytearray((tmp_path / "s").read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    (tmp_path / "s").write_bytes(content)
    cache = ScoreCache(tmp_path / "s")
    with raised(ScoreCacheError, path=tmp_path / "s") as damaged:
        cache.get(key("7"))
    assert type(damaged.value.__cause__) is sqlite3.DatabaseError


def write(path, start, barrier):
    barrier.wait()
    with ScoreCache(path) as cache:
        for k in range(start, start + 60):
            cache.put({key(str(k)): float(k), key(str(k), "grasp"): -float(k)})


def test_two_processes_write_one_file(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    both = [context.Process(target=write, args=(tmp_path / "s", start, barrier)) for start in (0, 30)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    with ScoreCache(tmp_path / "s") as cache:
        assert len(cache) == 180
        assert [cache.get(key(str(k))) for k in range(90)] == [float(k) for k in range(90)]


def test_fingerprint_covers_values_shapes_types_and_labels():
    x, y = batch()
    first = Batch.of((x, y)).fingerprint()
    assert Batch.of((x.clone(), y.clone())).fingerprint() == first
    changed = x.clone()
    changed[2, 1, 3, 3] += 1e-12
    others = [(changed, y), (x, None), (x, y + 1), (x.float(), y), (x.transpose(2, 3), y), (x.flatten(1), y)]
    found = [Batch.of(other).fingerprint() for other in others]
    assert len({first, *found}) == 1 + len(others)


def test_a_score_that_was_changed_in_the_file_is_none_and_can_be_written_anew(tmp_path):
    with ScoreCache(tmp_path / "s") as cache:
        cache.put({key("a"): 1.0, key("b"): 2.0, key("c"): 3.0, key("d"): 4.0})
    with sqlite3.connect(tmp_path / "s") as connection:
        connection.execute("UPDATE scores SET value = 7.5 WHERE architecture = 'a'")
        connection.execute("UPDATE scores SET value = 'x' WHERE architecture = 'b'")
        connection.execute("UPDATE scores SET architecture = 'e' WHERE architecture = 'c'")
    connection.close()
    with ScoreCache(tmp_path / "s") as cache:
        assert [cache.get(key(name)) for name in "abcde"] == [None, None, None, 4.0, None]
        assert dict(cache.items()) == {key("d"): 4.0}
        cache.put({key("a"): 1.0, key("e"): 5.0})
        assert (cache.get(key("a")), cache.get(key("e"))) == (1.0, 5.0)
    with ScoreCache(tmp_path / "s") as cache:
        assert (cache.get(key("a")), cache.get(key("e"))) == (1.0, 5.0)


def test_that_there_is_no_finite_score_is_kept_too(tmp_path):
    with ScoreCache(tmp_path / "s") as cache:
        cache.put({key("a"): 1.0}, [key("b")])
    with ScoreCache(tmp_path / "s") as cache:
        for _ in range(2):
            assert math.isnan(cache.get(key("b")))
        assert dict(cache.items()) == {key("a"): 1.0}


def test_a_file_of_format_1_goes_on(tmp_path):
    with sqlite3.connect(tmp_path / "s") as connection:
        connection.executescript(
            "CREATE TABLE scores (space TEXT, architecture TEXT, proxy TEXT, version INTEGER, seed TEXT, batch TEXT, "
            "dtype TEXT, value REAL NOT NULL, PRIMARY KEY (space, architecture, proxy, version, seed, batch, dtype)) "
            f"WITHOUT ROWID; PRAGMA application_id = {0x706F6E61}; PRAGMA user_version = 1;"
        )
        connection.execute("INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, 1.5)", key("a"))
    connection.close()
    for _ in range(2):
        with ScoreCache(tmp_path / "s") as cache:
            assert cache.get(key("a")) == 1.5
            cache.put({key("b"): 2.5})
            assert cache.get(key("b")) == 2.5
