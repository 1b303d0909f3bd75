"""The one counter of a run's events: summary, displays and `--json` read it.

Counting is on the path of every request, so each event costs a dictionary look-up and a
few additions. Displays read whenever they like, from another thread too: a snapshot may
be one event old, never wrong by more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from operator import add
from typing import Any

from claudebatch.core.domain import Pico, Source, Usage, kind_counts
from claudebatch.core.events import (
    AttemptFinished,
    AttemptStarted,
    BatchChanged,
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
from claudebatch.core.reports import Bound
from claudebatch.core.stats.last_minute import LastMinute
from claudebatch.core.stats.latencies import Latencies
from claudebatch.core.stats.open_batches import OpenBatches
from claudebatch.core.stats.pool_stats import PoolStats
from claudebatch.core.stats.pool_waits import MIN_REPORTED_S, PoolWait, PoolWaits
from claudebatch.core.stats.snapshot import RunSnapshot


class RunStats:
    """Counts a session's events: call it with each one, ask it for a snapshot."""

    def __init__(self, now: Callable[[], float], *, usual_batch_s: float | None = None) -> None:
        """*usual_batch_s*: how long message batches have taken; None: nobody knows."""
        self._now = now
        # Mutable, changed by the event methods only.
        self._run: RunStarted | None = None
        self._started_at = now()
        self._sources: Counter[Source] = Counter()
        self._failures: Counter[str] = Counter()
        self._spent_now: Pico = 0
        self._unknown_now: Pico = 0
        self._saved: Pico = 0
        self._counts = list(kind_counts(Usage()))
        self._requests = self._retries = self._fallbacks = self._unknown_attempts = 0
        self._prewarms = 0
        self._latencies = Latencies()
        self._rows = LastMinute()
        self._pools: dict[str, PoolStats] = {}
        self._waits = PoolWaits(now)
        self._retry_waits: list[PoolWait] = []
        self._batches = OpenBatches(now, usual_s=usual_batch_s)
        self._by_batch = 0
        self._draining: str | None = None
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
            BatchChanged: self._batches,
            DrainStarted: self._drain_started,
        }

    def __call__(self, event: Event) -> None:
        """Count *event*."""
        count = self._count.get(type(event))
        if count is not None:
            count(event)

    def snapshot(self, now: float) -> RunSnapshot:
        """The run as it stands at *now*, which no event counted so far came after."""
        # Copies: the event loop may add a pool or an error while a display reads.
        pools = {name: pool.snapshot(now) for name, pool in list(self._pools.items())}
        sources, failures = dict(self._sources), dict(self._failures)
        succeeded, failed = sum(sources.values()), sum(failures.values())
        batches = self._batches.progress(now)
        return RunSnapshot(
            at=now,
            run=self._run,
            succeeded=succeeded,
            failed=failed,
            answered=sources.get("api", 0),
            cached=sources.get("cache", 0),
            shared=sources.get("duplicate", 0),
            failures=failures,
            spent_now=self._spent_now,
            unknown_now=self._unknown_now,
            saved=self._saved,
            usage=Usage.of(self._counts),
            requests=self._requests,
            retries=self._retries,
            prewarms=self._prewarms,
            fallbacks=self._fallbacks,
            unknown_attempts_now=self._unknown_attempts,
            p50_ms=self._latencies.percentile(0.5),
            p95_ms=self._latencies.percentile(0.95),
            pools=pools,
            waits=self._waits_now(now, in_flight=any(pool.in_flight for pool in pools.values())),
            bound_by=self._bound_by(now),
            draining=self._draining,
            elapsed_s=max(now - self._started_at, 0.0),
            # Nobody knows when a batch ends: what is with one has no pace.
            eta_s=None if batches.batches else self._eta_s(now, done=succeeded + failed),
            by_batch=self._by_batch,
            batches=batches,
        )

    def _eta_s(self, now: float, *, done: int) -> float | None:
        # Of rows, not requests: cached rows take part of the work away.
        pace = self._rows.per_minute(now)
        left = self._run.rows - self._run.finished_before - done if self._run else 0
        if left <= 0 or pace <= 0 or self._draining is not None:
            return None
        return left / pace * 60.0

    def _waits_now(self, now: float, *, in_flight: bool) -> tuple[PoolWait, ...]:
        """Pools that stand still. A retry only counts while nothing is in flight."""
        if self._draining is not None:
            return ()  # a drain ends every wait
        waits = self._waits.waits(now)
        if not waits and not in_flight:
            waits = sorted(
                wait for wait in tuple(self._retry_waits) if wait.until - now >= MIN_REPORTED_S
            )[:1]
        return tuple(waits)

    def _bound_by(self, now: float) -> tuple[Bound, ...]:
        stood = self._waits.stood(now)
        longest_first = sorted(stood, key=lambda key: -stood[key])
        return tuple(
            self._bound(pool, reason, stood[pool, reason]) for pool, reason in longest_first
        )

    def _bound(self, name: str, reason: str, seconds: float) -> Bound:
        pool = self._pools.get(name)
        if pool is None:
            return Bound(name, reason, seconds)
        return Bound(name, reason, seconds, pool.limit_of(reason), pool.only_model)

    def _pool(self, name: str) -> PoolStats:
        pool = self._pools.get(name)
        if pool is None:
            pool = self._pools[name] = PoolStats()
        return pool

    def _run_started(self, event: RunStarted) -> None:
        self._run = event
        self._started_at = self._now()

    def _attempt_started(self, event: AttemptStarted) -> None:
        self._pool(event.pool).started(event.model, self._now())
        self._requests += 1
        self._waits.started(event.pool)

    def _attempt_finished(self, event: AttemptFinished) -> None:
        if event.via == "live":
            self._pool(event.pool).finished(event.usage, self._now())
        else:
            self._requests += 1
        if event.unknown:
            # Apart, as in the journal: it is unknown whether it was spent.
            self._unknown_now += event.cost
            self._unknown_attempts += 1
        else:
            self._spent_now += event.cost
        self._prewarms += event.call is not None and event.call.prewarms
        if event.usage is not None:
            # Counts, not a `Usage`: making one for each answer takes longer than this.
            self._counts = list(map(add, self._counts, kind_counts(event.usage)))

    def _row_finished(self, event: RowFinished) -> None:
        if event.via == "live":
            # Answers of a batch come all at once: they are no pace of what is left.
            self._rows.add(1, self._now())
        if not event.ok:
            self._failures[event.error or "unknown"] += 1
            return
        self._sources[event.source] += 1
        self._saved += event.saved
        if event.source == "api":
            if event.via == "live":
                self._latencies.add(event.latency_ms)
            else:
                self._by_batch += 1

    def _waiting(self, event: Waiting) -> None:
        self._pool(event.pool)  # its limits are shown, though nothing was sent yet
        self._waits.waiting(event)

    def _retrying(self, event: Retrying) -> None:
        """Note the wait; each row that waits is in the heap once, so that it never
        outgrows what may be in flight.
        """
        self._retries += 1
        now = self._now()
        # Rows that left since are dropped here: nothing else looks at the heap.
        while self._retry_waits and self._retry_waits[0].until <= now:
            heappop(self._retry_waits)
        reason = f"retrying after {event.error}"
        heappush(self._retry_waits, PoolWait(now + event.seconds, event.model, reason, now))

    def _fell_back(self, _: FellBack) -> None:
        self._fallbacks += 1

    def _breaker_changed(self, event: BreakerChanged) -> None:
        self._pool(event.pool).breaker = event.state

    def _limits_seen(self, event: LimitsSeen) -> None:
        self._pool(event.pool).seen(event)

    def _concurrency_changed(self, event: ConcurrencyChanged) -> None:
        self._pool(event.pool).concurrency = event.limit

    def _drain_started(self, event: DrainStarted) -> None:
        self._draining = event.reason
        self._retry_waits.clear()
