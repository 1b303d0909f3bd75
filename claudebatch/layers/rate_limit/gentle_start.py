"""How fast a pool's use may grow at first: what grows too steeply is refused."""

from __future__ import annotations

from collections import deque
from math import inf, log, log2

from claudebatch.layers.rate_limit.constants.bucket import LARGEST_BUCKET_S, SMALLEST_BUCKET_S
from claudebatch.layers.rate_limit.constants.limiter import (
    DOUBLING_S,
    FIRST_AT_ONCE,
    FIRST_PER_S,
    SHORTEST_WAIT_S,
)

# What doubles in that time grows by so much a second for each unit that is there.
_GROWTH_PER_S = log(2) / DOUBLING_S


class GentleStart:
    """So many requests a second at first, one by one, and twice as many every half
    second (slow start, as TCP has it).
    """

    def __init__(self, now: float) -> None:
        # Mutable, changed by the methods below only: since when it grows, from how many
        # in all, and how many of them may leave at once; how many have left or may no
        # more; departures of the last second.
        self._began_at = now
        self._first = self._used = 0.0
        self._at_once = 1.0
        self._left: deque[float] = deque()
        self.begin(now)

    def wait(self, now: float) -> float:
        """Seconds until the next request may leave; -inf: growth no longer matters."""
        if self._allowed(now) * _GROWTH_PER_S * SHORTEST_WAIT_S > 1:
            return -inf
        next_one = self._used_by(now) + 1
        return self._began_at + DOUBLING_S * log2(next_one / self._first) - now

    def left(self, now: float) -> None:
        """A request leaves."""
        self._used = self._used_by(now) + 1
        self._left.append(now)
        self.speed(now)

    def begin(self, now: float) -> None:
        """As at the very first."""
        self._grow(FIRST_PER_S, now)

    def open(self, now: float) -> None:
        """The first answer has shown what is left: some may leave at once. Where it
        took long, growth goes on from what has really left.
        """
        self._grow(max(FIRST_PER_S, 2 * self.speed(now)), now, at_once=FIRST_AT_ONCE)

    def go_on(self, now: float, *, before_per_s: float) -> None:
        """After a short stop: from half of what left before it."""
        self._grow(max(FIRST_PER_S, before_per_s / 2), now)

    def speed(self, now: float) -> float:
        """Requests a second that have left in the last second."""
        while self._left and self._left[0] <= now - SMALLEST_BUCKET_S:
            self._left.popleft()
        return len(self._left) / SMALLEST_BUCKET_S

    def _grow(self, per_s: float, now: float, *, at_once: float = 1.0) -> None:
        # After so many in all, the next one leaves 1 / *per_s* later.
        before = 1 / (2 ** (1 / (per_s * DOUBLING_S)) - 1) - 1
        self._began_at, self._first = now, before + at_once
        self._used, self._at_once = before, at_once

    def _allowed(self, now: float) -> float:
        # No more than a minute of growth counts: a float has an end.
        grown_s = min(now - self._began_at, LARGEST_BUCKET_S)
        allowed: float = self._first * 2 ** (grown_s / DOUBLING_S)
        return allowed

    def _used_by(self, now: float) -> float:
        """What was not used adds up to no more than may leave at once."""
        return max(self._used, self._allowed(now) - self._at_once)
