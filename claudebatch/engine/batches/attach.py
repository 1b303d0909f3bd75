"""A batch that was made elsewhere (by another tool, on another machine) becomes one of
this run: its answers are those of the rows that its requests are named after.

The API does not give requests back. That a row's line is what was asked then is the
user's word, so such answers are kept for this run only, not in the response cache.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

from claudebatch.clients.batch_protocol import BatchClient
from claudebatch.clients.batch_records import Batch
from claudebatch.clients.batch_results import BatchResult
from claudebatch.core.domain import Pico
from claudebatch.core.errors import AttemptError, BatchNotFound, CommandRefused
from claudebatch.core.message import BadAnswer, parse_message
from claudebatch.core.notice import Notice
from claudebatch.core.plurals import counted
from claudebatch.engine.batches.custom_ids import parse_custom_id
from claudebatch.engine.batches.orphans import ms
from claudebatch.engine.batches.parts import BatchParts
from claudebatch.storage.journal.batch_places import BatchPlace, note_place
from claudebatch.storage.journal.batches import (
    BatchRow,
    BatchState,
    bears_nonce,
    begin_batch,
    find_batch,
    note_made,
    note_over,
    note_ready,
    own_batches,
    run_id_of,
)
from claudebatch.storage.journal.named_rows import NamedRow, rows_of_names
from claudebatch.storage.journal.records import AttemptIntent, utc_day

ATTACHED = "attached"
"""The nonce of such a batch: none of ours is of this form."""
_GROUP = 500


def name_of(custom_id: str) -> str:
    """The name of the row of a request: its custom_id, or the digest in one that
    claudebatch gave it.
    """
    parsed = parse_custom_id(custom_id)
    return custom_id if parsed is None else parsed.digest


@dataclass(slots=True)
class _Matched:
    """What the first look at the results has found."""

    rows: int = 0
    worst: Pico = 0
    taken: int = 0
    unknown: int = 0
    nonces: set[str] = field(default_factory=set)
    """Of custom_ids that are in the form of ours."""


def _of_this_machine(id: str, known_as: str) -> CommandRefused:
    return CommandRefused(
        "E851",
        f"{id} is a batch of this machine",
        fix=f"collect it with its run: claudebatch batches collect {known_as}",
    )


class Attacher:
    """Looks at the results twice: first for whose they are, then, as with every other
    batch, for what they say.
    """

    def __init__(self, parts: BatchParts, undo: Callable[[BatchRow], Awaitable[object]]) -> None:
        """*undo*: ends the rows of a batch that is none of this run's after all."""
        self._parts = parts
        self._undo = undo

    async def attach(self, client: BatchClient, id: str) -> BatchRow | None:
        """The batch *id* as one of this run, to be collected; None where it is one
        already. Raises `CommandRefused` where it cannot be, and what the client raises.
        """
        journal = self._parts.journal
        if id in await journal.read(partial(own_batches, nonce=ATTACHED)):
            # The command of a session that was killed, or given twice.
            self._parts.emit(Notice("N119", f"{id} is attached to this run already"))
            return None
        own = await journal.read(own_batches)
        if id in own or id in self._parts.known_elsewhere():
            raise _of_this_machine(id, id)
        try:
            batch = await client.retrieve(id)
        except BatchNotFound as error:
            raise CommandRefused(
                "E852",
                f"the API does not know this batch: {error.message}",
                fix="see `claudebatch batches list --account`",
            ) from error
        if not batch.ended or batch.archived_at is not None:
            why = "has not ended: nothing tells of its rows before"
            raise CommandRefused(
                "E853",
                f"{id} {'has no results any more' if batch.ended else why}",
                fix="attach a batch that has ended within the last 29 days",
            )
        number = await journal.read(lambda c: begin_batch(c, ATTACHED, self._parts.wall_ms()))
        found = _Matched()
        try:
            await self._match(client, batch, number, found)
            await self._claim(id, number, found)
        except (AttemptError, CommandRefused):
            await self._undo(await journal.read(partial(find_batch, batch=number)))
            await journal.read(lambda c: note_over(c, number, BatchState.NOT_MADE))
            raise
        return await journal.read(partial(self._note, batch=batch, number=number, found=found))

    async def _claim(self, id: str, number: int, found: _Matched) -> None:
        """Have the batch for this run alone; raises `CommandRefused`."""
        owner = await self._parts.journal.read(
            partial(self._owner, id=id, number=number, found=found)
        )
        if owner:
            raise _of_this_machine(id, owner)
        self._tell(id, found)
        if not found.rows:
            raise CommandRefused(
                "E854",
                f"no request of {id} is named like a row that needs an answer",
                fix="give the file that it was made of: its ids have to be the batch's custom_ids",
            )

    def _owner(self, connection: sqlite3.Connection, id: str, number: int, found: _Matched) -> str:
        """The run of this machine that it is of, though no id says so; empty: none."""
        if any(bears_nonce(connection, nonce) for nonce in found.nonces):
            # Its making was not answered, and this run looks for it.
            return run_id_of(connection)
        if not found.rows:
            return ""
        # Before it is noted: of two that attach it at once, both would book it.
        return self._parts.claim(id, number, found.nonces)

    def _note(
        self, connection: sqlite3.Connection, batch: Batch, number: int, found: _Matched
    ) -> BatchRow:
        # Together: a batch of which only half is noted would be looked for in vain.
        connection.execute("BEGIN IMMEDIATE")
        note_place(connection, number, BatchPlace(self._parts.address))
        note_ready(
            connection,
            number,
            requests=found.rows,
            worst=found.worst,
            now_ms=self._parts.wall_ms(),
        )
        noted = note_made(
            connection,
            number,
            batch.id,
            proved=True,
            created_ms=ms(batch.created_at),
            expires_ms=ms(batch.expires_at),
        )
        connection.execute("COMMIT")
        return noted

    async def _match(self, client: BatchClient, batch: Batch, number: int, found: _Matched) -> None:
        group: list[BatchResult] = []
        async with aclosing(client.results(batch.id)) as results:
            async for result in results:
                group.append(result)
                if len(group) >= _GROUP:
                    await self._take(group, number, found)
                    group = []
        await self._take(group, number, found)

    async def _take(self, group: Sequence[BatchResult], number: int, found: _Matched) -> None:
        parsed = [parse_custom_id(result.custom_id) for result in group]
        found.nonces |= {one.nonce for one in parsed if one is not None}
        by_name = {name_of(result.custom_id): result for result in group if result.custom_id}
        if not by_name:
            return
        rows = await self._parts.journal.read(partial(rows_of_names, names=list(by_name)))
        # Equal rows have one digest: the first one's answer is shared by the others.
        first = {row.name: row for row in reversed(rows)}
        wanted = [row for row in first.values() if not row.taken]
        intents = [self._intent(row, by_name[row.name], number) for row in wanted]
        await self._parts.journal.begin_all(intents)
        found.rows += len(intents)
        found.worst += sum(intent.worst for intent in intents)
        found.taken += len(first) - len(wanted)
        found.unknown += len(by_name) - len(first)

    def _intent(self, row: NamedRow, result: BatchResult, number: int) -> AttemptIntent:
        model, now_ms = row.model, self._parts.wall_ms()
        worst = 0
        if result.message is not None:
            try:
                reply = parse_message(result.message)
            except BadAnswer:
                pass
            else:
                # Its price is that of the model that answered, whatever the row is for.
                model = reply.model
                worst = self._parts.outcomes.cost_of(model, reply.usage) or 0
        return AttemptIntent(
            attempt=self._parts.journal.next_attempt(),
            row=row.row,
            model=model,
            worst=worst,
            sent_ms=now_ms,
            day=utc_day(now_ms),
            rule=ATTACHED,
            id=row.id,
            batch=number,
        )

    def _tell(self, id: str, found: _Matched) -> None:
        left = [
            f"{counted(found.taken, 'row has', 'rows have')} an answer already"
            if found.taken
            else "",
            f"{counted(found.unknown, 'request is', 'requests are')} named like no row"
            if found.unknown
            else "",
        ]
        if any(left):
            said = " and ".join(filter(None, left))
            self._parts.emit(Notice("W122", f"of {id}, {said}: left out"))
