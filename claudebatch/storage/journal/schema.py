"""The journal's tables: one SQLite file per run, the single truth about what was asked,
answered and paid.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path

from claudebatch.core.errors import StorageError
from claudebatch.storage.columns import (
    BODY,
    CHECKSUM,
    COUNTS,
    DIGEST,
    INTENT_COLUMNS,
    OUTCOME_COLUMNS,
    RESULT_COLUMNS,
    Column,
    add_missing,
    defined,
)
from claudebatch.storage.journal.checksums import add_checksums
from claudebatch.storage.journal.records import AnswerSource
from claudebatch.storage.private_files import check_companions, private_file

# A kind of token that was added is part of the checksum where it is not 0. A program
# that does not know the kind would take such rows for damaged, so it must refuse the
# file.
# Version 4: `results.ok` tells how an answer ended, where it was 0 or 1. Version 5:
# `attempts.ending` does so, too. Version 6: `rows.columns` and `results.place`.
# Version 7: the table `batches` and `attempts.batch`. Version 8: `rows.chain`. Version
# 9: `rows.size`.
VERSION = 9 + sum(column.added for column in COUNTS)

# An answer of two kilobytes would leave half a page of 4 KiB empty, and every page is
# written twice: into the WAL and out of it.
_PAGE_BYTES = 16_384

_ROW_COLUMNS = (
    Column("columns", "BLOB", default=b""),
    Column("chain", "BLOB", default=b""),
    Column("size", "BLOB", default=b""),
)
_ATTEMPTS = (*INTENT_COLUMNS, *OUTCOME_COLUMNS, DIGEST, CHECKSUM, BODY)
# One row per HTTP attempt, written before it is sent. Money in pico-dollars, times in
# Unix milliseconds.
_CREATE_ATTEMPTS = f"CREATE TABLE attempts ({defined(_ATTEMPTS)});".replace(
    "attempt INTEGER NOT NULL", "attempt INTEGER PRIMARY KEY"
)
# One row per message batch, written before it is made. Most runs have none: the index
# holds their attempts only.
_BATCHES = """
CREATE TABLE IF NOT EXISTS batches (
  batch INTEGER PRIMARY KEY, nonce TEXT NOT NULL, state INTEGER NOT NULL DEFAULT 0,
  requests INTEGER NOT NULL DEFAULT 0, worst INTEGER NOT NULL DEFAULT 0,
  intent_ms INTEGER NOT NULL, id TEXT, proved INTEGER NOT NULL DEFAULT 0, created_ms INTEGER,
  expires_ms INTEGER, ended_ms INTEGER);
CREATE INDEX IF NOT EXISTS attempts_batch ON attempts(row) WHERE batch > 0;
"""
_TABLES = f"""
-- One row per distinct (id, content) ever seen in the input; `live` says whether the input
-- still holds it.
CREATE TABLE rows (
  row INTEGER PRIMARY KEY, position INTEGER NOT NULL, id TEXT NOT NULL, own INTEGER NOT NULL,
  digest BLOB NOT NULL, lane TEXT NOT NULL, source INTEGER NOT NULL, line INTEGER NOT NULL,
  offset INTEGER NOT NULL, length INTEGER NOT NULL, model TEXT NOT NULL, rule TEXT NOT NULL,
  key BLOB NOT NULL, live INTEGER NOT NULL DEFAULT 1, columns BLOB NOT NULL DEFAULT x'',
  chain BLOB NOT NULL DEFAULT x'', size BLOB NOT NULL DEFAULT x'');
{_CREATE_ATTEMPTS}
-- One row per result line, in the order of the output file. `body` is set where no attempt
-- holds the message; `saved` is what an answer would have cost that cost nothing.
CREATE TABLE results (
  n INTEGER PRIMARY KEY, {defined((*RESULT_COLUMNS, CHECKSUM))});
