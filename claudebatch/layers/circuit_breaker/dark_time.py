"""How long a pool has served nobody, and when a last attempt is worth its while."""

from __future__ import annotations

import math

from claudebatch.layers.circuit_breaker.settings import (
    ALL_LAST_AFTER_S,
    FIRST_LAST_ATTEMPT_S,
    FIRST_PROBE_S,
    BreakerPolicy,
)

# Attempts that are not last ones should do for so long an outage, in seconds, and to
# one that shows itself as only outages do, for three times as long: the usual limit.
_ENOUGH_S = ALL_LAST_AFTER_S
_PATIENCE = 3
# Where rows fail among others that are served, no wait for an attempt is cut short.
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
        # Open: how many probes have failed one after the other; how many attempts the
        # rows have left that have asked; when a row last asked that has more than one.
        self._probes_failed = 0
        self._attempts_left: dict[int, int] = {}
        self._more_at = -math.inf
        self.since = math.inf
        """When the first call failed since one was served; infinity: none has."""
        self.blames_pool = False
        """Whether one of them failed as no single row does."""
        self.sent = False
        """Whether one of them had left."""

    def failed(self, now: float, *, may_be_rows: bool, sent: bool = True) -> None:
        """A call failed; *sent*: it had left."""
        self.sent = self.sent or sent
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
        self.sent = False
        self._probes_failed = 0
        self._attempts_left.clear()
        return lasted_s >= _TROUBLE_S

    def shut_again(self, probes_failed: int) -> None:
        """The breaker opens; *probes_failed* since it was closed: 0, or one more."""
        self._probes_failed = self._probes_failed + 1 if probes_failed else 0

    def asks(self, row: int, now: float, attempts_left: int) -> None:
        """*row* asks, and has so many *attempts_left*."""
        self._attempts_left[row] = attempts_left
        if attempts_left > 1:
            self._more_at = now

    def leaves(self, row: int) -> None:
        """*row* is asked."""
        self._attempts_left.pop(row, None)

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
        if not self.blames_pool and now - self.since >= ALL_LAST_AFTER_S:
            return False
        others = left is None or self._spare(left) > 0
        if others and now - self._more_at <= 2 * policy.wait_open_s:
            return True
        return self.last_in(now) > 0

    def probe_wait_s(self, now: float, left: int, policy: BreakerPolicy) -> float:
        """Seconds between probes, where no row is to come but those that are *left*: as
        soon as an outage may be over, and as seldom as few attempts must last for it.
        """
        soon_s = min(policy.wait_open_s, FIRST_PROBE_S * 2.0 ** min(self._probes_failed, 30))
        lasted_s = 0.0 if self.since == math.inf else now - self.since
        enough_s = _ENOUGH_S * (_PATIENCE if self.blames_pool else 1)
        if not self.sent or not 0 < lasted_s < enough_s:
            return soon_s
        growth: float = (enough_s / lasted_s) ** (1 / max(1, self._spare(left)))
        return max(soon_s, lasted_s * (min(2.0, growth) - 1))

    def _spare(self, left: int) -> int:
        """Attempts that are no row's last; of a row that has not asked, one."""
        known = sum(attempts - 1 for attempts in self._attempts_left.values())
        return known + max(0, left - len(self._attempts_left))
