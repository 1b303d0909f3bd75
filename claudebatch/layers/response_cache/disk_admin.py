"""The response cache's folder looked at or emptied, while no run needs it: for
`claudebatch cache`.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import diskcache

from claudebatch.core.errors import StorageError
from claudebatch.core.reports import CacheStats
from claudebatch.layers.response_cache.about_tables import TABLES, forget_all
from claudebatch.layers.response_cache.adopt import Worth
from claudebatch.layers.response_cache.disk_store import DATABASE, open_database
from claudebatch.layers.response_cache.entries import reading


def describe(
    path: Path, *, size_limit: int, ttl_s: float | None, worth: Worth, now: float
) -> CacheStats:
    """What the cache at *path* holds; all zeros where there is none. Raises
    `StorageError`.
    """
    with reading(path, worth=worth, size_limit=size_limit) as found:
        if found is None:
            return CacheStats(str(path), 0, 0, size_limit, ttl_s)
        return CacheStats(
            str(path),
            len(found.cache),
            found.cache.volume(),
            size_limit,
            ttl_s,
            by_model=found.by_model(),
            by_age=found.by_age(now),
        )


def clear(path: Path) -> int:
    """Drop every entry of the cache at *path*; returns how many there were. Raises
    `StorageError`.
    """
    if not (path / DATABASE).exists():
        return 0
    cache = open_database(path, 2**40)
    try:
        # First: with each entry the trigger would remove what is about it.
        with closing(sqlite3.connect(path / DATABASE, isolation_level=None)) as connection:
            forget_all(connection)
            dropped = int(cache.clear())
            # Also where no run comes: the next look finds them as they have to be.
            connection.executescript(TABLES)
            return dropped
    except (diskcache.Timeout, sqlite3.Error) as error:
        raise StorageError(
            "E612",
            f"{path}: the response cache cannot be emptied: it stays locked, or its disk is broken",
            fix="wait until no run uses it, or remove the folder",
        ) from error
    finally:
        cache.close()
