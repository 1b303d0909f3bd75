"""Starting over without a moment in which there is nothing: a new journal grows beside
the old one and takes its place.

Until then the old run can be resumed, whatever happens: a refused input, a question
that is answered with no, a crash.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from claudebatch.core.errors import StorageError
from claudebatch.storage.journal.schema import open_journal
from claudebatch.storage.private_files import check_companions, sync_dir

JOURNAL = "journal.sqlite"
_NEW = "journal.sqlite.new"
# SQLite's own names for the log of a database, the log's index, and the old form of it.
_COMPANIONS = ("-wal", "-shm", "-journal")


def open_replacement(folder: Path) -> sqlite3.Connection:
    """An empty journal beside that of *folder*."""
    discard_replacement(folder)
    return open_journal(folder / _NEW)


# A crash may have left one: its rows would mix with those of the new input.
def discard_replacement(folder: Path) -> None:
    """Remove a journal that has never taken over."""
    for suffix in ("", *_COMPANIONS):
        (folder / (_NEW + suffix)).unlink(missing_ok=True)


def replace_journal(folder: Path, replacement: sqlite3.Connection) -> sqlite3.Connection:
    """Put *replacement* in the place of the journal of *folder*, in one step; returns
    it as it is opened there.
    """
    # All of the log goes into the file first, because the rename takes only the file
    # along.
    busy, *_ = replacement.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    replacement.close()
    if busy or any((folder / (_NEW + suffix)).exists() for suffix in _COMPANIONS):
        # A log that is still there belongs to another reader or a failed checkpoint.
        # What is in its log would be lost by the rename.
        raise StorageError(
            "E615", f"{folder}: cannot start over: the new journal is in use", fix="try again"
        )
    _remove_log(folder / JOURNAL)
    # The one moment of change: before it the old run can be resumed, after it the new
    # one.
    (folder / _NEW).replace(folder / JOURNAL)
    sync_dir(folder)
    return open_journal(folder / JOURNAL)


def _remove_log(journal: Path) -> None:
    """Leave no log of *journal*: SQLite would take it for the log of the replacement,
    which gets the same name.
    """
    if journal.exists():
        # The old journal stays whole until the rename. A broken one is not mended here:
        # it is about to be replaced.
        with suppress(sqlite3.Error, StorageError):
            check_companions(journal)
            with closing(sqlite3.connect(journal)) as old:
                old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for suffix in _COMPANIONS:
        journal.with_name(journal.name + suffix).unlink(missing_ok=True)
