"""The failed attempts of earlier sessions, as the counting of attempts needs them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from claudebatch.storage.journal.queries import PREWARMS
from claudebatch.storage.journal.schema import AttemptState

# A 429 is no attempt; neither is one that never left, that was called off, or whose
# session died before anything came back. Names in capitals are reasons to stop. What
# went out with a batch says nothing of requests that are sent at once, nor of when.
_FAILED = f"""
SELECT a.row, a.model, a.sent_ms + a.latency_ms,
  EXISTS (SELECT 1 FROM results x WHERE x.row = a.row),
  a.error = 'connection_error' OR (a.error = 'bad_answer' AND a.state <> :failed)
    OR (a.error = 'api_error' AND coalesce(a.status, 500) IN (200, 500))
FROM attempts a
WHERE a.batch = 0 AND a.state IN (:failed, :unknown, :partial, :settled) AND a.error IS NOT NULL
  AND coalesce(a.status, 0) <> 429 AND a.error NOT IN ('never sent', 'cancelled')
  AND a.error NOT GLOB '[A-Z]*'
  AND NOT (a.error = 'connection_error' AND a.state = :failed) AND NOT {PREWARMS}
ORDER BY a.attempt
"""
_ANY_TO_DO = """
SELECT EXISTS (
  SELECT 1 FROM attempts a JOIN rows r ON r.row = a.row AND r.live
  WHERE a.batch = 0 AND a.error IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM results x WHERE x.row = a.row AND x.ok))
"""
_TO_DO = """
SELECT count(*) FROM rows r
WHERE r.live AND NOT EXISTS (SELECT 1 FROM results x WHERE x.row = r.row)
"""
_ANSWERED = (
    "SELECT model, sent_ms + latency_ms FROM attempts WHERE batch = 0 AND state = ? ORDER BY 2"
)
_LET_IN = "SELECT model, sent_ms FROM attempts WHERE batch = 0 AND state = ? ORDER BY 2"
# Rows with a result were given up, and start anew. Those of fast mode begin anew with
# each session: an attempt does not tell its pool, and standard ones are let in beside.
_LIMITED = f"""
SELECT a.row, a.model, a.sent_ms FROM attempts a JOIN rows r ON r.row = a.row
WHERE a.status = 429 AND a.error NOT GLOB '[A-Z]*' AND r.lane NOT LIKE '%-fast' AND NOT {PREWARMS}
  AND NOT EXISTS (SELECT 1 FROM results x WHERE x.row = a.row)
ORDER BY a.attempt
"""


class LimitedAttempt(NamedTuple):
    """An attempt that met a 429."""

    row: int
    model: str
    sent_ms: int


class FailedAttempt(NamedTuple):
    """An attempt that was sent and brought no answer."""

    row: int
    model: str
    at_ms: int
    """When it failed."""
    ended: bool
    """Whether its row has a result: then it was given up, and starts anew."""
    may_be_rows: bool
    """Whether single rows fail in this way, too."""


def failed_attempts(connection: sqlite3.Connection) -> list[FailedAttempt]:
    """Those of all rows, in order; none where no row that is to be done has failed."""
    (any_to_do,) = connection.execute(_ANY_TO_DO).fetchone()
    if not any_to_do:
        return []
    states = {
        "failed": AttemptState.FAILED,
        "unknown": AttemptState.UNKNOWN,
        "partial": AttemptState.PARTIAL,
        "settled": AttemptState.SETTLED,
    }
    return [
        FailedAttempt(row, model, at_ms, bool(ended), bool(may_be_rows))
        for row, model, at_ms, ended, may_be_rows in connection.execute(_FAILED, states)
    ]


def rows_to_do(connection: sqlite3.Connection) -> int:
    """How many rows have no result."""
    (count,) = connection.execute(_TO_DO).fetchone()
    return int(count)


def limited_attempts(connection: sqlite3.Connection) -> list[LimitedAttempt]:
    """The 429s of the rows that have no result, in order."""
    return [LimitedAttempt(*columns) for columns in connection.execute(_LIMITED)]


def let_in_at(connection: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    """(model, Unix milliseconds) of the sending of every request that was answered, in
    order of time.
    """
    return connection.execute(_LET_IN, (AttemptState.ANSWERED,))


def answered_at(connection: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    """(model, Unix milliseconds) of every answer, in order of time."""
    return connection.execute(_ANSWERED, (AttemptState.ANSWERED,))
