"""No 429s: every attempt waits for its turn in its pool, and a 429 that comes all the
same halts the whole pool.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from claudebatch.core.domain import AnswerObserver, Call, Limits, Reply, Usage
from claudebatch.core.drain import WakeUp
from claudebatch.core.errors import ApiUnavailable, AttemptError, LimitKind, RateLimited
from claudebatch.core.events import ConcurrencyChanged, Emit, LimitsSeen, Waiting
from claudebatch.core.fifo_turn import FifoTurn, SleepsUntilDrain
from claudebatch.core.handler import Handler
from claudebatch.layers.rate_limit.limiter import ExpectedUsage, MustWait

# Without a `retry-after`, a pool that met a 429 waits this long: a tenth of a minute
# refills a tenth of a bucket.
_PAUSE_S = 5.0

# Past the end of the patience, not on it.
_MOMENT_S = 0.001

BookingT = TypeVar("BookingT")


class EffectiveLimits(Protocol):
    """What limits a pool."""

    @property
    def limits(self) -> tuple[float | None, float | None, float | None]:
        """Requests, input and output tokens per minute."""
        ...

    @property
    def in_flight(self) -> int:
        """How many requests may be in flight."""
        ...


class AnswerTracker(AnswerObserver, Protocol):
    """Sees one answer grow."""

    @property
    def heard(self) -> bool:
        """Whether its head came, and was made use of."""
        ...

    @property
    def shown(self) -> int:
        """Bytes that it has grown by."""
        ...

    @property
    def hidden(self) -> bool:
        """Whether it has grown by more than that."""
        ...


class LimiterPool(Protocol[BookingT]):
    """Models that share limits."""

    @property
    def name(self) -> str:
        """The pool's name."""
        ...

    @property
    def in_force(self) -> EffectiveLimits:
        """What limits it now."""
        ...

    async def book(self, need: ExpectedUsage) -> BookingT | MustWait:
        """Take what a request needs, or say when to ask again."""
        ...

    async def depart(self) -> None:
        """Pass the last gate before sending."""
        ...

    def watch(self, booking: BookingT) -> AnswerTracker | None:
        """Who wants to see the answer grow; None: nobody. Not awaited: an answer grows
        many times a second.
        """
        ...

    async def settle(self, booking: BookingT, usage: Usage, limits: Limits | None) -> None:
        """An answer came."""
        ...

    async def cancel(self, booking: BookingT, *, counted: bool) -> None:
        """No answer came."""
        ...

    async def refuse(self, booking: BookingT, kind: LimitKind, wait_s: float) -> None:
        """A 429 came."""
        ...

    def limited_for(self) -> float:
        """Seconds since the first 429 after the last answer; 0 when an answer came
        last.
        """
        ...


class UsageLearner(Protocol):
    """What requests take: expected before, learned after."""

    def expect(self, call: Call) -> ExpectedUsage:
        """What *call* will take."""
        ...

    def read(self, call: Call, input_tokens: int) -> None:
        """*call*'s prompt counted so many tokens; its answer is still to come."""
        ...

    def learn(self, call: Call, usage: Usage, *, shown: int = 0, read: bool = False) -> None:
        """*call* took *usage*, for an answer of *shown* bytes (0: nobody knows);
        *read*: its input is told already.
        """
        ...


class PausableWaits(SleepsUntilDrain, Protocol):
    """Waits that the end of the run ends: `Drain` in production."""

    async def sleep(self, seconds: float, wake_up: WakeUp | None = None) -> None:
        """Wait *seconds*, or until *wake_up* rings, or raise `Draining`."""
        ...

    def check(self) -> None:
        """Raise `Draining` once the run is being stopped."""
        ...

    def paused_s(self) -> float:
        """Seconds for which nothing is to be sent; 0: send."""
        ...


@dataclass(slots=True)
class _PoolQueue:
    """Where the requests of one pool stand in line. Only the first of them looks when
    it may go.
    """

    turn: FifoTurn
    wake_up: WakeUp
    told: tuple[object, int]
    """What was last told of the limits in force."""


class _LiveUsage:
    """Tells the pool, whoever expects sizes, and who stands in line, what is seen of
    one answer.
    """

    def __init__(
        self, call: Call, watcher: AnswerTracker, sizes: UsageLearner, wake_up: WakeUp
    ) -> None:
        self._call = call
        self._watcher = watcher
        self._sizes = sizes
        self._wake_up = wake_up
        # Mutable: set by `read`, once.
        self.has_read = False

    @property
    def heard(self) -> bool:
        """Whether the head came."""
        return self._watcher.heard

    def shown(self, usage: Usage) -> int:
        """Bytes of text that came of the tokens that were not thought; 0: nobody knows
        how many those were.
        """
        return 0 if self._watcher.hidden and not usage.thinking_tokens else self._watcher.shown

    def began(self, limits: Limits | None) -> None:
        """The head of the response came."""
        self._watcher.began(limits)
        self._wake_up.ring()

    def read(self, input_tokens: int) -> None:
        """The prompt is read."""
        self.has_read = True
        self._watcher.read(input_tokens)
        self._sizes.read(self._call, input_tokens)
        self._wake_up.ring()

    def showed(self, size: int) -> None:
        """The answer has grown."""
        self._watcher.showed(size)

    def hides(self) -> None:
        """It grows by what is not shown."""
        self._watcher.hides()


