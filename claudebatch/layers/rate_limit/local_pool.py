"""A pool of models that share rate limits, within one process.

The decisions are those of `PoolLimiter` and `ConcurrencyLimit`. The last gate before a
request leaves is aiolimiter's, with a period of a tenth of a second: were the event
loop held up and a clump of requests let go at once, it would space them out again. It
paces requests only: its waiters for tokens are served by size, so a large one starves,
and it cannot give back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from aiolimiter import AsyncLimiter

from claudebatch.core.domain import PromptTokens, Usage
from claudebatch.core.errors import LimitKind
from claudebatch.core.limit_headers import Limits
from claudebatch.layers.rate_limit.booking import ExpectedUsage, PoolBooking
from claudebatch.layers.rate_limit.concurrency import ConcurrencyLimit
from claudebatch.layers.rate_limit.constants.bucket import CATCH_UP_SHARE, CLUMP_S, LARGEST_BUCKET_S
from claudebatch.layers.rate_limit.limiter import PoolLimiter
from claudebatch.layers.rate_limit.store import (
    Admitted,
    Delayed,
    PoolStart,
    PoolState,
    RefusalBlame,
    Refused,
)


class LocalTracker:
    """Tells a pool's limiter what is seen of one answer."""

    __slots__ = ("_booking", "_limiter", "_now", "heard", "hidden", "shown")

    def __init__(
        self, limiter: PoolLimiter, booking: PoolBooking, now: Callable[[], float]
    ) -> None:
        self._limiter = limiter
        self._booking = booking
        self._now = now
        # Mutable, changed by the methods below only: whether the head came, bytes of
        # text, and whether there is more than text.
        self.heard = False
        self.shown = 0
        self.hidden = False

    def began(self, limits: Limits | None) -> None:
        """The head of the response came."""
        self.heard = True
        self._limiter.began(self._booking, limits, self._now())

    def read(self, prompt: PromptTokens) -> None:
        """The prompt counted so many tokens."""
        self._limiter.read(self._booking, prompt.limited, self._now())

    def showed(self, size: int) -> None:
        """The answer has grown by *size* bytes."""
        self.shown += size
        self._limiter.showed(self._booking, size, self._now())

    def hides(self) -> None:
        """The answer grows by tokens that are not shown."""
        self.hidden = True
        self._limiter.hides(self._booking)


