"""The last calls of a pool, and whether too many of them went badly."""

from __future__ import annotations

import math
from bisect import insort
from collections import Counter
from operator import itemgetter
from typing import Literal, TypeAlias

from claudebatch.layers.circuit_breaker.settings import BreakerPolicy

BreakerVerdict: TypeAlias = Literal["served", "slow", "failed"]
"""What a call says about its pool; slow: served all the same."""

_AT = itemgetter(0)


class CallWindow:
    """The last calls of a closed pool, ordered by a moment of each."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._most = policy.window_calls
        # Mutable, changed by `add` only.
        self._calls: list[tuple[float, int, BreakerVerdict]] = []
        self._verdicts: Counter[BreakerVerdict] = Counter()
        self._bad_rows: Counter[int] = Counter()

    def add(self, verdict: BreakerVerdict, at: float, now: float, row: int) -> None:
        """Take in a call of *row*; *at* is the moment that orders it."""
        insort(self._calls, (at, row, verdict), key=_AT)
        self._verdicts[verdict] += 1
        if verdict != "served":
            self._bad_rows[row] += 1
        # Old calls go only while enough others are left: a pool that is asked once a
        # minute would never have the minimum otherwise.
        while self._too_long(now):
            self._drop()

    @property
    def bad(self) -> int:
        """Calls that failed or were slow."""
        return self._verdicts["failed"] + self._verdicts["slow"]

    @property
    def bad_rows(self) -> int:
        """Rows with a call that failed or was slow."""
        return len(self._bad_rows)

    def first_bad(self) -> float:
        """The moment of the first call that failed or was slow; infinity: there is
        none.
        """
        return next((at for at, _, verdict in self._calls if verdict != "served"), math.inf)

    def is_bad(self) -> bool:
        """Whether the pool fails, as far as these calls say."""
        policy, calls, failed = self._policy, len(self._calls), self._verdicts["failed"]
        # Failures alone, or slow ones with them: long answers are normal, so slow calls
        # count by a rate of their own.
        too_many = (
            failed >= policy.failure_rate * calls or self.bad >= policy.slow_call_rate * calls
        )
        return too_many and calls >= policy.minimum_calls

    def _too_long(self, now: float) -> bool:
        count, policy = len(self._calls), self._policy
        if count <= policy.minimum_calls:
            return False
        return count > self._most or self._calls[0][0] < now - policy.window_s

    def _drop(self) -> None:
        _, row, verdict = self._calls.pop(0)
        self._verdicts[verdict] -= 1
        if verdict != "served":
            self._bad_rows[row] -= 1
            if not self._bad_rows[row]:
                del self._bad_rows[row]
