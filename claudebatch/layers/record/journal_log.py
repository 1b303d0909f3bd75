"""Attempts, as the layers see them, into the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from claudebatch.core.domain import Call, Pico, Reply, Usage
from claudebatch.core.endings import ending
from claudebatch.storage.journal import AttemptState, Journal
from claudebatch.storage.journal.records import (
    AttemptIntent,
    AttemptPrice,
    AttemptRecord,
    HttpExchange,
    utc_day,
)

_OK = 200
_NOTHING = Usage()
"""Of attempts that brought no answer."""


class JournalLog:
    """Writes attempts of this session into the run's journal.

    Outcomes are handed to the journal's thread at once and not waited for: a cancelled
    caller loses none, and answers do not wait for the disk.
    """

    def __init__(
        self, journal: Journal, *, wall: Callable[[], datetime], price_version: str = ""
    ) -> None:
        """*price_version* says which prices the session's costs are reckoned with."""
        self._journal = journal
        self._wall = wall
        self._price_version = price_version
        # Mutable: the attempts in flight as they were written down, by number.
        self._begun: dict[int, AttemptIntent] = {}

    async def begin(self, call: Call, worst: Pico) -> int:
        """Write an attempt down; when this returns, its number is durable."""
        intent = self._intent(self._journal.next_attempt(), call, worst)
        attempt = intent.attempt
        self._begun[attempt] = intent
        try:
            await self._journal.begin(intent)
        except asyncio.CancelledError:
            # The intent is on its way to the disk and cannot be called back: without an
            # outcome it would count as maybe billed for ever.
            await self.failed(attempt, "never sent", unknown=False)
            raise
        return attempt

    async def answered(self, attempt: int, reply: Reply) -> None:
        """Write its answer and exact cost down."""
        intent = self._begun.pop(attempt)
        # A price is known, but not what was counted: the answer stays, at its worst
        # case.
        unknown = not reply.cost_known and intent.worst > 0
        # Paid for, and nobody's answer: without a body no session takes it for one.
        whole = AttemptState.PARTIAL if intent.prewarms else AttemptState.ANSWERED
        self._journal.settle(
            AttemptRecord(
                intent=intent,
                state=AttemptState.UNKNOWN if unknown else whole,
                price=AttemptPrice(reply.cost, reply.cost_known or unknown, self._price_version),
                usage=reply.usage,
                http=HttpExchange(reply.latency_ms, _OK, reply.request_id),
                body=None if intent.prewarms else reply.message,
                simulated=reply.simulated,
                ending=0 if intent.prewarms else ending(reply),
            )
        )

    async def failed(
        self,
        attempt: int,
        error: str,
        *,
        unknown: bool,
        status: int | None = None,
        request_id: str | None = None,
        simulated: bool = False,
    ) -> None:
        """Write down that it brought no answer; *unknown*: it may be billed all the
        same.
        """
        intent = self._begun.pop(attempt)
        latency_ms = self._now_ms() - intent.sent_ms
        self._journal.settle(
            AttemptRecord(
                intent=intent,
                state=AttemptState.UNKNOWN if unknown else AttemptState.FAILED,
                price=AttemptPrice(version=self._price_version),
                usage=_NOTHING,
                http=HttpExchange(latency_ms, status, request_id, error),
                simulated=simulated,
            )
        )

    def _intent(self, attempt: int, call: Call, worst: Pico) -> AttemptIntent:
        sent_ms, size = self._now_ms(), call.size
        return AttemptIntent(
            attempt=attempt,
            row=call.row,
            model=call.model,
            worst=worst,
            sent_ms=sent_ms,
            day=call.day or utc_day(sent_ms),
            rule=call.route.rule,
            input_estimate=size.input_tokens,
            output_estimate=size.output_tokens,
            output_bound=size.output_bound,
            id=call.prompt.id,
        )

    def _now_ms(self) -> int:
        return int(self._wall().timestamp() * 1000)
