"""A batch that is built and not yet made, because the API has no room for it now or
does not answer. Pure: no clock, no I/O.
"""

from __future__ import annotations

from claudebatch.core.errors import AttemptError, RateLimited
from claudebatch.engine.batches.build import BuiltBatch

_FIRST_WAIT_S = 5.0
_LONGEST_WAIT_S = 60.0


class ToMake:
    """When it is tried next. Seconds on the caller's clock."""

    def __init__(self, built: BuiltBatch, now: float) -> None:
        self.built = built
        # Mutable, changed by `refused` only; `_since`: the first failure of an outage.
        self._since: float | None = None
        self.due = now
        """When to try."""
        self._wait_s = _FIRST_WAIT_S

    def refused(self, now: float, error: AttemptError, *, max_outage_s: float) -> bool:
        """The API made nothing; returns whether to go on trying."""
        # A full queue empties when batches end: of that an outage says nothing.
        # Whatever the API asks for, it is asked again within this time.
        most_s = max_outage_s
        if isinstance(error, RateLimited):
            self._since = None
            most_s = max(most_s, _LONGEST_WAIT_S)
        else:
            # From then, not from the making: it may have waited in line for hours.
            self._since = now if self._since is None else self._since
            if not error.retryable or now - self._since > max_outage_s:
                return False
        # Twice as long each time: of a full queue the API may not say when it empties.
        self.due = now + max(self._wait_s, min(error.retry_after or 0.0, most_s))
        self._wait_s = min(self._wait_s * 2, _LONGEST_WAIT_S)
        return True
