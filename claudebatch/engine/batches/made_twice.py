"""Second batches that one create has made, because something on the way sent it twice:
both are billed, and the results of both bear the same nonce.

Nothing tells of one but the account's list and its results. What it cost is booked, as
attempts of their own that brought no answer; its answers are the same rows' as the
first one's, which are written down already.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from claudebatch.clients.batch_protocol import MOST_LISTED, BatchClient, all_pages
from claudebatch.clients.batch_records import Batch
from claudebatch.clients.batch_results import BatchResult
from claudebatch.core.domain import Pico, usd_text
from claudebatch.core.errors import AttemptError
from claudebatch.core.events import AttemptFinished
from claudebatch.core.notice import Notice
from claudebatch.core.plurals import counted
from claudebatch.engine.batches.attach import ATTACHED
from claudebatch.engine.batches.custom_ids import parse_custom_id
from claudebatch.engine.batches.orphans import candidates, too_old
from claudebatch.engine.batches.parts import BatchParts
from claudebatch.storage.journal.batches import (
    BatchRow,
    collected_since,
    foreign_batches,
    note_foreign,
    own_batches,
)
from claudebatch.storage.journal.records import (
    AttemptIntent,
    AttemptPrice,
    AttemptRecord,
    HttpExchange,
    utc_day,
)
from claudebatch.storage.journal.schema import AttemptState
from claudebatch.storage.journal.sent_twice import booked, intents_of

SENT_TWICE = "sent twice"
"""The error of such an attempt."""
_KEPT_MS = 29 * 86_400_000
# A create is answered within minutes, or sent again by whatever lost patience.
_AFTER_MS = 15 * 60_000
_GROUP = 500


class SecondBatches:
    """Looks for them once, when all else is done, and books them."""

    def __init__(self, parts: BatchParts) -> None:
        self._parts = parts

    async def look(self, client: BatchClient) -> None:
        """Book those of all collected batches of the run that have ended by now. What
        fails is left to the next session.
        """
        since_ms = self._parts.wall_ms() - _KEPT_MS
        found = await self._parts.journal.read(partial(collected_since, created_ms=since_ms))
        # A batch of others has no nonce to be known by.
        rows = [row for row in found if row.nonce != ATTACHED]
        if not rows or self._parts.simulated:
            return
        try:
            for row, batch in await self._found(client, rows):
                await self.book(client, row, batch)
        except AttemptError:
            return

    async def book(self, client: BatchClient, row: BatchRow, batch: Batch) -> bool:
        """Book what *batch* cost, if it is a second one of *row*; then its id is not
        looked at again. Raises what the client raises.
        """
        total, rows, group = 0, 0, list[BatchResult]()
        async with aclosing(client.results(batch.id)) as results:
            async for result in results:
                parsed = parse_custom_id(result.custom_id)
                if parsed is None or parsed.nonce != row.nonce:
                    # Another program's: its first line says so.
                    await self._parts.journal.read(partial(note_foreign, id=batch.id))
                    return False
                group.append(result)
                if len(group) >= _GROUP:
                    total, rows = total + await self._write(row, batch, group), rows + len(group)
                    group = []
        total, rows = total + await self._write(row, batch, group), rows + len(group)
        await self._parts.journal.read(partial(note_foreign, id=batch.id))
        self._parts.emit(
            Notice(
                "W121",
                f"batch {row.batch} was made twice, by something on the way to the API: {batch.id} "
                f"has its {counted(rows, 'row')} again and cost ${usd_text(total)} besides",
            )
        )
        return True

    async def _found(
        self, client: BatchClient, rows: Sequence[BatchRow]
    ) -> list[tuple[BatchRow, Batch]]:
        oldest = min(rows, key=lambda row: row.intent_ms)
        listed, skew_s = list[Batch](), 0.0
        async for page in all_pages(client, limit=MOST_LISTED):
            if page.server_time is not None:
                skew_s = page.server_time.timestamp() - self._parts.wall_ms() / 1000
            listed += page.batches
            if page.batches and too_old(oldest, page.batches[-1], skew_s=skew_s):
                break
        known = await self._parts.journal.read(foreign_batches)
        known |= await self._parts.journal.read(own_batches)
        known |= self._parts.known_elsewhere()
        return [
            (row, batch)
            for row in rows
            for batch in candidates(row, listed, taken=known, skew_s=skew_s)
            # Later ones are of others, or of another batch of this run.
            if batch.ended and _near(row, batch)
        ]

    async def _write(self, row: BatchRow, batch: Batch, group: Sequence[BatchResult]) -> Pico:
        """Book *group*; returns what it cost."""
        by_attempt = {
            parsed.attempt: result
            for result in group
            if (parsed := parse_custom_id(result.custom_id)) is not None
        }
        read = self._parts.journal.read
        intents = await read(partial(intents_of, batch=row.batch, attempts=list(by_attempt)))
        # A download that broke off, or a crash: what is there stays.
        there = await read(partial(booked, batch=row.batch, id=batch.id))
        records = [
            record
            for intent in intents
            if intent.row not in there
            and (record := self._record(intent, batch, by_attempt[intent.attempt])) is not None
        ]
        await self._parts.journal.record(records)
        for record in records:
            self._tell(record)
        total = sum(record.price.cost for record in records)
        # It is spent whether it fits or not: what is left of the caps must know.
        day = utc_day(self._parts.wall_ms())
        await self._parts.budget.settle(await self._parts.budget.adopt(total, day), total)
        return total

    def _record(
        self, intent: AttemptIntent, batch: Batch, result: BatchResult
    ) -> AttemptRecord | None:
        outcome = self._parts.outcomes.read(intent, result, latency_ms=0, simulated=batch.simulated)
        if outcome.reply is None:
            # Nothing is billed for what has no answer.
            return None
        # Of unknown cost: the worst case, as for the first one.
        cost = outcome.record.price.cost
        if outcome.record.state == AttemptState.UNKNOWN:
            cost = intent.worst
        now_ms = self._parts.wall_ms()
        again = replace(
            intent,
            attempt=self._parts.journal.next_attempt(),
            worst=cost,
            sent_ms=now_ms,
            day=utc_day(now_ms),
        )
        return AttemptRecord(
            intent=again,
            state=AttemptState.PARTIAL,
            price=AttemptPrice(cost, outcome.record.price.known, outcome.record.price.version),
            usage=outcome.record.usage,
            http=HttpExchange(request_id=batch.id, error=SENT_TWICE),
            simulated=outcome.record.simulated,
        )

    def _tell(self, record: AttemptRecord) -> None:
        self._parts.emit(
            AttemptFinished(
                record.intent.model,
                "batches",
                usage=record.usage,
                cost=record.price.cost,
                error=SENT_TWICE,
                unknown=False,
                attempt=record.attempt,
                via="batch",
                id=record.intent.id,
            )
        )


def _near(row: BatchRow, batch: Batch) -> bool:
    if row.created_ms is None:
        return False
    return batch.created_at.timestamp() * 1000 <= row.created_ms + _AFTER_MS
