"""What a session counts while it goes on, out of its own events."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from claudebatch.core.domain import Call, Pico, Usage
from claudebatch.core.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    Retrying,
    RowFinished,
    Waiting,
)
from claudebatch.core.reports import Bound
from claudebatch.core.stats.pool_waits import PoolWaits

# Buckets one per cent wide: percentiles of a million latencies in a few hundred
# numbers.
_STEP = math.log(1.01)


class RunCounts:
    """Subscribes to events; every number is of this session."""

    def __init__(
        self, now: Callable[[], float], expect: Callable[[Call], Pico] | None = None
    ) -> None:
        """*expect* gives what a call was expected to cost."""
        self._standing = PoolWaits(now)
        self._expect = expect
        # Mutable: changed by `__call__` only.
        self.sources: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.requests = 0
        self.retries = 0
        self.saved = 0
        self.expected: Pico = 0
        """What this session's answers from the API were expected to cost."""
        self._tokens = [0, 0, 0, 0, 0]
        self._latencies: Counter[int] = Counter()

    def __call__(self, event: Event) -> None:
        """Take *event* in."""
        kind = type(event)
        if kind is RowFinished:
            self._row(event)  # type: ignore[arg-type]  # narrowed by its exact type: this runs for every row
        elif kind is AttemptFinished:
            self._attempt(event)  # type: ignore[arg-type]
        elif kind is AttemptStarted:
            self.requests += 1
            self._standing.started(event.pool)  # type: ignore[union-attr]
        elif kind is Retrying:
            self.retries += 1
        elif kind is Waiting:
            self._standing.waiting(event)  # type: ignore[arg-type]

    @property
    def usage(self) -> Usage:
        """Tokens of this session's answers from the API."""
        fresh, out, short, long, read = self._tokens
        return Usage(fresh, out, short, long, read)

    def bound_by(self, now: float) -> tuple[Bound, ...]:
        """What each pool stood still for, the longest first."""
        stood = self._standing.stood(now)
        return tuple(Bound(*key, stood[key]) for key in sorted(stood, key=lambda key: -stood[key]))

    def percentile(self, share: float) -> int:
        """The latency in milliseconds that *share* of the answers stayed below, to one
        per cent.
        """
        rank = share * self._latencies.total()
        for bucket in sorted(self._latencies):
            rank -= self._latencies[bucket]
            if rank <= 0:
                return round(math.exp(bucket * _STEP)) - 1
        return 0

    def _row(self, event: RowFinished) -> None:
        if not event.ok:
            self.failures[event.error or "unknown"] += 1
            return
        self.sources[event.source] += 1
        self.saved += event.saved
        if event.source == "api":
            self._latencies[round(math.log(event.latency_ms + 1) / _STEP)] += 1

    def _attempt(self, event: AttemptFinished) -> None:
        if event.reply is not None and event.call is not None and self._expect is not None:
            self.expected += self._expect(event.call)
        if (usage := event.usage) is not None:
            tokens = self._tokens
            tokens[0] += usage.input_tokens
            tokens[1] += usage.output_tokens
            tokens[2] += usage.ephemeral_5m_input_tokens
            tokens[3] += usage.ephemeral_1h_input_tokens
            tokens[4] += usage.cache_read_input_tokens
