"""The journal's tables: one SQLite file per run, the single truth about what was asked,
answered and paid.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path

from claudebatch.core.errors import StorageError
from claudebatch.storage.journal.checksums import seal_all
from claudebatch.storage.private_files import private_file

VERSION = 3

_PAGE_BYTES = 16_384

_TABLES = """
-- One row per distinct (id, content) ever seen in the input; `live` says whether the input still holds it.
CREATE TABLE rows (
  row INTEGER PRIMARY KEY, position INTEGER NOT NULL, id TEXT NOT NULL, own INTEGER NOT NULL, digest BLOB NOT NULL,
  lane TEXT NOT NULL, source INTEGER NOT NULL, line INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
  model TEXT NOT NULL, rule TEXT NOT NULL, key BLOB NOT NULL, live INTEGER NOT NULL DEFAULT 1);
-- One row per HTTP attempt, written before it is sent. Money in pico-dollars, times in Unix milliseconds. `digest` is
-- that of the body, `seal` that of all columns (seals.py).
CREATE TABLE attempts (
  attempt INTEGER PRIMARY KEY, row INTEGER NOT NULL, model TEXT NOT NULL, worst INTEGER NOT NULL,
  sent_ms INTEGER NOT NULL, day TEXT NOT NULL DEFAULT '', rule TEXT NOT NULL DEFAULT '',
  input_estimate INTEGER NOT NULL DEFAULT 0, output_estimate INTEGER NOT NULL DEFAULT 0,
  output_bound INTEGER NOT NULL DEFAULT 0, state INTEGER NOT NULL DEFAULT 0, cost INTEGER NOT NULL DEFAULT 0,
  cost_known INTEGER NOT NULL DEFAULT 1, input_tokens INTEGER NOT NULL DEFAULT 0,
  cache_write_5m_tokens INTEGER NOT NULL DEFAULT 0, cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0,
  cache_read_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0,
  web_searches INTEGER NOT NULL DEFAULT 0, tier TEXT, geo TEXT, speed TEXT, price_version TEXT NOT NULL DEFAULT '',
  latency_ms INTEGER NOT NULL DEFAULT 0, status INTEGER, request_id TEXT, error TEXT,
  simulated INTEGER NOT NULL DEFAULT 0, digest BLOB, seal BLOB NOT NULL DEFAULT x'', body BLOB);
-- One row per result line, in the order of the output file. `body` is set where no attempt holds the message; `saved`
-- is what an answer would have cost that cost nothing.
CREATE TABLE results (
  n INTEGER PRIMARY KEY, row INTEGER NOT NULL, ok INTEGER NOT NULL, head BLOB NOT NULL, attempt INTEGER, body BLOB,
  source INTEGER NOT NULL DEFAULT 0, saved INTEGER NOT NULL DEFAULT 0, day TEXT NOT NULL DEFAULT '',
  seal BLOB NOT NULL DEFAULT x'');
CREATE INDEX results_row ON results(row, ok);
CREATE TABLE meta (key TEXT PRIMARY KEY, value);
"""

# Version 1 did not note what the spend ledger tells of an attempt, version 2 had no
# seals.
_FROM_1 = """
ALTER TABLE attempts RENAME TO old_attempts;
ALTER TABLE results ADD COLUMN source INTEGER NOT NULL DEFAULT 0;
ALTER TABLE results ADD COLUMN saved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE results ADD COLUMN day TEXT NOT NULL DEFAULT '';
{attempts}
INSERT INTO attempts (attempt, row, model, worst, sent_ms, day, rule, state, cost, cost_known, input_tokens,
    cache_write_5m_tokens, cache_read_tokens, output_tokens, latency_ms, request_id, error, simulated, body)
  SELECT a.attempt, a.row, a.model, a.worst, a.sent_ms, date(a.sent_ms / 1000, 'unixepoch'), coalesce(r.rule, ''),
    a.state, a.cost, a.cost_known, coalesce(a.input_tokens, 0), coalesce(a.cache_write_tokens, 0),
    coalesce(a.cache_read_tokens, 0), coalesce(a.output_tokens, 0), coalesce(a.latency_ms, 0), a.request_id, a.error,
    a.simulated, a.body FROM old_attempts a LEFT JOIN rows r ON r.row = a.row;
DROP TABLE old_attempts;
ALTER TABLE results ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
""".format(
    attempts=next(part for part in _TABLES.split(";") if "CREATE TABLE attempts" in part) + ";"
)
_FROM_2 = """
ALTER TABLE attempts ADD COLUMN digest BLOB;
ALTER TABLE attempts ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
ALTER TABLE results ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
"""


class AttemptState(IntEnum):
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
    SETTLED = 5
    """Was unknown, until the user said what it cost."""


class AnswerSource(IntEnum):
    """Where the answer of a result came from."""

    API = 0
    """Or it is a failure."""
    CACHE = 1
    DUPLICATE = 2
    """Another row's request in flight."""


ANSWER_SOURCES: Mapping[str, AnswerSource] = {
    "api": AnswerSource.API,
    "cache": AnswerSource.CACHE,
    "duplicate": AnswerSource.DUPLICATE,
}
"""A reply's source, as the journal writes it."""


def open_journal(path: Path) -> sqlite3.Connection:
    """The journal at *path*, made if it is not there. One connection, one thread at a
    time.
    """
    private_file(path)
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # FULL: a commit that returned survives the power cut. WAL: one fsync a commit.
        # An answer of two kilobytes leaves half a page of 4 KiB empty, and everything
        # is written twice: once into the WAL, once out of it.
        connection.executescript(
            f"PRAGMA page_size={_PAGE_BYTES}; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            " PRAGMA temp_store=FILE; PRAGMA cache_size=-8000;"
        )
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={VERSION}; COMMIT;")
        elif version < VERSION:
            _bring_up_to_date(connection, _FROM_1 if version == 1 else _FROM_2)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # a damaged name is no text
        raise StorageError(
            f"{path}: the journal cannot be opened: {error}",
            fix="check the disk, or start over with --fresh",
        ) from error
    if version > VERSION:
        raise StorageError(
            f"{path}: this journal is from a newer claudebatch", fix="update claudebatch"
        )
    return connection


def _bring_up_to_date(connection: sqlite3.Connection, script: str) -> None:
    # Statement by statement: `executescript` would commit what came before it.
    connection.execute("BEGIN IMMEDIATE")
    for statement in script.split(";"):
        connection.execute(statement)
    seal_all(connection)
    connection.execute(f"PRAGMA user_version={VERSION}")
    connection.execute("COMMIT")
