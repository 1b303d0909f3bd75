"""No 429s: every attempt waits for its pool's pace, and a 429 that comes all the same pauses the whole pool."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

from claudebatch.domain import Call, Limits, Reply, Size, Usage
from claudebatch.errors import ApiUnavailable, AttemptError, RateLimited
from claudebatch.events import Emit, Waiting
from claudebatch.handler import Handler

# Without a `retry-after`, a pool that met a 429 waits this long: a tenth of a minute refills a tenth of a bucket.
_PAUSE_S = 5.0
# Waits shorter than this are the pace itself and no news.
_TOLD_FROM_S = 1.0


class Booked(Protocol):
    """What was taken from a pool."""

    @property
    def wait_s(self) -> float:
        """Seconds until it may be used."""
        ...

    @property
    def reason(self) -> Any:
        """Which limit says so."""
        ...


BookedT = TypeVar("BookedT", bound=Booked)


class Pool(Protocol[BookedT]):
    """Models that share limits."""

    @property
    def name(self) -> str:
        """The pool's name."""
        ...

    @property
    def slots(self) -> asyncio.Semaphore:
        """How many requests may be in flight."""
        ...

    async def book(self, size: Size) -> BookedT:
        """Take the tokens of a request."""
        ...

    def ready(self) -> bool:
        """Whether `start` would not wait."""
        ...

    async def start(self) -> None:
        """Wait for the pace of requests."""
        ...

    def paused_for(self) -> float:
        """Seconds until the pool may send again."""
        ...

    def pause(self, seconds: float) -> None:
        """Send nothing for *seconds*."""
        ...

    def limited_for(self) -> float:
        """Seconds since the first 429 after the last answer; 0 when an answer came last."""
        ...

    def served(self) -> None:
        """An answer came."""
        ...

    async def settle(self, booking: BookedT, usage: Usage) -> None:
        """Replace the estimate by what was counted."""
        ...

    async def cancel(self, booking: BookedT) -> None:
        """Give the booking back."""
        ...

    def learn(self, limits: Limits) -> None:
        """Take over the limits an answer states."""
        ...


class Waits(Protocol):
    """Waits that the end of the run ends: `Drain` in production."""

    async def sleep(self, seconds: float) -> None:
        """Wait *seconds* or raise `Draining`."""
        ...

    async def guard(self, waiting: Awaitable[Any]) -> None:
        """Wait for *waiting* or raise `Draining`."""
        ...

    def check(self) -> None:
        """Raise `Draining` once the run is being stopped."""
        ...


class RateLimit(Generic[BookedT]):
    """Waits for a slot, for tokens, for the end of a pause and for the pace of requests, in this order."""

    def __init__(
        self,
        *,
        pool_of: Callable[[str], Pool[BookedT]],
        waits: Waits,
        max_pause_s: float,
        max_outage_s: float,
        rng: random.Random,
        emit: Emit,
    ) -> None:
        """*max_pause_s*: no `retry-after` pauses a pool for longer. *max_outage_s*: nothing but 429s for longer is an
        outage, and `ApiUnavailable` stops the run."""
        self._pool_of = pool_of
        self._waits = waits
        self._max_pause_s = max_pause_s
        self._max_outage_s = max_outage_s
        self._rng = rng
        self._emit = emit

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """Pass the call on when it may be sent."""
        pool = self._pool_of(call.model)
        await self._take_slot(pool)
        try:
            booking = await pool.book(call.size)
            try:
                await self._wait(pool, booking)
                reply = await call_next(call)
            except BaseException as error:
                await self._back(pool, booking, error)
                raise
            await self._arrived(pool, booking, reply)
            return reply
        finally:
            pool.slots.release()

    async def _take_slot(self, pool: Pool[BookedT]) -> None:
        if not pool.slots.locked():
            await pool.slots.acquire()
            return
        taking = asyncio.ensure_future(pool.slots.acquire())
        try:
            await self._waits.guard(taking)
        except BaseException:
            # Called off in the moment in which the slot was granted: nobody else would give it back.
            if taking.done() and not taking.cancelled():
                pool.slots.release()
            raise

    async def _wait(self, pool: Pool[BookedT], booking: BookedT) -> None:
        if booking.wait_s > 0:
            self._tell(pool, booking.reason, booking.wait_s)
            await self._waits.sleep(booking.wait_s)
        while True:
            while (pause := pool.paused_for()) > 0:
                self._tell(pool, "rate limited", pause)
                await self._waits.sleep(pause)
            if pool.ready():
                await pool.start()
            else:
                await self._waits.guard(pool.start())
            if pool.paused_for() <= 0:
                break  # else a 429 came while this request queued: it waits with all the others
        self._waits.check()

    async def _arrived(self, pool: Pool[BookedT], booking: BookedT, reply: Reply) -> None:
        pool.served()
        await pool.settle(booking, reply.usage)
        if reply.limits is not None:
            pool.learn(reply.limits)

    async def _back(self, pool: Pool[BookedT], booking: BookedT, error: BaseException) -> None:
        # An attempt that may be billed may have been counted too: what it took is not given back.
        if not (isinstance(error, AttemptError) and error.may_be_billed):
            await pool.cancel(booking)
        if isinstance(error, RateLimited):
            # Up to a tenth longer than asked, so that many processes do not come back as one.
            pool.pause(min(error.retry_after or _PAUSE_S, self._max_pause_s) * (1 + 0.1 * self._rng.random()))
            if pool.limited_for() > self._max_outage_s:
                raise ApiUnavailable(
                    f"{pool.name} has answered nothing but 429s for {pool.limited_for():.0f} s",
                    fix="wait until the limit is free again, then run the same command",
                ) from error

    def _tell(self, pool: Pool[BookedT], reason: Any, seconds: float) -> None:
        if seconds >= _TOLD_FROM_S:
            self._emit(Waiting(pool.name, reason, seconds))