class LocalPool:
    """One pool's limits and its requests in flight, shared by all lanes of this
    process.

    A `LimiterStore` in memory: but for the gate, nothing in it waits, so a cancellation
    finds each method either not begun or over.
    """

    def __init__(
        self,
        name: str,
        limiter: PoolLimiter,
        concurrency: ConcurrencyLimit,
        *,
        now: Callable[[], float],
    ) -> None:
        self.name = name
        self._limiter = limiter
        self._concurrency = concurrency
        self._now = now
        # Mutable: the gate, and the speed that it lets through; the state as it was
        # last asked for.
        self._gate: AsyncLimiter | None = None
        self._gate_per_s = 0.0
        self._known_limits = limiter.limits
        self._known_state = self._look(concurrency.limit)

    async def admit(
        self, need: ExpectedUsage, behind: Iterable[ExpectedUsage] = ()
    ) -> Admitted[PoolBooking] | Delayed:
        """Take all that an attempt needs and pass the gate, or say when to ask again.
        Nobody needs to be asked for beforehand.
        """
        moment = self._now()
        wait = self._limiter.wait(need, moment)
        if wait is not None:
            return Delayed(wait.seconds, wait.reason, self.state)
        if (seconds := self._concurrency.wait(moment)) > 0:
            # Only the end of an attempt helps, and wakes this one; but the display
            # cannot show a wait without an end.
            shown_s = min(seconds, LARGEST_BUCKET_S)
            return Delayed(shown_s, "requests in flight", self.state)
        self._concurrency.take()
        booking = self._limiter.take(need, moment)
        try:
            await self.depart()
        except BaseException:
            # Called off at the gate: the request never left, so nothing was counted.
            await self.cancel(booking, counted=False)
            raise
        tracker = LocalTracker(self._limiter, booking, self._now) if booking.watched else None
        return Admitted(booking, self.state, tracker)

    async def depart(self) -> None:
        """Pass the gate, right before sending."""
        top = self._limiter.top_per_s
        # The gate looks at twice the time by which requests may be late without a loss:
        # a longer time lets the clump through that it is to space out.
        at_once = 0.0 if top is None else top * 2 * CLUMP_S
        if top is None or at_once < 1:
            # So slow that the limiter itself leaves room enough, and nobody should wait
            # here for long.
            return
        # A new gate is an empty one: replaced at each small change, it would hold
        # nobody.
        if self._gate is None or abs(top - self._gate_per_s) > CATCH_UP_SHARE * self._gate_per_s:
            self._gate, self._gate_per_s = AsyncLimiter(at_once, at_once / top), top
        await self._gate.acquire()

    async def settle(self, booking: PoolBooking, usage: Usage, limits: Limits | None) -> PoolState:
        """An answer came: the usage that was expected becomes the one that was counted,
        and its headers are learned from.
        """
        moment = self._now()
        self._concurrency.free(moment, answered=True)
        self._limiter.settle(booking, usage, limits, moment)
        return self.state

    async def cancel(
        self, booking: PoolBooking, *, counted: bool, limits: Limits | None = None
    ) -> PoolState:
        """No answer came; *counted*: the API may have counted the request nevertheless;
        *limits*: the headers of its refusal, which is the request's own fault.
        """
        moment = self._now()
        self._concurrency.free(moment, answered=False)
        self._limiter.cancel(booking, moment, counted=counted, limits=limits)
        return self.state

    async def refuse(
        self,
        booking: PoolBooking,
        kind: LimitKind,
        wait_s: float,
        *,
        bare: bool = True,
        blame: RefusalBlame = "pool",
    ) -> Refused:
        """A 429 came. Too many in flight means fewer in flight; the other kinds stop
        the pool for *wait_s*, but for a *bare* one that came alone, and for its row's
        own.
        """
        moment, stops = self._now(), False
        if blame == "row":
            self._limiter.passed_over(booking, moment)
        elif kind == "concurrency":
            # Before `free`: how many were in flight says how many were too many.
            self._concurrency.crowded(moment)
            self._limiter.cancel(booking, moment, counted=False)
        else:
            stops = self._limiter.refused(
                booking,
                wait_s,
                moment,
                bare=bare,
                ramp=kind == "ramp",
                rows_own=blame == "maybe row",
            )
        self._concurrency.free(moment, answered=False)
        return Refused(self.state, stops=stops)

    async def restart(self) -> None:
        """The pool was away: it comes back gently."""
        self._limiter.restart(self._now())

    @property
    def state(self) -> PoolState:
        """What limits the pool now."""
        limits, in_flight = self._limiter.limits, self._concurrency.limit
        refused = self._limiter.stopped or self._concurrency.refused
        # Asked for twice a request, and nearly always the same.
        known = limits is self._known_limits and in_flight == self._known_state.in_flight
        if not known or refused or self._known_state.limited_s:
            self._known_limits, self._known_state = limits, self._look(in_flight)
        return self._known_state

    def _look(self, in_flight: int) -> PoolState:
        moment = self._now()
        requests, input_tokens, output_tokens = self._limiter.limits
        limited_s = max(self._limiter.limited_for(moment), self._concurrency.refused_for(moment))
        return PoolState(
            requests_per_minute=requests,
            input_tokens_per_minute=input_tokens,
            output_tokens_per_minute=output_tokens,
            in_flight=in_flight,
            limited_s=limited_s,
        )


def open_local_pool(start: PoolStart, *, now: Callable[[], float]) -> LocalPool:
    """A pool of this process that begins as *start* says."""
    return LocalPool(
        start.name,
        make_limiter(start, now=now()),
        ConcurrencyLimit(start.in_flight, start.most_in_flight),
        now=now,
    )


def make_limiter(start: PoolStart, *, now: float) -> PoolLimiter:
    """The decisions of a pool that begins as *start* says, without the waiting."""
    return PoolLimiter(
        start.allowance,
        now=now,
        cautious=start.cautious,
        ceiling=start.ceiling,
        share=start.share,
        watch_output=start.watch_output,
    )
