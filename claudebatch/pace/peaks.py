"""The highest level since any earlier moment, for as many moments as there are requests in flight."""

from __future__ import annotations

from bisect import bisect_left


class Peaks:
    """Levels in the order in which they were noted. Only those are kept that no later one reached."""

    def __init__(self) -> None:
        # Mutable, changed by `note` only: numbers go up, levels go down.
        self.count = 0
        self._kept: list[tuple[int, float]] = []

    def note(self, level: float, grain: float) -> None:
        """Note *level*; where it is less than *grain* below the one before, that one is kept for both."""
        while self._kept and self._kept[-1][1] <= level:
            self._kept.pop()
        if self._kept and self._kept[-1][1] - level < grain:
            level = self._kept.pop()[1]
        self._kept.append((self.count, level))
        self.count += 1

    def since(self, count: int) -> float:
        """The highest of those that were noted when `count` was this, or later; there must be one."""
        return self._kept[bisect_left(self._kept, (count,))][1]
