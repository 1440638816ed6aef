"""A cache of scores on disk, keyed by everything that decides a score."""

from __future__ import annotations

import itertools
import math
import sqlite3
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from po_nas.errors import ProxyValueError, ScoreCacheError

__all__ = ["CacheKey", "ScoreCache"]

_APPLICATION = 0x706F6E61
_SCHEMA = 2
_WAIT_S = 30.0
_COLUMNS = "space, architecture, proxy, version, seed, batch, dtype"
_WHERE = " AND ".join(f"{c} = ?" for c in _COLUMNS.split(", "))
_GET = f'SELECT value, "check" FROM scores WHERE {_WHERE}'
_PUT = f'INSERT OR IGNORE INTO scores ({_COLUMNS}, value, "check") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)'
_DELETE = f"DELETE FROM scores WHERE {_WHERE}"
_CREATE = (
    "CREATE TABLE IF NOT EXISTS scores (space TEXT, architecture TEXT, proxy TEXT, version INTEGER, seed TEXT, "
    f'batch TEXT, dtype TEXT, value REAL NOT NULL, "check" INTEGER, PRIMARY KEY ({_COLUMNS})) WITHOUT ROWID'
)
_ADD = 'ALTER TABLE scores ADD COLUMN "check" INTEGER'


class CacheKey(NamedTuple):
    """Everything that a score depends on.

    Attributes:
        space: Names the networks: the search space and all options of their construction.
        architecture: Canonical where isomorphic architectures are to share scores.
        proxy: Its name.
        version: That of the proxy, with a hash of the code of one that does not come with the package.
        seed: Written ``initial/scoring``: of the weights and of the scoring.
        batch: `Batch.fingerprint`, with the loss's name when it is not the default.
        dtype: That of the spec.

    Examples:
        >>> import proxies
        >>> key = proxies.CacheKey("mlp", "3-2", "params", 1, "0/0", "no batch", "model")
        >>> key._replace(architecture="3-5").architecture
        '3-5'
    """

    space: str
    architecture: str
    proxy: str
    version: int | str
    seed: str
    batch: str
    dtype: str


class ScoreCache:
    """Scores by `CacheKey`, in one SQLite file that several processes may use at once.

    A score is a function of its key, so it never changes: the first one written stays, and what was read once is kept
    in memory (`remember` of them). Each has a checksum; one that does not fit it is as good as none. A score takes
    about 0.4 KB of the file, which grows without a bound and may be deleted at any time that nobody uses it. It is in
    write-ahead mode, which needs a local disk, no network share. An instance belongs to one process, and to one thread
    at a time; others open the file themselves.

    Args:
        path: The file; made if it is not there.
        remember: Scores kept in memory.

    Raises:
        ScoreCacheError: When the file is no cache, is damaged, comes from a newer version or cannot be used.

    Examples:
        >>> import proxies
        >>> key = proxies.CacheKey("mlp", "3-2", "params", 1, "0/0", "no batch", "model")
        >>> with proxies.ScoreCache("scores.sqlite") as cache:
        ...     cache.put({key: 8.0})
        ...     cache.get(key), cache.get(key._replace(seed="1/0"))
        (8.0, None)
    """

    def __init__(self, path: str | Path, *, remember: int = 200_000) -> None:
        self.path = Path(path)
        self._remember = remember
        self._memory: dict[CacheKey, float] = {}
        with self._readable():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self.path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self) -> None:
        connection = self._connection
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        schema = connection.execute("PRAGMA user_version").fetchone()[0]
        if tables and application != _APPLICATION:
            raise ScoreCacheError(self.path, "is a database of something else; choose another path for the scores")
        if schema > _SCHEMA:
            raise ScoreCacheError(self.path, f"has the format {schema} of a newer version; choose another path")
        _patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"))
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {_SCHEMA}")
        connection.execute(_CREATE)
        if "check" not in [column[1] for column in connection.execute("PRAGMA table_info(scores)")]:
            # Format 1 had no checksums; its scores go on without.
            connection.execute(_ADD)
        connection.execute("COMMIT")

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise ScoreCacheError(self.path, f"cannot be used: {error}; check the disk and who else uses it") from error
        except sqlite3.DatabaseError as error:
            raise ScoreCacheError(
                self.path, f"is no readable score cache ({error}); delete it, and the scores are computed again"
            ) from error
        except OSError as error:
            raise ScoreCacheError(self.path, f"cannot be used: {error}; choose another path") from error

    def get(self, key: CacheKey) -> float | None:
        """The score under `key`, NaN where it is known that there is no finite one, or None."""
        known = self._memory.get(key)
        if known is not None:
            return known
        with self._readable():
            row = self._connection.execute(_GET, key).fetchone()
        if row is None or not _sound(key, *row):
            return None
        return self._keep(key, float(row[0]) if math.isfinite(row[0]) else math.nan)

    def put(self, scores: Mapping[CacheKey, float], without: Iterable[CacheKey] = ()) -> None:
        """Store finite scores, and which keys have no finite one, all or none; where a key has one, that one stays."""
        for key, value in scores.items():
            if not math.isfinite(value):
                raise ProxyValueError(key.proxy, f"{value} of {key.architecture} is no score that can be cached")
        rows = [(key, float(value)) for key, value in scores.items()] + [(key, math.inf) for key in without]
        if not rows:
            return
        with self._readable():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                for key, value in rows:
                    there = self._connection.execute(_GET, key).fetchone()
                    if there is not None and not _sound(key, *there):
                        self._connection.execute(_DELETE, key)
                    self._connection.execute(_PUT, (*key, value, _check(key, value)))
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def items(self, space: str | None = None) -> Iterator[tuple[CacheKey, float]]:
        """All finite scores, of one space if it is named, sorted by key."""
        where, arguments = ("", ()) if space is None else (" WHERE space = ?", (space,))
        with self._readable():
            for row in self._connection.execute(
                f'SELECT {_COLUMNS}, value, "check" FROM scores{where} ORDER BY {_COLUMNS}', arguments
            ):
                *key, value, check = row
                if _sound(CacheKey(*key), value, check) and math.isfinite(value):
                    yield CacheKey(*key), value

    def __len__(self) -> int:
        with self._readable():
            return int(self._connection.execute("SELECT count(*) FROM scores").fetchone()[0])

    def _keep(self, key: CacheKey, value: float) -> float:
        if len(self._memory) >= self._remember:
            for old in _first(self._memory, self._remember // 10 + 1):
                del self._memory[old]
        self._memory[key] = value
        return value

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> ScoreCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check(key: CacheKey, value: float) -> int:
    return zlib.crc32(struct.pack("<d", value), zlib.crc32("\n".join(map(str, key)).encode()))


def _sound(key: CacheKey, value: object, check: object) -> bool:
    """Whether a row of the file is what was written; those of format 1 have no checksum."""
    return isinstance(value, float) and not math.isnan(value) and check in (None, _check(key, value))


def _first(keys: Iterable[CacheKey], count: int) -> list[CacheKey]:
    return list(itertools.islice(keys, count))


def _patiently(action: Callable[[], object]) -> None:
    """Changing the journal mode does not wait for other processes by itself."""
    until = time.monotonic() + _WAIT_S
    while True:
        try:
            action()
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
