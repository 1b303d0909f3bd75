"""What is written into the journal while a run goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache

from claudebatch.core.domain import Pico, Usage
from claudebatch.core.frozen import value

_MS_PER_DAY = 86_400_000


class AnswerSource(IntEnum):
    """Where the answer of a result came from."""

    API = 0
    """Or it is a failure."""
    CACHE = 1
    DUPLICATE = 2
    """Another row's request in flight."""


@value
class AttemptIntent:
    """An attempt that is about to be sent, at its worst case."""

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
    """The row's id. The journal has it in its table of rows; the ledger needs it here.
    """


@value
class AttemptPrice:
    """What an attempt cost."""

    cost: Pico = 0
    known: bool = True
    """False: the model that answered has no known price."""
    version: str = ""
    """The prices that it was computed with."""


@value
class HttpExchange:
    """How an attempt went on the wire."""

    latency_ms: int = 0
    status: int | None = None
    request_id: str | None = None
    error: str | None = None
    """The error's type; None for an answer."""


@value
class AttemptRecord:
    """An attempt that has come back: what was sent, what it took, cost and brought."""

    intent: AttemptIntent
    state: int
    """A member of `schema.AttemptState`."""
    price: AttemptPrice
    usage: Usage
    http: HttpExchange
    body: bytes | None = None
    simulated: bool = False

    @property
    def attempt(self) -> int:
        """Its number."""
        return self.intent.attempt


@value
class FreeAnswer:
    """Where an answer came from that cost nothing, and what that saved."""

    source: AnswerSource
    saved: Pico
    """What it would have cost."""
    day: str
    """The UTC day."""
    model: str
    """With *rule*: whose sums in the ledger `saved` belongs to."""
    rule: str


NOT_FREE = FreeAnswer(AnswerSource.API, 0, "", "", "")
"""Of failures, and of answers that an attempt of their own brought."""


@value
class ResultRecord:
    """A row's result line."""

    row: int
    ok: bool
    head: bytes
    message: bytes | None = None
    """For the result line, wherever it is stored."""
    attempt: int | None = None
    """The attempt of this run that holds the message."""
    free: FreeAnswer = NOT_FREE

    @property
    def body(self) -> bytes | None:
        """The message, where no attempt of this run holds it."""
        return self.message if self.attempt is None else None


Record = AttemptIntent | AttemptRecord | ResultRecord


def utc_day(ms: int) -> str:
    """The UTC day of the moment *ms* (Unix milliseconds), as 2026-11-22."""
    return _day(ms // _MS_PER_DAY)


@lru_cache(maxsize=64)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * 86_400, UTC).date().isoformat()
