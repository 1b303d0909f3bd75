"""The highest level since any earlier moment, for as many moments as there are requests
in flight.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass

from claudebatch.layers.rate_limit.constants.bucket import STALE_HEADER_S


@dataclass(frozen=True, slots=True)
class BucketSnapshot:
    """Where the mirror stood right after a booking, to hold its answer's headers
    against.
    """

    level: float
    adjusted: float
    peaks: int = 0
    unbound: float = 0.0


class PeakLevels:
    """Levels in the order in which they were noted. Only those are kept that no later
    one reached.
    """

    def __init__(self) -> None:
        # Mutable, changed by `note` and `leave` only: numbers go up, levels go down;
        # and when requests left in the last `STALE_HEADER_S`, with the count of then.
        self.count = 0
        self._kept: list[tuple[int, float]] = []
        self._left: deque[tuple[float, int]] = deque()

    def note(self, level: float, grain: float) -> None:
        """Note *level*; where it is less than *grain* below the one before, that one is
        kept for both.
        """
        while self._kept and self._kept[-1][1] <= level:
            self._kept.pop()
        if self._kept and self._kept[-1][1] - level < grain:
            level = self._kept.pop()[1]
        self._kept.append((self.count, level))
        self.count += 1

    def leave(self, now: float) -> None:
        """A request leaves."""
        self._left.append((now, self.count))
        while len(self._left) > 1 and self._left[1][0] <= now - STALE_HEADER_S:
            self._left.popleft()

    def since(self, count: int, *, stale: bool = False) -> float:
        """The highest of those that were noted when `count` was this, or later; there
        must be one. *stale*: or when a request left whose header may come only now.
        """
        if stale and self._left:
            count = min(count, self._left[0][1] - 1)
        return self._kept[bisect_left(self._kept, (count,))][1]