CREATE INDEX results_row ON results(row, ok);
CREATE TABLE meta (key TEXT PRIMARY KEY, value);
{_BATCHES}
"""

# Version 1 lacked the columns that the spend ledger needs, version 2 the checksums.
_FROM_1 = f"""
ALTER TABLE attempts RENAME TO old_attempts;
ALTER TABLE results ADD COLUMN source INTEGER NOT NULL DEFAULT 0;
ALTER TABLE results ADD COLUMN saved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE results ADD COLUMN day TEXT NOT NULL DEFAULT '';
{_CREATE_ATTEMPTS}
INSERT INTO attempts (
    attempt, row, model, worst, sent_ms, day, rule, state, cost, cost_known, input_tokens,
    cache_write_5m_tokens, cache_read_tokens, output_tokens, latency_ms, request_id, error,
    simulated, body)
  SELECT a.attempt, a.row, a.model, a.worst, a.sent_ms, date(a.sent_ms / 1000, 'unixepoch'),
    coalesce(r.rule, ''), a.state, a.cost, a.cost_known, coalesce(a.input_tokens, 0),
    coalesce(a.cache_write_tokens, 0), coalesce(a.cache_read_tokens, 0),
    coalesce(a.output_tokens, 0), coalesce(a.latency_ms, 0), a.request_id, a.error,
    a.simulated, a.body
  FROM old_attempts a LEFT JOIN rows r ON r.row = a.row;
DROP TABLE old_attempts;
ALTER TABLE results ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
"""
_FROM_2 = """
ALTER TABLE attempts ADD COLUMN digest BLOB;
ALTER TABLE attempts ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
ALTER TABLE results ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
"""


class AttemptState(IntEnum):
    """The state of an attempt."""

    # The numbers are in files and in the ledger's views: they stay.
    SENT = 0
    """Written down and perhaps sent; no outcome yet."""
    ANSWERED = 1
    FAILED = 2
    """The API refused it: not billed."""
    UNKNOWN = 3
    """May be billed, for an unknown amount: counts at its worst case. Where it has
    a body, it brought an answer that does not say it.
    """
    PARTIAL = 4
    """Paid for and nobody's answer, as a second batch of the same rows, or a request
    that only writes to the prompt cache: counts at its usage.
    """
    SETTLED = 5
    """Was unknown until the user said whether it was billed."""
    IN_BATCH = 6
    """In a message batch that has not been collected: nothing is known until it is."""


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
    check_companions(path)
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, UnicodeDecodeError) as error:  # a damaged name is no text
        raise StorageError(
            "E617",
            f"{path}: the journal cannot be opened: {error}",
            fix="check the disk, or start over with --fresh",
        ) from error
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # FULL: a commit that returned survives the power cut. WAL: one fsync a commit.
    # FILE: a second look at a million rows would otherwise hold them in memory.
    connection.executescript(
        f"PRAGMA page_size={_PAGE_BYTES}; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        " PRAGMA temp_store=FILE; PRAGMA cache_size=-8000;"
    )
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    # One script with its own transaction: a crash in its middle must leave an empty
    # file, not a journal that lacks a table.
    if version == 0:
        connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={VERSION}; COMMIT;")
    elif version < VERSION:
        _bring_up_to_date(connection, version)
    # Never written by an older program: it would drop columns that it does not know.
    if version > VERSION:
        raise StorageError(
            "E618", f"{path}: this journal is from a newer claudebatch", fix="update claudebatch"
        )


def _bring_up_to_date(connection: sqlite3.Connection, version: int) -> None:
    # Statement by statement: `executescript` would commit what came before it, and a
    # crash in between would leave a journal of no version.
    connection.execute("BEGIN IMMEDIATE")
    for statement in {1: _FROM_1, 2: _FROM_2}.get(version, "").split(";"):
        connection.execute(statement)
    add_missing(connection, "attempts", _ATTEMPTS)
    add_missing(connection, "rows", _ROW_COLUMNS)
    add_missing(connection, "results", RESULT_COLUMNS)
    if version < 7:
        for statement in _BATCHES.split(";"):
            connection.execute(statement)
    # The next session looks at the input again, and notes the places of its rows.
    connection.execute("DELETE FROM meta WHERE key = 'input'")
    # The file counts as sound as it is now: nothing else says how it was written.
    if version < 3:
        add_checksums(connection)
    connection.execute(f"PRAGMA user_version={VERSION}")
    connection.execute("COMMIT")
