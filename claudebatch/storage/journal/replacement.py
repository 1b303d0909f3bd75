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
from claudebatch.storage.private_files import sync_dir

JOURNAL = "journal.sqlite"
_NEW = "journal.sqlite.new"
_COMPANIONS = ("-wal", "-shm")


def open_successor(folder: Path) -> sqlite3.Connection:
    """An empty journal beside that of *folder*."""
    discard_successor(folder)
    return open_journal(folder / _NEW)


def discard_successor(folder: Path) -> None:
    """Remove a journal that has never taken over."""
    for suffix in ("", *_COMPANIONS):
        (folder / (_NEW + suffix)).unlink(missing_ok=True)


def succeed(folder: Path, successor: sqlite3.Connection) -> sqlite3.Connection:
    """Put *successor* in the place of the journal of *folder*, in one step; returns it
    as it is opened there.
    """
    busy, *_ = successor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    successor.close()
    if busy or any((folder / (_NEW + suffix)).exists() for suffix in _COMPANIONS):
        # What is in its log would be lost by the rename.
        raise StorageError(
            f"{folder}: cannot start over: the new journal is in use", fix="try again"
        )
    _fold(folder / JOURNAL)
    (folder / _NEW).replace(folder / JOURNAL)
    sync_dir(folder)
    return open_journal(folder / JOURNAL)


def _fold(journal: Path) -> None:
    """Leave no log of *journal*: SQLite would take it for the log of its successor,
    which has the same name.
    """
    if journal.exists():
        with suppress(sqlite3.Error), closing(sqlite3.connect(journal)) as old:
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for suffix in _COMPANIONS:
        journal.with_name(journal.name + suffix).unlink(missing_ok=True)
