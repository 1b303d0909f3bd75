"""Answers that came after a row's last result: each is paid for, and was not the row's
last word.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from claudebatch.core.domain import Pico
from claudebatch.storage.journal.checksums import body_digest
from claudebatch.storage.journal.schema import AttemptState

# A failed result has no attempt of its own: a row that is asked again after it goes on
# where it stopped.
_OPEN = (
    " FROM attempts a JOIN rows r ON r.row = a.row AND r.live"
    " WHERE a.state IN (?, ?) AND a.body IS NOT NULL AND a.attempt >"
    " coalesce((SELECT max(coalesce(x.attempt, -1)) FROM results x WHERE x.row = a.row), -1)"
)
_STATES = (AttemptState.ANSWERED, AttemptState.UNKNOWN)


class OpenAnswer(NamedTuple):
    """One such answer."""

    body: bytes
    cost: Pico
    cost_known: bool


def rows_with_open_answers(connection: sqlite3.Connection) -> set[int]:
    """The rows that have any."""
    return {row for (row,) in connection.execute(f"SELECT DISTINCT a.row{_OPEN}", _STATES)}


def open_answers(connection: sqlite3.Connection, row: int, model: str) -> Iterator[OpenAnswer]:
    """Those of *row* by *model*, in order. Damaged ones are left out."""
    query = (
        f"SELECT a.body, a.cost, a.cost_known AND a.state = ?, a.digest{_OPEN}"
        " AND a.row = ? AND a.model = ? ORDER BY a.attempt"
    )
    found = connection.execute(query, (AttemptState.ANSWERED, *_STATES, row, model))
    for body, cost, known, digest in found:
        if body_digest(body) == digest:
            yield OpenAnswer(bytes(body), cost, bool(known))
