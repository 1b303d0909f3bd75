"""What fails for the moment is tried again, after a wait that no two clients share, and
never as a storm of retries.

Above budget and limiter: every attempt has its own hold and counts as a request. The
SDK's own retries are off.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import AttemptError, CircuitOpen, RateLimited
from claudebatch.core.events import Emit, Retrying, Waiting
from claudebatch.core.handler import Handler
from claudebatch.core.resting import Resting
from claudebatch.core.tries import Outages, RowTries
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
        outages: Outages | None = None,
        resting: Resting | None = None,
    ) -> None:
        """Attempts that fail in one of *outages* do not count; *resting* hears of rows
        that wait.
        """
        self._policy = policy
        self._budget_policy = budget
        self._pool_of = pool_of
        self._sleep = sleep
        self._now = now
        self._rng = rng
        self._emit = emit
        self._outages = outages or Outages()
        self._resting = resting or Resting()
        # Mutable: one budget per pool, made when the pool is first used.
        self._budgets: dict[str, RetryBudget] = {}

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """The first reply. The row's attempts are counted on where an earlier call of
        the same row was refused by an open breaker.
        """
        tries, budget = call.tries or RowTries(), self._budget(call)
        over = tries.over.get(call.model)
        if over is not None:
            # The row came again because another model of its chain is out.
            raise over
        turn: int | None = None
        while True:
            first = not tries.has_failed(call.model)
            try:
                reply = await call_next(call)
            except CircuitOpen as error:
                # Nothing was sent: the chain decides what happens next.
                if turn is not None:
                    budget.give_back(turn)
                error.attempts = _made(tries, call)
                raise
            except AttemptError as error:
                counts = self._take_in(call, tries, error)
                if counts:
                    budget.failed(first=first)
                delay = self._delay(call, tries, error)
                error.handed_over = (
                    delay is not None and counts and self._hands_over(call, error, budget)
                )
                error.attempts = _made(tries, call)
                if delay is None:
                    tries.over[call.model] = error
                if delay is None or error.handed_over:
                    raise
                self._emit(
                    Retrying(
                        call.model,
                        error.type,
                        self._counted(call, tries),
                        delay,
                        call.prompt.id,
                        cause=error.message,
                    )
                )
            else:
                budget.answered(self._now(), first=first)
                failed = _made(tries, call)
                return replace(reply, attempts=failed + 1) if failed else reply
            with self._rests(call, tries, budget):
                await self._sleep(delay)
                turn = await self._turn(call, budget) if counts else None

    def _rests(
        self, call: Call, tries: RowTries, budget: RetryBudget
    ) -> AbstractContextManager[None]:
        # A pool that serves nobody must not be asked for ever more rows.
        if not budget.serves and not tries.was_bad(call.model):
            return nullcontext()
        return self._resting.rest(self._pool_of(call.route.model), len(call.body))

    def _take_in(self, call: Call, tries: RowTries, error: AttemptError) -> bool:
        """Note that an attempt failed; returns whether it counts."""
        tries.sent[call.model] = tries.sent.get(call.model, 0) + 1
        # The pool waits out a 429 for all its rows; a call that met one has not had its
        # attempt yet.
        counts = not isinstance(error, RateLimited)
        if counts:
            tries.fail(call.model, self._now())
        return counts

    def _counted(self, call: Call, tries: RowTries) -> int:
        pool = self._pool_of(call.model)
        return tries.counted(call.model, lambda at: self._outages.held(pool, at))

    def _delay(self, call: Call, tries: RowTries, error: AttemptError) -> float | None:
        attempt = self._counted(call, tries)
        return self._policy.delay(attempt, error, self._rng)

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

    async def _turn(self, call: Call, budget: RetryBudget) -> int | None:
        """Wait until the budget allows one more retry, and return its turn; None: it
        took none.
        """
        turn, reported = budget.book(self._now()), False
        try:
            while not budget.free and (wait_s := budget.wait(turn, self._now())) > 0:
                if not reported:
                    self._emit(
                        Waiting(self._pool_of(call.model), "retry budget", wait_s, call.prompt.id)
                    )
                    reported = True
                await self._sleep(max(SHORTEST_WAIT_S, min(wait_s, _LOOK_AGAIN_S)))
        except BaseException:
            budget.give_back(turn)
            raise
        if budget.free:
            # Not out of the budget: the others would wait for it later.
            budget.give_back(turn)
            return None
        return turn


def _made(tries: RowTries, call: Call) -> int:
    """How many requests were made for the row at this model."""
    return tries.earlier(call.model) + tries.sent.get(call.model, 0)
