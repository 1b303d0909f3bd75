"""How many retries a pool may have, so that retries never become a storm."""

from __future__ import annotations

from bisect import bisect_right, insort

from claudebatch.layers.retry.settings import RetryBudgetPolicy


class RetryBudget:
    """Retries of one pool in line, first come, first served: each goes when answers or
    time have earned it.

    A pool that fails gets little more than its first attempts, so that retries do not
    keep down an API that struggles to come up. As in Finagle's `RetryBudget`, but a
    retry that finds the budget empty waits instead of being dropped.
    """

    def __init__(self, policy: RetryBudgetPolicy, *, now: float) -> None:
        self._policy = policy
        # Mutable, changed by the methods below only: retries earned and asked for since
        # the beginning, and the turns of those that were not sent after all, in order.
        self._earned = policy.saved
        self._booked = 0
        self._left: list[int] = []
        self._at = now

    def answered(self, now: float) -> None:
        """An answer came: it pays for a share of a retry."""
        self._earn(self._policy.share, now)

    def line(self, now: float) -> float:
        """Seconds, at most, that a retry would wait which is booked now."""
        return self.wait(self._booked + 1, now)

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
