"""Which rows fail by themselves, while their pool serves others."""

from __future__ import annotations

import math
from typing import NamedTuple

# Rows that fail one after the other without an end take no memory for it.
_ROWS_REMEMBERED = 10_000
# A bad row that has not failed for this long has come to its end: twice the longest
# backoff and a half. Counted for ever, those of a long run would hide an outage.
_ACTIVE_S = 150.0


class _Failures(NamedTuple):
    first: float
    last: float


class BadRows:
    """A row that failed, and then others were answered, is bad: its next failures say
    nothing about the pool.
    """

    def __init__(self) -> None:
        # Mutable: when each row failed (bad ones apart), and when the last answer to
        # another row came.
        self._failed: dict[int, _Failures] = {}
        self._bad: dict[int, _Failures] = {}
        self._answered_at = -math.inf

    def is_bad(self, row: int) -> bool:
        """Whether *row* has failed while others were answered."""
        if row in self._bad:
            return True
        failed = self._failed.get(row)
        return failed is not None and failed.first < self._answered_at

    def active(self, now: float) -> int:
        """How many bad rows are still being tried."""
        return sum(failed.last >= now - _ACTIVE_S for failed in self._bad.values())

    def was_bad(self, row: int, now: float) -> None:
        """*row* was bad in an earlier session."""
        self._bad.setdefault(row, _Failures(-math.inf, now))

    def failed(self, row: int, now: float) -> bool:
        """*row* fails; returns whether it was bad already."""
        bad = self.is_bad(row)
        first = (self._bad.pop(row, None) or self._failed.pop(row, None) or _Failures(now, now))[0]
        rows = self._bad if bad else self._failed
        rows[row] = _Failures(first, now)
        if len(rows) > _ROWS_REMEMBERED:
            del rows[next(iter(rows))]
        return bad

    def answered(self, row: int, now: float, *, proves: bool) -> bool:
        """*row* is answered, which *proves* that its pool serves; returns whether the
        row was bad.
        """
        bad = self.is_bad(row)
        self._bad.pop(row, None)
        self._failed.pop(row, None)
        if proves:
            self._answered_at = now
        return bad

    def forgive(self, since: float) -> None:
        """The pool serves nobody *since*: what failed only then failed with it."""
        for rows in (self._bad, self._failed):
            for row, failed in list(rows.items()):
                # Those of earlier sessions were proven there.
                if failed.first >= since and failed.first > -math.inf:
                    del rows[row]
