"""Rates over the last minute, cheap enough to be fed by every event."""

from __future__ import annotations

_SECONDS = 60
# A rate over less is noise: one answer in the first tenth of a second is not 600 a
# minute.
_SHORTEST_S = 5.0


class LastMinute:
    """A sum over a sliding minute, kept in one bucket per second: O(1) to add, O(60) to
    read.
    """

    __slots__ = ("_since", "_stamps", "_sums")

    def __init__(self) -> None:
        # Mutable state, changed by `add` only; another thread may read it and see a
        # bucket half a second old.
        self._sums = [0] * _SECONDS
        self._stamps = [-_SECONDS] * _SECONDS
        self._since: float | None = None

    def add(self, amount: int, now: float) -> None:
        """Count *amount* at *now*; *now* never goes back."""
        second = int(now)
        # A slot is used again after a minute: its stamp says whether its sum is old.
        slot = second % _SECONDS
        if self._stamps[slot] == second:
            self._sums[slot] += amount
        else:
            self._stamps[slot] = second
            self._sums[slot] = amount
            if self._since is None:
                self._since = now

    def per_minute(self, now: float) -> float:
        """The sum of the last minute; before a minute has passed, at the pace of the
        time there is.
        """
        if self._since is None:
            return 0.0
        oldest = int(now) - _SECONDS + 1
        total = sum(
            amount
            for amount, stamp in zip(self._sums, self._stamps, strict=True)
            if stamp >= oldest
        )
        # Not always 60 s: the oldest bucket is only in part within the minute.
        covered = min(now - self._since, now - oldest)
        return total * 60.0 / max(covered, _SHORTEST_S)
