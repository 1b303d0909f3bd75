"""Attempts, as the layers see them, into the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from claudebatch.core.domain import Call, Pico, Reply
from claudebatch.storage.journal import AttemptState, Journal
from claudebatch.storage.journal.records import AttemptIntent, AttemptRecord, utc_day


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
            await self.failed(attempt, "never sent", unknown=False)
            raise
        return attempt

    async def answered(self, attempt: int, reply: Reply) -> None:
        """Write its answer and exact cost down."""
        usage = reply.usage
        self._journal.settle(
            AttemptRecord(
                AttemptState.ANSWERED,
                reply.cost,
                reply.cost_known,
                usage.input_tokens,
                usage.ephemeral_5m_input_tokens,
                usage.ephemeral_1h_input_tokens,
                usage.cache_read_input_tokens,
                usage.output_tokens,
                usage.web_search_requests,
                usage.service_tier,
                usage.inference_geo,
                usage.speed,
                self._price_version,
                reply.latency_ms,
                200,
                reply.request_id,
                None,
                reply.message,
                reply.simulated,
                attempt,
                self._begun.pop(attempt),
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
    ) -> None:
        """Write down that it brought no answer; *unknown*: it may be billed all the
        same.
        """
        intent = self._begun.pop(attempt)
        state = AttemptState.UNKNOWN if unknown else AttemptState.FAILED
        latency_ms = self._now_ms() - intent.sent_ms
        self._journal.settle(
            AttemptRecord(
                state,
                0,
                True,
                0,
                0,
                0,
                0,
                0,
                0,
                None,
                None,
                None,
                self._price_version,
                latency_ms,
                status,
                request_id,
                error,
                None,
                False,
                attempt,
                intent,
            )
        )

    def _intent(self, attempt: int, call: Call, worst: Pico) -> AttemptIntent:
        sent_ms, size = self._now_ms(), call.size
        return AttemptIntent(
            attempt,
            call.row,
            call.model,
            worst,
            sent_ms,
            call.day or utc_day(sent_ms),
            call.route.rule,
            size.input_tokens,
            size.output_tokens,
            size.output_bound,
            call.prompt.id,
        )

    def _now_ms(self) -> int:
        return int(self._wall().timestamp() * 1000)
