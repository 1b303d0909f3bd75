"""Rows that wait and send nothing lend their worker's place to another row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

# Rows at rest are held in memory: without a limit, a file in which every row fails
# would be read to its end before the first is given up.
_MOST_ROWS = 1000
_MOST_BYTES = 64 << 20


class Resting:
    """How many rows of each lane are at rest. Without it, bad rows that wait for their
    retries would take every worker: 232 of 345 good rows were done after 18 minutes.
    """

    def __init__(self) -> None:
        # Mutable: rows at rest with lane and size of their request, and the sums; who
        # is told of a change (the engine).
        self._held: dict[int, tuple[str, int]] = {}
        self._rows: Counter[str] = Counter()
        self._bytes = 0
        self.on_rest: Callable[[str], None] = lambda lane: None
        # And who knows how many rows a lane has left, and how many it may send at once
        # (the engine).
        self.count_left: Callable[[str], int | None] = lambda lane: None
        self.count_slots: Callable[[str], int] = lambda lane: _MOST_ROWS

    def places(self, lane: str) -> int:
        """How many more rows than usual may be under way in *lane*."""
        return self._rows[lane]

    def slots(self, lane: str) -> int:
        """How many rows of *lane* may be sent at once; many, where nobody knows."""
        return self.count_slots(lane)

    def left(self, lane: str) -> int | None:
        """How many rows of *lane* are left, all of them under way; None: more are to
        come.
        """
        return self.count_left(lane)

    def begin(self, row: int, lane: str, size: int) -> bool:
        """A row of *lane* with a request of *size* bytes waits and sends nothing;
        returns whether it is at rest by that.
        """
        if row in self._held or len(self._held) >= _MOST_ROWS or self._bytes + size > _MOST_BYTES:
            return False
        self._held[row] = lane, size
        self._rows[lane] += 1
        self._bytes += size
        self.on_rest(lane)
        return True

    def over(self, row: int) -> None:
        """It sends again, or is finished; no matter whether it was at rest."""
        lane, size = self._held.pop(row, ("", 0))
        if lane:
            self._rows[lane] -= 1
            self._bytes -= size
