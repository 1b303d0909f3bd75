"""How many retries a pool may have, so that retries never become a storm."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Collection

from claudebatch.layers.retry.settings import RetryBudgetPolicy

# Attempts that are looked at to tell bad rows from a bad pool; and so many retries must
# have come back: as many as are saved up at the start.
_LAST_ATTEMPTS = 20
_ENOUGH_RETRIES = 10
# Of a pool that fails three quarters of its requests, retries do better than this.
_HOPELESS = 0.2


def rows_are_to_blame(firsts: Collection[bool], retries: Collection[bool]) -> bool:
    """Whether failures are those of bad rows: hardly any retry is served, and first
    attempts are.

    *firsts*, *retries*: whether the last ones were served. A pool that fails at random
    serves retries as often as first attempts. In a session with bad rows only there are
    no first attempts.
    """
    if len(retries) < _ENOUGH_RETRIES or sum(retries) > _HOPELESS * len(retries):
        return False
    return 2 * sum(firsts) >= len(firsts)


class RetryBudget:
    """Retries of one pool in line, first come, first served: each goes when answers or
    time have earned it.

    A pool that fails gets little more than its first attempts, so that retries do not
    keep down an API that struggles to come up. As in Finagle's `RetryBudget`, but a
    retry that finds the budget empty waits instead of being dropped. The retries of bad
    rows in a pool that serves all others are no storm: they do not wait.
    """

    def __init__(self, policy: RetryBudgetPolicy, *, now: float) -> None:
        self._policy = policy
        # Mutable, changed by the methods below only: retries earned and asked for since
        # the beginning, and the turns of those that were not sent after all, in order.
        self._earned = policy.saved
        self._booked = 0
        self._left: list[int] = []
        self._at = now
        # Whether the last first attempts and the last retries were served.
        self._firsts: deque[bool] = deque(maxlen=_LAST_ATTEMPTS)
        self._retries: deque[bool] = deque(maxlen=_LAST_ATTEMPTS)

    @property
    def free(self) -> bool:
        """Whether retries need not wait for it now."""
        return rows_are_to_blame(self._firsts, self._retries)

    @property
    def serves(self) -> bool:
        """Whether the pool has served one of the last first attempts."""
        # Not most of them: the breaker has to see rows that fail only now.
        return any(self._firsts)

    def answered(self, now: float, *, first: bool = True) -> None:
        """An answer came, to a *first* attempt or to a retry: it pays for a share of a
        retry.
        """
        self._earn(self._policy.share, now)
        (self._firsts if first else self._retries).append(True)

    def failed(self, *, first: bool) -> None:
        """An attempt failed."""
        (self._firsts if first else self._retries).append(False)

    def line(self, now: float) -> float:
        """Seconds, at most, that a retry would wait which is booked now."""
        return 0.0 if self.free else self.wait(self._booked + 1, now)

    def book(self, now: float) -> int:
        """Join the line; the number is this retry's turn."""
        self._earn(0.0, now)
        self._booked += 1
        return self._booked

    def wait(self, turn: int, now: float) -> float:
        """Seconds until *turn* comes, should no answer bring it forward; 0: it has
        come.
        """
        self._earn(0.0, now)
        ahead = turn - bisect_right(self._left, turn)
        return max(0.0, (ahead - self._earned) / self._policy.floor_per_s)

    def give_back(self, turn: int) -> None:
        """That retry will not be sent: those behind it move up."""
        insort(self._left, turn)

    def _earn(self, retries: float, now: float) -> None:
        # No more is saved up than the policy allows: a quiet hour would otherwise pay
        # for a storm.
        earned = self._earned + retries + (now - self._at) * self._policy.floor_per_s
        self._at = now
        self._earned = min(earned, self._booked - len(self._left) + self._policy.saved)
