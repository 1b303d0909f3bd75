"""Rows become a batch: their money is held, their intents are committed, and their
requests lie on disk as one body, ready to be sent.

In this order, chunk by chunk, so that memory stays flat: what is written down but not
yet sent is undone after a crash, and money that is held for nothing is given back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from claudebatch.clients.batch_upload import encode_request
from claudebatch.core.domain import Call, Hold, Pico
from claudebatch.core.errors import NotServed
from claudebatch.core.send_via import fits_a_batch
from claudebatch.engine.batches.custom_ids import custom_id, new_nonce
from claudebatch.engine.batches.holds import BatchHolds
from claudebatch.engine.batches.parts import BatchParts
from claudebatch.engine.batches.request_kinds import KindCheck
from claudebatch.engine.batches.upload_file import NAME, UploadFile, remove
from claudebatch.storage.journal import RowFilter, RowKey, RowRef, pending_keys, pending_rows
from claudebatch.storage.journal.batch_places import BatchPlace, note_place
from claudebatch.storage.journal.batches import (
    BatchRow,
    BatchState,
    begin_batch,
    note_over,
    note_ready,
)
from claudebatch.storage.journal.records import AttemptIntent, utc_day
from claudebatch.storage.journal.roads import go_live, lead

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class BuiltBatch:
    """A batch that may be made now."""

    row: BatchRow
    upload: Path
    betas: tuple[str, ...]
    place: BatchPlace


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A row that may go into the batch."""

    asked: Call
    """As the response cache knows it: without the marks that are set here."""
    call: Call
    key: bytes
    worst: Pico

    @property
    def betas(self) -> tuple[str, ...]:
        """What its request needs, whatever the order."""
        return tuple(sorted(self.call.prompt.betas))


class BatchBuilder:
    """Builds one batch after the other, until no more rows are left or fit."""

    def __init__(self, parts: BatchParts, holds: BatchHolds) -> None:
        self._parts = parts
        self._holds = holds
        # Mutable: limits that a refusal may lower, rows that went another way since the
        # last look, and rows that changed on disk.
        self.most_requests = parts.settings.max_requests
        self.most_bytes = parts.settings.max_bytes
        self.gone_live = 0
        self.changed = 0
        self.kinds = KindCheck(parts.objection)
        """What the API refuses of the rows."""

    async def build(self, room: int, where: Callable[[], BatchPlace]) -> BuiltBatch | None:
        """The next batch of at most *room* requests, to be made at the place that
        *where* tells; None where none fits under the cap now.
        """
        parts, journal = self._parts, self._parts.journal
        nonce = new_nonce(parts.rng)
        batch = await journal.read(lambda c: begin_batch(c, nonce, parts.wall_ms()))
        draft = _Draft(
            parts,
            self._holds,
            batch,
            nonce,
            most_requests=min(room, self.most_requests),
            most_bytes=self.most_bytes,
        )
        with UploadFile(parts.folder / NAME) as upload:
            async for chunk in self._chunks():
                await draft.take(chunk, upload)
                if draft.full or parts.drain.started:
                    break
            path = upload.finish()
        if not draft.requests:
            # Nothing fits under the cap now: no trace of a batch that never was.
            remove(path)
            await journal.read(lambda c: note_over(c, batch, BatchState.NOT_MADE))
            await self._holds.end(batch)
            return None
        # By one clock at one moment: it may be set at any other, and a batch of ours be
        # too old to be ours.
        now_ms, place = parts.wall_ms(), where()
        await journal.read(lambda c: note_place(c, batch, place))
        requests, worst = draft.requests, draft.worst
        soon = BatchRow(
            batch, nonce, BatchState.READY, requests=requests, worst=worst, intent_ms=now_ms
        )
        # Not between the last commit and the create: a process that dies there leaves
        # a batch that has to be looked for.
        await journal.read(lambda _: parts.remember(soon, place.address))
        row = await journal.read(
            lambda c: note_ready(c, batch, requests=requests, worst=worst, now_ms=now_ms)
        )
        return BuiltBatch(row, path, draft.betas or (), place)

    async def any(self) -> bool:
        """Whether rows are left for a batch."""
        wanted = self._parts.wanted._replace(road="batch")
        for lane in self._parts.lanes:
            query = partial(pending_rows, wanted=wanted, lane=lane, after=-1, count=1)
            if await self._parts.journal.read(query):
                return True
        return False

    async def _chunks(self) -> AsyncIterator[list[_Candidate]]:
        for lane in self._parts.lanes:
            after = -1
            while True:
                wanted = self._parts.wanted._replace(road="batch")
                refs, keys = await self._parts.journal.read(
                    partial(_pending, wanted=wanted, lane=lane, after=after)
                )
                if refs:
                    after = refs[-1].row
                    candidates, live = self._sorted(refs, keys, await self._cached(keys))
                    if live:
                        self.gone_live += len(live)
                        await self._parts.journal.read(partial(go_live, rows=live))
                    yield [row for row in candidates if not await self.kinds.refuses(row.asked)]
                if len(refs) < _CHUNK:
                    break

    async def _cached(self, keys: Sequence[RowKey]) -> set[int]:
        """The rows that the response cache may answer."""
        # Rows that want a form are not answered before the first is sent: an answer has
        # to be held against what the line wants. Its layer does that.
        if self._parts.cache is None or not self._parts.judge.wants_form:
            return set()
        asked = [key for key in keys if key.key]
        found = await self._parts.cache.get_many([key.key.hex() for key in asked])
        return {key.row for key, value in zip(asked, found, strict=True) if value is not None}

    def _sorted(
        self, refs: Sequence[RowRef], keys: Sequence[RowKey], cached: Set[int]
    ) -> tuple[list[_Candidate], list[int]]:
        """The rows that may go into a batch, and those that cannot go into any."""
        candidates: list[_Candidate] = []
        live: list[int] = []
        seen: set[bytes] = set()
        lines = self._parts.rows.lines(refs)
        for ref, key, line in zip(refs, keys, lines, strict=True):
            data = line if line is not None else self._parts.rows.line(ref)
            call = self._parts.rows.call(ref, data)
            if call is None:
                # Its line was edited since the check: the next session takes it in.
                self.changed += 1
                continue
            free = ref.row in cached or self._parts.judge.has_answer(ref.row)
            candidate = None if free else self._candidate(call, key.key)
            if candidate is None:
                live.append(ref.row)
            # Equal ones wait for the first one's answer.
            elif self._alone(key.key, seen):
                candidates.append(candidate)
        return candidates, live

    def _alone(self, key: bytes, seen: set[bytes]) -> bool:
        if not key or self._parts.cache is None:
            return True
        known = key in seen
        seen.add(key)
        return not known

    def _candidate(self, call: Call, key: bytes) -> _Candidate | None:
        if not fits_a_batch(call.prompt):
            return None
        placed = self._parts.place(call).call
        # With room for its custom_id and the frame around it.
        if len(placed.body) + 200 > self.most_bytes:
            return None
        try:
            return _Candidate(call, placed, key, self._parts.worst(placed))
        except NotServed:
            # Sent at once it fails with the words for it, or another model answers.
            return None


