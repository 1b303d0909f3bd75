"""The ledger's tables, how its file is opened, and how an older form of it becomes this one.

A rollback journal, not WAL: several runs write the file at once, which SQLite before 3.51.3 does not survive in WAL
mode. Money is in whole pico-dollars, times in Unix milliseconds, days are UTC.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from claudebatch.errors import StorageError
from claudebatch.stores.files import private_dir, private_file
from claudebatch.stores.ledger.migrate import bring_up_to_date
from claudebatch.stores.ledger.tables import VERSION

_BUSY_S = 30.0
_IN_PASSING_S = 0.3
_MOVE = "move the file away; resumed runs rebuild it, and until then caps of a day, month or tag count from 0"
_WAIT = "another program keeps it locked: close that one or wait, then run the same command"
_LOOK = "check its folder, its owner and the free space, then run the same command"
# A file that is only busy must not be moved away: the caps would forget what was spent.
_FIXES = {
    **dict.fromkeys((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED), _WAIT),
    **dict.fromkeys(
        (sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL,
         sqlite3.SQLITE_CANTOPEN),
        _LOOK,
    ),
}  # fmt: skip


def open_ledger(path: Path) -> sqlite3.Connection:
    """The ledger at *path* to write in, made or brought to its present form if need be; raises `StorageError`.

    The connection commits every statement unless the caller begins a transaction, and may change threads.
    """
    private_dir(path.parent)
    private_file(path)
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            connection.executescript("PRAGMA journal_mode=PERSIST; PRAGMA synchronous=FULL;")
            bring_up_to_date(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise unusable(path, error, "opened") from error
    return connection


def read_ledger(path: Path, *, in_passing: bool = False) -> sqlite3.Connection | None:
    """The ledger at *path* to read only, None where there is none yet; raises `StorageError`.

    One of an older form is brought to the present one first. *in_passing*: for what a command can do without, it
    neither waits for a writer nor changes the file; another form is as good as none.
    """
    if not path.exists():
        return None
    try:
        connection = _read_only(path, _IN_PASSING_S if in_passing else _BUSY_S)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == VERSION:
            return connection
        connection.close()
    except sqlite3.Error as error:
        raise unreadable(path, error) from error
    if in_passing:
        return None
    open_ledger(path).close()
    return _read_only(path, _BUSY_S)


def unreadable(path: Path, error: sqlite3.Error) -> StorageError:
    """What a failing look into the ledger at *path* is raised as."""
    return unusable(path, error, "read")


def unusable(path: Path, error: sqlite3.Error, done: str) -> StorageError:
    """What a failure at the ledger at *path* is raised as; *done* is what cannot be."""
    # The lower byte is the kind of error; what Python itself raises has none.
    fix = _FIXES.get((getattr(error, "sqlite_errorcode", None) or 0) & 0xFF, _MOVE)
    return StorageError(f"{path}: the spend ledger cannot be {done}: {error}", fix=fix)


def _read_only(path: Path, patience_s: float) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=patience_s,
        isolation_level=None,
        check_same_thread=False,
    )
