"""Rows whose 429s are their own: requests of others are answered all the while.

A prompt that is larger than a limit, or that a gateway's rule dislikes, meets a 429 for
ever. Its pool serves all others, and must not stand still for it.
"""

from __future__ import annotations

from collections import deque

from claudebatch.core.domain import Call
from claudebatch.core.tries import RowLimited
from claudebatch.layers.rate_limit.constants.bucket import PROOF_STEPS
from claudebatch.layers.rate_limit.store import RefusalBlame

_NEW = RowLimited(number=0)


class PassedOver:
    """The requests of one pool by their number, in the order in which they left."""

    def __init__(self) -> None:
        # Mutable, changed by the methods below only: how many requests left, and the
        # last of them that was let in; the last ones of rows that are not known to be
        # passed over, by row, in order; whether the last rows that met a 429 did so
        # for their own sake: the others were let in when they came again; which
        # one is alone in being asked to wait for long, and how many had left when one
        # was last.
        self._left = 0
        self._let_in = 0
        self._long_row = -1
        self._long_after = 0
        self._others: dict[int, int] = {}
        self._own: deque[bool] = deque(maxlen=PROOF_STEPS)

    def left(self, call: Call) -> int:
        """A request leaves; returns its number."""
        self._left += 1
        if not self._is_passed_over(_row(call)):
            self._others.pop(call.row, None)
            self._others[call.row] = self._left
            if len(self._others) > 1 + 2:
                del self._others[next(iter(self._others))]
        return self._left

    def let_in(self, call: Call, number: int) -> None:
        """The request was answered, or refused for what it says."""
        self._let_in = max(self._let_in, number)
        if call.tries is not None and call.tries.limited.pop(call.model, None) is not None:
            self._own.append(False)

    def refused(self, call: Call, number: int) -> RefusalBlame:
        """The request met a 429; returns whom that is about, and notes in the call's
        tries whether it counts.

        It does if a request of another row was let in that left after the row's 429
        before, or if besides rows that this happened to hardly any row asks: then
        nobody is left who could be let in.
        """
        row = _row(call)
        passed_over = self._is_passed_over(row)
        # In an earlier session it was: the first one counts as well.
        again = row.number > 0 or row.others_served
        counts = again and (0 < row.number < self._let_in or self._few_ask(call, row))
        if call.tries is not None:
            call.tries.limited[call.model] = RowLimited(
                number, row.times + counts, counts=counts, others_served=passed_over
            )
        if passed_over and counts:
            if row.times == 0:
                self._own.append(True)
            return "row"
        return "maybe row" if len(self._own) > 1 and all(self._own) else "pool"

    def alone_for_long(self, call: Call) -> bool:
        """The row is asked to wait for longer than any bucket takes to fill; returns
        whether it alone is, while others are let in.
        """
        if self._let_in > self._long_after:
            self._long_row = call.row
        self._long_after = self._left
        return self._let_in > 0 and self._long_row == call.row

    def _is_passed_over(self, row: RowLimited) -> bool:
        return row.others_served or 0 < row.number < self._let_in

    def _few_ask(self, call: Call, row: RowLimited) -> bool:
        # A row or two that fail alone are no outage to the breaker either.
        asked = [at for other, at in self._others.items() if other != call.row]
        served = self._let_in > 0 or row.others_served
        return served and sum(at > row.number for at in asked) < 2


def _row(call: Call) -> RowLimited:
    return _NEW if call.tries is None else call.tries.limited.get(call.model, _NEW)
