"""Answers kept on disk under the digest of their request, in diskcache, as bytes and nothing else.

diskcache pickles what it does not know and unpickles on read (CVE-2025-69872). `BytesDisk` refuses every other
mode, for keys and values, on write and on read. Every entry carries its own checksum, so a damaged or planted one
is a miss. Any failure of the cache is a miss: it never costs a run.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import diskcache

from claudebatch.reports import CacheStats
from claudebatch.stores.files import private_dir, private_file
from claudebatch.stores.groups import Groups

_RAW, _BINARY = 1, 2
_MIN_FILE_BYTES = 64 * 1024
_CHECKSUM_BYTES = 16
_CULL_EVERY = 256
_LINGER_S = 0.02
_ENOUGH = 32
_SETTINGS = {
    # No automatic culling: the default drops entries silently at 1 GiB in the middle of a write. We cull ourselves.
    "eviction_policy": "least-recently-stored",
    "cull_limit": 0,
    "statistics": 0,
    # The defaults map 64 MiB and keep 32 MiB of pages: memory that grows with the cache and not with the work.
    "sqlite_mmap_size": 0,
    "sqlite_cache_size": 512,
    "disk_min_file_size": _MIN_FILE_BYTES,
}


class RefusedEntry(ValueError):
    """Something other than plain bytes under a text key."""


class BytesDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """Text keys, bytes values; nothing is ever pickled or unpickled."""

    def put(self, key: object) -> tuple[str, bool]:
        """The database's form of *key*."""
        if type(key) is not str:
            raise RefusedEntry(f"key is {type(key).__name__}, not str")
        return key, True

    def get(self, key: object, raw: object) -> str:
        """The key that *key* stands for in the database."""
        if not raw or type(key) is not str:
            raise RefusedEntry("a key that is not plain text")
        return key

    def store(self, value: object, read: bool, key: object = None) -> Any:
        """Keep *value*, in the database or, when large, in a file."""
        if read or type(value) is not bytes:
            raise RefusedEntry(f"value is {type(value).__name__}, not bytes")
        return super().store(value, False, key=key)

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> bytes:
        """The bytes of one entry; refuses every mode and file path that `store` does not make."""
        if read or mode not in (_RAW, _BINARY):
            raise RefusedEntry(f"an entry of mode {mode}")
        if mode == _RAW:
            if type(value) is not bytes:
                raise RefusedEntry("a value that is not bytes")
            return value
        path = PurePosixPath(filename or "")
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise RefusedEntry("an entry whose file lies elsewhere")
        descriptor = os.open(Path(self._directory, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return file.read()

    def _write(self, full_path: str, iterator: Iterable[bytes], mode: str, encoding: str | None = None) -> int:
        private_dir(Path(full_path).parent)
        descriptor = os.open(full_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            return sum(file.write(chunk) for chunk in iterator)


class DiskCacheStore:
    """The response cache's store: grouped look-ups and grouped writes in one thread, off the event loop."""

    def __init__(
        self,
        path: Path,
        *,
        size_limit: int,
        ttl_s: float | None,
        notify: Callable[[str], None],
    ) -> None:
        self._path = path
        self._size_limit = size_limit
        self._ttl_s = ttl_s
        self._notify = notify
        # Mutable, touched by the cache's thread only.
        self._cache: diskcache.Cache | None = None
        self._broken = False
        self._puts = 0
        self._groups: Groups[tuple[str, bytes | None]] = Groups(
            self._work, name="response-cache", linger_s=_LINGER_S, enough=_ENOUGH
        )

    async def get(self, key: str) -> bytes | None:
        """What is kept under *key*; None when nothing sound is."""
        found: bytes | None = await self._groups.ask((key, None))
        return found

    def put(self, key: str, value: bytes) -> None:
        """Keep *value* under *key*, soon and without waiting."""
        self._groups.put((key, value))

    async def close(self) -> None:
        """Write what was handed over and close the database."""
        await self._groups.drained()
        await self._groups.call(self._shut)
        await self._groups.close()

    def look_up(self, keys: Iterable[str]) -> list[bytes | None]:
        """What is kept under *keys*, at once, for callers without an event loop."""
        return self._work([(key, None) for key in keys])

    def _shut(self) -> None:
        if self._cache is not None:
            self._cache.close()

    def _work(self, group: list[tuple[str, bytes | None]]) -> list[bytes | None]:
        if self._broken:
            return [None] * len(group)
        try:
            return self._answer(self._opened(), group)
        except sqlite3.DatabaseError as error:
            return self._start_anew(error, group)
        except Exception as error:  # noqa: BLE001  # a cache may be slow, full or planted: it may not cost the run
            self._give_up(error)
            return [None] * len(group)

    def _answer(self, cache: diskcache.Cache, group: list[tuple[str, bytes | None]]) -> list[bytes | None]:
        puts = sum(value is not None for _, value in group)
        if not puts:
            return [_get(cache, key) for key, _ in group]
        with cache.transact(retry=True):
            answers: list[bytes | None] = []
            for key, value in group:
                if value is not None:
                    cache.set(key, _checksum(key, value) + value, expire=self._ttl_s, retry=True)
                answers.append(_get(cache, key) if value is None else None)
        self._puts += puts
        if self._puts >= _CULL_EVERY:
            self._puts = 0
            cache.cull()
        return answers

    def _opened(self) -> diskcache.Cache:
        if self._cache is None:
            self._cache = _open(self._path, self._size_limit)
        return self._cache

    def _start_anew(self, error: Exception, group: list[tuple[str, bytes | None]]) -> list[bytes | None]:
        # Locked or full is no damage; a damaged file answers nothing ever again.
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
            self._give_up(error)
            return [None] * len(group)
        self._shut()
        self._cache = None
        aside = _move_aside(self._path)
        self._notify(f"the response cache was damaged; it was moved to {aside} and started anew")
        try:
            return self._answer(self._opened(), group)
        except Exception as second:  # noqa: BLE001  # as in _work
            self._give_up(second)
            return [None] * len(group)

    def _give_up(self, error: Exception) -> None:
        self._broken = True
        self._notify(f"the response cache is off for this run: {type(error).__name__}: {error}")


def describe(path: Path, *, size_limit: int, ttl_s: float | None) -> CacheStats:
    """What the cache at *path* holds; all zeros where there is none."""
    if not (path / "cache.db").exists():
        return CacheStats(str(path), 0, 0, size_limit, ttl_s)
    cache = _open(path, size_limit)
    try:
        return CacheStats(str(path), len(cache), cache.volume(), size_limit, ttl_s)
    finally:
        cache.close()


def clear(path: Path) -> int:
    """Drop every entry of the cache at *path*; returns how many there were."""
    if not (path / "cache.db").exists():
        return 0
    cache = _open(path, 2**40)
    try:
        return int(cache.clear(retry=True))
    finally:
        cache.close()


def _open(path: Path, size_limit: int) -> diskcache.Cache:
    private_dir(path)
    private_file(path / "cache.db")  # SQLite gives -wal and -shm the mode of the database
    return diskcache.Cache(str(path), disk=BytesDisk, size_limit=size_limit, **_SETTINGS)


def _move_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    return aside


def _get(cache: diskcache.Cache, key: str) -> bytes | None:
    try:
        stored = cache.get(key, retry=True)
    except (RefusedEntry, OSError):
        return None  # planted, or its file is gone: a miss
    if not isinstance(stored, bytes):
        return None
    checksum, value = stored[:_CHECKSUM_BYTES], stored[_CHECKSUM_BYTES:]
    return value if checksum == _checksum(key, value) else None


def _checksum(key: str, value: bytes) -> bytes:
    return hashlib.sha256(key.encode() + value).digest()[:_CHECKSUM_BYTES]
