"""How long a pool has served nobody, and when a row's last attempt is worth its while."""

from __future__ import annotations

import math

from claudebatch.layers.circuit_breaker.settings import (
    ALL_LAST_AFTER_S,
    FIRST_LAST_ATTEMPT_S,
    FIRST_PROBE_S,
    BreakerPolicy,
)

# While all rows that are left are under way, a pool that has been out for so many times
# as long may be out for one time more: few rows have few attempts for it.
_PATIENCE = 4
# With so many rows left there are attempts enough to ask at the usual pace.
_MANY_ROWS = 20
# Where rows fail among others that are served, no wait for another attempt is cut short.
_TROUBLE_S = 2.0


class DarkTime:
    """The time since a pool last served anybody, as far as something failed in it.

    It bounds what an outage of unknown length costs: the last attempt of a row is made
    when the trouble has lasted for twice as long as at the last failure. So a run is
    over by twice the time of the outage, and one row in each doubling is lost at most.
    """

    def __init__(self) -> None:
        # Mutable, changed by the methods below only: when the last call failed since
        # one was served.
        self._failed_at = -math.inf
        # Open: how many probes have failed one after the other; rows that have asked
        # and have one attempt left; when a row last asked that has more.
        self._probes_failed = 0
        self._on_last: set[int] = set()
        self._more_at = -math.inf
        self.since = math.inf
        """When the first call failed since one was served; infinity: none has."""
        self.blames_pool = False
        """Whether one of them failed as no single row does."""

    def failed(self, now: float, *, may_be_rows: bool) -> None:
        """A call failed."""
        self.since = min(self.since, now)
        self._failed_at = now
        self.blames_pool = self.blames_pool or not may_be_rows

    def served(self, sent_at: float, now: float) -> bool:
        """A call was served; returns whether trouble is over that had others wait for
        it. What was sent before the trouble is answered in it, too.
        """
        lasted_s = now - self.since
        if sent_at < self.since < math.inf:
            return False
        self.since, self._failed_at, self.blames_pool = math.inf, -math.inf, False
        self._probes_failed = 0
        self._on_last.clear()
        return lasted_s >= _TROUBLE_S

    def shut_again(self, probes_failed: int) -> None:
        """The breaker opens; *probes_failed* since it was closed: 0, or one more."""
        self._probes_failed = self._probes_failed + 1 if probes_failed else 0

    def asks(self, row: int, now: float, *, on_last: bool) -> None:
        """*row* asks; *on_last*: it has one attempt left."""
        if on_last:
            self._on_last.add(row)
        else:
            self._on_last.discard(row)
            self._more_at = now

    def leaves(self, row: int) -> None:
        """*row* is asked."""
        self._on_last.discard(row)

    def last_in(self, now: float, failed_at: float | None = None) -> float:
        """Seconds until a row may be asked a last time. *failed_at*: when it failed
        last itself, where each waits for itself alone.
        """
        if self.since == math.inf or failed_at == -math.inf:
            return 0.0
        failed_at = self._failed_at if failed_at is None else failed_at
        due_s = max(FIRST_LAST_ATTEMPT_S, 2 * (failed_at - self.since))
        if not self.blames_pool:
            # They may be bad rows, and must come to their end.
            due_s = min(due_s, ALL_LAST_AFTER_S)
        return max(0.0, self.since + due_s - now)

    def saves_last(self, now: float, left: int | None, policy: BreakerPolicy) -> bool:
        """Open: whether a row's last attempt is not yet to be made, of so many rows
        *left*: others can ask, or it is too early.
        """
        others = left is None or len(self._on_last) < left
        if others and now - self._more_at <= 2 * policy.wait_open_s:
            return True
        return self.last_in(now) > 0

    def probe_wait_s(self, now: float, left: int, policy: BreakerPolicy) -> float:
        """Seconds between probes, where no row is to come but those that are *left*."""
        soon_s = min(policy.wait_open_s, FIRST_PROBE_S * 2.0 ** min(self._probes_failed, 30))
        if self.since == math.inf or not self.blames_pool or left >= _MANY_ROWS:
            return soon_s
        return max(soon_s, (now - self.since) / _PATIENCE)
