"""A look through all of the response cache: checksums, files without an entry, requests
without an answer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from claudebatch.core.message import BadAnswer, parse_message
from claudebatch.core.reports.cache_audit import CacheAudit
from claudebatch.layers.response_cache.bytes_disk import RefusedEntry
from claudebatch.layers.response_cache.entries import CacheReader
from claudebatch.layers.response_cache.prune import delete
from claudebatch.layers.response_cache.sound_value import opened

_AT_ONCE = 200
_SHOWN = 10
# diskcache writes a file before the entry that names it: a young one may belong to a
# run that is about to commit.
_YOUNG_S = 3600.0
_ABOUT = ("About", "AboutText", "AboutBody")
_ROWS = (
    "SELECT rowid, key, raw, mode, filename, value FROM Cache WHERE rowid > ?"
    " ORDER BY rowid LIMIT ?"
)


class _Orphans(NamedTuple):
    """Files that no entry names."""

    paths: list[Path]
    size: int


def verify(cache: CacheReader, *, repair: bool, now: float) -> CacheAudit:
    """Look through *cache*, and with *repair* remove what is of no use. Raises
    `sqlite3.Error`.
    """
    connection = cache.connection
    (structure,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if structure != "ok":
        # Deleting could destroy more of a broken file than it mends.
        return CacheAudit(str(cache.path), len(cache.cache), structure)
    # On disk: a million names would fill the memory.
    connection.execute("PRAGMA temp_store=FILE")
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS named (file TEXT PRIMARY KEY)")
    connection.execute("DELETE FROM named")
    damaged, keys, count = [], [], 0
    for rows in _pages(connection):
        for entry, key, *rest in rows:
            count += 1
            if not _is_sound(cache.cache, key, *rest):
                damaged.append(entry)
                keys.append(str(key))
        names = [(row[4],) for row in rows if isinstance(row[4], str)]
        connection.executemany("INSERT OR IGNORE INTO named VALUES (?)", names)
    orphans = _orphan_files(cache, now)
    notes = _orphan_notes(connection)
    found = CacheAudit(
        str(cache.path),
        count,
        damaged=tuple(keys[:_SHOWN]),
        damaged_count=len(damaged),
        orphan_files=len(orphans.paths),
        orphan_bytes=orphans.size,
        orphan_notes=notes,
        repaired=repair,
    )
    # After the look: what is told is what was there.
    if repair and not found.sound:
        _repair(cache, damaged, orphans)
    return found


def _pages(connection: sqlite3.Connection) -> Iterator[list[Any]]:
    last = 0
    while rows := connection.execute(_ROWS, (last, _AT_ONCE)).fetchall():
        last = rows[-1][0]
        yield rows


def _is_sound(cache: Any, key: Any, raw: Any, *stored: Any) -> bool:
    if not raw or type(key) is not str:
        return False
    # What a run would not take for an answer is of no use, however sound its bytes.
    try:
        mode, filename, value = stored
        content = opened(key, cache.disk.fetch(mode, filename, value, False))
        if content is None:
            return False
        parse_message(content, source="cache", via=None, attempts=0)
    except (RefusedEntry, OSError, BadAnswer):
        return False
    return True


def _orphan_files(cache: CacheReader, now: float) -> _Orphans:
    found, size = [], 0
    # Only what has the form of our names: the user may have put files here.
    for path in cache.path.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*.val"):
        name = path.relative_to(cache.path).as_posix()
        named = cache.connection.execute("SELECT 1 FROM named WHERE file = ?", (name,)).fetchone()
        try:
            state = path.lstat()
        except OSError:
            continue  # gone meanwhile
        if named is None and state.st_mtime < now - _YOUNG_S:
            found.append(path)
            size += state.st_size
    return _Orphans(found, size)


def _orphan_notes(connection: sqlite3.Connection) -> int:
    # One entry may lack several: it counts once.
    each = " UNION ".join(
        f"SELECT entry FROM {table} WHERE entry NOT IN (SELECT rowid FROM Cache)"
        for table in _ABOUT
    )
    (found,) = connection.execute(f"SELECT count(*) FROM ({each})").fetchone()
    return int(found)


def _repair(cache: CacheReader, damaged: list[int], orphans: _Orphans) -> None:
    connection = cache.connection
    connection.execute("BEGIN IMMEDIATE")
    try:
        files = delete(connection, damaged, cause="damaged")
        for table in _ABOUT:
            connection.execute(f"DELETE FROM {table} WHERE entry NOT IN (SELECT rowid FROM Cache)")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    for file in files:
        cache.cache.disk.remove(file)
    # Of another run that was killed, or of a prune: nothing names them any more.
    for path in orphans.paths:
        path.unlink(missing_ok=True)
