"""Pools that stand still: the reason, the end, and the total time of each.

Waits overlap: while the head of a pool's queue waits, so do all the requests behind it.
So a pool has one wait at a time, the last one reported, and the sum over its waits is
the time of the run in which it stood still.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from claudebatch.core.events import Waiting

# Pacing makes every request wait a little: without this, a display would flicker with
# waits that are over before they are read.
MIN_REPORTED_S = 1.0
# Reasons that hold up rows and not their pool.
_OF_ROWS = {"retry budget", "money"}


@dataclass(frozen=True, slots=True, order=True)
class PoolWait:
    """A pool that stands still, the reason, and the end of its wait."""

    until: float
    pool: str
    reason: str
    since: float


class PoolWaits:
    """Keeps the waits of all pools; another thread may read it."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        # Mutable, changed by the methods below only: one wait per pool, and the seconds
        # by pool and reason.
        self._waits: dict[str, PoolWait] = {}
        self._stood: dict[tuple[str, str], float] = {}

    def waiting(self, event: Waiting) -> None:
        """Take a wait in: it replaces the one of its pool, but a row's never one that
        the pool has.
        """
        now = self._now()
        before = self._waits.get(event.pool)
        if before is not None:
            if event.reason in _OF_ROWS and before.reason not in _OF_ROWS and before.until > now:
                return
            self._end(before, now)
        self._waits[event.pool] = PoolWait(now + event.seconds, event.pool, event.reason, now)

    def started(self, pool: str) -> None:
        """A request of *pool* has left.

        One that leaves right after a wait was reported had been let go before: the
        wait is that of the next in the queue.
        """
        wait = self._waits.get(pool)
        if wait is not None and (now := self._now()) - wait.since >= MIN_REPORTED_S:
            self._end(self._waits.pop(pool), now)

    def waits(self, now: float) -> list[PoolWait]:
        """What stands still now and is worth a report; what moves again first comes
        first.
        """
        waits = list(self._waits.values())
        return sorted(
            wait for wait in waits if wait.until > now and wait.until - wait.since >= MIN_REPORTED_S
        )

    def stood(self, now: float) -> dict[tuple[str, str], float]:
        """Seconds until *now* in which each pool stood still, by pool and reason."""
        found = dict(self._stood)
        for wait in list(self._waits.values()):
            key = (wait.pool, wait.reason)
            found[key] = found.get(key, 0.0) + _lasted(wait, now)
        return found

    def _end(self, wait: PoolWait, now: float) -> None:
        key = (wait.pool, wait.reason)
        self._stood[key] = self._stood.get(key, 0.0) + _lasted(wait, now)


def _lasted(wait: PoolWait, now: float) -> float:
    return max(0.0, min(now, wait.until) - wait.since)
