"""The response cache's folder looked at or emptied, while no run needs it: for
`claudebatch cache`.
"""

from __future__ import annotations

from pathlib import Path

import diskcache

from claudebatch.core.errors import StorageError
from claudebatch.core.reports import CacheStats
from claudebatch.layers.response_cache.disk_store import DATABASE, open_database


def describe(path: Path, *, size_limit: int, ttl_s: float | None) -> CacheStats:
    """What the cache at *path* holds; all zeros where there is none."""
    if not (path / DATABASE).exists():
        return CacheStats(str(path), 0, 0, size_limit, ttl_s)
    cache = open_database(path, size_limit)
    try:
        return CacheStats(str(path), len(cache), cache.volume(), size_limit, ttl_s)
    finally:
        cache.close()


def clear(path: Path) -> int:
    """Drop every entry of the cache at *path*; returns how many there were. Raises
    `StorageError`.
    """
    if not (path / DATABASE).exists():
        return 0
    cache = open_database(path, 2**40)
    try:
        return int(cache.clear())
    except diskcache.Timeout as error:
        raise StorageError(
            "E612",
            f"{path}: the response cache cannot be emptied: it stays locked, or its disk is broken",
            fix="wait until no run uses it, or remove the folder",
        ) from error
    finally:
        cache.close()