class _Draft:
    """One batch while it is built."""

    def __init__(
        self,
        parts: BatchParts,
        holds: BatchHolds,
        batch: int,
        nonce: str,
        *,
        most_requests: int,
        most_bytes: int,
    ) -> None:
        self._parts = parts
        self._holds = holds
        self._batch = batch
        self._nonce = nonce
        self._most_requests = most_requests
        self._most_bytes = most_bytes
        # Mutable, changed by `take` only; `betas` are those of the rows that it has.
        self.betas: tuple[str, ...] | None = None
        self.requests = 0
        self.worst: Pico = 0
        self.full = False
        self._too_dear: Pico | None = None

    async def take(self, rows: list[_Candidate], upload: UploadFile) -> None:
        """Take as many of *rows* as there is room and money for."""
        for betas in dict.fromkeys(row.betas for row in rows):
            # The header of the create governs every request in it. Rows of another one
            # wait for the next batch, once any row of this one was taken.
            if self.betas in (None, betas):
                alike = [row for row in rows if row.betas == betas]
                for some in self._fitting(alike, upload):
                    await self._take_affordable(some, upload)
                if self.requests:
                    self.betas = betas

    def _fitting(self, rows: list[_Candidate], upload: UploadFile) -> Iterator[list[_Candidate]]:
        size, taken = upload.size, list[_Candidate]()
        for row in rows:
            size += len(row.call.body) + 100
            if self.requests + len(taken) >= self._most_requests or size > self._most_bytes:
                self.full = True
                break
            taken.append(row)
        if taken:
            yield taken

    async def _take_affordable(self, rows: list[_Candidate], upload: UploadFile) -> None:
        """Take *rows*, or the halves of them that fit under the cap."""
        rows = [row for row in rows if self._too_dear is None or row.worst < self._too_dear]
        if not rows:
            return
        hold = await self._holds.take(self._batch, sum(row.worst for row in rows), rows=len(rows))
        if hold is not None:
            await self._write(rows, hold, upload)
        elif len(rows) == 1:
            self._too_dear = rows[0].worst
        else:
            middle = len(rows) // 2
            await self._take_affordable(rows[:middle], upload)
            await self._take_affordable(rows[middle:], upload)

    async def _write(self, rows: list[_Candidate], hold: Hold, upload: UploadFile) -> None:
        journal, now_ms = self._parts.journal, self._parts.wall_ms()
        day = hold.day or utc_day(now_ms)
        intents = [self._intent(row, journal.next_attempt(), now_ms, day) for row in rows]
        # Before the requests lie in the body: what is sent is always written down.
        await journal.begin_all(intents)
        if self._parts.notes is not None:
            for row in rows:
                self._parts.notes.sent(row.key.hex(), row.asked)
        upload.add(
            encode_request(
                custom_id(self._nonce, row.call.prompt.digest, it.attempt), row.call.body
            )
            for row, it in zip(rows, intents, strict=True)
        )
        await journal.read(partial(lead, keys=[row.key for row in rows]))
        self.requests += len(rows)
        self.worst += sum(row.worst for row in rows)

    def _intent(self, row: _Candidate, attempt: int, now_ms: int, day: str) -> AttemptIntent:
        call, size = row.call, row.call.size
        return AttemptIntent(
            attempt=attempt,
            row=call.row,
            model=call.model,
            worst=row.worst,
            sent_ms=now_ms,
            day=day,
            rule=call.route.rule,
            input_estimate=size.input_tokens,
            output_estimate=size.output_tokens,
            output_bound=size.output_bound,
            id=call.prompt.id,
            batch=self._batch,
        )


def _pending(
    connection: sqlite3.Connection, *, wanted: RowFilter, lane: str, after: int
) -> tuple[list[RowRef], list[RowKey]]:
    refs = pending_rows(connection, wanted, lane, after, _CHUNK)
    return refs, pending_keys(connection, wanted, lane, after, _CHUNK)
