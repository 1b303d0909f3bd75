"""When a model cannot serve, the next one of its chain does; when none can for now, the row waits.

Above the response cache, so that every candidate is simply a call with one model: one key, one pool, one price.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

from claudebatch.domain import Call, Reply
from claudebatch.errors import ApiUnavailable, AttemptError, CircuitOpen, NotServed
from claudebatch.events import Emit, FellBack
from claudebatch.handler import Handler

# After a pool reopens, waiting rows come back spread over this share of the wait, not all at once.
_SPREAD = 0.5
_SHORTEST_WAIT_S = 0.05


class Fallback:
    """Tries a call's models in the order of its route.

    hop           re-maps a call to another model; raises `NotServed` when that cannot be done
    max_outage_s  no model of the chain has served anything for this long: `ApiUnavailable` stops the run
    """

    def __init__(
        self,
        *,
        hop: Callable[[Call, str], Call],
        sleep: Callable[[float], Awaitable[None]],
        rng: random.Random,
        emit: Emit,
        max_outage_s: float,
    ) -> None:
        self._hop = hop
        self._sleep = sleep
        self._rng = rng
        self._emit = emit
        self._max_outage_s = max_outage_s

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """The reply of the first model that serves the call."""
        while True:
            try:
                return await self._once(call, call_next)
            except CircuitOpen as error:
                if error.open_for_s > self._max_outage_s:
                    raise ApiUnavailable(
                        f"no answer from {error.pool} for {error.open_for_s:.0f} s",
                        fix="wait until the API is back, then run the same command",
                    ) from error
                wait_s = max(_SHORTEST_WAIT_S, error.retry_after or 0.0)
            await self._sleep(wait_s * (1 + _SPREAD * self._rng.random()))

    async def _once(self, call: Call, call_next: Handler) -> Reply:
        try:
            return await call_next(call)
        except AttemptError as error:
            if not call.route.fallbacks or not _another_may_help(error):
                raise
            return await self._others(call, error, call_next)

    async def _others(self, call: Call, first: AttemptError, call_next: Handler) -> Reply:
        failures = [first]
        model = call.model
        for next_model in call.route.fallbacks:
            reason = failures[-1].type
            self._emit(FellBack(call.prompt.id, model, next_model, reason))
            try:
                reply = await call_next(self._hop(call, next_model))
                return replace(reply, fallback_reason=first.type)
            except AttemptError as error:
                failures.append(error)
                model = next_model
                if not _another_may_help(error):
                    break
        raise _most_hopeful(failures)


def _another_may_help(error: AttemptError) -> bool:
    return error.unavailable or isinstance(error, NotServed)


def _most_hopeful(failures: list[AttemptError]) -> AttemptError:
    # A pool that is only shut for now will open again: then the row has not failed, it waits for the first to open.
    # The chain is only out for as long as none of its pools has served anything.
    shut = [error for error in failures if isinstance(error, CircuitOpen)]
    if shut:
        return CircuitOpen(
            " or ".join(error.pool for error in shut),
            retry_after=min(error.retry_after or 0.0 for error in shut),
            open_for_s=min(error.open_for_s for error in shut),
        )
    return failures[0] if isinstance(failures[-1], NotServed) else failures[-1]
