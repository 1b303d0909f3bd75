"""How much others take from a limit that we share with them, told by how often our
picture of it must be moved down.
"""

from __future__ import annotations

_LOOK_EVERY_S = 2.0
_GAIN = 0.5
_MOST = 0.95
"""Of the rate: what they take may change at any time, so a little is always tried."""


class OtherConsumers:
    """An integral controller: it rests where the picture need not be moved any more."""

    def __init__(self, now: float) -> None:
        # Mutable, changed by the methods below only: the estimate, and what it is made
        # of since the last look.
        self.per_s = 0.0
        """Units a second."""
        self._moved = 0.0
        self._since = now

    def moved(self, units: float, now: float, *, rate: float) -> None:
        """An answer has moved the picture by *units* (often 0); *rate* is the limit's,
        in units a second.
        """
        self._moved += units
        seconds = now - self._since
        if seconds >= _LOOK_EVERY_S:
            self.per_s = min(max(0.0, self.per_s - self._moved / seconds * _GAIN), rate * _MOST)
            self._moved, self._since = 0.0, now
