"""The index of the input's rows: on disk, so that a million rows take no memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from claudebatch.storage.journal.row_choice import Drawn, draw
from claudebatch.storage.journal.row_records import DuplicateId, IndexReport, RowChoice, RowRecord

# Rows written by one statement: fewer would cost a step of Python for each row, more
# only take memory.
_CHUNK = 2000
# Only constants are formatted into the statements of this file; an id from the input
# could otherwise be SQL.
_COLUMNS = (
    "id, own, digest, lane, source, line, offset, length, model, rule, key, columns, chain, size"
)
# A TEMP table lies in a file of its own (temp_store=FILE): a million rows neither fill
# memory nor stay in the journal.
_APART = "temp.scan"
_SCAN = """
CREATE TEMP TABLE scan (
  position INTEGER PRIMARY KEY, id TEXT, own INTEGER, digest BLOB, lane TEXT, source INTEGER,
  line INTEGER, offset INTEGER, length INTEGER, model TEXT, rule TEXT, key BLOB, columns BLOB,
  chain BLOB, size BLOB)
"""
# A position that no row has: without `--limit` the same statements serve.
_LAST = 2**62
_MODEL_DIFFERS = "r.model <> s.model"
# Rows of an older index, or of one without keys, have none: nobody knows.
_KEY_DIFFERS = "r.key <> s.key AND r.key <> x'' AND s.key <> x''"
# Answered as another request than the line would be sent as now; or in a batch as one,
# which will bring its answer.
_OTHERWISE = (
    "SELECT r.row, {answered} FROM rows r JOIN scan s ON s.id = r.id AND s.digest = r.digest"
    " WHERE {differs} AND {which}"
)
_ANSWERED = "EXISTS (SELECT 1 FROM results x WHERE x.row = r.row AND {kept})"
_IN_BATCH = "r.row IN (SELECT a.row FROM attempts a WHERE a.batch > 0 AND a.state = 6)"
# Answers that are cut off are none where they are asked for again.
_KEPT = {False: "x.ok", True: "x.ok NOT IN (0, 2)"}


class _Differences(NamedTuple):
    """The fields of a report that count rows which were asked before."""

    changed: int = 0
    removed: int = 0
    asked_otherwise: int = 0
    in_batches_otherwise: int = 0
    asked_again: int = 0


def index_rows(
    connection: sqlite3.Connection,
    records: Iterable[RowRecord],
    *,
    limit: int | None,
    choice: RowChoice | None = None,
    beside: bool = False,
    same_keys: bool = True,
    redo: bool = False,
    retry_cut: bool = False,
) -> IndexReport:
    """Make the journal's rows those of *records*; with a *limit*, rows beyond that many
    are left as they are. With a *choice*, so are all rows that are not chosen, and the
    chosen ones are the first ones from now on, so that a limit of their number holds
    them. *beside*: the rows there may be others than the first ones of the input, and
    stay for that reason, too.

    *same_keys*: equal requests have the keys that they had in the former index; else
    only their models are compared. *redo*: rows that were answered as another request
    run again; *retry_cut*: rows whose answers were cut off do.

    The caller's transaction decides whether it lasts: a crash or a refusal leaves the
    former index.
    """
    (known,) = connection.execute("SELECT EXISTS (SELECT 1 FROM rows)").fetchone()
    # Most inputs are looked at once: their rows need no second table.
    apart = known or choice is not None
    table = _APART if apart else "rows"
    _take_in(connection, table, records, find_ids=bool(known))
    # Before the comparison: two rows of one id would otherwise each count as changed.
    duplicates = _number_and_drop(connection, table)
    drawn = Drawn() if choice is None else draw(connection, choice)
    (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    found = _Differences()
    if apart:
        end = _LAST if limit is None else limit
        if choice is not None or (beside and limit is not None):
            end = _push_behind(connection, end)
        differs = _KEY_DIFFERS if same_keys else _MODEL_DIFFERS
        found = _differences(connection, end, differs, redo=redo, retry_cut=retry_cut)
        _merge(connection, end)
    return IndexReport(
        rows,
        duplicates,
        **found._asdict(),
        drawn_from=drawn.rows,
        requests=drawn.requests,
        unknown_ids=drawn.unknown_ids,
    )


def asked_as(connection: sqlite3.Connection, rows: Iterable[tuple[str, str, bytes, int]]) -> None:
    """What came back without an answer is asked next as (model, rule, key, row) says,
    not as it was.
    """
    connection.executemany("UPDATE rows SET model = ?, rule = ?, key = ? WHERE row = ?", rows)


def _push_behind(connection: sqlite3.Connection, end: int) -> int:
    """Move the rows that are there behind those of the scan, so that none of them
    counts as gone; returns the end of the scan's.
    """
    (rows,) = connection.execute("SELECT count(*) FROM temp.scan").fetchone()
    end = rows if end == _LAST else max(end, rows)
    connection.execute("UPDATE rows SET position = position + ?", (end,))
    return end


def _take_in(
    connection: sqlite3.Connection, table: str, records: Iterable[RowRecord], *, find_ids: bool
) -> None:
    if table == _APART:
        connection.execute(_SCAN)
    insert = f"INSERT INTO {table} (position, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
    # The position of a duplicate stays empty when it is dropped. Renumbering would move
    # the rows behind it, and `--limit` cuts at positions.
    stream = ((position, *record) for position, record in enumerate(records))
    while chunk := list(islice(stream, _CHUNK)):
        connection.executemany(insert, chunk)
    if find_ids:
        # After the inserts: an index that grows row by row takes several times as long.
        connection.execute("CREATE INDEX temp.scan_id ON scan(id)")


def _number_and_drop(connection: sqlite3.Connection, table: str) -> tuple[DuplicateId, ...]:
    """Make the ids of *table* differ from each other: equal lines are numbered, lines
    with a taken id left out.
    """
    # One pass decides for nearly all inputs: their ids all differ.
    again = f"SELECT 1 FROM {table} GROUP BY id HAVING count(*) > 1 LIMIT 1"
    if connection.execute(again).fetchone() is None:
        return ()
    _number_equals(connection, table)
    return tuple(_drop_duplicates(connection, table))


def _number_equals(connection: sqlite3.Connection, table: str) -> None:
    # Equal lines without an id of their own: the second becomes <digest>-2, wherever it
    # stands in the file. A number that depended on the neighbours would change with
    # them, and the row would be asked and paid for again.
    again = f"SELECT id FROM {table} WHERE NOT own GROUP BY id HAVING count(*) > 1"
    connection.execute(
        f"UPDATE {table} AS s SET id = s.id || '-' || k.ordinal FROM"
        " (SELECT rowid AS place, row_number() OVER (PARTITION BY id ORDER BY rowid) AS ordinal"
        f"  FROM {table} WHERE NOT own AND id IN ({again})) k"
        " WHERE s.rowid = k.place AND k.ordinal > 1"
    )


def _drop_duplicates(connection: sqlite3.Connection, table: str) -> Iterator[DuplicateId]:
    # The first line of an id stays. A later session must choose the same one, or an
    # answer would go to another line.
    found = connection.execute(
        f"SELECT s.rowid, s.id, s.source, s.line, f.source, f.line FROM {table} s"
        f" JOIN (SELECT id, min(rowid) AS first FROM {table} GROUP BY id HAVING count(*) > 1) d"
        " ON d.id = s.id"
        f" JOIN {table} f ON f.rowid = d.first WHERE s.rowid > d.first ORDER BY s.rowid"
    ).fetchall()
    places = ((place,) for place, *_ in found)
    connection.executemany(f"DELETE FROM {table} WHERE rowid = ?", places)
    for _, name, source, line, first_source, first_line in found:
        yield DuplicateId(name, source, line, first_source, first_line)


def _differences(
    connection: sqlite3.Connection, end: int, differs: str, *, redo: bool, retry_cut: bool
) -> _Differences:
    """What the scan says of answered rows, before it is merged. *differs*: in SQL, that
    a row was answered as another request; *redo* sets such rows aside.
    """
    changed, removed = _compare(connection, end)
    answered, in_batches = _find_otherwise(connection, differs, _KEPT[retry_cut])
    if redo:
        again = _set_aside(connection)
        return _Differences(changed, removed, in_batches_otherwise=in_batches, asked_again=again)
    return _Differences(changed, removed, answered, in_batches)


def _compare(connection: sqlite3.Connection, end: int) -> tuple[int, int]:
    # Only rows with a result count as changed or removed: the rest was never answered,
    # so nothing that was paid for goes away.
    answered = (
        "SELECT count(*) FROM rows r WHERE r.live"
        " AND EXISTS (SELECT 1 FROM results x WHERE x.row = r.row)"
    )
    (removed,) = connection.execute(
        f"{answered} AND r.position < ? AND NOT EXISTS (SELECT 1 FROM scan s WHERE s.id = r.id)",
        (end,),
    ).fetchone()
    (changed,) = connection.execute(
        f"{answered} AND EXISTS (SELECT 1 FROM scan s WHERE s.id = r.id AND s.digest <> r.digest)"
    ).fetchone()
    return changed, removed


def _find_otherwise(connection: sqlite3.Connection, differs: str, kept: str) -> tuple[int, int]:
    """Note the rows that were asked as another request; returns how many have answers,
    and how many are in batches.
    """
    # Only a second look needs it, and an index of random ids takes a tenth of the first
    # look's time.
    connection.execute("CREATE INDEX IF NOT EXISTS rows_id ON rows(id)")
    connection.execute(
        "CREATE TEMP TABLE otherwise (row INTEGER PRIMARY KEY, answered INTEGER NOT NULL)"
    )
    which = _ANSWERED.format(kept=kept), _IN_BATCH
    answered, in_batches = (
        connection.execute(
            "INSERT OR IGNORE INTO otherwise "
            + _OTHERWISE.format(answered=int(place == 0), differs=differs, which=condition)
        ).rowcount
        for place, condition in enumerate(which)
    )
    return answered, in_batches


def _set_aside(connection: sqlite3.Connection) -> int:
    """Let the rows that were answered as another request fit no line any more: their
    lines become new rows. What was paid for them stays in the journal.
    """
    count: int = connection.execute(
        "UPDATE rows SET live = 0, digest = digest || CAST('/' || row AS BLOB)"
        " WHERE row IN (SELECT row FROM otherwise WHERE answered)"
    ).rowcount
    connection.execute("DELETE FROM otherwise WHERE answered")
    return count


def _merge(connection: sqlite3.Connection, end: int) -> None:
    """Make the scan the index, and end it."""
    connection.execute(
        # Rows are never deleted: attempts and results refer to them, and a line that
        # comes back with the next edit finds its answer again.
        "UPDATE rows SET live = 0 WHERE position < ? OR id IN (SELECT id FROM scan)",
        (end,),
    )
    # A row that only moved gets its new place and route, and keeps its answers; one
    # that was asked as another request keeps what it was asked as: the answer that a
    # batch brings would be filed under the key of a request that nobody has sent.
    asked = ("model", "rule", "key")
    moved = [name for name in ("position", *_COLUMNS.split(", ")) if name not in ("id", *asked)]
    for names, which in ((moved, ""), (asked, " AND row NOT IN (SELECT row FROM otherwise)")):
        values = ", ".join(f"{name} = s.{name}" for name in names)
        connection.execute(
            f"UPDATE rows SET live = 1, {values} FROM scan s"
            f" WHERE s.id = rows.id AND s.digest = rows.digest{which}"
        )
    connection.execute(
        f"INSERT INTO rows (position, {_COLUMNS}) SELECT position, {_COLUMNS} FROM scan s"
        " WHERE NOT EXISTS (SELECT 1 FROM rows r WHERE r.id = s.id AND r.digest = s.digest)"
        " ORDER BY position"
    )
    connection.execute("DROP TABLE temp.scan")
    connection.execute("DROP TABLE temp.otherwise")
