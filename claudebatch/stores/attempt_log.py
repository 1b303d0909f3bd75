"""Attempts, as the layers see them, into the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from claudebatch.domain import Call, Pico, Reply
from claudebatch.stores.journal import Journal, State
from claudebatch.stores.journal.records import Outcome


class JournalLog:
    """Writes attempts of this session into the run's journal."""

    def __init__(self, journal: Journal, *, wall: Callable[[], datetime]) -> None:
        self._journal = journal
        self._wall = wall
        # Mutable: when the attempts in flight were sent, by number.
        self._sent_ms: dict[int, int] = {}

    async def begin(self, call: Call, worst: Pico) -> int:
        """Write an attempt down; when this returns, its number is durable."""
        sent_ms = self._now_ms()
        attempt = self._journal.next_attempt()
        self._sent_ms[attempt] = sent_ms
        try:
            await self._journal.begin(attempt, call.row, call.model, worst, sent_ms)
        except asyncio.CancelledError:
            self.failed(attempt, call, "never sent", worst, unknown=False)
            raise
        return attempt

    def answered(self, attempt: int, call: Call, reply: Reply, worst: Pico) -> None:
        """Write its answer and exact cost down."""
        usage = reply.usage
        self._journal.settle(
            Outcome(
                State.ANSWERED,
                reply.cost,
                reply.cost_known,
                usage.input_tokens,
                usage.cache_creation_input_tokens,
                usage.cache_read_input_tokens,
                usage.output_tokens,
                reply.latency_ms,
                reply.request_id,
                None,
                reply.message,
                attempt,
                call.model,
                worst,
                self._sent_ms.pop(attempt),
                reply.simulated,
            )
        )

    def failed(self, attempt: int, call: Call, error: str, worst: Pico, *, unknown: bool) -> None:
        """Write down that it brought no answer; *unknown*: it may be billed all the same."""
        sent_ms = self._sent_ms.pop(attempt)
        state = State.UNKNOWN if unknown else State.FAILED
        latency_ms = self._now_ms() - sent_ms
        self._journal.settle(
            Outcome(
                state, 0, True, 0, 0, 0, 0, latency_ms, None, error, None, attempt, call.model, worst, sent_ms, False
            )
        )

    def _now_ms(self) -> int:
        return int(self._wall().timestamp() * 1000)
