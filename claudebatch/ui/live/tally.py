"""The numbers behind every display, counted as events arrive.

Counting is on the path of every request, so each event costs a dictionary look-up and a
few additions. Displays read whenever they like, from another thread too: what they see
may be one event old, never wrong by more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Literal, TypeAlias

from claudebatch.core.domain import Pico
from claudebatch.core.events import (
    AttemptFinished,
    AttemptStarted,
    BreakerChanged,
    ConcurrencyChanged,
    DrainStarted,
    Event,
    FellBack,
    LimitsSeen,
    Retrying,
    RowFinished,
    RunStarted,
    Waiting,
)
from claudebatch.core.stats.last_minute import LastMinute
from claudebatch.core.stats.pool_waits import WORTH_A_WORD_S, PoolWait, PoolWaits

PoolLimits: TypeAlias = tuple[float | None, float | None, float | None]
"""Requests, input tokens and output tokens per minute; None where no limit is known."""


class PoolTally:
    """What one pool does."""

    __slots__ = (
        "breaker",
        "concurrency",
        "in_flight",
        "input_tokens",
        "limits",
        "output_tokens",
        "requests",
    )

    def __init__(self) -> None:
        # Mutable state, changed by `Tally` only.
        self.in_flight = 0
        self.requests = LastMinute()
        self.input_tokens = LastMinute()
        self.output_tokens = LastMinute()
        self.breaker: Literal["closed", "open", "half-open"] = "closed"
        self.concurrency: int | None = None
        """How many requests may be in flight, once that was told."""
        self.limits: PoolLimits = (None, None, None)
        """What the API was seen to allow."""

    def in_force(self, configured: PoolLimits | None) -> PoolLimits:
        """The limits that count: those seen, else those of the configuration."""
        requests, inputs, outputs = self.limits
        others = configured or (None, None, None)
        return (requests or others[0], inputs or others[1], outputs or others[2])


class Tally:
    """Counts a run's events. Call it with each one; read its attributes at any time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        # Mutable state, changed by the event methods only.
        self.run: RunStarted | None = None
        self.started_at = now()
        self.succeeded = self.failed = 0
        """Rows of this session."""
        self.cached = self.shared = 0
        """Of the succeeded: answered by the response cache, by another row's request.
        """
        self.failures: Counter[str] = Counter()
        self.spent_now: Pico = 0
        """Settled costs of this session, the worst cases of unknown outcomes among
        them.
        """
        self.saved: Pico = 0
        self.requests = self.retries = self.fallbacks = self.unknown_attempts = 0
        self.pools: dict[str, PoolTally] = {}
        self.draining: str | None = None
        self._standing = PoolWaits(now)
        self._retries: list[PoolWait] = []
        self._rows = LastMinute()
        self._count: dict[type[Any], Callable[[Any], None]] = {
            RunStarted: self._run_started,
            AttemptStarted: self._attempt_started,
            AttemptFinished: self._attempt_finished,
            RowFinished: self._row_finished,
            Waiting: self._waiting,
            Retrying: self._retrying,
            FellBack: self._fell_back,
            BreakerChanged: self._breaker_changed,
            LimitsSeen: self._limits_seen,
            ConcurrencyChanged: self._concurrency_changed,
            DrainStarted: self._drain_started,
        }

    def __call__(self, event: Event) -> None:
        """Count *event*."""
        count = self._count.get(type(event))
        if count is not None:
            count(event)

    @property
    def rows(self) -> int:
        """Rows of the whole input."""
        return self.run.rows if self.run else 0

    @property
    def done(self) -> int:
        """Rows with a result, of earlier sessions too."""
        return (self.run.finished_before if self.run else 0) + self.succeeded + self.failed

    @property
    def spent(self) -> Pico:
        """Dollars of every session."""
        return (self.run.spent_before if self.run else 0) + self.spent_now

    @property
    def cap(self) -> Pico | None:
        """What may be spent; None without a cap."""
        return self.run.cap if self.run else None

    @property
    def simulated(self) -> bool:
        """Whether nothing of this is real."""
        return self.run is not None and self.run.simulated

    @property
    def in_flight(self) -> int:
        """Requests on the wire."""
        return sum(pool.in_flight for pool in list(self.pools.values()))

    def elapsed_s(self, now: float) -> float:
        """Seconds since the run started."""
        return max(now - self.started_at, 0.0)

    def eta_s(self, now: float) -> float | None:
        """Seconds until the last row at the pace of the last minute; None when nobody
        can say.
        """
        pace = self._rows.per_minute(now)
        left = self.rows - self.done
        if left <= 0 or pace <= 0 or self.draining is not None:
            return None
        return left / pace * 60.0

    def waits(self, now: float) -> list[PoolWait]:
        """What stands still, first what moves again first. A retry only counts while
        nothing is in flight.
        """
        waits = self._standing.waits(now)
        if not waits and not self.in_flight:
            waits = sorted(
                wait for wait in tuple(self._retries) if wait.until - now >= WORTH_A_WORD_S
            )[:1]
        return waits

    def _run_started(self, event: RunStarted) -> None:
        self.run = event
        self.started_at = self._now()

    def _pool(self, name: str) -> PoolTally:
        pool = self.pools.get(name)
        if pool is None:
            pool = self.pools[name] = PoolTally()
        return pool

    def _attempt_started(self, event: AttemptStarted) -> None:
        pool = self._pool(event.pool)
        pool.in_flight += 1
        pool.requests.add(1, self._now())
        self.requests += 1
        self._standing.started(event.pool)

    def _attempt_finished(self, event: AttemptFinished) -> None:
        pool = self._pool(event.pool)
        pool.in_flight -= 1
        self.spent_now += event.cost
        self.unknown_attempts += event.unknown
        usage = event.usage
        if usage is not None:
            now = self._now()
            pool.input_tokens.add(usage.limited_input, now)
            pool.output_tokens.add(usage.output_tokens, now)

    def _row_finished(self, event: RowFinished) -> None:
        self._rows.add(1, self._now())
        if not event.ok:
            self.failed += 1
            self.failures[event.error or "unknown"] += 1
            return
        self.succeeded += 1
        self.saved += event.saved
        if event.source == "cache":
            self.cached += 1
        elif event.source == "duplicate":
            self.shared += 1

    def _waiting(self, event: Waiting) -> None:
        self._pool(event.pool)  # its limits are shown, though nothing was sent yet
        self._standing.waiting(event)

    def _retrying(self, event: Retrying) -> None:
        """Note the wait; each row that waits is in the heap once, so that it never
        outgrows what may be in flight.
        """
        self.retries += 1
        now = self._now()
        while self._retries and self._retries[0].until <= now:
            heappop(self._retries)
        heappush(
            self._retries,
            PoolWait(now + event.seconds, event.model, f"retrying after {event.error}", now),
        )

    def _fell_back(self, event: FellBack) -> None:
        self.fallbacks += 1

    def _breaker_changed(self, event: BreakerChanged) -> None:
        self._pool(event.pool).breaker = event.state

    def _limits_seen(self, event: LimitsSeen) -> None:
        limits = (
            event.requests_per_minute,
            event.input_tokens_per_minute,
            event.output_tokens_per_minute,
        )
        self._pool(event.pool).limits = limits

    def _concurrency_changed(self, event: ConcurrencyChanged) -> None:
        self._pool(event.pool).concurrency = event.limit

    def _drain_started(self, event: DrainStarted) -> None:
        self.draining = event.reason
        self._standing.clear()
        self._retries.clear()
