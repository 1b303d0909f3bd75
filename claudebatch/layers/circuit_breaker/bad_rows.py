"""Which rows fail by themselves, while their pool serves others."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

# Rows that fail one after the other without an end take no memory for it.
_ROWS_REMEMBERED = 10_000
# A bad row that has not failed for this long has come to its end: twice the longest
# backoff and a half. Counted for ever, those of a long run would hide an outage.
_ACTIVE_S = 150.0


class _Failures(NamedTuple):
    first_sent: float
    last: float


class BadRows:
    """A row that failed, though a call of another row that was sent no earlier was
    answered, is bad: its next failures say nothing about the pool.
    """

    def __init__(self) -> None:
        # Mutable: when each row failed (bad ones apart), and when the latest call was
        # sent that was answered. Answers to earlier calls come in during an outage too.
        self._failed: dict[int, _Failures] = {}
        self._bad: dict[int, _Failures] = {}
        self._answered_sent = -math.inf

    def is_bad(self, row: int) -> bool:
        """Whether *row* has failed while others were served."""
        if row in self._bad:
            return True
        failed = self._failed.get(row)
        return failed is not None and failed.first_sent <= self._answered_sent

    def has_failed(self, row: int, since: float) -> bool:
        """Whether *row* has failed after *since*."""
        failed = self._bad.get(row) or self._failed.get(row)
        return failed is not None and failed.last > since

    def failing(self, since: float) -> frozenset[int]:
        """The rows that have failed after *since*."""
        both = (*self._bad.items(), *self._failed.items())
        return frozenset(row for row, failed in both if failed.last > since)

    def all_bad(self, rows: Iterable[int], now: float) -> None:
        """*rows* are bad, and stay so."""
        for row in rows:
            self._failed.pop(row, None)
            self._bad[row] = _Failures(-math.inf, now)

    def active(self, now: float) -> int:
        """How many bad rows are still being tried."""
        return sum(failed.last >= now - _ACTIVE_S for failed in self._bad.values())

    def was_bad(self, row: int, now: float) -> None:
        """*row* was bad in an earlier session."""
        self._bad.setdefault(row, _Failures(-math.inf, now))

    def failed(self, row: int, sent_at: float, now: float) -> bool:
        """*row*'s call, sent at *sent_at*, fails; returns whether it was bad
        already.
        """
        bad = self.is_bad(row)
        known = self._bad.pop(row, None) or self._failed.pop(row, None)
        rows = self._bad if bad else self._failed
        rows[row] = _Failures(known.first_sent if known else sent_at, now)
        if len(rows) > _ROWS_REMEMBERED:
            del rows[next(iter(rows))]
        return bad

    def answered(self, row: int, sent_at: float, *, proves: bool) -> bool:
        """*row*'s call, sent at *sent_at*, is answered, which *proves* that its pool
        serves; returns whether the row was bad.
        """
        bad = self.is_bad(row)
        self._bad.pop(row, None)
        self._failed.pop(row, None)
        if proves:
            self._answered_sent = max(self._answered_sent, sent_at)
        return bad

    def forgive(self, since: float) -> None:
        """The pool serves nobody *since*: what failed only then failed with it."""
        for rows in (self._bad, self._failed):
            for row, failed in list(rows.items()):
                # Those of earlier sessions were proven there.
                if failed.first_sent >= since and failed.first_sent > -math.inf:
                    del rows[row]
