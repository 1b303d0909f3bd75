"""A token bucket that lends: every booking is granted at once and says when it may be used.

The debt form of the token bucket (as in GCRA, ITU-T I.371): the level may fall below zero, and the time it takes to
climb back to zero is the wait. So bookings are first come, first served, a large one cannot be starved by small
ones, and whatever was booked too much can be given back.
"""

from __future__ import annotations


class Bucket:
    """*per_minute* units a minute, at most *burst_s* seconds' worth saved up, starting empty."""

    def __init__(self, per_minute: float, *, burst_s: float, now: float) -> None:
        self._burst_s = burst_s
        # Mutable: the level at the moment `_at`, in units; negative while bookings wait.
        self._rate = per_minute / 60
        self._level = 0.0
        self._at = now

    @property
    def per_minute(self) -> float:
        """Units a minute."""
        return self._rate * 60

    def book(self, units: float, now: float) -> float:
        """Take *units* and return how many seconds from *now* they may be used."""
        self._fill(now)
        self._level -= units
        return max(0.0, -self._level / self._rate)

    def give_back(self, units: float, now: float) -> None:
        """Return *units* that were booked and not used; a negative number books more without waiting."""
        self._fill(now)
        self._level = min(self._rate * self._burst_s, self._level + units)

    def set_rate(self, per_minute: float, now: float) -> None:
        """From *now* on, *per_minute* units a minute. Waits already granted stay as they are."""
        self._fill(now)
        self._rate = per_minute / 60

    def _fill(self, now: float) -> None:
        elapsed = max(0.0, now - self._at)
        self._at = max(self._at, now)
        self._level = min(self._rate * self._burst_s, self._level + elapsed * self._rate)
