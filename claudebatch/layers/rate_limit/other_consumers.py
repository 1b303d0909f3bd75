"""How much others take from a limit that we share with them, learned from how often our
mirror of it must be lowered.
"""

from __future__ import annotations

from claudebatch.layers.rate_limit.constants.bucket import (
    CATCH_UP_SHARE,
    LARGEST_BUCKET_S,
    OTHERS_SILENCE_S,
    OTHERS_WINDOW_S,
)


class OtherConsumers:
    """An integral controller: it rests where the mirror need not be moved any more."""

    def __init__(self, now: float) -> None:
        # Mutable, changed by the methods below only: the estimate, and what it is made
        # of since the last look.
        self.per_s = 0.0
        """Units a second."""
        self._moved = 0.0
        self._since = self._heard_at = now

    def silent(self, now: float) -> None:
        """Nothing was heard until *now*: the longer that lasts, the less is believed.

        A pool that takes one burst of another user for its usual pace sends nothing,
        and so learned nothing better for 45 seconds.
        """
        silent_s = now - self._heard_at - OTHERS_SILENCE_S
        if silent_s > 0 and self.per_s:
            halvings = min(silent_s, LARGEST_BUCKET_S) / OTHERS_SILENCE_S
            self.per_s /= 2**halvings
            self._heard_at += silent_s

    def moved(self, units: float, now: float, *, rate: float) -> None:
        """An answer has moved the mirror by *units* (often 0); *rate* is the limit's,
        in units a second.
        """
        self._heard_at = now
        self._moved += units
        seconds = now - self._since
        if seconds >= OTHERS_WINDOW_S:
            self.per_s = min(
                max(0.0, self.per_s - self._moved / seconds / 2), rate * (1 - CATCH_UP_SHARE)
            )
            self._moved, self._since = 0.0, now
