"""Answers kept on disk under the digest of their request, in diskcache, as bytes and
nothing else.

diskcache pickles what it does not know and unpickles on read (CVE-2025-69872).
`BytesDisk` refuses every other mode, for keys and values, on write and on read. Every
entry carries its own checksum, so a damaged or planted one is a miss. Any failure of
the cache is a miss: it never costs a run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import diskcache

from claudebatch.core.notice import Notice
from claudebatch.layers.response_cache.about_tables import AboutWriter
from claudebatch.layers.response_cache.bytes_disk import BytesDisk, RefusedEntry
from claudebatch.layers.response_cache.request_notes import RequestNotes
from claudebatch.layers.response_cache.sound_value import opened, sealed
from claudebatch.storage.batch_writer import BatchWriter
from claudebatch.storage.private_files import CACHE_DIR, check_companions, private_dir, private_file

# diskcache's own name for it.
DATABASE = "cache.db"
# Larger values make the database's pages overflow; smaller ones in files of their own
# cost an inode and an open for each answer.
_MIN_FILE_BYTES = 64 * 1024
# Culling is a transaction of its own: not one after every put.
_CULL_EVERY = 256
# A hop to the thread costs eight look-ups: rows that ask at about the same time go
# together, and wait no longer than anybody notices.
_LINGER_S = 0.02
_GROUP_SIZE = 32
# Another run may write a large group; beyond this the cache is given up for this run.
_BUSY_S = 30.0
# Another run may put a new value in an entry's place between the look at the database
# and the look at its file: then the new one is looked up.
_MOST_LOOKS = 3
# SQLite takes a limited number of values in one statement.
_KEYS_A_QUERY = 250
_SELECT = (
    "SELECT key, mode, filename, value, rowid FROM Cache WHERE raw = 1 AND key IN ({})"
    " AND store_time >= ?"
    " AND (expire_time IS NULL OR expire_time > (julianday('now') - 2440587.5) * 86400)"
)
_SETTINGS = {
    # No automatic culling: the default drops entries silently at 1 GiB in the middle of
    # a write. We cull ourselves.
    "eviction_policy": "least-recently-stored",
    "cull_limit": 0,
    "statistics": 0,
    # The defaults map 64 MiB and keep 32 MiB of pages: memory that grows with the cache
    # and not with the work.
    "sqlite_mmap_size": 0,
    "sqlite_cache_size": 512,
    "disk_min_file_size": _MIN_FILE_BYTES,
}


class DiskCacheStore:
    """The response cache's store: grouped look-ups and grouped writes in one thread,
    off the event loop.
    """

    def __init__(
        self,
        path: Path,
        *,
        size_limit: int,
        ttl_s: float | None,
        notify: Callable[[Notice], None],
        notes: RequestNotes | None = None,
        since: float = 0.0,
    ) -> None:
        """*notes* are written beside the entries, with the number of their hits; None:
        nothing is. Older entries than of *since*, in Unix seconds, are not found.
        """
        self._path = path
        self._size_limit = size_limit
        self._ttl_s = ttl_s
        self._notify = notify
        self._notes = notes
        self._since = since
        # Mutable, touched by the store's thread only: the database, what writes beside
        # its entries, whether it was given up, and puts since the last culling.
        self._cache: diskcache.Cache | None = None
        self._reader: sqlite3.Connection | None = None
        self._about: AboutWriter | None = None
        self._broken = False
        self._puts = 0
        # Mutable, touched by the event loop only: whether the thread has ended.
        self._closed = False
        self._groups: BatchWriter[tuple[str, bytes | None]] = BatchWriter(
            self._work, name="response-cache", linger_s=_LINGER_S, enough=_GROUP_SIZE
        )
        if notes is not None:
            # An empty look-up: the thread writes what waits after each group.
            notes.written_by(lambda: self._groups.put(("", None)))

    async def get(self, key: str) -> bytes | None:
        """The value under *key*; None when there is none that is sound."""
        found: bytes | None = await self._groups.ask((key, None))
        return found

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values under *keys*, from as few queries as possible."""
        if self._groups.backlog:
            # Entries handed over and not yet sent to the thread would be missed. An
            # empty look-up is answered when everything before it is written.
            await self._groups.ask(("", None))
        return await self._groups.call(lambda: self._work([(key, None) for key in keys]))

    async def put_many(self, entries: Mapping[str, bytes]) -> None:
        """Take *entries* over; they are written soon, in the store's thread. Never
        suspends.
        """
        self._groups.put_all(tuple(entries.items()))

    async def close(self) -> None:
        """Write everything handed over and close the database."""
        if self._closed:
            return
        await self._groups.drained()
        if self._notes is not None and self._notes.pending:
            await self._groups.ask(("", None))
        await self._groups.call(self._shut)
        await self._groups.close()
        self._closed = True

    def _shut(self) -> None:
        if self._about is not None:
            self._beside(self._about.write)
        if self._reader is not None:
            self._reader.close()
        if self._cache is not None:
            self._cache.close()

    def _work(self, group: list[tuple[str, bytes | None]]) -> list[bytes | None]:
        if self._broken:
            return [None] * len(group)
        try:
            return self._answer(group)
        except sqlite3.DatabaseError as error:
            return self._start_anew(error, group)
        # A cache may be slow, full or planted: it may not cost the run.
        except Exception as error:  # noqa: BLE001
            self._give_up(error)
            return [None] * len(group)

    def _answer(self, group: list[tuple[str, bytes | None]]) -> list[bytes | None]:
        cache = self._opened()
        puts = [(key, value) for key, value in group if value is not None]
        if puts:
            # No `retry`: diskcache takes every error at the beginning of a transaction
            # for a lock, and would try again for ever on a disk that is broken. For a
            # lock SQLite itself waits.
            with cache.disk.removes_at_the_end(), cache.transact():
                for key, value in puts:
                    cache.set(key, sealed(key, value), expire=self._ttl_s)
            self._puts += len(puts)
        self._note(puts)
        if self._puts >= _CULL_EVERY:
            self._puts = 0
            cache.cull()
            if self._about is not None:
                self._beside(self._about.trim)
        found = self._find(cache, [key for key, value in group if value is None])
        return [found.get(key) if value is None else None for key, value in group]

    def _opened(self) -> diskcache.Cache:
        if self._cache is None:
            self._cache = open_database(self._path, self._size_limit)
            self._reader = sqlite3.connect(
                self._path / DATABASE,
                timeout=_BUSY_S,
                check_same_thread=False,
                isolation_level=None,
            )
            # As diskcache's own: an fsync for each group would buy nothing, as a cache
            # may forget its last answers.
            self._reader.execute("PRAGMA synchronous=NORMAL")
            if self._notes is not None:
                self._about = AboutWriter(self._reader, self._notes)
                # Also where it was there: entries go together with what is about them.
                self._beside(self._about.prepare)
        return self._cache

    def _note(self, puts: Sequence[tuple[str, bytes]]) -> None:
        if self._about is not None:
            for key, value in puts:
                self._about.put(key, len(value))
            if self._about.is_due:
                self._beside(self._about.write)

    def _beside(self, work: Callable[[], None]) -> None:
        """Do *work* at what stands beside the answers: its failure costs no answer."""
        if self._about is None:
            return
        try:
            work()
        except Exception as error:  # noqa: BLE001  # as in _work
            self._about = None
            self._notify(
                Notice(
                    "W100",
                    "answers are cached, but what was asked is not noted beside them in this "
                    f"run: {type(error).__name__}: {error}",
                )
            )

    def _start_anew(
        self, error: Exception, group: list[tuple[str, bytes | None]]
    ) -> list[bytes | None]:
        # Locked or full is no damage; a damaged file answers nothing ever again.
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
            self._give_up(error)
            return [None] * len(group)
        self._shut()
        self._cache = self._reader = None
        aside = _move_aside(self._path)
        self._notify(
            Notice(
                "W065",
                f"the response cache was damaged; it was moved to {aside}, and an empty one "
                "was made",
            )
        )
        try:
            return self._answer(group)
        except Exception as second:  # noqa: BLE001  # as in _work
            self._give_up(second)
            return [None] * len(group)

    def _give_up(self, error: Exception) -> None:
        self._broken = True
        self._notify(
            Notice(
                "W066",
                f"the response cache is off for this run: {type(error).__name__}: {error}",
            )
        )

    def _find(self, cache: diskcache.Cache, keys: list[str]) -> dict[str, bytes]:
        """The sound entries under *keys*. One query for all: asking diskcache key by
        key takes three times as long.
        """
        found: dict[str, bytes] = {}
        for start in range(0, len(keys), _KEYS_A_QUERY):
            some = keys[start : start + _KEYS_A_QUERY]
            for _ in range(_MOST_LOOKS):
                some = self._look_up(cache, some, found)
                if not some:
                    break
        return found

    def _look_up(
        self, cache: diskcache.Cache, keys: list[str], found: dict[str, bytes]
    ) -> list[str]:
        """Put the sound entries under *keys* into *found*; returns those whose files
        were gone.
        """
        gone: list[str] = []
        if self._reader is None:
            return gone
        # Both once for all: this runs for every row.
        fetch, hits = cache.disk.fetch, []
        query = _SELECT.format(",".join("?" * len(keys)))
        for key, mode, filename, value, entry in self._reader.execute(query, (*keys, self._since)):
            try:
                stored = fetch(mode, filename, value, False)
            except FileNotFoundError:
                gone.append(key)
            except (RefusedEntry, OSError):
                continue  # planted: a miss
            else:
                content = opened(key, stored)
                if content is not None:
                    found[key] = content
                    hits.append(entry)
        if self._about is not None:
            self._about.hits(hits)
        return gone


def open_database(path: Path, size_limit: int) -> diskcache.Cache:
    """The database in the folder *path*, made where there is none."""
    private_dir(path, named_by=CACHE_DIR)
    # SQLite gives -wal and -shm the mode of the database.
    private_file(path / DATABASE)
    check_companions(path / DATABASE)
    return diskcache.Cache(str(path), disk=BytesDisk, size_limit=size_limit, **_SETTINGS)


def _move_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    return aside