class RateLimit(Generic[BookingT]):
    """Requests of a pool leave one after the other, in the order in which they came,
    each when all limits allow it.
    """

    def __init__(
        self,
        *,
        pool_of: Callable[[str], LimiterPool[BookingT]],
        sizes: UsageLearner,
        waits: PausableWaits,
        max_pause_s: float,
        max_outage_s: float,
        rng: random.Random,
        emit: Emit,
    ) -> None:
        """*max_pause_s*: no `retry-after` pauses a pool for longer. *max_outage_s*:
        nothing but 429s for longer is an outage, and `ApiUnavailable` stops the run.
        """
        self._pool_of = pool_of
        self._sizes = sizes
        self._waits = waits
        self._max_pause_s = max_pause_s
        self._max_outage_s = max_outage_s
        self._rng = rng
        self._emit = emit
        # Mutable: one door per pool, made when the pool is first used.
        self._doors: dict[str, _PoolQueue] = {}

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """Pass the call on when it may be sent."""
        pool = self._pool_of(call.model)
        door = self._doors.get(pool.name) or self._door(pool)
        booking = await self._booked(pool, door, call)
        watcher = pool.watch(booking)
        eyes = _LiveUsage(call, watcher, self._sizes, door.wake_up) if watcher is not None else None
        try:
            self._waits.check()
            reply = await call_next(call if eyes is None else call.watched(eyes))
        except BaseException as error:
            await self._failed(pool, booking, error)
            raise
        else:
            if eyes is None:
                self._sizes.learn(call, reply.usage)
            else:
                self._sizes.learn(
                    call, reply.usage, shown=eyes.shown(reply.usage), read=eyes.has_read
                )
            # What the head of a watched response said is no news at its end.
            await pool.settle(
                booking, reply.usage, None if eyes is not None and eyes.heard else reply.limits
            )
            return reply
        finally:
            door.wake_up.ring()
            self._tell_limits(pool, door)

    async def _booked(self, pool: LimiterPool[BookingT], door: _PoolQueue, call: Call) -> BookingT:
        async with door.turn:
            while True:
                await self._paused(pool, call)
                booking = await pool.book(self._sizes.expect(call))
                if not isinstance(booking, MustWait):
                    break
                self._tell_limits(pool, door)
                self._emit(Waiting(pool.name, booking.reason, booking.seconds, call.prompt.id))
                await self._waits.sleep(min(booking.seconds, self._patience_s(pool)), door.wake_up)
            self._tell_limits(pool, door)
            try:
                await pool.depart()
            except BaseException:
                await pool.cancel(booking, counted=False)
                raise
            return booking

    async def _paused(self, pool: LimiterPool[BookingT], call: Call) -> None:
        while (seconds := self._waits.paused_s()) > 0:
            self._emit(Waiting(pool.name, "spending paused", seconds, call.prompt.id))
            await self._waits.sleep(seconds + _MOMENT_S)

    async def _failed(
        self, pool: LimiterPool[BookingT], booking: BookingT, error: BaseException
    ) -> None:
        if not isinstance(error, RateLimited):
            # An attempt that may be billed may have been counted too: what it took is
            # not given back.
            await pool.cancel(
                booking, counted=isinstance(error, AttemptError) and error.may_be_billed
            )
            return
        # Up to a tenth longer than asked, so that many processes do not come back as
        # one.
        wait_s = min(error.retry_after or _PAUSE_S, self._max_pause_s) * (
            1 + 0.1 * self._rng.random()
        )
        await pool.refuse(booking, error.kind, wait_s)
        self._patience_s(pool)

    def _patience_s(self, pool: LimiterPool[BookingT]) -> float:
        """Seconds until *pool* has answered nothing but 429s for too long; raises
        `ApiUnavailable` after that.
        """
        limited_s = pool.limited_for()
        if limited_s > self._max_outage_s:
            raise ApiUnavailable(
                f"{pool.name} has answered nothing but 429s for {limited_s:.0f} s",
                fix="wait until the limit is free again, then run the same command",
            )
        return self._max_outage_s - limited_s + _MOMENT_S

    def _door(self, pool: LimiterPool[BookingT]) -> _PoolQueue:
        now = pool.in_force
        door = self._doors[pool.name] = _PoolQueue(
            FifoTurn(self._waits), WakeUp(), (now.limits, now.in_flight)
        )
        self._emit(ConcurrencyChanged(pool.name, now.in_flight))
        return door

    def _tell_limits(self, pool: LimiterPool[BookingT], door: _PoolQueue) -> None:
        now = pool.in_force
        limits, in_flight = door.told
        if now.limits == limits and now.in_flight == in_flight:
            return
        door.told = (now.limits, now.in_flight)
        if now.limits != limits:
            self._emit(LimitsSeen(pool.name, *now.limits))
        if now.in_flight != in_flight:
            self._emit(ConcurrencyChanged(pool.name, now.in_flight))
