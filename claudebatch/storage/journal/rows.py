"""Rows of the input that still need an answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import partial
from typing import Any, TypeVar

from claudebatch.core.domain import Pico
from claudebatch.storage.journal.beginnings import group_rows, order_rows
from claudebatch.storage.journal.row_records import RowFilter, RowKey, RowRef

Record = TypeVar("Record", RowRef, RowKey)

# Only constants and bound values make these statements: an id of the input could
# otherwise be SQL.
_REF = "r.row, r.source, r.line, r.offset, r.length, r.id, r.digest"
# The line's place is left out: a row that the response cache answers is never read
# again.
_KEY = "r.row, r.id, r.model, r.rule, r.key, r.own, r.source, r.line, r.columns"
# By row number and after the last one, not with OFFSET: an offset would skip rows when
# answers arrive between two chunks, and takes longer with each chunk. `live` and
# `position` leave out rows that the input no longer has, or that lie beyond `--limit`.
_WANTED = """
r.live AND r.position < :end
  AND NOT EXISTS
    (SELECT 1 FROM results x WHERE x.row = r.row AND
      (CASE x.ok WHEN 0 THEN NOT :retry_failed WHEN 5 THEN NOT :retry_failed
        WHEN 2 THEN NOT :retry_cut ELSE 1 END))
"""
_PENDING = """
SELECT {columns} FROM rows r
WHERE r.row > :after AND r.lane = :lane AND {wanted}{more}
ORDER BY r.row LIMIT :count
"""
# By their beginnings, where `order_pending` has found rows of one far apart.
_PENDING_IN_ORDER = """
SELECT {columns} FROM temp.row_order o JOIN rows r ON r.row = o.row
WHERE o.turn > coalesce((SELECT turn FROM temp.row_order WHERE row = :after), 0)
  AND r.lane = :lane AND {wanted}{more}
ORDER BY o.turn LIMIT :count
"""
# The table exists only with `--unknown skip`; a statement that names a missing table
# fails.
_NOT_LEFT_OUT = " AND r.row NOT IN (SELECT row FROM temp.left_out)"
# The tables are those of `set_roads`. An equal request that is on its way answers both.
IN_BATCH = "EXISTS (SELECT 1 FROM attempts a WHERE a.row = r.row AND a.batch > 0 AND a.state = 6)"
"""Holds of a row `r` that is in a batch now."""
_NOT_IN_BATCH = (
    f" AND NOT {IN_BATCH}"
    " AND NOT EXISTS (SELECT 1 FROM temp.leads l WHERE l.key = r.key AND length(r.key) > 0)"
)
LIVE = (
    "(r.row IN (SELECT row FROM temp.live_rows) OR coalesce((SELECT live FROM temp.rule_roads t"
    " WHERE t.rule = r.rule), (SELECT live FROM temp.default_road)))"
)
"""Holds of a row `r` that is sent at once."""
_ROADS = {
    "any": "",
    "unsent": _NOT_IN_BATCH,
    "live": f"{_NOT_IN_BATCH} AND {LIVE}",
    "batch": f"{_NOT_IN_BATCH} AND NOT {LIVE}",
}
# A position that no row has: without `--limit` the same statement serves.
_LAST = 2**62


def pending_rows(
    connection: sqlite3.Connection,
    wanted: RowFilter,
    lane: str,
    after: int,
    count: int,
    *,
    in_order: bool = False,
) -> list[RowRef]:
    """The next *count* rows of *lane* after row number *after* that still need an
    answer; *in_order*: as `order_pending` has put them.
    """
    span = _span(wanted, lane, after, count)
    query = _query(_REF, wanted, _PENDING_IN_ORDER if in_order else _PENDING)
    return _all(RowRef, connection.execute(query, span))


def order_pending(connection: sqlite3.Connection, wanted: RowFilter) -> bool:
    """Put rows that share a beginning next to each other, after `group_pending`; False
    where they are already.
    """
    return order_rows(connection, _WANTED + _more(wanted), _values(wanted))


def group_pending(connection: sqlite3.Connection, wanted: RowFilter, *, alike_once: bool) -> None:
    """Group the rows of all lanes that still need an answer by their beginnings, in
    `temp.row_groups`. *alike_once*: of equal requests one counts.
    """
    which = _WANTED + _more(wanted)
    group_rows(connection, which, _values(wanted), alike_once=alike_once)


def first_rows(connection: sqlite3.Connection, count: int) -> Iterator[RowRef]:
    """The first *count* rows of the input, in its order."""
    query = f"SELECT {_REF} FROM rows r WHERE r.live AND r.position < ? ORDER BY r.position"
    return map(RowRef._make, connection.execute(query, (count,)))


# What an answer that cost nothing would have cost counts for it.
_COSTS = f"""
SELECT {_REF}, CASE WHEN EXISTS (SELECT 1 FROM results x WHERE x.row = r.row)
  THEN coalesce(nullif(a.cost, 0), (SELECT max(saved) FROM results x WHERE x.row = r.row), 0) END
FROM rows r LEFT JOIN (SELECT row, sum(cost) AS cost FROM attempts GROUP BY row) a ON a.row = r.row
WHERE r.live AND r.position < ?
"""


def costs_of_rows(
    connection: sqlite3.Connection, count: int
) -> Iterator[tuple[RowRef, Pico | None]]:
    """The first *count* rows of the input, each with the cost of all its attempts; None
    where it has no result.
    """
    for *ref, cost in connection.execute(_COSTS, (count,)):
        yield RowRef(*ref), cost


def pending_keys(
    connection: sqlite3.Connection, wanted: RowFilter, lane: str, after: int, count: int
) -> list[RowKey]:
    """The same rows as `pending_rows`, as their answers are looked up."""
    span = _span(wanted, lane, after, count)
    return _all(RowKey, connection.execute(_query(_KEY, wanted), span))


def _all(record: type[Record], found: sqlite3.Cursor) -> list[Record]:
    # Fetched first: SQLite lets other threads in at each row, and whoever does
    # something between two rows waits for the interpreter each time.
    # `_make` is a function of Python's, which would be called for each.
    return list(map(partial(tuple.__new__, record), found.fetchall()))


def _query(columns: str, wanted: RowFilter, query: str = _PENDING) -> str:
    return query.format(columns=columns, wanted=_WANTED, more=_more(wanted))


def _more(wanted: RowFilter) -> str:
    return (_NOT_LEFT_OUT if wanted.left_out else "") + _ROADS[wanted.road]


def _span(wanted: RowFilter, lane: str, after: int, count: int) -> dict[str, Any]:
    return {"after": after, "lane": lane, "count": count, **_values(wanted)}


def _values(wanted: RowFilter) -> dict[str, Any]:
    return {
        "end": _LAST if wanted.limit is None else wanted.limit,
        "retry_failed": wanted.retry_failed,
        "retry_cut": wanted.retry_cut,
    }
