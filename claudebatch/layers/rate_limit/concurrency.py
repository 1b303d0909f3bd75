"""How many requests a pool may have in flight: as many as are put to use, fewer when
the API says it is too many.
"""

from __future__ import annotations

from math import inf

from claudebatch.layers.rate_limit.constants.concurrency import (
    OLD_ANSWERS_S,
    ROUND_S,
    UNPROVEN,
    USED_SHARE,
)


class ConcurrencyLimit:
    """Additive increase, multiplicative decrease (D. Chiu, R. Jain, 1989), with a slow
    start that doubles.

    Until the API first refuses a request for being one too many, every answer adds a
    slot and a full house doubles once a second, beyond `UNPROVEN` only while answers
    come; after that a whole round of answers adds one. The slot of a refused request
    stays shut for a moment, or until an answer makes room: else the next one would be
    refused at once.
    """

    def __init__(self, start: int, most: int) -> None:
        self._most = most
        # Mutable, changed by the methods below only. The limit grows by fractions once
        # it was refused.
        self._limit = float(min(start, most))
        self._doubling = True
        self._cool_until = -inf
        self._grown_at = -inf
        self._answered_since = False
        self._shut_until = -inf
        self._refused_since: float | None = None
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """How many may be in flight now."""
        return int(self._limit)

    def wait(self, now: float) -> float:
        """Seconds until one more may be sent even if none comes back; `inf` when only
        that will help.
        """
        if self.in_flight < self.limit:
            return max(0.0, self._shut_until - now)
        proven = self._answered_since or self._limit < UNPROVEN
        if not (self._doubling and proven) or self.limit >= self._most:
            return inf
        if (seconds := self._grown_at + ROUND_S - now) > 0:
            return seconds
        self._grow(self._limit, now)
        return 0.0

    def take(self) -> None:
        """One more is in flight."""
        self.in_flight += 1

    def free(self, now: float, *, answered: bool) -> None:
        """One has come back."""
        used, self.in_flight = self.in_flight, self.in_flight - 1
        if answered:
            self._shut_until, self._refused_since = -inf, None
        if not answered or now < self._cool_until:
            return
        self._answered_since = True
        if used >= USED_SHARE * self._limit:
            self._limit = min(
                float(self._most), self._limit + (1.0 if self._doubling else 1.0 / self._limit)
            )

    def crowded(self, now: float) -> None:
        """The API refused one for being one too many."""
        self._doubling = False
        self._shut_until = now + ROUND_S
        if self._refused_since is None:
            self._refused_since = now
        if now < self._cool_until:
            # One of many that were too many at once: those that are left are what fits.
            self._limit = max(1.0, min(self._limit, float(self.in_flight - 1)))
        else:
            self._limit = max(1.0, float(int(min(self._limit, float(self.in_flight)) * USED_SHARE)))
            self._cool_until = now + OLD_ANSWERS_S

    @property
    def refused(self) -> bool:
        """Whether no answer came since the last such refusal."""
        return self._refused_since is not None

    def refused_for(self, now: float) -> float:
        """Seconds since the first such refusal after the last answer; 0 when an answer
        came last.
        """
        return 0.0 if self._refused_since is None else now - self._refused_since

    def _grow(self, by: float, now: float) -> None:
        self._limit = min(float(self._most), self._limit + by)
        self._grown_at = now
        self._answered_since = False
