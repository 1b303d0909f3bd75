"""Rows by the names that requests of somebody else's batch may have: their ids, or the
digests in the names that claudebatch itself gives.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from claudebatch.storage.columns import marks

_TABLE = (
    "CREATE TEMP TABLE row_names (name TEXT NOT NULL, row INTEGER NOT NULL)",
    "INSERT INTO temp.row_names SELECT id, row FROM rows WHERE live",
    "INSERT INTO temp.row_names SELECT lower(hex(substr(digest, 1, 16))), row FROM rows WHERE live",
    "CREATE INDEX temp.row_names_name ON row_names(name)",
)
_KNOWN = "SELECT 1 FROM temp.sqlite_master WHERE name = 'row_names'"
_ROWS = (
    "SELECT n.name, r.row, r.model, r.id,"
    " EXISTS (SELECT 1 FROM results x WHERE x.row = r.row AND x.ok) OR EXISTS"
    " (SELECT 1 FROM attempts a WHERE a.row = r.row AND a.batch > 0 AND a.state = 6)"
    " FROM temp.row_names n JOIN rows r ON r.row = n.row WHERE n.name IN ({}) ORDER BY r.row"
)
_ATTEMPTS = (
    "SELECT n.name, a.attempt FROM temp.row_names n JOIN attempts a ON a.row = n.row"
    " WHERE a.batch > 0 AND a.batch = ? AND n.name IN ({})"
)


class NamedRow(NamedTuple):
    """A row that a name stands for."""

    name: str
    row: int
    model: str
    id: str
    taken: bool
    """It has an answer, or is in a batch."""


def rows_of_names(journal: sqlite3.Connection, names: Sequence[str]) -> list[NamedRow]:
    """The rows that *names* stand for, in the order of the input."""
    _name_rows(journal)
    found = journal.execute(_ROWS.format(marks(len(names))), names)
    return [
        NamedRow(name, row, model, id=own, taken=bool(taken))
        for name, row, model, own, taken in found
    ]


def attempts_of_names(
    journal: sqlite3.Connection, batch: int, names: Sequence[str]
) -> dict[str, int]:
    """The attempts in *batch* that *names* stand for."""
    _name_rows(journal)
    return dict(journal.execute(_ATTEMPTS.format(marks(len(names))), (batch, *names)).fetchall())


def _name_rows(journal: sqlite3.Connection) -> None:
    # Once a session, and only where a batch is attached: a million names take a second.
    if journal.execute(_KNOWN).fetchone() is None:
        for statement in _TABLE:
            journal.execute(statement)
