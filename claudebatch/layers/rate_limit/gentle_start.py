"""How steeply a pool's requests may become more: at its start, and after a stop."""

from __future__ import annotations

from collections import deque
from math import inf

from claudebatch.layers.rate_limit.constants.bucket import SMALLEST_BUCKET_S
from claudebatch.layers.rate_limit.constants.limiter import (
    DOUBLING_S,
    FIRST_PER_S,
    SHORTEST_WAIT_S,
)


class GentleStart:
    """So many requests a second at first, and twice as many every half second (slow
    start, as TCP has it).
    """

    def __init__(self, now: float) -> None:
        # Mutable, changed by the methods below only: when it began, and with how many a
        # second; departures of the last second.
        self._began_at = now
        self._first_per_s = FIRST_PER_S
        self._left: deque[float] = deque()

    def gap_s(self, now: float) -> float:
        """Seconds between two departures; -inf: they need none any more."""
        gap: float = 2.0 ** ((self._began_at - now) / DOUBLING_S) / self._first_per_s
        return gap if gap > SHORTEST_WAIT_S else -inf

    def left(self, now: float) -> None:
        """A request leaves."""
        self._left.append(now)
        self.speed(now)

    def begin(self, now: float) -> None:
        """As at the very first."""
        self._began_at, self._first_per_s = now, FIRST_PER_S

    def go_on(self, now: float, *, before_per_s: float) -> None:
        """After a short stop: from half of what left before it."""
        self._began_at, self._first_per_s = now, max(FIRST_PER_S, before_per_s / 2)

    def speed(self, now: float) -> float:
        """Requests a second that have left in the last second."""
        while self._left and self._left[0] <= now - SMALLEST_BUCKET_S:
            self._left.popleft()
        return len(self._left) / SMALLEST_BUCKET_S
