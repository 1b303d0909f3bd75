"""Nothing is sent that is not written down first.

Below the limiter, right before the client: an attempt may wait for minutes, and a crash
while it waits must not count as money that may be spent. Above it, intents would be
written for requests that never left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from claudebatch.core.domain import Call, Pico, Reply, Usage
from claudebatch.core.errors import AttemptError, ClaudebatchError, StopRun
from claudebatch.core.events import AttemptFinished, AttemptStarted, Emit
from claudebatch.core.handler import Handler
from claudebatch.core.notice import Notice
from claudebatch.layers.record.attempt_log import AttemptLog


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
        # Mutable: whether it was said that an answer does not tell its cost.
        self._silence_reported = False

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """The client's reply, priced and written down."""
        # The budget has worked it out for this very call.
        worst = self._worst(call) if call.hold is None else call.hold.worst
        attempt = await self._log.begin(call, worst)
        # From here on a cancellation means "may be billed": nothing between this line
        # and the client may wait.
        if call.hold is not None:
            call.hold.sent = True
        self._emit(AttemptStarted(call.model, self._pool_of(call.limited_as)))
        sent = self._now()
        try:
            reply = await call_next(call)
        except BaseException as error:
            await self._failed(attempt, call, error, worst=worst, sent=sent)
            raise
        return await self._answered(attempt, call, reply, worst)

    async def _answered(self, attempt: int, call: Call, reply: Reply, worst: Pico) -> Reply:
        cost = self._paid(call, reply, worst)
        reply = reply.paid(cost, attempt)
        unknown = cost is None and worst > 0
        # Before anything is awaited: a cancellation here must not turn a paid answer
        # into one of unknown cost. Of one that is, the hold stays without: its worst
        # case is forfeited.
        if call.hold is not None and not unknown:
            call.hold.cost = reply.cost
        if not reply.counted and unknown:
            self._report_silence(call)
        # Also where the log fails or the caller is called off: an attempt that started
        # and never finished would be shown as in flight to the end of the run.
        try:
            await self._log.answered(attempt, reply)
        finally:
            self._emit(
                AttemptFinished(
                    call.model,
                    self._pool_of(call.limited_as),
                    usage=reply.usage,
                    cost=worst if unknown else reply.cost,
                    error=None,
                    unknown=unknown,
                    call=call,
                    # Whoever counts answers counts no request that only writes to the
                    # prompt cache.
                    reply=None if call.prewarms else reply,
                    attempt=attempt,
                    latency_ms=reply.latency_ms,
                    request_id=reply.request_id,
                )
            )
        return reply

    def _report_silence(self, call: Call) -> None:
        if not self._silence_reported:
            self._silence_reported = True
            self._emit(
                Notice(
                    "W064",
                    f"an answer of {call.model} does not say what it took (its usage is missing or"
                    " cannot be read): such answers are kept and count at their worst case;"
                    " claudebatch runs settle decides what they cost",
                )
            )

    def _paid(self, call: Call, reply: Reply, worst: Pico) -> Pico | None:
        """What *reply* cost; None when it is unknown."""
        cost = self._cost(call, reply.usage)
        # What is left of a `usage` that cannot be read whole is billed at least.
        return cost if reply.counted or (cost is not None and cost > worst > 0) else None

    async def _failed(
        self, attempt: int, call: Call, error: BaseException, *, worst: Pico, sent: float
    ) -> None:
        name, unknown = _verdict(error)
        if call.hold is not None and not unknown:
            call.hold.cost = 0
        known = error if isinstance(error, AttemptError) else None
        status, request_id = (known.status, known.request_id) if known else (None, None)
        try:
            await self._log.failed(
                attempt,
                name,
                unknown=unknown,
                status=status,
                request_id=request_id,
                simulated=known is not None and known.simulated,
            )
        finally:
            self._emit(
                AttemptFinished(
                    call.model,
                    self._pool_of(call.limited_as),
                    usage=None,
                    cost=worst if unknown else 0,
                    error=name,
                    unknown=unknown,
                    call=call,
                    attempt=attempt,
                    latency_ms=round((self._now() - sent) * 1000),
                    status=status,
                    request_id=request_id,
                    retry_after=known.retry_after if known else None,
                )
            )


def _verdict(error: BaseException) -> tuple[str, bool]:
    """The error's name, and whether the request may be billed all the same."""
    if isinstance(error, AttemptError):
        return error.type, error.may_be_billed
    if isinstance(error, StopRun | ClaudebatchError):
        # The account was refused, or the client could not even be made.
        return type(error).__name__, False
    # Called off, or a bug of ours: either way the request was sent, and may have been
    # served.
    return "cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__, True
