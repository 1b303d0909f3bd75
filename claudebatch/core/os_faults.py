"""What an error of the operating system means, and what to do about it: one table, by
errno.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class OsFault:
    """An error of the system in words."""

    reason: str
    fix: str


_AGAIN = "then run the same command"
_ELSEWHERE = "write to another place: -o, CLAUDEBATCH_STATE_DIR, CLAUDEBATCH_CACHE_DIR"
_RIGHTS = "check owner and mode of the file and its folder"
_SPACE = OsFault("no space is left on the disk", f"free some space, {_AGAIN}")
_READ_ONLY = OsFault("the file system is read-only", _ELSEWHERE)
_MEMORY = OsFault(
    "there is no memory left for this process",
    f"free some memory or raise its limit (ulimit -v), {_AGAIN}",
)
_BROKEN = OsFault("the disk reports an error", f"check the disk (dmesg), {_AGAIN}")
_DENIED = OsFault("permission denied", _RIGHTS)

FAULTS: Final[Mapping[int, OsFault]] = {
    errno.EMFILE: OsFault(
        "this process has too many open files", f"raise the limit: ulimit -n 1024, {_AGAIN}"
    ),
    errno.ENFILE: OsFault("the system has too many open files", f"close other programs, {_AGAIN}"),
    errno.ENOMEM: _MEMORY,
    errno.ENOBUFS: OsFault("the system has no buffers left for connections", f"lower -j, {_AGAIN}"),
    errno.ENAMETOOLONG: OsFault(
        "the name is too long for this file system", "give the results a shorter name with -o"
    ),
    errno.EROFS: _READ_ONLY,
    errno.ENOTDIR: OsFault(
        "a part of the path is a file, not a folder", "check the path; name a folder there"
    ),
    errno.EISDIR: OsFault("this is a folder, not a file", "name a file"),
    errno.ELOOP: OsFault("its links form a circle", "name the file itself"),
    errno.ENOENT: OsFault("no such file or folder", "check the path"),
    errno.EEXIST: OsFault("it exists already", "remove it, or choose another name"),
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: OsFault("your quota on this disk is used up", f"free some space, {_AGAIN}"),
    errno.EFBIG: OsFault(
        "the file is larger than the system allows",
        f"raise the limit (ulimit -f), or write to another disk with -o, {_AGAIN}",
    ),
    errno.EIO: _BROKEN,
    errno.ENXIO: OsFault("the device is not there", "check that the disk is connected"),
    errno.ENODEV: OsFault("the device is not there", "check that the disk is connected"),
    errno.ESTALE: OsFault("the network drive has lost this file", f"mount it again, {_AGAIN}"),
    errno.EBUSY: OsFault("another program is using it", f"close that program, {_AGAIN}"),
    errno.ETXTBSY: OsFault("another program is using it", f"close that program, {_AGAIN}"),
    errno.EXDEV: OsFault("it is on another disk", "keep the run's folder on one disk"),
    errno.EMLINK: OsFault("it has too many links", "choose another folder with -o"),
    errno.EPIPE: OsFault("nothing reads it any more", "run it again: nothing is paid twice"),
    errno.EAGAIN: OsFault("the system has no room for it right now", f"wait a little, {_AGAIN}"),
    errno.EINVAL: OsFault("this file system cannot do that", "write to another disk with -o"),
    errno.EOPNOTSUPP: OsFault("this file system cannot do that", "write to another disk with -o"),
}
"""Every errno that has a sentence of its own."""

# By SQLite's primary result codes; it keeps the system's errno to itself.
_SQLITE: Mapping[int, OsFault] = {
    sqlite3.SQLITE_FULL: _SPACE,
    sqlite3.SQLITE_READONLY: OsFault("it cannot be written: read-only", f"{_RIGHTS}, {_AGAIN}"),
    sqlite3.SQLITE_IOERR: OsFault(
        "the disk reports an error, or is full", f"check its free space and its health, {_AGAIN}"
    ),
    sqlite3.SQLITE_CANTOPEN: OsFault(
        "it cannot be opened",
        f"{_RIGHTS}, and the limit of open files (ulimit -n), {_AGAIN}",
    ),
    sqlite3.SQLITE_NOMEM: _MEMORY,
    sqlite3.SQLITE_PERM: _DENIED,
    sqlite3.SQLITE_BUSY: OsFault("another program keeps it locked", f"close it, {_AGAIN}"),
    sqlite3.SQLITE_LOCKED: OsFault("another program keeps it locked", f"close it, {_AGAIN}"),
    sqlite3.SQLITE_CORRUPT: OsFault(
        "the database is damaged", "repair it: `claudebatch runs check --repair`"
    ),
    sqlite3.SQLITE_NOTADB: OsFault(
        "this is not a database", "repair it: `claudebatch runs check --repair`"
    ),
}
_UNKNOWN_FIX = f"look at what it says, {_AGAIN}"


def os_fault(error: BaseException) -> OsFault:
    """What *error* of the system, of SQLite or of Python's memory means."""
    if isinstance(error, MemoryError):
        return _MEMORY
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        known = None if code is None else _SQLITE.get(code & 0xFF)
        return known or OsFault(str(error) or type(error).__name__, _UNKNOWN_FIX)
    number = error.errno if isinstance(error, OSError) else None
    if number is not None and number in FAULTS:
        return FAULTS[number]
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return OsFault(words, _UNKNOWN_FIX)


def place_of(error: BaseException) -> str:
    """`FILE: `, where *error* names a file; else nothing."""
    name = getattr(error, "filename", None)
    # A renaming fails for what stands where the file was to go.
    if getattr(error, "errno", None) in (errno.EISDIR, errno.ENOTEMPTY):
        name = getattr(error, "filename2", None) or name
    if isinstance(name, bytes):
        name = name.decode(errors="replace")
    return f"{name}: " if isinstance(name, str) and name else ""
