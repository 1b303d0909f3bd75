"""When a batch is asked about next. Pure: no clock, no I/O.

The API has no better news than that: while a batch runs, its counts stay 0.
"""

from __future__ import annotations

from claudebatch.core.errors import AttemptError, BatchNotFound

_SLOWER = 1.5
_LONGEST = 6
"""The longest wait, in first ones."""
# Seen for minutes of batches that were alive and well.
_PATIENCE_S = 900.0


class Polls:
    """The polls of one batch. Seconds on the caller's clock."""

    def __init__(
        self, now: float, *, first_s: float = 10.0, max_outage_s: float = _PATIENCE_S
    ) -> None:
        """*max_outage_s*: the API may ask for no longer wait. One that asks for a year
        would not be asked again, and its outage not be seen.
        """
        self._longest_s = _LONGEST * first_s
        self._most_s = max_outage_s
        # Mutable, changed by the methods below only.
        self.due = now + first_s
        """When to ask next."""
        self._wait_s = first_s
        self._missing_since: float | None = None

    def answered(self, now: float, retry_after: float | None) -> None:
        """The batch is still under way; the API asks for *retry_after* seconds."""
        # Known after all: only a row of 404s without an answer between them counts.
        self._missing_since = None
        self._later(now, retry_after)

    def failed(self, now: float, error: AttemptError) -> bool:
        """The question failed; returns whether to believe that no such batch exists."""
        if isinstance(error, BatchNotFound):
            if self._missing_since is None:
                self._missing_since = now
            believed = now - self._missing_since >= _PATIENCE_S
        else:
            believed = False
        self._later(now, error.retry_after)
        # Asked no sooner, an outage would be seen that much later.
        self.due = min(self.due, now + self._most_s)
        return believed

    def at_once(self, now: float) -> None:
        """Ask again without a wait."""
        self.due = now

    def _later(self, now: float, retry_after: float | None) -> None:
        self._wait_s = min(self._wait_s * _SLOWER, self._longest_s)
        self.due = now + max(self._wait_s, min(retry_after or 0.0, self._most_s))
