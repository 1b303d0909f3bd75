"""Which rows the input holds, which of them are done: on disk, so that a million rows take no memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

_CHUNK = 2000


class RowRecord(NamedTuple):
    """One checked line of the input, in input order."""

    id: str
    has_own_id: bool
    digest: bytes
    lane: str
    source: int
    line: int
    offset: int
    length: int


class RowRef(NamedTuple):
    """Where a row's line lies and what it must contain."""

    row: int
    source: int
    line: int
    offset: int
    length: int
    id: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Twin:
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
    twins: tuple[Twin, ...]
    """Rows with an id that is taken; they were left out."""
    changed: int
    """Rows whose content changed since an earlier session answered them; they run again."""
    removed: int
    """Rows that an earlier session answered and the input no longer holds."""


def index_rows(connection: sqlite3.Connection, records: Iterable[RowRecord], *, limit: int | None) -> IndexReport:
    """Make the journal's rows those of *records*; with a *limit*, rows beyond that many are left as they are.

    The caller's transaction decides whether it lasts: a crash or a refusal leaves the former index.
    """
    _scan(connection, records)
    _number_equals(connection)
    twins = tuple(_drop_twins(connection))
    changed, removed = _compare(connection, limit)
    _merge(connection, limit)
    (rows,) = connection.execute("SELECT count(*) FROM scan").fetchone()
    connection.execute("DROP TABLE scan")
    return IndexReport(rows, twins, changed, removed)


def pending_rows(
    connection: sqlite3.Connection, lane: str, after: int, *, limit: int | None, retry_failed: bool, count: int
) -> list[RowRef]:
    """The next *count* rows of *lane* after row number *after* that still need an answer."""
    found = connection.execute(
        "SELECT r.row, r.source, r.line, r.offset, r.length, r.id, r.digest FROM rows r"
        " WHERE r.row > ? AND r.lane = ? AND r.live AND r.position < ?"
        " AND NOT EXISTS (SELECT 1 FROM results x WHERE x.row = r.row AND (x.ok OR NOT ?))"
        " ORDER BY r.row LIMIT ?",
        (after, lane, _end(limit), retry_failed, count),
    )
    return [RowRef(*row) for row in found]


def _end(limit: int | None) -> int:
    return 2**62 if limit is None else limit


def _scan(connection: sqlite3.Connection, records: Iterable[RowRecord]) -> None:
    connection.execute(
        "CREATE TEMP TABLE scan (position INTEGER PRIMARY KEY, id TEXT, own INTEGER, digest BLOB, lane TEXT,"
        " source INTEGER, line INTEGER, offset INTEGER, length INTEGER)"
    )
    insert = "INSERT INTO scan (id, own, digest, lane, source, line, offset, length) VALUES (?,?,?,?,?,?,?,?)"
    stream = iter(records)
    while chunk := list(islice(stream, _CHUNK)):
        connection.executemany(insert, chunk)
    connection.execute("CREATE INDEX scan_id ON scan(id)")


def _number_equals(connection: sqlite3.Connection) -> None:
    # Equal lines without an id of their own: the second becomes <digest>-2, wherever it stands in the file.
    again = "SELECT id FROM scan WHERE NOT own GROUP BY id HAVING count(*) > 1"
    connection.execute(
        "UPDATE scan SET id = scan.id || '-' || k.ordinal FROM"
        " (SELECT position, row_number() OVER (PARTITION BY id ORDER BY position) AS ordinal"
        f"  FROM scan WHERE NOT own AND id IN ({again})) k"  # no value from outside in it
        " WHERE scan.position = k.position AND k.ordinal > 1"
    )


def _drop_twins(connection: sqlite3.Connection) -> Iterator[Twin]:
    found = connection.execute(
        "SELECT s.id, s.source, s.line, f.source, f.line, s.position FROM scan s"
        " JOIN (SELECT id, min(position) AS first FROM scan GROUP BY id HAVING count(*) > 1) d ON d.id = s.id"
        " JOIN scan f ON f.position = d.first WHERE s.position > d.first ORDER BY s.position"
    ).fetchall()
    connection.executemany("DELETE FROM scan WHERE position = ?", ((row[5],) for row in found))
    for row in found:
        yield Twin(*row[:5])


def _compare(connection: sqlite3.Connection, limit: int | None) -> tuple[int, int]:
    gone = (
        "SELECT count(*) FROM rows r WHERE r.live AND r.position < ?"
        " AND EXISTS (SELECT 1 FROM results x WHERE x.row = r.row)"
    )
    (removed,) = connection.execute(
        f"{gone} AND NOT EXISTS (SELECT 1 FROM scan s WHERE s.id = r.id)", (_end(limit),)
    ).fetchone()
    (changed,) = connection.execute(
        f"{gone} AND EXISTS (SELECT 1 FROM scan s WHERE s.id = r.id AND s.digest <> r.digest)", (_end(limit),)
    ).fetchone()
    return changed, removed


def _merge(connection: sqlite3.Connection, limit: int | None) -> None:
    (known,) = connection.execute("SELECT count(*) FROM rows").fetchone()
    columns = "id, digest, lane, position, source, line, offset, length"
    # Positions start at 0 and skip dropped twins' numbers: only their order matters, and that `limit` cuts at them.
    fresh = "SELECT s.id, s.digest, s.lane, s.position - 1, s.source, s.line, s.offset, s.length FROM scan s"
    if known:
        # Only now: most inputs are looked at once, and an index of random ids is a tenth of that look.
        connection.execute("CREATE INDEX IF NOT EXISTS rows_id ON rows(id)")
        connection.execute("UPDATE rows SET live = 0 WHERE position < ? OR id IN (SELECT id FROM scan)", (_end(limit),))
        connection.execute(
            "UPDATE rows SET live = 1, lane = s.lane, position = s.position - 1, source = s.source, line = s.line,"
            " offset = s.offset, length = s.length FROM scan s WHERE s.id = rows.id AND s.digest = rows.digest"
        )
        fresh += " WHERE NOT EXISTS (SELECT 1 FROM rows r WHERE r.id = s.id AND r.digest = s.digest)"
    connection.execute(f"INSERT INTO rows ({columns}) {fresh} ORDER BY s.position")  # as above
