"""The rows of a session as its plan for a deadline counts them.

In temporary tables, beside the roads: the next session plans what is left then.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from claudebatch.storage.journal.roads import go_live, shares
from claudebatch.storage.journal.row_records import RowFilter, RowRef
from claudebatch.storage.journal.rows import IN_BATCH, LIVE, pending_keys, pending_rows

_TABLES = (
    "CREATE TEMP TABLE planned (row INTEGER PRIMARY KEY, part INTEGER NOT NULL,"
    " weight REAL NOT NULL)",
    # Requests that are counted already: equal ones share the first one's answer.
    "CREATE TEMP TABLE planned_keys (key BLOB PRIMARY KEY) WITHOUT ROWID",
    # Results of before the plan: rows that are asked again have one.
    "CREATE TEMP TABLE planned_after (n INTEGER NOT NULL)",
    "INSERT INTO temp.planned_after SELECT coalesce(max(n), 0) FROM results",
    "INSERT INTO temp.planned_keys SELECT key FROM temp.leads",
    # Beginnings of requests that the API is to keep.
    "CREATE TEMP TABLE planned_kept (digest BLOB PRIMARY KEY, seconds INTEGER NOT NULL,"
    " rows INTEGER NOT NULL) WITHOUT ROWID",
)
_NEW_KEY = "INSERT OR IGNORE INTO temp.planned_keys VALUES (?)"
_IN_BATCHES = (
    "SELECT DISTINCT row FROM attempts WHERE batch > 0 AND state = 6 AND row BETWEEN ? AND ?"
)
_SIZES = "SELECT row, chain, size FROM rows WHERE row BETWEEN ? AND ?"
_NOTE_SIZE = "UPDATE rows SET size = ? WHERE row = ?"
# One of each stratum of rows by weight, and of each the largest: neither the time nor
# the dollars of the others are more than their part.
_LARGEST_OF_EACH = (
    "SELECT row FROM (SELECT row, row_number() OVER (ORDER BY weight DESC, row) - 1 AS n"
    " FROM temp.planned WHERE part = :part) WHERE (:of - (n * :rows) % :of) % :of < :rows"
)
_WAITING = (
    "SELECT p.part, count(*), sum(p.weight) FROM temp.planned p JOIN rows r ON r.row = p.row"
    f" WHERE ({IN_BATCH} OR NOT {LIVE}) AND NOT EXISTS (SELECT 1 FROM results x"
    " WHERE x.row = p.row AND x.n > (SELECT n FROM temp.planned_after)) GROUP BY p.part"
)


class RowToPlan(NamedTuple):
    """A row that is to be answered by a request of its own."""

    ref: RowRef
    in_batch: bool
    model: str
    rule: str
    chain: bytes
    """Its beginnings that other rows may share."""
    size: bytes
    """Empty: its line has to be read."""


class WaitingPart(NamedTuple):
    """What of a part of the plan is in batches, or is to go into one."""

    rows: int
    weight: float


def begin_plan(journal: sqlite3.Connection) -> None:
    """To be called once, after `set_roads`, and once nothing is with the cache."""
    for statement in _TABLES:
        journal.execute(statement)


def rows_to_plan(
    journal: sqlite3.Connection, wanted: RowFilter, lane: str, after: int, count: int
) -> tuple[list[RowToPlan], int | None]:
    """Of the next *count* rows of *lane* those that need a request of their own, and
    the last row looked at; None: there are no more.
    """
    # Rows in batches, too: they take time where their batches are given up.
    wanted = wanted._replace(road="any")
    refs = pending_rows(journal, wanted, lane, after, count)
    if not refs:
        return [], None
    keys = pending_keys(journal, wanted, lane, after, count)
    share, span = shares(journal), (refs[0].row, refs[-1].row)
    in_batch = {row for (row,) in journal.execute(_IN_BATCHES, span)}
    sizes = {row: more for row, *more in journal.execute(_SIZES, span)}
    found = [
        RowToPlan(ref, ref.row in in_batch, key.model, key.rule, *sizes[ref.row])
        for ref, key in zip(refs, keys, strict=True)
        if ref.row in in_batch or not (share and key.key) or _is_new(journal, key.key)
    ]
    return found, refs[-1].row


def note_planned(
    journal: sqlite3.Connection,
    rows: Iterable[tuple[int, int, float]],
    *,
    live: Iterable[int],
) -> None:
    """Note (row, number of its part of the plan, weight); those of *live* are sent at
    once, whatever is planned.
    """
    journal.executemany("INSERT INTO temp.planned VALUES (?, ?, ?)", rows)
    go_live(journal, live)


def note_sizes(journal: sqlite3.Connection, sizes: Iterable[tuple[bytes, int]]) -> None:
    """Note (size, row) of rows whose lines had to be read."""
    # Together: a commit for each would be most of the time.
    journal.execute("BEGIN")
    journal.executemany(_NOTE_SIZE, sizes)
    journal.execute("COMMIT")


def note_kept(journal: sqlite3.Connection, beginnings: Iterable[tuple[bytes, int, int]]) -> None:
    """Note (digest, seconds, rows that share it) of what the API is to keep."""
    # Rows may ask for different times of the same beginning; the longest is kept.
    journal.executemany(
        "INSERT INTO temp.planned_kept VALUES (?, ?, ?) ON CONFLICT (digest) DO UPDATE"
        " SET seconds = max(seconds, excluded.seconds), rows = rows + excluded.rows",
        beginnings,
    )


def look_up_kept(
    journal: sqlite3.Connection, digests: Iterable[bytes]
) -> dict[bytes, tuple[int, int]]:
    """(seconds, rows) of those of *digests* that are kept."""
    query = "SELECT seconds, rows FROM temp.planned_kept WHERE digest = ?"
    found = {digest: journal.execute(query, (digest,)).fetchone() for digest in digests}
    return {digest: row for digest, row in found.items() if row is not None}


def send_now(journal: sqlite3.Connection, part: int, rows: int, *, of: int) -> None:
    """So many *rows* of the *of* rows of *part* are sent at once; always the same
    ones.
    """
    chosen = journal.execute(_LARGEST_OF_EACH, {"part": part, "rows": rows, "of": of})
    go_live(journal, [row for (row,) in chosen.fetchall()])


def send_all_now(journal: sqlite3.Connection) -> None:
    """Rows that are in no batch are sent at once from now on, but for those whose rules
    say otherwise.
    """
    journal.execute("UPDATE temp.default_road SET live = 1")


def waiting_parts(journal: sqlite3.Connection) -> Mapping[int, WaitingPart]:
    """What waits for batches, by the number of its part of the plan."""
    return {part: WaitingPart(rows, weight) for part, rows, weight in journal.execute(_WAITING)}


def _is_new(journal: sqlite3.Connection, key: bytes) -> bool:
    return journal.execute(_NEW_KEY, (key,)).rowcount > 0
