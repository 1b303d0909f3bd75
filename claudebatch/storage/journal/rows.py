"""Which rows the input holds, which of them are done: on disk, so that a million rows
take no memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

_CHUNK = 2000
# No value from outside is in any statement of this file.
_COLUMNS = "id, own, digest, lane, source, line, offset, length, model, rule, key"
_REF = "r.row, r.source, r.line, r.offset, r.length, r.id, r.digest"
_KEY = "r.row, r.id, r.model, r.rule, r.key"
_PENDING = (
    "SELECT {} FROM rows r WHERE r.row > ? AND r.lane = ? AND r.live AND r.position < ?"
    " AND NOT EXISTS (SELECT 1 FROM results x WHERE x.row = r.row AND (x.ok OR NOT ?)){}"
    " ORDER BY r.row LIMIT ?"
)
_NOT_LEFT_OUT = " AND r.row NOT IN (SELECT row FROM temp.left_out)"
_SCAN = (
    "CREATE TEMP TABLE scan (position INTEGER PRIMARY KEY, id TEXT, own INTEGER, digest BLOB, "
    "lane TEXT,"
    " source INTEGER, line INTEGER, offset INTEGER, length INTEGER, model TEXT, rule TEXT, key "
    "BLOB)"
)


class RowRecord(NamedTuple):
    """One checked line of the input, in input order; the order of fields is that of the
    columns.
    """

    id: str
    has_own_id: bool
    digest: bytes
    lane: str
    source: int
    line: int
    offset: int
    length: int
    model: str = ""
    """The model that the row goes to first."""
    rule: str = ""
    """The rule that said so."""
    key: bytes = b""
    """What its answer is kept under in the response cache; empty where nothing is
    looked up.
    """


class RowRef(NamedTuple):
    """Where a row's line lies and what it must contain."""

    row: int
    source: int
    line: int
    offset: int
    length: int
    id: str
    digest: bytes


class RowKey(NamedTuple):
    """What a row needs to be answered out of the response cache."""

    row: int
    id: str
    model: str
    rule: str
    key: bytes


class RowFilter(NamedTuple):
    """Which rows are to be answered."""

    limit: int | None = None
    """Only the first so many of the input."""
    retry_failed: bool = False
    left_out: bool = False
    """Without those of `queries.leave_out_unknown`."""


