"""Answers that came after a row's last result: each is paid for, and was not the row's
last word.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from claudebatch.core.domain import Pico
from claudebatch.storage.columns import marks
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
_EQUAL = (
    f"WITH open AS MATERIALIZED (SELECT DISTINCT a.row{_OPEN})"
    " SELECT r.row, q.row FROM open o JOIN rows q ON q.row = o.row"
    " JOIN rows r ON r.key = q.key WHERE length(q.key) > 0 AND r.live AND r.row <> q.row"
)
_ANSWERS = (
    "SELECT attempt, body, cost, cost_known AND state = ?, request_id, latency_ms, batch, digest"
    " FROM attempts WHERE model = ? AND body IS NOT NULL AND attempt IN ({}) ORDER BY attempt"
)


class OpenAnswer(NamedTuple):
    """One such answer."""

    attempt: int
    body: bytes
    cost: Pico
    cost_known: bool
    request_id: str | None
    latency_ms: int
    in_batch: bool


def open_attempts(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """(row, attempt) of all of them, in their order."""
    query = f"SELECT a.row, a.attempt{_OPEN} ORDER BY a.attempt"
    return connection.execute(query, _STATES).fetchall()


def equals_of_open(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """(row, the row with such answers that asks for the same) of other rows."""
    return connection.execute(_EQUAL, _STATES).fetchall()


def open_answers(
    connection: sqlite3.Connection, attempts: Sequence[int], model: str
) -> Iterator[OpenAnswer]:
    """Those of *attempts* that *model* gave, in order. Damaged ones are left out."""
    # By number: a look for a row's attempts would go through all of the run's.
    query = _ANSWERS.format(marks(len(attempts)))
    found = connection.execute(query, (AttemptState.ANSWERED, model, *attempts))
    for attempt, body, cost, known, request_id, latency_ms, batch, digest in found:
        if body_digest(body) == digest:
            yield OpenAnswer(
                attempt=attempt,
                body=bytes(body),
                cost=cost,
                cost_known=bool(known),
                request_id=request_id,
                latency_ms=latency_ms,
                in_batch=bool(batch),
            )
