"""Nothing is sent that is not written down first.

Below the limiter, right before the client: an attempt may wait for minutes, and a crash
while it waits must not count as money that may be spent. Above it, intents would be
written for requests that never left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from claudebatch.core.domain import Call, Pico, Reply, Usage
from claudebatch.core.errors import AttemptError, ClaudebatchError, StopRun
from claudebatch.core.events import AttemptFinished, AttemptStarted, Emit
from claudebatch.core.handler import Handler


class AttemptLog(Protocol):
    """Where attempts are written down."""

    async def begin(self, call: Call, worst: Pico) -> int:
        """Write an attempt down; when this returns, its number is durable."""
        ...

    def answered(self, attempt: int, reply: Reply) -> None:
        """Write its answer and exact cost down."""
        ...

    def failed(
        self,
        attempt: int,
        error: str,
        *,
        unknown: bool,
        status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        """Write down that it brought no answer; *unknown*: it may be billed all the
        same.
        """
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
        now: Callable[[], float],
        emit: Emit,
    ) -> None:
        self._log = log
        self._worst = worst
        self._cost = cost
        self._pool_of = pool_of
        self._now = now
        self._emit = emit

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """The client's reply, priced and written down."""
        worst = self._worst(call)
        pool = self._pool_of(call.model)
        attempt = await self._log.begin(call, worst)
        if call.hold is not None:
            call.hold.sent = True
        self._emit(AttemptStarted(call.model, pool))
        sent = self._now()
        try:
            reply = await call_next(call)
        except BaseException as error:
            self._failed(attempt, call, pool, error, worst, sent)
            raise
        cost = self._cost(call, reply.usage)
        reply = reply.paid(cost, attempt)
        if call.hold is not None:
            call.hold.cost = reply.cost
        self._log.answered(attempt, reply)
        self._emit(
            AttemptFinished(
                call.model,
                pool,
                reply.usage,
                reply.cost,
                None,
                False,
                call,
                reply,
                attempt,
                reply.latency_ms,
                None,
                reply.request_id,
            )
        )
        return reply

    def _failed(
        self, attempt: int, call: Call, pool: str, error: BaseException, worst: Pico, sent: float
    ) -> None:
        name, unknown = _verdict(error)
        if call.hold is not None and not unknown:
            call.hold.cost = 0
        known = error if isinstance(error, AttemptError) else None
        status, request_id = (known.status, known.request_id) if known else (None, None)
        self._log.failed(attempt, name, unknown=unknown, status=status, request_id=request_id)
        self._emit(
            AttemptFinished(
                call.model,
                pool,
                None,
                worst if unknown else 0,
                name,
                unknown,
                call,
                attempt=attempt,
                latency_ms=round((self._now() - sent) * 1000),
                status=status,
                request_id=request_id,
                retry_after=known.retry_after if known else None,
            )
        )


def _verdict(error: BaseException) -> tuple[str, bool]:
    """What an error is called, and whether the request may be billed all the same."""
    if isinstance(error, AttemptError):
        return error.type, error.may_be_billed
    if isinstance(error, StopRun | ClaudebatchError):
        return type(
            error
        ).__name__, False  # the account was refused, or the client could not even be made
    # Called off, or a bug of ours: either way the request was sent, and may have been
    # served.
    return "cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__, True
