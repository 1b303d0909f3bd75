"""What fails for the moment is tried again, after a wait that no two clients share, and
never as a storm of retries.

Above budget and limiter: every attempt has its own hold and counts as a request. The
SDK's own retries are off.
"""

from __future__ import annotations

import random
from bisect import bisect_right, insort
from collections.abc import Awaitable, Callable
from dataclasses import replace

from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import AttemptError, CircuitOpen, RateLimited
from claudebatch.core.events import Emit, Retrying, Waiting
from claudebatch.core.handler import Handler
from claudebatch.layers.retry.settings import SHORTEST_WAIT_S, RetryBudgetPolicy, RetryPolicy

# How often a retry in line looks whether answers have moved it up.
_LOOK_AGAIN_S = 1.0
# A retry that would stand in line for longer goes to the next model of its chain, if
# there is one.
_PATIENCE_S = 10.0


class RetryBudget:
    """Retries of one pool in line, first come, first served: each goes when answers or
    time have earned it.

    A pool that fails gets little more than its first attempts, so that retries do not
    keep down what struggles to come up. As in Finagle's `RetryBudget`, but a retry that
    finds the budget empty waits instead of being dropped.
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
        earned = self._earned + retries + (now - self._at) * self._policy.floor_per_s
        self._at = now
        self._earned = min(earned, self._booked - len(self._left) + self._policy.saved)


class Retry:
    """Tries a call again as long as its policy says so. A passing 429 does not use up
    an attempt or the budget.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        budget: RetryBudgetPolicy,
        *,
        pool_of: Callable[[str], str],
        sleep: Callable[[float], Awaitable[None]],
        now: Callable[[], float],
        rng: random.Random,
        emit: Emit,
    ) -> None:
        self._policy = policy
        self._budget_policy = budget
        self._pool_of = pool_of
        self._sleep = sleep
        self._now = now
        self._rng = rng
        self._emit = emit
        # Mutable: one budget per pool, made when the pool is first used.
        self._budgets: dict[str, RetryBudget] = {}

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """The first reply."""
        budget = self._budget(call)
        attempt = sent = 0
        turn: int | None = None
        while True:
            try:
                reply = await call_next(call)
            except CircuitOpen as error:
                # Nothing was sent: what happens next is for the chain to say.
                if turn is not None:
                    budget.give_back(turn)
                error.attempts = sent
                raise
            except AttemptError as error:
                sent += 1
                # The pool waits out a 429 for everybody; a call that met one has not
                # had its turn yet.
                counts = not isinstance(error, RateLimited)
                attempt += counts
                delay = self._policy.delay(attempt, error, self._rng)
                error.handed_over = (
                    delay is not None and counts and self._hands_over(call, error, budget)
                )
                if delay is None or error.handed_over:
                    error.attempts = sent
                    raise
                self._emit(Retrying(call.model, error.type, attempt, delay, call.prompt.id))
            else:
                budget.answered(self._now())
                return replace(reply, attempts=sent + 1) if sent else reply
            await self._sleep(delay)
            turn = await self._turn(call, budget) if counts else None

    def _budget(self, call: Call) -> RetryBudget:
        pool = self._pool_of(call.model)
        budget = self._budgets.get(pool)
        if budget is None:
            budget = self._budgets[pool] = RetryBudget(self._budget_policy, now=self._now())
        return budget

    def _hands_over(self, call: Call, error: AttemptError, budget: RetryBudget) -> bool:
        chain = call.route.fallbacks
        return (
            bool(chain)
            and call.model != chain[-1]
            and error.unavailable
            and budget.line(self._now()) > _PATIENCE_S
        )

    async def _turn(self, call: Call, budget: RetryBudget) -> int:
        """Wait until the budget allows one more retry, and return its turn."""
        turn, told = budget.book(self._now()), False
        try:
            while (wait_s := budget.wait(turn, self._now())) > 0:
                if not told:
                    self._emit(
                        Waiting(self._pool_of(call.model), "retry budget", wait_s, call.prompt.id)
                    )
                    told = True
                await self._sleep(max(SHORTEST_WAIT_S, min(wait_s, _LOOK_AGAIN_S)))
        except BaseException:
            budget.give_back(turn)
            raise
        return turn
