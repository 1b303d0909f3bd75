"""What fails for the moment is tried again, after a wait that no two clients share, and
never as a storm of retries.

Above budget and limiter: every attempt has its own hold and counts as a request. The
SDK's own retries are off.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from math import inf

from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import ApiUnavailable, AttemptError, CircuitOpen, RateLimited
from claudebatch.core.events import Emit, Retrying, Waiting
from claudebatch.core.handler import Handler
from claudebatch.core.resting import Resting
from claudebatch.core.tries import Outages, RowLimited, RowTries, is_own
from claudebatch.layers.retry.retry_budget import RetryBudget
from claudebatch.layers.retry.server_waits import ServerWaits
from claudebatch.layers.retry.settings import SHORTEST_WAIT_S, RetryBudgetPolicy, RetryPolicy

# How often a retry in line looks whether answers have moved it up: without a look it
# would sleep through the answers that pay for it.
_LOOK_AGAIN_S = 1.0
# A retry that would stand in line for longer goes to the next model of its chain, if
# there is one.
_PATIENCE_S = 10.0
_FIRST_429 = RowLimited(number=0)


class Retry:
    """Tries a call again as long as its policy says so. A passing 429 does not use up
    an attempt or the budget; a row that meets one after the other, while other rows
    are answered, is given up after as many.
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
        max_outage_s: float = inf,
    ) -> None:
        """Attempts that fail in one of *outages* do not count; *resting* hears of rows
        that wait. *max_outage_s*: rows that a server asked to wait, and that get no
        answer for so long, end the run with `ApiUnavailable`.
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
        self._max_outage_s = max_outage_s
        # Mutable: one budget per pool, made when the pool is first used, and its waits.
        self._budgets: dict[str, RetryBudget] = {}
        self._waits: dict[str, ServerWaits] = {}

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """The first reply. The row's attempts are counted on where an earlier call of
        the same row was refused by an open breaker.
        """
        tries = call.tries or RowTries()
        if call.model in tries.over:
            # The row came again because another model of its chain is out.
            raise tries.over[call.model]
        try:
            return await self._reply(call, tries, call_next)
        finally:
            self._resting.over(call.row)
            self._waits_of(call).left(call.row)

    async def _reply(self, call: Call, tries: RowTries, call_next: Handler) -> Reply:
        budget = self._budget(call)
        turn: int | None = None
        while True:
            before = self._counted(call, tries)
            self._end(call, tries, before)
            first = not tries.has_failed(call.model)
            try:
                reply = await self._send(call, call_next)
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
                delay = self._delay(call, tries, error, before)
                if delay is None or self._hands_over(call, error, budget):
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
                failure = error
            else:
                budget.answered(self._now(), first=first)
                failed = _made(tries, call)
                return replace(reply, attempts=failed + 1) if failed else reply
            # A pool that serves nobody must not be asked for ever more rows.
            if budget.serves or not counts or tries.was_bad(call.model):
                self._resting.begin(call.row, self._pool_of(call.lane_as), len(call.body))
            await self._wait(call, failure, delay)
            turn = await self._turn(call, budget) if counts else None
            if counts:
                self._resting.over(call.row)
            # A row that met a 429 is at rest until its next request leaves. Were all
            # rows under way such that always meet one, no probe would ever be let in.

    async def _send(self, call: Call, call_next: Handler) -> Reply:
        waits = self._waits_of(call)
        waits.sent()
        try:
            reply = await call_next(call)
        except AttemptError as error:
            if error.unavailable and not isinstance(error, CircuitOpen):
                waits.failed(call.row, self._now())
            elif not isinstance(error, RateLimited | CircuitOpen):
                waits.answered(self._now())
            raise
        finally:
            waits.is_back()
        waits.answered(self._now())
        return reply

    async def _wait(self, call: Call, error: AttemptError, delay: float) -> None:
        """Wait *delay* seconds after *error*; one that the server asked for only as
        long as the run bears it.
        """
        waits = self._waits_of(call)
        if error.retry_after is None or isinstance(error, RateLimited):
            # What a 429 asks for is the pool's to wait out.
            await self._sleep(delay)
        elif not await waits.passed(delay, now=self._now, sleep=self._sleep):
            raise self._unavailable(call, error, waits)

    def _unavailable(
        self, call: Call, error: AttemptError, waits: ServerWaits
    ) -> ApiUnavailable | AttemptError:
        chain = call.route.fallbacks
        if chain and call.model != chain[-1] and error.unavailable:
            error.handed_over = True
            return error
        return ApiUnavailable(
            "E719",
            f"no answer from {self._pool_of(call.limited_as)} for "
            f"{waits.silent_s(self._now()):.0f} s, and it asks to wait for longer: "
            f"{error.message}",
            fix="wait until the API is back, then run the same command",
        )

    def _take_in(self, call: Call, tries: RowTries, error: AttemptError) -> bool:
        """Note that an attempt failed; returns whether it counts."""
        tries.sent[call.model] = tries.sent.get(call.model, 0) + 1
        if isinstance(error, RateLimited):
            # The pool waits it out for all its rows; the call has not had its attempt
            # yet.
            return False
        tries.fail(call.model, self._now(), error)
        return True

    def _end(self, call: Call, tries: RowTries, counted: int) -> None:
        """Raise the last error of a row whose attempts are used up: what seemed to be
        an outage was none, or the row is a bad one.
        """
        last = tries.last.get(call.model)
        if last is None:
            return
        own = tries.own(call.model)
        if self._policy.used_up(max(counted, own), last):
            tries.over[call.model] = last
            raise last
        if is_own(last) and self._policy.used_up(own + 1, last):
            tries.on_last.add(call.model)
        else:
            tries.on_last.discard(call.model)

    def _counted(self, call: Call, tries: RowTries) -> int:
        pool = self._pool_of(call.limited_as)
        held = self._outages.held
        return tries.counted(call.model, lambda at: held(pool, at))

    def _delay(self, call: Call, tries: RowTries, error: AttemptError, before: int) -> float | None:
        """Seconds to wait for the next attempt; None: there is none. *before*: how many
        counted when this one was sent.
        """
        if isinstance(error, RateLimited):
            delay = self._delay_of_limited(call, tries, error)
        else:
            # That it was the last one was settled then: an outage that its own failure
            # brings to light makes no room for one more, unless it was the only one.
            last = before > 0 and self._policy.used_up(before + 1, error)
            counted = before + 1 if last else self._counted(call, tries)
            # No outage makes more of those that fail as a row's own.
            if self._policy.used_up(tries.own(call.model), error):
                counted = tries.own(call.model)
            delay = self._policy.delay(counted, error, self._rng)
        error.attempts = _made(tries, call)
        if delay is None:
            tries.over[call.model] = error
        return delay

    def _delay_of_limited(self, call: Call, tries: RowTries, error: RateLimited) -> float | None:
        row, now = tries.limited.get(call.model, _FIRST_429), self._now()
        since = now if row.times <= 1 else tries.limited_since.get(call.model, now)
        tries.limited_since[call.model] = since
        delay = self._policy.delay_of_limited(row, now - since, error, self._rng)
        if delay is None:
            # Another model may have room for it.
            error.unavailable = True
            error.message = (
                f"met a 429 {1 + row.times} times in {now - since:.0f} s while other rows were "
                f"answered (too large for a limit?): {error.message}"
            )
        return delay

    def _budget(self, call: Call) -> RetryBudget:
        pool = self._pool_of(call.limited_as)
        budget = self._budgets.get(pool)
        if budget is None:
            budget = self._budgets[pool] = RetryBudget(self._budget_policy, now=self._now())
        return budget

    def _waits_of(self, call: Call) -> ServerWaits:
        pool = self._pool_of(call.limited_as)
        waits = self._waits.get(pool)
        if waits is None:
            waits = self._waits[pool] = ServerWaits(self._max_outage_s)
        return waits

    def _hands_over(self, call: Call, error: AttemptError, budget: RetryBudget) -> bool:
        chain = call.route.fallbacks
        error.handed_over = (
            bool(chain)
            and call.model != chain[-1]
            and error.unavailable
            and not isinstance(error, RateLimited)
            and budget.line(self._now()) > _PATIENCE_S
        )
        return error.handed_over

    def _free(self, call: Call, budget: RetryBudget) -> bool:
        return budget.free or self._outages.blameless(self._pool_of(call.limited_as))

    async def _turn(self, call: Call, budget: RetryBudget) -> int | None:
        """Wait until the budget allows one more retry, and return its turn; None: it
        took none.
        """
        turn, reported = budget.book(self._now()), False
        try:
            while not self._free(call, budget) and (wait_s := budget.wait(turn, self._now())) > 0:
                if not reported:
                    self._emit(
                        Waiting(
                            self._pool_of(call.limited_as), "retry budget", wait_s, call.prompt.id
                        )
                    )
                    reported = True
                await self._sleep(max(SHORTEST_WAIT_S, min(wait_s, _LOOK_AGAIN_S)))
        except BaseException:
            budget.give_back(turn)
            raise
        if self._free(call, budget):
            # Not out of the budget: the others would wait for it later.
            budget.give_back(turn)
            return None
        return turn


def _made(tries: RowTries, call: Call) -> int:
    """How many requests were made for the row at this model."""
    return tries.earlier(call.model) + tries.sent.get(call.model, 0)
