"""Whether one of our databases is whole, by reading it only."""

from __future__ import annotations

import sqlite3
from pathlib import Path

# A database that is being written is in use, not damaged: no reason to wait long.
_BUSY_S = 2.0


def damage(path: Path) -> str | None:
    """The fault of the database at *path*; None: it has none, or it is being written.

    Reads every page: seconds for gigabytes.
    """
    try:
        connection = sqlite3.connect(
            # Read only: opening it to write would roll back a commit that a crash left
            # behind, and hide what was there.
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=_BUSY_S,
        )
        try:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        busy = error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        return None if busy else str(error)
    except sqlite3.Error as error:
        return str(error)
    return None if verdict == "ok" else str(verdict)
