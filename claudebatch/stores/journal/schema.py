"""The journal's tables: one SQLite file per run, the single truth about what was asked, answered and paid."""

from __future__ import annotations

import sqlite3
from enum import IntEnum
from pathlib import Path

from claudebatch.errors import StorageError
from claudebatch.stores.files import private_file

VERSION = 1

_PAGE_BYTES = 16_384

_TABLES = """
-- One row per distinct (id, content) ever seen in the input; `live` says whether the input still holds it.
CREATE TABLE rows (
  row INTEGER PRIMARY KEY, position INTEGER NOT NULL, id TEXT NOT NULL, own INTEGER NOT NULL, digest BLOB NOT NULL,
  lane TEXT NOT NULL, source INTEGER NOT NULL, line INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
  model TEXT NOT NULL, rule TEXT NOT NULL, key BLOB NOT NULL, live INTEGER NOT NULL DEFAULT 1);
-- One row per HTTP attempt, written before it is sent. Money in pico-dollars, times in Unix milliseconds.
CREATE TABLE attempts (
  attempt INTEGER PRIMARY KEY, row INTEGER NOT NULL, model TEXT NOT NULL, worst INTEGER NOT NULL,
  sent_ms INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0, cost INTEGER NOT NULL DEFAULT 0,
  cost_known INTEGER NOT NULL DEFAULT 1, input_tokens INTEGER, cache_write_tokens INTEGER, cache_read_tokens INTEGER,
  output_tokens INTEGER, latency_ms INTEGER, request_id TEXT, error TEXT, body BLOB,
  simulated INTEGER NOT NULL DEFAULT 0);
-- One row per result line, in the order of the output file. `body` is set where no attempt holds the message.
CREATE TABLE results (
  n INTEGER PRIMARY KEY, row INTEGER NOT NULL, ok INTEGER NOT NULL, head BLOB NOT NULL, attempt INTEGER, body BLOB);
CREATE INDEX results_row ON results(row, ok);
CREATE TABLE meta (key TEXT PRIMARY KEY, value);
"""


class State(IntEnum):
    """What became of an attempt."""

    SENT = 0
    """Written down and perhaps sent; no outcome yet."""
    ANSWERED = 1
    FAILED = 2
    """The API refused it: not billed."""
    UNKNOWN = 3
    """May be billed although we hold no answer: counts at its worst case."""
    PARTIAL = 4
    """Cut off after its usage was known: counts at that."""


def open_journal(path: Path) -> sqlite3.Connection:
    """The journal at *path*, made if it is not there. One connection, one thread at a time."""
    private_file(path)
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # FULL: a commit that returned survives the power cut. WAL: one fsync a commit. An answer of two kilobytes
        # leaves half a page of 4 KiB empty, and everything is written twice: once into the WAL, once out of it.
        connection.executescript(
            f"PRAGMA page_size={_PAGE_BYTES}; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            " PRAGMA temp_store=FILE; PRAGMA cache_size=-8000;"
        )
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={VERSION}; COMMIT;")
    except sqlite3.Error as error:
        raise StorageError(
            f"{path}: the journal cannot be opened: {error}", fix="check the disk, or start over with --fresh"
        ) from error
    if version > VERSION:
        raise StorageError(f"{path}: this journal is from a newer claudebatch", fix="update claudebatch")
    return connection
