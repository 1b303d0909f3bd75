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
from claudebatch.engine.batches.orphans import KEPT_S
from claudebatch.engine.batches.parts import BatchParts
from claudebatch.storage.journal.batches import (
    BatchRow,
    collected_since,
    foreign_batches,
    note_foreign,
    of_nonce,
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
# A create is answered within minutes, or sent again by whatever lost patience. Of the
# two, either may be the one that is known.
_APART_MS = 15 * 60_000
_GROUP = 500


class SecondBatches:
    """Looks for them once, when all else is done, and books them."""

    def __init__(self, parts: BatchParts) -> None:
        self._parts = parts

    async def look(self, client: BatchClient) -> None:
        """Book those of all collected batches of the run that have ended by now. What
        fails is left to the next session.
        """
        since_ms = self._parts.wall_ms() - round(KEPT_S * 1000)
        found = await self._parts.journal.read(partial(collected_since, created_ms=since_ms))
        # A batch of others has no nonce to be known by.
        rows = [row for row in found if row.nonce != ATTACHED]
        if not rows or self._parts.simulated:
            return
        try:
            for batch in await self._found(client, rows):
                await self.book(client, batch)
        except AttemptError:
            return

    async def book(self, client: BatchClient, batch: Batch) -> bool:
        """Book what *batch* cost, if its results bear the nonce of a batch of this run;
        then, or if it is another's, its id is not looked at again. Raises what the
        client raises.
        """
        first: BatchRow | None = None
        total, rows, group = 0, 0, list[BatchResult]()
        async with aclosing(client.results(batch.id)) as results:
            async for result in results:
                parsed = parse_custom_id(result.custom_id)
                if first is None and result.custom_id:
                    first = await self._of_nonce("" if parsed is None else parsed.nonce)
                    if first is None:
                        # Another program's: its first line says so.
                        await self._parts.journal.read(partial(note_foreign, id=batch.id))
                        return False
                # A line that cannot be read tells nothing, of whose it is neither.
                if first is None or parsed is None or parsed.nonce != first.nonce:
                    continue
                group.append(result)
                if len(group) >= _GROUP:
                    total += await self._write(first, batch, group)
                    rows, group = rows + len(group), []
        if first is None:
            return False
        total, rows = total + await self._write(first, batch, group), rows + len(group)
        if rows < batch.counts.total:
            # Cut on the way: the next session books the rest.
            return True
        await self._parts.journal.read(partial(note_foreign, id=batch.id))
        self._parts.emit(
            Notice(
                "W121",
                f"batch {first.batch} was made twice, by something on the way to the API: "
                f"{batch.id} has its {counted(rows, 'row')} again and cost ${usd_text(total)} "
                f"besides",
            )
        )
        return True

    async def _of_nonce(self, nonce: str) -> BatchRow | None:
        return await self._parts.journal.read(partial(of_nonce, nonce=nonce))

    async def _found(self, client: BatchClient, rows: Sequence[BatchRow]) -> list[Batch]:
        # By the server's moments alone: our clock may have been set since.
        earliest_ms = min(row.created_ms or 0 for row in rows) - _APART_MS
        listed = list[Batch]()
        async for page in all_pages(client, limit=MOST_LISTED):
            listed += page.batches
            if page.batches and _ms(page.batches[-1]) < earliest_ms:
                break
        known = await self._parts.journal.read(foreign_batches)
        known |= await self._parts.journal.read(own_batches)
        known |= self._parts.known_elsewhere()
        return [
            batch
            for batch in listed
            if batch.ended and batch.id not in known and any(_alike(row, batch) for row in rows)
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


def _ms(batch: Batch) -> float:
    return batch.created_at.timestamp() * 1000


def _alike(row: BatchRow, batch: Batch) -> bool:
    apart_ms = abs(_ms(batch) - (row.created_ms or 0))
    return batch.counts.total == row.requests and apart_ms <= _APART_MS
