"""When a model cannot serve, the next one of its chain does; when none can for now, the
row waits.

Above the response cache, so that every candidate is simply a call with one model: one
key, one pool, one price.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Set
from dataclasses import replace
from typing import TypeAlias

from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import (
    ApiUnavailable,
    AttemptError,
    BudgetExhausted,
    CircuitOpen,
    NotServed,
)
from claudebatch.core.events import Emit, FellBack
from claudebatch.core.handler import Handler
from claudebatch.core.resting import Resting
from claudebatch.core.tries import RowTries

# After a pool reopens, waiting rows come back spread over this share of the wait, not
# all at once.
_SPREAD = 0.5
_LATER = 0.5
_SHORTEST_WAIT_S = 0.05


async def no_answer(call: Call) -> Reply | None:
    """None: no session, and no batch, was before this one."""
    return None


FallbackEnd: TypeAlias = Reply | AttemptError | BudgetExhausted
"""How one model of a chain ended that did not settle the row: an unwanted answer, or
why there is none.
"""


class Fallback:
    """Tries a call's models in the order of its route.

    hop           re-maps a call to another model; raises `NotServed` when that cannot
                  be done
    unwanted      stop reasons of answers that the next model is asked to better; where
                  none does, the first one stays
    answered      the unwanted answer that a call has already, if any: it is paid for
    earlier       what became of a row's attempts in earlier sessions
    resting       hears of rows that have failed and wait; *lane_of* a model
    max_outage_s  no model of the chain has served anything for this long:
                  `ApiUnavailable` stops the run
    """

    def __init__(
        self,
        *,
        hop: Callable[[Call, str], Call],
        sleep: Callable[[float], Awaitable[None]],
        rng: random.Random,
        emit: Emit,
        max_outage_s: float,
        unwanted: Set[str] = frozenset(),
        answered: Callable[[Call], Awaitable[Reply | None]] = no_answer,
        earlier: Callable[[int], RowTries | None] = lambda row: None,
        resting: Resting | None = None,
        lane_of: Callable[[str], str] = str,
    ) -> None:
        self._hop = hop
        self._sleep = sleep
        self._rng = rng
        self._emit = emit
        self._max_outage_s = max_outage_s
        self._unwanted = unwanted
        self._answered = answered
        self._earlier = earlier
        self._resting = resting or Resting()
        self._lane_of = lane_of

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """The reply of the first model that serves the call."""
        # One count for as long as the row is under way: an open breaker ends no row,
        # and begins none anew.
        tries = self._earlier(call.row) or RowTries()
        call = call.counted(tries)
        while True:
            try:
                return await self._once(call, call_next)
            except CircuitOpen as error:
                if error.open_for_s > self._max_outage_s:
                    raise ApiUnavailable(
                        "E710",
                        f"no answer from {error.pool} for {error.open_for_s:.0f} s",
                        fix="wait until the API is back, then run the same command",
                    ) from error
                failed = any(tries.has_failed(m) for m in (call.model, *call.route.fallbacks))
                wait_s, unproven = self._wait_s(error, failed=failed), error.unproven
            try:
                if failed or unproven:
                    # Its place goes to a row that may be served: were all rows under
                    # way bad ones, no probe would ever find out that the pool serves.
                    # A file may begin with hundreds of such.
                    self._resting.begin(call.row, self._lane_of(call.lane_as), len(call.body))
                await self._sleep(wait_s)
            finally:
                self._resting.over(call.row)

    def _wait_s(self, shut: CircuitOpen, *, failed: bool) -> float:
        """Until the pool may have opened again, or the outage is over its limit; a row
        that has *failed* lets others probe first.
        """
        share = _LATER + (1 - _LATER) * self._rng.random() if failed else self._rng.random()
        spread_s = shut.probe_in_s * (1 + _SPREAD * share)
        # A wait beyond the limit would end the run that much later than was asked for.
        return max(_SHORTEST_WAIT_S, min(spread_s, self._max_outage_s - shut.open_for_s))

    async def _once(self, call: Call, call_next: Handler) -> Reply:
        try:
            reply = await self._ask(call, call_next)
        except AttemptError as error:
            if not call.route.fallbacks or not _another_may_help(error):
                raise
            return await self._others(call, error, call_next)
        if reply.stop_reason in self._unwanted and call.route.fallbacks:
            return await self._others(call, reply, call_next)
        return reply

    async def _ask(self, call: Call, call_next: Handler) -> Reply:
        if self._unwanted and call.route.fallbacks:
            known = await self._answered(call)
            if known is not None:
                return known
        return await call_next(call)

    async def _others(self, call: Call, first: Reply | AttemptError, call_next: Handler) -> Reply:
        ends: list[FallbackEnd] = [first]
        model = call.model
        for next_model in call.route.fallbacks:
            self._emit(FellBack(call.prompt.id, model, next_model, _reason(ends[-1])))
            model = next_model
            try:
                reply = await self._ask(self._hop(call, model), call_next)
            except (AttemptError, BudgetExhausted) as error:
                ends.append(error)
                if not _another_may_help(error):
                    break
            else:
                if reply.stop_reason not in self._unwanted:
                    return _with_history(reply, ends)
                ends.append(reply)
        return await self._settle(call, ends, call_next)

    async def _settle(self, call: Call, ends: list[FallbackEnd], call_next: Handler) -> Reply:
        """What becomes of a row that no model of its chain has served as it should;
        *ends* in the chain's order.
        """
        for end in ends:
            # An answer that is paid for and was not bettered: nothing is waited for,
            # not even a pool that is only shut.
            if isinstance(end, Reply):
                return _with_history(end, ends)
        for model, end in zip((call.model, *call.route.fallbacks), ends, strict=False):
            if isinstance(end, AttemptError) and end.handed_over:
                # Nobody could take it over: with no chain behind it, the retry waits
                # for its turn after all.
                alone = replace(call, route=replace(call.route, fallbacks=()))
                if model == call.model:
                    return await call_next(alone)
                return _with_history(await call_next(self._hop(alone, model)), ends)
        raise _most_hopeful([end for end in ends if not isinstance(end, Reply)])


def _another_may_help(error: AttemptError | BudgetExhausted) -> bool:
    # A model whose worst case does not fit under the cap is passed by: the next one may
    # be cheaper.
    return isinstance(error, NotServed | BudgetExhausted) or error.unavailable


def _reason(end: FallbackEnd) -> str:
    if isinstance(end, BudgetExhausted):
        return "budget"
    return end.stop_reason or "" if isinstance(end, Reply) else end.type


def _with_history(reply: Reply, ends: list[FallbackEnd]) -> Reply:
    """*reply*, the row's answer, with why the first model's was not, and with what all
    answers of the row cost.
    """
    others = [end for end in ends if isinstance(end, Reply) and end is not reply]
    return replace(
        reply,
        cost=reply.cost + sum(other.cost for other in others),
        cost_known=reply.cost_known and all(other.cost_known for other in others),
        fallback_reason=None if reply is ends[0] else _reason(ends[0]),
    )


def _most_hopeful(failures: list[AttemptError | BudgetExhausted]) -> AttemptError | BudgetExhausted:
    # A pool that is only shut for now will open again: then the row has not failed, it
    # waits for the first to open. The chain is only out for as long as none of its
    # pools has served anything.
    shut = [error for error in failures if isinstance(error, CircuitOpen)]
    if shut:
        return CircuitOpen(
            " or ".join(error.pool for error in shut),
            probe_in_s=min(error.probe_in_s for error in shut),
            open_for_s=min(error.open_for_s for error in shut),
            unproven=all(error.unproven for error in shut),
        )
    if not _another_may_help(failures[-1]):
        return failures[-1]
    # With a higher cap one more model may serve it: the row stays to be done.
    poor = next((error for error in failures if isinstance(error, BudgetExhausted)), None)
    if poor is not None:
        return poor
    return failures[0] if isinstance(failures[-1], NotServed) else failures[-1]
