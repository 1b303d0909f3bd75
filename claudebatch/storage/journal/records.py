"""The records that are written into the journal while a run goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache

from claudebatch.core.domain import PREWARM, Pico, Usage
from claudebatch.core.frozen import value

_MS_PER_DAY = 86_400_000


# The numbers are in files: they stay, and new members go to the end.
class AnswerSource(IntEnum):
    """The source of a result's answer."""

    API = 0
    """Also of a failure."""
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
    """Expected input tokens, before the answer said how many there were."""
    output_estimate: int = 0
    output_bound: int = 0
    """Its `max_tokens`."""
    id: str = ""
    """The row's id, for the ledger. The journal has it in its table of rows."""
    batch: int = 0
    """The number of the message batch that it goes out with; 0: by itself, at once."""

    @property
    def prewarms(self) -> bool:
        """Whether it only writes to the API's prompt cache: see `Call.prewarms`."""
        return self.rule == PREWARM and self.output_bound == 0


@value
class AttemptPrice:
    """The price of an attempt."""

    cost: Pico = 0
    known: bool = True
    """False: the model that answered has no known price. Then `cost` 0 means nothing.
    """
    version: str = ""
    """The version of the price list; prices change, the cost of an old answer does not.
    """


@value
class HttpExchange:
    """An attempt as HTTP saw it."""

    latency_ms: int = 0
    status: int | None = None
    request_id: str | None = None
    error: str | None = None
    """The error's type; None for an answer."""


@value
class AttemptRecord:
    """An attempt that has ended: its intent, outcome, price, usage and answer."""

    intent: AttemptIntent
    state: int
    """A member of `schema.AttemptState`."""
    price: AttemptPrice
    usage: Usage
    http: HttpExchange
    body: bytes | None = None
    simulated: bool = False
    ending: int = 0
    """The `Ending` of its answer; 0: it has none, or nobody noted it."""

    @property
    def attempt(self) -> int:
        """Its number."""
        return self.intent.attempt


@value
class FreeAnswer:
    """A free answer: its source, and the money saved by it."""

    source: AnswerSource
    saved: Pico
    """Its price, had it been asked for."""
    day: str
    """The UTC day."""
    model: str
    """With *rule*: the ledger's line of sums that `saved` belongs to."""
    rule: str


NOT_FREE = FreeAnswer(AnswerSource.API, 0, "", "", "")
"""Of failures, and of answers that an attempt of their own brought."""


@value
class ResultRecord:
    """A row's result line."""

    row: int
    ok: int
    """The `Ending` of an answer; 0: the row failed."""
    head: bytes
    message: bytes | None = None
    """For the result line, wherever it is stored."""
    attempt: int | None = None
    """The attempt of this run that holds the message."""
    free: FreeAnswer = NOT_FREE
    place: bytes = b""
    """The members of its line that tell where its row stands in the input: see
    `result_lines.place`.
    """

    @property
    def body(self) -> bytes | None:
        """The message, where no attempt of this run holds it."""
        return self.message if self.attempt is None else None


Record = AttemptIntent | AttemptRecord | ResultRecord


def utc_day(ms: int) -> str:
    """The UTC day of the moment *ms* (Unix milliseconds), as 2026-11-22."""
    return _day(ms // _MS_PER_DAY)


# Every attempt asks for its day, and a run lives through few of them.
@lru_cache(maxsize=64)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * 86_400, UTC).date().isoformat()
