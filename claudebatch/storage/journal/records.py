"""What is written into the journal while a run goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from claudebatch.core.domain import Pico

_MS_PER_DAY = 86_400_000


class AttemptIntent(NamedTuple):
    """An attempt that is about to be sent, at its worst case; the order of fields is
    that of `seals.ATTEMPT_FIELDS`.
    """

    attempt: int
    row: int
    model: str
    worst: Pico
    sent_ms: int
    day: str
    """The UTC day whose money it takes."""
    rule: str = ""
    input_estimate: int = 0
    """Input tokens, as they were expected."""
    output_estimate: int = 0
    output_bound: int = 0
    """Its `max_tokens`."""
    id: str = ""
    """The row's id: the journal has it in its table of rows, the spend ledger needs it
    told.
    """


class AttemptRecord(NamedTuple):
    """What became of an attempt; the order of fields is that of the statement that
    writes it (`writing`).
    """

    state: int
    cost: Pico
    cost_known: bool
    input_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    cache_read_tokens: int
    output_tokens: int
    web_searches: int
    tier: str | None
    geo: str | None
    speed: str | None
    price_version: str
    latency_ms: int
    status: int | None
    request_id: str | None
    error: str | None
    body: bytes | None
    simulated: bool
    attempt: int
    # Not a column: what the spend ledger needs to undo the hold and to write the
    # attempt down.
    intent: AttemptIntent


class ResultRecord(NamedTuple):
    """A row's result line; `body` where no attempt of this run holds the message."""

    row: int
    ok: bool
    head: bytes
    attempt: int | None
    body: bytes | None
    source: int
    """Where the answer came from: a member of `schema.Came`."""
    saved: Pico
    """What an answer would have cost that cost nothing."""
    day: str
    """The UTC day of an answer that cost nothing; empty of every other result."""
    # Not columns: the message for the output line, wherever it is stored, and whose
    # sums `saved` belongs to.
    message: bytes | None
    model: str = ""
    rule: str = ""


Record = AttemptIntent | AttemptRecord | ResultRecord


def utc_day(ms: int) -> str:
    """The UTC day of the moment *ms* (Unix milliseconds), as 2026-11-22."""
    return _day(ms // _MS_PER_DAY)


@lru_cache(maxsize=64)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * 86_400, UTC).date().isoformat()
