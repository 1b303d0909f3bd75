"""What fails for the moment is tried again, after a wait that no two clients share, and
never as a storm of retries.

Above budget and limiter: every attempt has its own hold and counts as a request. The
SDK's own retries are off.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import AttemptError, CircuitOpen, RateLimited
from claudebatch.core.events import Emit, Retrying, Waiting
from claudebatch.core.handler import Handler
from claudebatch.layers.retry.retry_budget import RetryBudget
from claudebatch.layers.retry.settings import SHORTEST_WAIT_S, RetryBudgetPolicy, RetryPolicy

# How often a retry in line looks whether answers have moved it up: without a look it
# would sleep through the answers that pay for it.
_LOOK_AGAIN_S = 1.0
# A retry that would stand in line for longer goes to the next model of its chain, if
# there is one.
_PATIENCE_S = 10.0


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
                # Nothing was sent: the chain decides what happens next.
                if turn is not None:
                    budget.give_back(turn)
                error.attempts = sent
                raise
            except AttemptError as error:
                sent += 1
                # The pool waits out a 429 for all its rows; a call that met one has not
                # had its attempt yet.
                counts = not isinstance(error, RateLimited)
                attempt += counts
                delay = self._policy.delay(attempt, error, self._rng)
                error.handed_over = (
                    delay is not None and counts and self._hands_over(call, error, budget)
                )
                if delay is None or error.handed_over:
                    error.attempts = sent
                    raise
                self._emit(
                    Retrying(
                        call.model,
                        error.type,
                        attempt,
                        delay,
                        call.prompt.id,
                        cause=error.message,
                    )
                )
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
        turn, reported = budget.book(self._now()), False
        try:
            while (wait_s := budget.wait(turn, self._now())) > 0:
                if not reported:
                    self._emit(
                        Waiting(self._pool_of(call.model), "retry budget", wait_s, call.prompt.id)
                    )
                    reported = True
                await self._sleep(max(SHORTEST_WAIT_S, min(wait_s, _LOOK_AGAIN_S)))
        except BaseException:
            budget.give_back(turn)
            raise
        return turn
