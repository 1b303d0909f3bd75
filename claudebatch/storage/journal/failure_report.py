"""Why rows failed, in the API's words, from their results."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from claudebatch.core.result_lines import failure_of

# Failed rows that are looked at: enough for one example of each kind.
_MOST = 10_000
_ANY = "SELECT 1 FROM results WHERE ok = 0 LIMIT 1"
_FAILED = (
    "SELECT x.head FROM results x JOIN rows r ON r.row = x.row WHERE x.ok = 0 AND r.live"
    " AND r.position < ? AND NOT EXISTS"
    " (SELECT 1 FROM results y WHERE y.row = x.row AND y.ok) ORDER BY x.n LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class FailureReport:
    """The failed rows of a run."""

    examples: Mapping[str, str]
    """By type of failure, one message."""
    retryable: int
    """Rows whose request may succeed as it stands."""


def failures_of(connection: sqlite3.Connection, end: int) -> FailureReport:
    """Those of the rows before position *end* that have no answer."""
    # By the index alone: a run without failures reads no result for this.
    if not connection.execute(_ANY).fetchone():
        return FailureReport({}, 0)
    examples: dict[str, str] = {}
    retryable = 0
    for (head,) in connection.execute(_FAILED, (end, _MOST)):
        failure = failure_of(bytes(head))
        if failure is not None:  # damaged: `runs check` says so
            examples.setdefault(failure.type, failure.message)
            retryable += failure.retryable
    return FailureReport(examples, retryable)
