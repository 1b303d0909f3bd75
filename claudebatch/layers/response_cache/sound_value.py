"""One stored value, with its checksum looked at."""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Any

from claudebatch.layers.response_cache.bytes_disk import RefusedEntry

# Enough that no two damaged answers agree by chance, and short beside any answer.
_CHECKSUM_BYTES = 16


def sealed(key: str, value: bytes) -> bytes:
    """*value* as it is stored under *key*."""
    return _checksum(key, value) + value


def opened(key: str, stored: bytes) -> bytes | None:
    """The value that was `sealed` under *key*; None: it is not sound."""
    content = stored[_CHECKSUM_BYTES:]
    return content if stored[:_CHECKSUM_BYTES] == _checksum(key, content) else None


def sound_value(cache: Any, connection: sqlite3.Connection, entry: int) -> bytes | None:
    """The value of the entry of this number in diskcache's *cache*; None where there is
    none that is sound.
    """
    row = connection.execute(
        "SELECT key, mode, filename, value FROM Cache WHERE rowid = ? AND raw = 1", (entry,)
    ).fetchone()
    if row is None or type(row[0]) is not str:
        return None
    # A file that is gone, or was never ours, is no answer.
    key, mode, filename, value = row
    try:
        return opened(key, cache.disk.fetch(mode, filename, value, False))
    except (RefusedEntry, OSError):
        return None


def _checksum(key: str, value: bytes) -> bytes:
    return hashlib.sha256(key.encode() + value).digest()[:_CHECKSUM_BYTES]
