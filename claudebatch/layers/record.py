"""Nothing is sent that is not written down first.

Below the limiter, right before the client: an attempt may wait for minutes, and a crash while it waits must not
count as money that may be spent. Above it, intents would be written for requests that never left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from claudebatch.domain import Call, Pico, Reply, Usage
from claudebatch.errors import AttemptError, ClaudebatchError, StopRun
from claudebatch.events import AttemptFinished, AttemptStarted, Emit
from claudebatch.handler import Handler


class AttemptLog(Protocol):
    """Where attempts are written down."""

    async def begin(self, call: Call, worst: Pico) -> int:
        """Write an attempt down; when this returns, its number is durable."""
        ...

    def answered(self, attempt: int, call: Call, reply: Reply, worst: Pico) -> None:
        """Write its answer and exact cost down."""
        ...

    def failed(self, attempt: int, call: Call, error: str, worst: Pico, *, unknown: bool) -> None:
        """Write down that it brought no answer; *unknown*: it may be billed all the same."""
        ...


class Record:
    """Writes every attempt down before it is sent, and what became of it after."""

    def __init__(
        self,
        log: AttemptLog,
        *,
        worst: Callable[[Call], Pico],
        cost: Callable[[Call, Usage], Pico | None],
        pool_of: Callable[[str], str],
        emit: Emit,
    ) -> None:
        self._log = log
        self._worst = worst
        self._cost = cost
        self._pool_of = pool_of
        self._emit = emit

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """The client's reply, priced and written down."""
        worst = self._worst(call)
        pool = self._pool_of(call.model)
        attempt = await self._log.begin(call, worst)
        self._emit(AttemptStarted(call.model, pool))
        try:
            reply = await call_next(call)
        except AttemptError as error:
            self._failed(attempt, call, pool, error.type, worst, unknown=error.may_be_billed)
            raise
        except (StopRun, ClaudebatchError) as error:
            # The account was refused, or the client could not even be made.
            self._failed(attempt, call, pool, type(error).__name__, worst, unknown=False)
            raise
        except BaseException as error:
            # Called off, or a bug of ours: either way the request was sent, and may have been served.
            name = "cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__
            self._failed(attempt, call, pool, name, worst, unknown=True)
            raise
        cost = self._cost(call, reply.usage)
        reply = reply.paid(cost, attempt)
        self._log.answered(attempt, call, reply, worst)
        self._emit(AttemptFinished(call.model, pool, reply.usage, reply.cost, None, unknown=False))
        return reply

    def _failed(self, attempt: int, call: Call, pool: str, error: str, worst: Pico, *, unknown: bool) -> None:
        self._log.failed(attempt, call, error, worst, unknown=unknown)
        self._emit(AttemptFinished(call.model, pool, None, worst if unknown else 0, error, unknown=unknown))