@dataclass(frozen=True, slots=True)
class DuplicateId:
    """A row whose id an earlier row already has."""

    id: str
    source: int
    line: int
    first_source: int
    first_line: int


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What a new look at the input found."""

    rows: int
    twins: tuple[DuplicateId, ...]
    """Rows with an id that is taken; they were left out."""
    changed: int
    """Rows whose content changed since an earlier session answered them; they run
    again.
    """
    removed: int
    """Rows that an earlier session answered and the input no longer holds."""


def index_rows(
    connection: sqlite3.Connection, records: Iterable[RowRecord], *, limit: int | None
) -> IndexReport:
    """Make the journal's rows those of *records*; with a *limit*, rows beyond that many
    are left as they are.

    The caller's transaction decides whether it lasts: a crash or a refusal leaves the
    former index.
    """
    (known,) = connection.execute("SELECT EXISTS (SELECT 1 FROM rows)").fetchone()
    if known:
        connection.execute(_SCAN)
    table = (
        "temp.scan" if known else "rows"
    )  # most inputs are looked at once: their rows need no second table
    _take_in(connection, table, records)
    if known:
        connection.execute("CREATE INDEX temp.scan_id ON scan(id)")
    twins = _number_and_drop(connection, table)
    changed, removed = (0, 0)
    if known:
        changed, removed = _compare(connection, limit)
        _merge(connection, limit)
    (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    connection.execute("DROP TABLE IF EXISTS temp.scan")
    return IndexReport(rows, twins, changed, removed)


def pending_rows(
    connection: sqlite3.Connection, wanted: RowFilter, lane: str, after: int, count: int
) -> list[RowRef]:
    """The next *count* rows of *lane* after row number *after* that still need an
    answer.
    """
    return [RowRef._make(row) for row in _pending(connection, _REF, wanted, lane, after, count)]


def pending_keys(
    connection: sqlite3.Connection, wanted: RowFilter, lane: str, after: int, count: int
) -> list[RowKey]:
    """The same rows as `pending_rows`, as their answers are looked up."""
    return [RowKey._make(row) for row in _pending(connection, _KEY, wanted, lane, after, count)]


def _pending(
    connection: sqlite3.Connection,
    columns: str,
    wanted: RowFilter,
    lane: str,
    after: int,
    count: int,
) -> list[tuple[Any, ...]]:
    query = _PENDING.format(columns, _NOT_LEFT_OUT if wanted.left_out else "")
    return connection.execute(
        query, (after, lane, _end(wanted.limit), wanted.retry_failed, count)
    ).fetchall()


def _end(limit: int | None) -> int:
    return 2**62 if limit is None else limit


def _take_in(connection: sqlite3.Connection, table: str, records: Iterable[RowRecord]) -> None:
    insert = f"INSERT INTO {table} (position, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
    # A twin's position is left empty when it is dropped: only the order matters, and
    # that `limit` cuts at it.
    stream = ((position, *record) for position, record in enumerate(records))
    while chunk := list(islice(stream, _CHUNK)):
        connection.executemany(insert, chunk)


def _number_and_drop(connection: sqlite3.Connection, table: str) -> tuple[DuplicateId, ...]:
    """Make the ids of *table* differ from each other: equal lines are numbered, lines
    with a taken id left out.
    """
    again = f"SELECT 1 FROM {table} GROUP BY id HAVING count(*) > 1 LIMIT 1"
    if connection.execute(again).fetchone() is None:
        return ()
    _number_equals(connection, table)
    return tuple(_drop_twins(connection, table))


def _number_equals(connection: sqlite3.Connection, table: str) -> None:
    # Equal lines without an id of their own: the second becomes <digest>-2, wherever it
    # stands in the file.
    again = f"SELECT id FROM {table} WHERE NOT own GROUP BY id HAVING count(*) > 1"
    connection.execute(
        f"UPDATE {table} AS s SET id = s.id || '-' || k.ordinal FROM"
        " (SELECT rowid AS place, row_number() OVER (PARTITION BY id ORDER BY rowid) AS ordinal"
        f"  FROM {table} WHERE NOT own AND id IN ({again})) k"
        " WHERE s.rowid = k.place AND k.ordinal > 1"
    )


def _drop_twins(connection: sqlite3.Connection, table: str) -> Iterator[DuplicateId]:
    found = connection.execute(
        f"SELECT s.id, s.source, s.line, f.source, f.line, s.rowid FROM {table} s"
        f" JOIN (SELECT id, min(rowid) AS first FROM {table} GROUP BY id HAVING count(*) > 1) d "
        f"ON d.id = s.id"
        f" JOIN {table} f ON f.rowid = d.first WHERE s.rowid > d.first ORDER BY s.rowid"
    ).fetchall()
    connection.executemany(f"DELETE FROM {table} WHERE rowid = ?", ((row[5],) for row in found))
    for row in found:
        yield DuplicateId(*row[:5])


def _compare(connection: sqlite3.Connection, limit: int | None) -> tuple[int, int]:
    gone = (
        "SELECT count(*) FROM rows r WHERE r.live AND r.position < ?"
        " AND EXISTS (SELECT 1 FROM results x WHERE x.row = r.row)"
    )
    (removed,) = connection.execute(
        f"{gone} AND NOT EXISTS (SELECT 1 FROM scan s WHERE s.id = r.id)", (_end(limit),)
    ).fetchone()
    (changed,) = connection.execute(
        f"{gone} AND EXISTS (SELECT 1 FROM scan s WHERE s.id = r.id AND s.digest <> r.digest)",
        (_end(limit),),
    ).fetchone()
    return changed, removed


def _merge(connection: sqlite3.Connection, limit: int | None) -> None:
    # Only now: an index of random ids is a tenth of a first look.
    connection.execute("CREATE INDEX IF NOT EXISTS rows_id ON rows(id)")
    connection.execute(
        "UPDATE rows SET live = 0 WHERE position < ? OR id IN (SELECT id FROM scan)", (_end(limit),)
    )
    moved = ", ".join(
        f"{name} = s.{name}" for name in ("position", *_COLUMNS.split(", ")) if name != "id"
    )
    connection.execute(
        f"UPDATE rows SET live = 1, {moved} FROM scan s WHERE s.id = rows.id AND s.digest = "
        f"rows.digest"
    )
    connection.execute(
        f"INSERT INTO rows (position, {_COLUMNS}) SELECT position, {_COLUMNS} FROM scan s"
        " WHERE NOT EXISTS (SELECT 1 FROM rows r WHERE r.id = s.id AND r.digest = s.digest) "
        "ORDER BY position"
    )
