"""The usual cost of an attempt, for budgets in the mode `expected`."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict, deque
from typing import Protocol

from claudebatch.core.domain import Call, Pico

# Half of the attempts cost more than their median: with it, the sum of the holds in
# flight would be passed all the time.
_QUANTILE = 0.95
# The next answers may be a little longer than the last ones; without a margin one in
# twenty would already cost more than its hold.
_MARGIN = 1.1
# The 95th percentile of fewer answers is the largest of them, or less.
_MIN_ANSWERS = 20
# A prompt file has parts of different kinds: answers of the part before must be
# forgotten within minutes.
_RECENT_ANSWERS = 200


class CostPredictor(Protocol):
    """The usual part of its worst case that an attempt costs, learned from earlier
    ones.
    """

    def amount(self, call: Call, worst: Pico) -> Pico:
        """The money to set aside."""
        ...

    def learn(self, call: Call, worst: Pico, cost: Pico) -> None:
        """*call* cost *cost*."""
        ...


class UsualCost:
    """The share of its worst case that 95 in 100 attempts stay below, by model and
    rule, and a tenth more. The whole worst case until twenty answers are known.
    """

    def __init__(self) -> None:
        # Mutable, changed by `learn` only: the shares of the last answers, in order of
        # arrival and of size.
        self._recent: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._sorted: defaultdict[tuple[str, str], list[float]] = defaultdict(list)

    def amount(self, call: Call, worst: Pico) -> Pico:
        """The money to set aside."""
        shares = self._sorted[call.model, call.route.rule]
        if len(shares) < _MIN_ANSWERS:
            return worst
        return min(worst, int(worst * shares[int(len(shares) * _QUANTILE)] * _MARGIN) + 1)

    def learn(self, call: Call, worst: Pico, cost: Pico) -> None:
        """*call* cost *cost*."""
        key, share = (call.model, call.route.rule), cost / max(1, worst)
        recent, in_order = self._recent[key], self._sorted[key]
        recent.append(share)
        insort(in_order, share)
        if len(recent) > _RECENT_ANSWERS:
            del in_order[bisect_left(in_order, recent.popleft())]
