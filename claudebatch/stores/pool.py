"""A pool of models that share rate limits, within one process.

Requests are paced by aiolimiter with a short period, so that no burst of a minute's allowance goes out at once (its
`AsyncLimiter(60, 60)` lets 120 through in the first minute). Tokens need what it cannot do (first come first
served, give back, a request above capacity) and have our own `Bucket`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from aiolimiter import AsyncLimiter

from claudebatch.domain import Limits, Size, Usage
from claudebatch.stores.bucket import Bucket

# How much allowance may be saved up while nothing is sent. The API may enforce 60 a minute as one a second.
_TOKEN_BURST_S = 1.0
_REQUEST_BURST_S = 0.1


class Allowance(Protocol):
    """The rates of one pool; None where there is no limit."""

    @property
    def requests_per_minute(self) -> float | None:
        """RPM."""
        ...

    @property
    def input_tokens_per_minute(self) -> float | None:
        """ITPM: uncached input and cache writes."""
        ...

    @property
    def output_tokens_per_minute(self) -> float | None:
        """OTPM: tokens really produced."""
        ...


@dataclass(frozen=True, slots=True)
class Booking:
    """What was taken from a pool, when it may be used, and which limit says so."""

    wait_s: float
    reason: str
    input_tokens: int
    output_tokens: int


class LocalPool:
    """One pool's limits and its pause, shared by all lanes of this process."""

    def __init__(self, name: str, allowance: Allowance, *, concurrency: int, now: Callable[[], float]) -> None:
        self.name = name
        self._now = now
        moment = now()
        # Mutable, changed by the methods below only.
        self._pace = _pacer(allowance.requests_per_minute)
        self._requests = allowance.requests_per_minute
        self._input = _bucket(allowance.input_tokens_per_minute, moment)
        self._output = _bucket(allowance.output_tokens_per_minute, moment)
        self._paused_until = moment
        self._limited_since: float | None = None
        self.slots = asyncio.Semaphore(concurrency)
        """How many requests may be in flight."""

    async def book(self, size: Size) -> Booking:
        """Take the tokens of a request of *size*; the booking says how long to wait before sending it."""
        moment = self._now()
        waits = (
            (self._input.book(size.input_tokens, moment) if self._input else 0.0, "input tokens per minute"),
            (self._output.book(size.output_tokens, moment) if self._output else 0.0, "output tokens per minute"),
        )
        wait_s, reason = max(waits)
        return Booking(wait_s, reason, size.input_tokens, size.output_tokens)

    def ready(self) -> bool:
        """Whether `start` would not wait."""
        return self._pace is None or self._pace.has_capacity()

    async def start(self) -> None:
        """Wait for the pool's pace of requests; call it last, right before sending."""
        pace = None
        while pace is not self._pace:  # replaced while this request queued at the old one: queue again
            pace = self._pace
            if pace is not None:
                await pace.acquire()

    def paused_for(self) -> float:
        """Seconds until the pool may send again."""
        return self._paused_until - self._now()

    def pause(self, seconds: float) -> None:
        """Send nothing for *seconds*."""
        moment = self._now()
        self._paused_until = max(self._paused_until, moment + seconds)
        if self._limited_since is None:
            self._limited_since = moment

    def limited_for(self) -> float:
        """Seconds since the first pause after the last answer; 0 when an answer came last."""
        return 0.0 if self._limited_since is None else self._now() - self._limited_since

    def served(self) -> None:
        """An answer came."""
        self._limited_since = None

    async def settle(self, booking: Booking, usage: Usage) -> None:
        """Replace what was estimated by what the API counted."""
        moment = self._now()
        if self._input:
            self._input.give_back(booking.input_tokens - usage.limited_input, moment)
        if self._output:
            self._output.give_back(booking.output_tokens - usage.output_tokens, moment)

    async def cancel(self, booking: Booking) -> None:
        """Give a whole booking back: the request was not sent, or was refused."""
        await self.settle(booking, Usage())

    def learn(self, limits: Limits) -> None:
        """Take over the limits that an answer's headers state."""
        moment = self._now()
        seen = limits.requests.limit
        if seen and self._requests and seen != self._requests:
            self._requests, self._pace = seen, _pacer(seen)
        for bucket, reading in ((self._input, limits.input_tokens), (self._output, limits.output_tokens)):
            if bucket and reading.limit and reading.limit != bucket.per_minute:
                bucket.set_rate(reading.limit, moment)


def _bucket(per_minute: float | None, now: float) -> Bucket | None:
    return Bucket(per_minute, burst_s=_TOKEN_BURST_S, now=now) if per_minute else None


def _pacer(per_minute: float | None) -> AsyncLimiter | None:
    if not per_minute:
        return None
    # At least one at a time; above that a tenth of a second's worth, so that late timers lose no pace.
    at_once = max(1.0, per_minute / 60 * _REQUEST_BURST_S)
    return AsyncLimiter(at_once, at_once / per_minute * 60)
