"""A pool that keeps failing is left alone, and asked again now and then by a few probes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from claudebatch.domain import Call, Reply
from claudebatch.errors import AttemptError, CircuitOpen, RateLimited
from claudebatch.events import BreakerChanged, Emit
from claudebatch.handler import Handler

State = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens and how it tries again (terms as in resilience4j)."""

    minimum_calls: int = 20
    failure_rate: float = 0.5
    window_s: float = 30.0
    wait_open_s: float = 10.0
    probes: int = 3


class Breaker:
    """The state machine of one pool; knows neither clock nor network."""

    def __init__(self, policy: BreakerPolicy, *, now: float) -> None:
        self._policy = policy
        # Mutable, changed by the methods below only.
        self.state: State = "closed"
        self._generation = 0
        self._calls: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self._opened_at = now
        self._probes_out = 0
        self._probes_won = 0
        self.served_at = now
        """When the pool last served anything."""

    def admits(self, now: float) -> int | None:
        """Ask to send now: a ticket to give back with the outcome, or None while the pool is left alone."""
        if self.state == "open" and now >= self._opened_at + self._policy.wait_open_s:
            self._become("half-open")
        if self.state == "closed":
            return self._generation
        if self.state == "half-open" and self._probes_out + self._probes_won < self._policy.probes:
            self._probes_out += 1
            return self._generation
        return None

    def opens_in(self, now: float) -> float:
        """Seconds until a probe may go; while probes are out, a short while."""
        if self.state == "half-open":
            return 1.0
        return max(0.0, self._opened_at + self._policy.wait_open_s - now)

    def record(self, ticket: int, ok: bool, now: float) -> None:
        """A call came back. One that was admitted before the last change of state decides nothing any more."""
        if ok:
            self.served_at = now
        if ticket != self._generation:
            return
        if self.state == "half-open":
            self._record_probe(ok, now)
        elif self.state == "closed":
            self._record_call(ok, now)

    def forget(self, ticket: int) -> None:
        """A call came back and says nothing about the pool (called off, refused for its own fault, rate limited)."""
        if ticket == self._generation and self.state == "half-open":
            self._probes_out -= 1

    def _record_probe(self, ok: bool, now: float) -> None:
        self._probes_out -= 1
        self._probes_won += ok
        if not ok:
            self._open(now)
        elif self._probes_won >= self._policy.probes:
            self._become("closed")

    def _record_call(self, ok: bool, now: float) -> None:
        calls, policy = self._calls, self._policy
        calls.append((now, ok))
        self._failures += not ok
        while calls[0][0] < now - policy.window_s:
            self._failures -= not calls.popleft()[1]
        if not ok and len(calls) >= policy.minimum_calls and self._failures >= policy.failure_rate * len(calls):
            self._open(now)

    def _open(self, now: float) -> None:
        self._opened_at = now
        self._become("open")

    def _become(self, state: State) -> None:
        self.state = state
        self._generation += 1
        self._calls.clear()
        self._failures = self._probes_out = self._probes_won = 0


class CircuitBreaker:
    """One breaker per pool, asked before every attempt and told of every outcome."""

    def __init__(
        self, policy: BreakerPolicy, *, pool_of: Callable[[str], str], now: Callable[[], float], emit: Emit
    ) -> None:
        self._policy = policy
        self._pool_of = pool_of
        self._now = now
        self._emit = emit
        # Mutable: one breaker per pool, made when the pool is first used.
        self._breakers: dict[str, Breaker] = {}

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """Pass the call on, or raise `CircuitOpen` and send nothing."""
        pool = self._pool_of(call.model)
        breaker = self._breakers.get(pool)
        if breaker is None:
            breaker = self._breakers[pool] = Breaker(self._policy, now=self._now())
        before = breaker.state
        ticket = breaker.admits(self._now())
        self._tell(pool, before, breaker.state)
        if ticket is None:
            moment = self._now()
            raise CircuitOpen(pool, retry_after=breaker.opens_in(moment), open_for_s=moment - breaker.served_at)
        return await self._watch(pool, breaker, ticket, call, call_next)

    async def _watch(self, pool: str, breaker: Breaker, ticket: int, call: Call, call_next: Handler) -> Reply:
        before = breaker.state
        try:
            reply = await call_next(call)
        except AttemptError as error:
            if error.unavailable and not isinstance(error, RateLimited):
                breaker.record(ticket, False, self._now())
            else:
                breaker.forget(ticket)
            raise
        except BaseException:
            breaker.forget(ticket)
            raise
        else:
            breaker.record(ticket, True, self._now())
            return reply
        finally:
            self._tell(pool, before, breaker.state)

    def _tell(self, pool: str, before: State, after: State) -> None:
        if before != after:
            self._emit(BreakerChanged(pool, after))
