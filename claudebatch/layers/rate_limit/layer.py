"""No 429s: every attempt waits for its turn in its pool, and a 429 that comes all the
same halts the whole pool.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Generic, Protocol

from claudebatch.core.domain import Call, Reply, Usage
from claudebatch.core.drain import WakeUp
from claudebatch.core.errors import (
    ApiUnavailable,
    AttemptError,
    NotServed,
    PoolUnavailable,
    RateLimited,
)
from claudebatch.core.events import ConcurrencyChanged, Emit, LimitsSeen, Waiting
from claudebatch.core.fifo_turn import SleepsUntilDrain
from claudebatch.core.handler import Handler
from claudebatch.layers.rate_limit.answer_relay import AnswerRelay, UsageLearner
from claudebatch.layers.rate_limit.booking import ExpectedUsage
from claudebatch.layers.rate_limit.constants.bucket import LARGEST_BUCKET_S
from claudebatch.layers.rate_limit.constants.limiter import HERD_SHARE, PAUSE_S, SHORTEST_WAIT_S
from claudebatch.layers.rate_limit.pool_queue import Place, PoolQueue
from claudebatch.layers.rate_limit.store import (
    Admitted,
    BookingT,
    Delayed,
    LimiterStore,
    PoolState,
)


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


class RateLimit(Generic[BookingT]):
    """Requests of a pool leave one after the other, in the order in which they came,
    each when all limits allow it.
    """

    def __init__(
        self,
        *,
        pool_of: Callable[[str], LimiterStore[BookingT]],
        estimates: UsageLearner,
        waits: PausableWaits,
        max_pause_s: float,
        max_outage_s: float,
        rng: random.Random,
        emit: Emit,
        leaves: Callable[[Call], None] = lambda call: None,
    ) -> None:
        """*max_pause_s*: no `retry-after` pauses a pool for longer. *max_outage_s*:
        nothing but 429s for longer is an outage, and `ApiUnavailable` stops the run.
        *leaves* hears of every call after its waits, and may raise: then it is not
        sent.
        """
        self._pool_of = pool_of
        self._estimates = estimates
        self._waits = waits
        self._max_pause_s = max_pause_s
        self._max_outage_s = max_outage_s
        self._rng = rng
        self._emit = emit
        self._leaves = leaves
        # Mutable: one queue per pool, made when the pool is first used; how many
        # requests of all pools were let in.
        self._queues: dict[str, PoolQueue[BookingT]] = {}
        self._let_in = 0

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """Pass the call on when it may be sent."""
        queue = self._queue(self._pool_of(call.limited_as))
        admitted = await self._admitted(queue, call)
        if admitted.leaves_in_s > 0:
            await self._its_moment(queue, admitted)
        number = queue.rows.left(call)
        relay = (
            AnswerRelay(call, admitted.tracker, self._estimates, queue.wake_up)
            if admitted.tracker is not None
            else None
        )
        try:
            # The drain may have begun while the store admitted this call.
            self._waits.check()
            self._leaves(call)
            reply = await call_next(call if relay is None else call.watched(relay))
        except BaseException as error:
            await self._no_answer(queue, admitted.booking, call, number, error)
            raise
        else:
            self._note_let_in(queue, call, number)
            await self._answered(queue, admitted.booking, call, reply, relay)
            return reply
        finally:
            queue.wake_up.ring()

    async def _admitted(self, queue: PoolQueue[BookingT], call: Call) -> Admitted[BookingT]:
        pool = queue.store.name
        async with queue.first(call) as place:
            while True:
                await self._spending_paused(pool, call)
                answer = await self._answer_for(queue, place)
                self._report(queue, answer.state)
                if isinstance(answer, Admitted):
                    return answer
                # An attempt that ended during the round trip woke nobody, and may have
                # made room: the store is asked again rather than slept on.
                wake_up = queue.wake_up if answer.freed_by_ends else None
                if wake_up is None or place.rings == wake_up.rings:
                    self._emit(Waiting(pool, answer.reason, answer.seconds, call.prompt.id))
                    patience_s = self._patience_s(queue, call, answer.state)
                    await self._waits.sleep(min(answer.seconds, patience_s), wake_up)
                place.answer = None

    async def _answer_for(
        self, queue: PoolQueue[BookingT], place: Place[BookingT]
    ) -> Admitted[BookingT] | Delayed:
        """What the store says of the first in line: by now, or when it was asked for
        the one before.
        """
        if place.answer is not None:
            return place.answer
        place.rings = queue.wake_up.rings
        others: list[Place[BookingT]] = []

        def behind() -> Iterator[ExpectedUsage]:
            # Only a store that asks for them has them reckoned.
            for other in queue.behind():
                others.append(other)
                yield self._estimates.expect(other.call)

        place.answer = await queue.store.admit(self._estimates.expect(place.call), behind())
        if isinstance(place.answer, Admitted) and place.answer.behind:
            await queue.hand_on(others, place.answer)
        return place.answer

    async def _its_moment(self, queue: PoolQueue[BookingT], admitted: Admitted[BookingT]) -> None:
        # Not within the turn: the next in line is admitted meanwhile, for a later one.
        try:
            await self._waits.sleep(admitted.leaves_in_s)
        except BaseException:
            # Called off before it left: all that it took is free again.
            await queue.store.cancel(admitted.booking, counted=False)
            raise

    async def _spending_paused(self, pool: str, call: Call) -> None:
        while (seconds := self._waits.paused_s()) > 0:
            self._emit(Waiting(pool, "spending paused", seconds, call.prompt.id))
            # Past the end of the pause, not on it, where it would be found not yet
            # over.
            await self._waits.sleep(seconds + SHORTEST_WAIT_S)

    async def _answered(
        self,
        queue: PoolQueue[BookingT],
        booking: BookingT,
        call: Call,
        reply: Reply,
        relay: AnswerRelay | None,
    ) -> None:
        limits = reply.limits if relay is None else relay.news(reply.limits)
        # What an answer does not say is taken as it was expected, and teaches nothing.
        usage = reply.usage if reply.counted else _expected(call)
        if relay is not None and reply.counted:
            relay.learn(usage)
        elif reply.counted:
            self._estimates.learn(call, usage)
        self._report(queue, await queue.store.settle(booking, usage, limits))

    async def _no_answer(
        self,
        queue: PoolQueue[BookingT],
        booking: BookingT,
        call: Call,
        number: int,
        error: BaseException,
    ) -> None:
        if not isinstance(error, RateLimited):
            # An attempt that may be billed may have been counted too: its tokens are
            # not given back.
            known = error if isinstance(error, AttemptError) else None
            counted, limits = (known.may_be_billed, known.limits) if known else (False, None)
            if limits is not None:
                self._note_let_in(queue, call, number)
            self._report(queue, await queue.store.cancel(booking, counted=counted, limits=limits))
            return
        blame = queue.rows.refused(call, number)
        wait_s = self._pause_s(error)
        # Every bucket is full again in a minute. A second row that is told so is
        # believed.
        long = error.kind != "ramp" and (error.retry_after or 0.0) > LARGEST_BUCKET_S
        if long and queue.rows.alone_for_long(call):
            wait_s = min(wait_s, LARGEST_BUCKET_S)
        refused = await queue.store.refuse(
            booking, error.kind, wait_s, bare=error.bare, blame=blame
        )
        error.pauses_pool = refused.stops
        if not refused.stops and (error.kind != "concurrency" or blame == "row"):
            # The row waits in the retry layer.
            error.retry_after = error.retry_after or PAUSE_S
        self._report(queue, refused.state)
        if queue.others_before is None:
            queue.others_before = self._let_in
        self._patience_s(queue, call, refused.state)

    def _pause_s(self, error: RateLimited) -> float:
        """Seconds for which the pool stands still, if it does: then this is the one
        place where the `retry-after` of a 429 is waited for.
        """
        asked_s = min(error.retry_after or PAUSE_S, self._max_pause_s)
        return asked_s * (1 + HERD_SHARE * self._rng.random())

    def _note_let_in(self, queue: PoolQueue[BookingT], call: Call, number: int) -> None:
        self._let_in += 1
        queue.others_before = None
        queue.rows.let_in(call, number)

    def _patience_s(self, queue: PoolQueue[BookingT], call: Call, state: PoolState) -> float:
        """Seconds until the pool has answered nothing but 429s for too long; after that
        raises `NotServed` where *call* has another model to go to, or met a 429 itself
        while other pools served theirs, else `ApiUnavailable`.
        """
        if state.limited_s <= self._max_outage_s:
            # Past the end of the patience, not on it.
            return self._max_outage_s - state.limited_s + SHORTEST_WAIT_S
        said = f"{queue.store.name} has answered nothing but 429s for {state.limited_s:.0f} s"
        chain = call.route.fallbacks
        # The limit of one pool, fast mode's above all, is no outage of the run.
        elsewhere = self._let_in > (queue.others_before or 0)
        was_asked = call.tries is not None and call.model in call.tries.limited
        if (chain and call.model != chain[-1]) or (elsewhere and was_asked):
            raise NotServed(said, type="rate_limit_error")
        raise (PoolUnavailable if elsewhere else ApiUnavailable)(
            "E711",
            said,
            fix="wait until the limit is free again, then run the same command",
        )

    def _queue(self, store: LimiterStore[BookingT]) -> PoolQueue[BookingT]:
        queue = self._queues.get(store.name)
        if queue is None:
            queue = self._queues[store.name] = PoolQueue(store, self._waits)
        return queue

    def _report(self, queue: PoolQueue[BookingT], state: PoolState) -> None:
        """Tell the outside of limits that have changed."""
        if state is queue.reported:
            return
        pool, before, queue.reported = queue.store.name, queue.reported, state
        # The rates of the first answer are those of the configuration: no news.
        if before is not None and not state.same_rates(before):
            self._emit(
                LimitsSeen(
                    pool,
                    requests_per_minute=state.requests_per_minute,
                    input_tokens_per_minute=state.input_tokens_per_minute,
                    output_tokens_per_minute=state.output_tokens_per_minute,
                )
            )
        # But the number in flight is: the engine starts as many workers.
        if before is None or state.in_flight != before.in_flight:
            self._emit(ConcurrencyChanged(pool, state.in_flight))


def _expected(call: Call) -> Usage:
    return Usage(input_tokens=call.size.input_tokens, output_tokens=call.size.output_tokens)
