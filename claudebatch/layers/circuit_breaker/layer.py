"""A pool that keeps failing is left alone, and asked again now and then by a few
probes.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import Counter
from collections.abc import Callable
from operator import itemgetter
from typing import Literal, NamedTuple, TypeAlias

from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import AttemptError, CircuitOpen, RateLimited
from claudebatch.core.events import BreakerChanged, Emit, Waiting
from claudebatch.core.handler import Handler
from claudebatch.layers.circuit_breaker.settings import BreakerPolicy

BreakerState: TypeAlias = Literal["closed", "open", "half-open"]
BreakerVerdict: TypeAlias = Literal["served", "slow", "failed"]
"""What a call says about its pool; slow: served all the same."""

# While every probe is out nobody knows when they come back.
_LOOK_AGAIN_S = 1.0
# Rows that fail one after the other without an end take no memory for it.
_ROWS_REMEMBERED = 10_000
# Calls out that are no older may still be served. An outage is seen this much later at
# most.
_YOUNG_S = 5.0
_AT = itemgetter(0)


class Ticket(NamedTuple):
    """What a call gives back with its outcome."""

    generation: int
    began: float


class _Window:
    """The last calls of a closed pool, in some order."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        # Mutable, changed by `add` only.
        self._calls: list[tuple[float, int, BreakerVerdict]] = []
        self._verdicts: Counter[BreakerVerdict] = Counter()
        self._bad_rows: Counter[int] = Counter()

    def add(self, verdict: BreakerVerdict, at: float, now: float, row: int) -> None:
        insort(self._calls, (at, row, verdict), key=_AT)
        self._verdicts[verdict] += 1
        if verdict != "served":
            self._bad_rows[row] += 1
        while self._too_long(now):
            self._drop()

    @property
    def bad(self) -> int:
        return self._verdicts["failed"] + self._verdicts["slow"]

    def is_bad(self) -> bool:
        policy, calls, failed = self._policy, len(self._calls), self._verdicts["failed"]
        too_many = (
            failed >= policy.failure_rate * calls or self.bad >= policy.slow_call_rate * calls
        )
        return too_many and calls >= policy.minimum_calls and len(self._bad_rows) >= policy.bad_rows

    def _too_long(self, now: float) -> bool:
        calls, policy = self._calls, self._policy
        enough = len(calls) > policy.minimum_calls
        return enough and (len(calls) > policy.window_calls or calls[0][0] < now - policy.window_s)

    def _drop(self) -> None:
        _, row, verdict = self._calls.pop(0)
        self._verdicts[verdict] -= 1
        if verdict != "served":
            self._bad_rows[row] -= 1
            if not self._bad_rows[row]:
                del self._bad_rows[row]


