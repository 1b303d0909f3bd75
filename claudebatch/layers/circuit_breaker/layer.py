"""A pool that keeps failing is left alone, and asked again now and then by a few
probes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import AttemptError, CircuitOpen, RateLimited
from claudebatch.core.events import BreakerChanged, Emit, Waiting
from claudebatch.core.handler import Handler
from claudebatch.core.tries import Outages, RowTries
from claudebatch.layers.circuit_breaker.breaker import Breaker, BreakerState, Permit
from claudebatch.layers.circuit_breaker.settings import BreakerPolicy
from claudebatch.layers.circuit_breaker.window import BreakerVerdict


class CircuitBreaker:
    """One breaker per pool: asked before every attempt, and given every outcome."""

    def __init__(
        self,
        policy: BreakerPolicy,
        *,
        pool_of: Callable[[str], str],
        now: Callable[[], float],
        emit: Emit,
        outages: Outages | None = None,
        back: Callable[[str], Awaitable[None]] | None = None,
        rows_left: Callable[[str], int | None] = lambda pool: None,
    ) -> None:
        """*outages* hears of every outage. *back* gets the name of a pool whose breaker
        has closed again, so that its limits can start gently. *rows_left* of a pool;
        None: more are to come.
        """
        self._policy = policy
        self._pool_of = pool_of
        self._now = now
        self._emit = emit
        self._outages = outages or Outages()
        self._back = back
        self._rows_left = rows_left
        # Mutable: one breaker per pool, made when the pool is first used; the permits
        # of the rows that are under way.
        self._breakers: dict[str, Breaker] = {}
        self._permits: dict[int, Permit] = {}

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """Pass the call on, or raise `CircuitOpen` and send nothing."""
        pool = self._pool_of(call.limited_as)
        breaker = self._breakers.get(pool)
        if breaker is None:
            breaker = self._breakers[pool] = Breaker(
                self._policy, now=self._now(), rows_left=lambda: self._rows_left(pool)
            )
        before, moment = breaker.state, self._now()
        tries = call.tries or RowTries()
        if tries.was_bad(call.model):
            breaker.was_bad(call.row, moment)
        permit, on_last = None, call.model in tries.on_last
        failed = tries.has_failed(call.model)
        if not breaker.gives_way(moment, call.row, failed=failed, on_last=on_last):
            permit = breaker.admits(moment, call.row, on_last=on_last)
        self._report(pool, breaker, before)
        if permit is None:
            raise self._refused(pool, breaker, call, moment)
        self._permits[call.row] = permit
        try:
            reply = await self._send(pool, breaker, permit, call, call_next)
        finally:
            self._permits.pop(call.row, None)
        slow = reply.latency_ms >= 1000 * self._policy.slow_call * call.deadline_s
        before = breaker.state
        self._record(pool, breaker, permit, "slow" if slow else "served", call)
        # Limits that grew while nothing was sent would let a clump go at once.
        if before != "closed" and breaker.state == "closed" and self._back is not None:
            await self._back(pool)
        return reply

    def leaves(self, call: Call) -> None:
        """*call* has passed the layers below and is about to be sent; raises
        `CircuitOpen` where its breaker has opened meanwhile. Without this news it
        counts as sent when it was admitted.
        """
        pool, now = self._pool_of(call.limited_as), self._now()
        breaker, permit = self._breakers.get(pool), self._permits.get(call.row)
        if breaker is not None and permit is not None and not breaker.leaves(permit, now):
            raise self._refused(pool, breaker, call, now)

    def _refused(self, pool: str, breaker: Breaker, call: Call, now: float) -> CircuitOpen:
        on_last = call.tries is not None and call.model in call.tries.on_last
        return CircuitOpen(
            pool,
            probe_in_s=breaker.asks_again_in(now, call.row, on_last=on_last),
            open_for_s=now - breaker.served_at,
            unproven=not breaker.proven,
        )

    async def _send(
        self, pool: str, breaker: Breaker, permit: Permit, call: Call, call_next: Handler
    ) -> Reply:
        try:
            return await call_next(call)
        except CircuitOpen:
            # Called back before it was sent: see `leaves`.
            breaker.forget(permit, sent=False)
            raise
        except AttemptError as error:
            # A 429 comes from an API that works: the limiter answers it, not the
            # breaker.
            if error.unavailable and not isinstance(error, RateLimited):
                self._record(pool, breaker, permit, "failed", call, may_be_rows=error.may_be_rows)
            else:
                breaker.forget(permit, sent=True)
            raise
        except BaseException:
            breaker.forget(permit, sent=False)
            raise

    def _record(
        self,
        pool: str,
        breaker: Breaker,
        permit: Permit,
        verdict: BreakerVerdict,
        call: Call,
        **failure: bool,
    ) -> None:
        # Not the state in which the call was admitted: many calls out must not report
        # one opening many times.
        before = breaker.state
        bad = breaker.record(permit, verdict, self._now(), call.row, **failure)
        if bad and call.tries is not None:
            call.tries.shown_bad.add(call.model)
        self._report(pool, breaker, before)

    def _report(self, pool: str, breaker: Breaker, before: BreakerState) -> None:
        self._outages.blame(pool, rows=breaker.blameless)
        if before == breaker.state:
            return
        self._emit(BreakerChanged(pool, breaker.state))
        if before == "closed":
            self._outages.began(pool, breaker.out_since)
        elif breaker.state == "closed":
            self._outages.ended(pool, self._now())
        if breaker.state == "open":
            self._emit(Waiting(pool, "circuit open", breaker.opens_in(self._now())))
