"""Journals with rows in them, and records to write into them."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from claudebatch.core.domain import Usage
from claudebatch.storage.journal import AttemptState, Journal, RowRecord, index_rows, open_journal
from claudebatch.storage.journal.records import (
    AnswerSource,
    AttemptIntent,
    AttemptPrice,
    AttemptRecord,
    FreeAnswer,
    HttpExchange,
    ResultRecord,
    utc_day,
)

NOON_MS = 1_795_348_800_000
"""2026-11-22, 12:00 UTC."""


def record(
    text: str, *, id: str | None = None, lane: str = "haiku", line: int = 1, source: int = 0
) -> RowRecord:
    """A checked line; without an id of its own it is known by its digest, as in a
    run.
    """
    digest = hashlib.sha256(text.encode()).digest()
    return RowRecord(
        id or digest.hex()[:16], id is not None, digest, lane, source, line, 100 * line, len(text)
    )


def index(connection: sqlite3.Connection, *records: RowRecord, limit: int | None = None):
    """Index *records*, in one transaction as in a run."""
    connection.execute("BEGIN IMMEDIATE")
    report = index_rows(connection, records, limit=limit)
    connection.execute("COMMIT")
    return report


def outcome(
    attempt: int,
    state: AttemptState = AttemptState.ANSWERED,
    *,
    row: int = 1,
    cost: int = 7,
    worst: int = 100,
    body: bytes | None = None,
    model: str = "claude-haiku-5-5",
    sent_ms: int = NOON_MS,
    tokens: tuple[int, int, int, int] = (1, 2, 3, 4),
    simulated: bool = False,
    known: bool = True,
) -> AttemptRecord:
    """What became of *attempt*; a failed or unknown one has no cost and no tokens."""
    if state is not AttemptState.ANSWERED:
        cost, tokens, body, simulated = 0, (0, 0, 0, 0), None, False
    error = None if state is AttemptState.ANSWERED else "overloaded_error"
    fresh, written, read, out = tokens
    return AttemptRecord(
        intent=intent(attempt, row=row, worst=worst, model=model, sent_ms=sent_ms),
        state=state,
        price=AttemptPrice(cost, known, "p1"),
        usage=Usage(
            input_tokens=fresh,
            ephemeral_5m_input_tokens=written,
            cache_read_input_tokens=read,
            output_tokens=out,
            service_tier="standard",
        ),
        http=HttpExchange(50, error=error),
        body=body,
        simulated=simulated,
    )


def intent(
    attempt: int,
    *,
    row: int = 1,
    worst: int = 100,
    model: str = "claude-haiku-5-5",
    sent_ms: int = NOON_MS,
) -> AttemptIntent:
    """An attempt that is about to be sent."""
    return AttemptIntent(
        attempt, row, model, worst, sent_ms, utc_day(sent_ms), "default", 10, 20, 30, f"row-{row}"
    )


def succeeded(row: int, attempt: int | None, message: bytes = b'{"m":1}') -> ResultRecord:
    """A row's good result; its message lies in its attempt's row, or in its own where
    it has no attempt.
    """
    head = b'{"id":"%d"' % row
    if attempt:
        return ResultRecord(row, True, head, message, attempt)
    free = FreeAnswer(AnswerSource.CACHE, 0, "2026-11-22", "", "")
    return ResultRecord(row, True, head, message, free=free)


def failed(row: int) -> ResultRecord:
    """A row's bad result."""
    return ResultRecord(row, False, b'{"id":"%d","status":"failed"' % row)


@dataclass
class Lines:
    """An `Output` in a list."""

    written: list[bytes] = field(default_factory=list)
    on_append: object = None

    def append(self, lines: list[bytes]) -> None:
        """Keep *lines*."""
        if callable(self.on_append):
            self.on_append()
        self.written += lines


@dataclass
class NoLedger:
    """A `Ledger` that only notes what it is told, and when."""

    told: list[tuple[list[int], list[int]]] = field(default_factory=list)

    def apply(self, intents: Iterable[AttemptIntent], outcomes: Iterable[AttemptRecord]) -> None:
        """Note the attempts' numbers."""
        self.told.append(([i.attempt for i in intents], [o.attempt for o in outcomes]))

    def keep(self, results: Iterable[ResultRecord]) -> None:
        """Results cost nothing here."""


@dataclass
class SmallJournal:
    """An open journal with all that it writes to."""

    connection: sqlite3.Connection
    journal: Journal
    output: Lines
    ledger: NoLedger
    failures: list[str]
    closed: bool = False

    async def close(self) -> None:
        """Close the journal, once; its connection stays open to be looked into."""
        if not self.closed:
            self.closed = True
            await self.journal.close()


def open_small_journal(path: Path, *, rows: int = 20) -> SmallJournal:
    """A journal at *path* with *rows* indexed rows; call inside a running loop."""
    connection = open_journal(path)
    index(
        connection, *(record(f"row {row}", id=f"row-{row}", line=row) for row in range(1, rows + 1))
    )
    output, ledger, failures = Lines(), NoLedger(), []
    journal = Journal(connection, output=output, ledger=ledger, on_failure=failures.append)
    return SmallJournal(connection, journal, output, ledger, failures)