class Breaker:
    """The state machine of one pool; knows neither clock nor network.

    Open, it admits nobody; after a wait one probe, and one more after each further wait
    that brings no news of it. Once a probe was served the others may go at once. All of
    them must be served before it closes.
    """

    def __init__(self, policy: BreakerPolicy, *, now: float) -> None:
        self._policy = policy
        # Mutable, changed by the methods below only.
        self.state: BreakerState = "closed"
        self._generation = 0
        # The same calls in the order in which they came back, and in that in which they
        # began; see `_is_bad`.
        self._by_return, self._by_start = _Window(policy), _Window(policy)
        # Closed: how many calls are out, by when they began.
        self._out: Counter[float] = Counter()
        self._probe_at = now
        self._probes_out = self._probes_won = 0
        # When the last served call began, and when each row last failed (-inf: while
        # others were served).
        self._good_at = -math.inf
        self._failing: dict[int, float] = {}
        self.served_at = now
        """When the pool last served anything."""

    def admits(self, now: float) -> Ticket | None:
        """Ask to send now: a ticket to give back with the outcome, or None while the
        pool is left alone.
        """
        if self.state == "closed":
            self._out[now] += 1
            return Ticket(self._generation, now)
        if self.opens_in(now) > 0:
            return None
        if self.state == "open":
            self._become("half-open")
        self._probes_out += 1
        self._probe_at = now + self._policy.wait_open_s
        return Ticket(self._generation, now)

    def opens_in(self, now: float) -> float:
        """Seconds until a probe may go; while all of them are out, a short while."""
        if self.state == "closed":
            return 0.0
        if self._probes_out + self._probes_won >= self._policy.probes:
            return _LOOK_AGAIN_S
        return 0.0 if self._probes_won else max(0.0, self._probe_at - now)

    def record(self, ticket: Ticket, verdict: BreakerVerdict, now: float, row: int) -> None:
        """A call came back. One that was admitted before the last change of state
        decides nothing any more.
        """
        rows_own = self._is_rows_own(verdict, ticket.began, now, row)
        if verdict != "failed":
            self.served_at = now
        if ticket.generation != self._generation:
            return
        self._is_back(ticket)
        if rows_own and (self.state == "closed" or verdict == "failed"):
            self.forget(ticket, sent=True)
        elif self.state == "half-open":
            self._record_probe(verdict, now)
        else:
            self._by_return.add(verdict, now, now, row)
            self._by_start.add(verdict, ticket.began, now, row)
            # Its own call must be a bad one: a good one is no reason to leave the pool
            # alone.
            if verdict != "served" and self._is_bad(now):
                self._open(now)

    def forget(self, ticket: Ticket, *, sent: bool) -> None:
        """A call came back and says nothing about the pool (called off, refused for its
        own fault, rate limited).

        One that was never *sent* makes room for another probe at once.
        """
        if ticket.generation != self._generation:
            return
        self._is_back(ticket)
        if self.state == "half-open":
            self._probes_out -= 1
            if not sent:
                self._probe_at = -math.inf

    def _is_rows_own(self, verdict: BreakerVerdict, began: float, now: float, row: int) -> bool:
        """Whether a call says more of its row than of the pool: it had failed, and what
        others sent after was served.

        Without this, bad rows that are all that is left at the end of a run would look
        like an outage, for ever.
        """
        again = self._failing.pop(row, math.inf) < self._good_at
        if verdict == "failed":
            self._failing[row] = -math.inf if again else now
            if len(self._failing) > _ROWS_REMEMBERED:
                del self._failing[next(iter(self._failing))]
        else:
            self._good_at = max(self._good_at, began)
        return again

    def _record_probe(self, verdict: BreakerVerdict, now: float) -> None:
        self._probes_out -= 1
        if verdict == "failed":
            self._open(now)
            return
        # A slow one is a good one here: the question is whether the pool serves at all.
        self._probes_won += 1
        if self._probes_won >= self._policy.probes:
            self._become("closed")

    def _is_back(self, ticket: Ticket) -> None:
        self._out[ticket.began] -= 1
        if self._out[ticket.began] <= 0:  # a probe was never in it
            del self._out[ticket.began]

    def _is_bad(self, now: float) -> bool:
        """Whether the pool fails now, in whichever order its last calls are looked at.

        As they come back, time-outs are all that is left at the end of a run, though
        they tell of the moment ten minutes ago when they were sent. As they began, the
        last ones seem to fail: failures are the first to come back. At the beginning
        they are all that has come back: more must have failed than are out and may
        still be served.
        """
        if not (self._by_return.is_bad() and self._by_start.is_bad()):
            return False
        return self._by_return.bad >= sum(
            n for began, n in self._out.items() if began > now - _YOUNG_S
        )

    def _open(self, now: float) -> None:
        self._probe_at = now + self._policy.wait_open_s
        self._become("open")

    def _become(self, state: BreakerState) -> None:
        self.state = state
        self._generation += 1
        self._by_return, self._by_start = _Window(self._policy), _Window(self._policy)
        self._probes_out = self._probes_won = 0
        self._out.clear()


class CircuitBreaker:
    """One breaker per pool, asked before every attempt and told of every outcome.

    back    told the pool's name when its breaker has closed again, so that its pace can
            start gently
    """

    def __init__(
        self,
        policy: BreakerPolicy,
        *,
        pool_of: Callable[[str], str],
        now: Callable[[], float],
        emit: Emit,
        back: Callable[[str], None] = lambda pool: None,
    ) -> None:
        self._policy = policy
        self._pool_of = pool_of
        self._now = now
        self._emit = emit
        self._back = back
        # Mutable: one breaker per pool, made when the pool is first used.
        self._breakers: dict[str, Breaker] = {}

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """Pass the call on, or raise `CircuitOpen` and send nothing."""
        pool = self._pool_of(call.model)
        breaker = self._breakers.get(pool)
        if breaker is None:
            breaker = self._breakers[pool] = Breaker(self._policy, now=self._now())
        before, moment = breaker.state, self._now()
        ticket = breaker.admits(moment)
        self._tell(pool, breaker, before)
        if ticket is None:
            raise CircuitOpen(
                pool, retry_after=breaker.opens_in(moment), open_for_s=moment - breaker.served_at
            )
        return await self._watch(pool, breaker, ticket, call, call_next)

    async def _watch(
        self, pool: str, breaker: Breaker, ticket: Ticket, call: Call, call_next: Handler
    ) -> Reply:
        try:
            reply = await call_next(call)
        except AttemptError as error:
            if error.unavailable and not isinstance(error, RateLimited):
                self._record(pool, breaker, ticket, "failed", call)
            else:
                breaker.forget(ticket, sent=True)
            raise
        except BaseException:
            breaker.forget(ticket, sent=False)
            raise
        slow = reply.latency_ms >= 1000 * self._policy.slow_call * call.deadline_s
        self._record(pool, breaker, ticket, "slow" if slow else "served", call)
        return reply

    def _record(
        self, pool: str, breaker: Breaker, ticket: Ticket, verdict: BreakerVerdict, call: Call
    ) -> None:
        # Not the state in which the call was admitted: many calls out must not tell one
        # opening many times.
        before = breaker.state
        breaker.record(ticket, verdict, self._now(), call.row)
        self._tell(pool, breaker, before)

    def _tell(self, pool: str, breaker: Breaker, before: BreakerState) -> None:
        if before == breaker.state:
            return
        self._emit(BreakerChanged(pool, breaker.state))
        if breaker.state == "open":
            self._emit(Waiting(pool, "circuit open", breaker.opens_in(self._now())))
        elif breaker.state == "closed":
            self._back(pool)
