"""When a row's last attempt is worth its while, as long as a pool serves nobody."""

from __future__ import annotations

import math

from claudebatch.layers.circuit_breaker.settings import (
    LAST_ATTEMPT_AFTER_S,
    LAST_ATTEMPT_WAITS,
    BreakerPolicy,
)

# After three that failed a fourth would save little of the time, and lose one more row
# in an outage of five minutes.
_MOST_S = LAST_ATTEMPT_AFTER_S * 2 / 3


class LastAttempts:
    """Saves the last attempts of rows, and spends one now and then where nothing else
    is left to find out with that the pool serves again.
    """

    def __init__(self, policy: BreakerPolicy) -> None:
        self._first_s = policy.wait_open_s
        # Mutable, changed by the methods below only. Of the rows that wait for an open
        # breaker: those that have asked and are no probes, bad or with one attempt
        # left.
        self._no_probes: set[int] = set()
        # When the first call failed since one was served, and the last one. While rows
        # wait, trouble goes on from an answer, which was sent before.
        self._since = -math.inf
        self._failed_at: float | None = None
        self.spent = 0
        """How many rows have been given up since then to find out."""

    def asks(self, row: int, *, is_probe: bool) -> None:
        """*row* asks an open breaker; *is_probe*: it has attempts to spare."""
        (self._no_probes.discard if is_probe else self._no_probes.add)(row)

    def failed(self, row: int, now: float, *, spent: bool) -> None:
        """A call failed; *spent*: it was *row*'s last, made to find out."""
        if self._failed_at is None and not self._no_probes:
            self._since = now
        self._failed_at = now
        self._no_probes.discard(row)
        self.spent += spent

    def served(self, row: int, now: float) -> None:
        """A call was served."""
        self._no_probes.discard(row)
        self._since, self._failed_at, self.spent = now, None, 0

    def closed(self) -> None:
        """The breaker is closed: nobody waits for it."""
        self._no_probes.clear()

    def is_due(self, now: float, left: int | None) -> bool:
        """Whether one may be spent, of so many rows *left*; None: more are to come."""
        if left is None or len(self._no_probes) < left:
            return False
        lasted_s = 0.0 if self._failed_at is None else self._failed_at - self._since
        due_s = max(self._first_s, LAST_ATTEMPT_WAITS * lasted_s)
        return due_s <= min(now - self._since, _MOST_S)
