"""The ledger's tables, how its file is opened, and how an older form of it becomes this
one.

A rollback journal, not WAL: several runs write the file at once, which SQLite before
3.51.3 does not survive in WAL mode. Money is in whole pico-dollars, times in Unix
milliseconds, days are UTC.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import TypeAlias, TypeVar

from claudebatch.core.errors import StorageError
from claudebatch.storage.ledger.migrate import bring_up_to_date
from claudebatch.storage.ledger.tables import VERSION, complete
from claudebatch.storage.private_files import STATE_DIR, check_companions, private_dir, private_file

# Longer than any commit of another run takes; a program that holds the lock longer is
# one that a user must close.
_BUSY_S = 30.0
# SQLite waits in one piece, and Ctrl-C has no effect until it ends: a long wait goes in
# slices.
_SLICE_S = 1.0
# An estimate can do without the past: it must not wait half a minute for it.
_IN_PASSING_S = 0.3
_MOVE = (
    "move the file away; resumed runs rebuild it, and until then caps of a day, month or tag "
    "count from 0"
)
_WAIT = "another program keeps it locked: close that one or wait, then run the same command"
_LOOK = "check its folder, its owner and the free space, then run the same command"
# The advice to move the file away is for a damaged one only: after it, the caps of a
# day or a tag have forgotten all that was spent.
_FIXES = {
    **dict.fromkeys((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED), _WAIT),
    **dict.fromkeys(
        (
            sqlite3.SQLITE_PERM,
            sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_IOERR,
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_CANTOPEN,
        ),
        _LOOK,
    ),
}


Waits: TypeAlias = Callable[[], object]
"""Called when another program keeps the file locked and the wait begins."""
Found = TypeVar("Found")


def not_reported() -> None:
    """A `Waits` that reports nothing."""


def open_ledger(
    path: Path, *, waits: Waits = not_reported, patience_s: float | None = None
) -> sqlite3.Connection:
    """The ledger at *path* to write in, made or brought to its present form if need be;
    raises `StorageError`.

    Waits for *patience_s* (None: half a minute) while another program keeps it locked;
    *waits* is called once when that takes a second. The connection commits every
    statement unless the caller begins a transaction, and may change threads.
    """
    private_dir(path.parent, named_by=STATE_DIR)
    private_file(path)
    check_companions(path)
    try:
        patience_s = _BUSY_S if patience_s is None else patience_s
        return _patiently(lambda slice_s: _opened(path, slice_s), patience_s, waits)
    except sqlite3.Error as error:
        raise unusable(path, error, "opened") from error


def _patiently(make: Callable[[float], Found], patience_s: float, waits: Waits) -> Found:
    """The result of *make*, called with the seconds that it may wait, and again while
    the file is locked.
    """
    slices = ceil(patience_s / _SLICE_S)
    tried = 0
    while True:
        try:
            return make(min(_SLICE_S, patience_s))
        except sqlite3.Error as error:
            tried += 1
            if tried >= slices or not _is(error, sqlite3.SQLITE_BUSY):
                raise
        # Only once, and not for a lock of a moment: those are the commits of other
        # runs.
        if tried == 1:
            waits()


def _opened(path: Path, patience_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=patience_s, isolation_level=None, check_same_thread=False
    )
    try:
        # Several runs write this file at once, which SQLite before 3.51.3 does not
        # survive in WAL mode. PERSIST keeps the journal's file: deleting it would cost
        # another fsync of the folder.
        connection.executescript("PRAGMA journal_mode=PERSIST; PRAGMA synchronous=FULL;")
        bring_up_to_date(connection, path)
    except BaseException:
        connection.close()
        raise
    return _patient(connection)


def _patient(connection: sqlite3.Connection) -> sqlite3.Connection:
    """*connection*, with the patience of one that is open: another run's commit takes
    its time.
    """
    connection.execute(f"PRAGMA busy_timeout={round(_BUSY_S * 1000)}")
    return connection


def read_ledger(path: Path, *, waits: Waits = not_reported) -> sqlite3.Connection | None:
    """The ledger at *path* to read only, None where there is none yet; raises
    `StorageError`.

    Waits for a locked one as `open_ledger` does. One of an older form is brought to the
    present one first.
    """
    if not path.exists():
        return None
    try:
        found = _patiently(lambda slice_s: _of_this_form(path, slice_s), _BUSY_S, waits)
    except sqlite3.Error as error:
        # A writer died in the middle of a commit. Only a connection that may write can
        # undo that.
        if not _is(error, sqlite3.SQLITE_READONLY):
            raise unreadable(path, error) from error
        found = None
    if found is None:
        open_ledger(path, waits=waits).close()
        return _read_only(path, _BUSY_S)
    return _patient(found)


def glance_at_ledger(path: Path) -> sqlite3.Connection | None:
    """As `read_ledger`, for what a command can do without: it neither waits for a
    writer nor changes the file.

    A file of another version counts as none.
    """
    if not path.exists():
        return None
    try:
        return _of_this_form(path, _IN_PASSING_S)
    except sqlite3.Error as error:
        raise unreadable(path, error) from error


def wait_for_ledger(path: Path, waits: Waits) -> None:
    """Wait until the ledger at *path* is not locked, as `open_ledger` does; raises
    `StorageError`.
    """
    open_ledger(path, waits=waits).close()


def unreadable(path: Path, error: sqlite3.Error) -> StorageError:
    """The error for a failed look into the ledger at *path*."""
    return unusable(path, error, "read")


def unusable(path: Path, error: sqlite3.Error, done: str) -> StorageError:
    """The error for a failure at the ledger at *path*; *done* names what failed, as in
    "read".
    """
    fix = _FIXES.get(_kind(error), _MOVE)
    return StorageError("E624", f"{path}: the spend ledger cannot be {done}: {error}", fix=fix)


def _is(error: sqlite3.Error, kind: int) -> bool:
    return _kind(error) == kind


def _kind(error: sqlite3.Error) -> int:
    """The lower byte is the kind of error; what Python itself raises has none."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _of_this_form(path: Path, patience_s: float) -> sqlite3.Connection | None:
    connection = _read_only(path, patience_s)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == VERSION and complete(connection):
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def _read_only(path: Path, patience_s: float) -> sqlite3.Connection:
    check_companions(path)
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=patience_s,
        isolation_level=None,
        check_same_thread=False,
    )
