"""A pool of models that share rate limits, within one process.

The decisions are those of `claudebatch.layers.rate_limit`. The last gate before a
request leaves is aiolimiter's, with a period of a tenth of a second: were the event
loop held up and a clump of requests let go at once, it would space them out again. It
paces requests only: its waiters for tokens are served by size, so a large one starves,
and it cannot give back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiolimiter import AsyncLimiter

from claudebatch.core.domain import Limits, Usage
from claudebatch.core.errors import LimitKind
from claudebatch.layers.rate_limit.concurrency import ConcurrencyLimit
from claudebatch.layers.rate_limit.limiter import ExpectedUsage, MustWait, PoolBooking, PoolLimiter

_PERIOD_S = 0.1
_LOOK_AGAIN_S = 60.0
"""Where only an answer helps; it rings."""
_SAME_SPEED = 0.1
"""A gate is replaced when its speed is off by more than this share."""


@dataclass(frozen=True, slots=True)
class PoolState:
    """What limits a pool now: requests, input and output tokens per minute (None: not
    limited), requests in flight.
    """

    limits: tuple[float | None, float | None, float | None]
    in_flight: int


class LocalTracker:
    """Tells a pool's pace what is seen of one answer."""

    __slots__ = ("_booking", "_now", "_pace", "heard", "hidden", "shown")

    def __init__(self, pace: PoolLimiter, booking: PoolBooking, now: Callable[[], float]) -> None:
        self._pace = pace
        self._booking = booking
        self._now = now
        # Mutable, changed by the methods below only: whether its head came, how many
        # bytes, and whether there is more.
        self.heard = False
        self.shown = 0
        self.hidden = False

    def began(self, limits: Limits | None) -> None:
        """The head of the response came."""
        self.heard = True
        self._pace.began(self._booking, limits, self._now())

    def read(self, input_tokens: int) -> None:
        """The prompt counted so many tokens."""
        self._pace.read(self._booking, input_tokens, self._now())

    def showed(self, size: int) -> None:
        """The answer has grown by *size* bytes."""
        self.shown += size
        self._pace.showed(self._booking, size, self._now())

    def hides(self) -> None:
        """The answer grows by what is not shown."""
        self.hidden = True
        self._pace.hides(self._booking)


class LocalPool:
    """One pool's pace and its requests in flight, shared by all lanes of this process."""

    def __init__(
        self, name: str, pace: PoolLimiter, slots: ConcurrencyLimit, *, now: Callable[[], float]
    ) -> None:
        self.name = name
        self._pace = pace
        self._slots = slots
        self._now = now
        # Mutable: the gate, and the speed that it lets through.
        self._gate: AsyncLimiter | None = None
        self._gate_per_s = 0.0

    @property
    def in_force(self) -> PoolState:
        """What limits it now."""
        return PoolState(self._pace.limits, self._slots.limit)

    async def book(self, need: ExpectedUsage) -> PoolBooking | MustWait:
        """Take what a request needs, all of it or nothing; else say when to ask again."""
        moment = self._now()
        wait = self._pace.wait(need, moment)
        if wait is not None:
            return wait
        if (seconds := self._slots.wait(moment)) > 0:
            return MustWait(min(seconds, _LOOK_AGAIN_S), "requests in flight")
        self._slots.take()
        return self._pace.take(need, moment)

    async def depart(self) -> None:
        """Pass the gate, right before sending."""
        top = self._pace.top_per_s
        if top is None or top * _PERIOD_S < 1:
            # so slow that the pace itself leaves room enough, and nobody should wait here for long
            return
        if self._gate is None or abs(top - self._gate_per_s) > _SAME_SPEED * self._gate_per_s:
            at_once = top * _PERIOD_S
            self._gate, self._gate_per_s = AsyncLimiter(at_once, at_once / top), top
        await self._gate.acquire()

    def watch(self, booking: PoolBooking) -> LocalTracker | None:
        """Who wants to see the answer grow; None: nobody."""
        return LocalTracker(self._pace, booking, self._now) if booking.watched else None

    async def settle(self, booking: PoolBooking, usage: Usage, limits: Limits | None) -> None:
        """An answer came: what was expected becomes what was counted, and what its
        headers say is learned.
        """
        moment = self._now()
        self._slots.free(moment, answered=True)
        self._pace.settle(booking, usage, limits, moment)

    async def cancel(self, booking: PoolBooking, *, counted: bool) -> None:
        """No answer came; *counted*: the API may have counted the request all the same."""
        moment = self._now()
        self._slots.free(moment, answered=False)
        self._pace.cancel(booking, moment, counted=counted)

    async def refuse(self, booking: PoolBooking, kind: LimitKind, wait_s: float) -> None:
        """A 429 came. Too many in flight means fewer in flight; the other kinds pause
        the pool for *wait_s*.
        """
        moment = self._now()
        if kind == "concurrency":
            self._slots.crowded(moment)
            self._pace.cancel(booking, moment, counted=False)
        else:
            self._pace.refused(booking, wait_s, moment)
        self._slots.free(moment, answered=False)

    def limited_for(self) -> float:
        """Seconds since the first 429 after the last answer; 0 when an answer came
        last.
        """
        moment = self._now()
        return max(self._pace.limited_for(moment), self._slots.refused_for(moment))

    def restart(self) -> None:
        """The pool was away: it comes back gently."""
        self._pace.restart(self._now())
