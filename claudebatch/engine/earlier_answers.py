"""Answers that a row was paid for and that were not its last word: they do not fit its
schema, or they are refusals that another model is to better. A crash, a cap, a signal
or a message batch left the row with them, and it goes on from there.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import replace

from claudebatch.core.answer_form import UnfitAnswers, schema_of
from claudebatch.core.domain import Call, Prompt, Reply
from claudebatch.core.message import BadAnswer, parse_message
from claudebatch.layers.structured_answers.answer_reading import read_answer
from claudebatch.layers.structured_answers.layer import and_one
from claudebatch.storage.journal import Journal
from claudebatch.storage.journal.open_answers import (
    OpenAnswer,
    equals_of_open,
    open_answers,
    open_attempts,
)


def unfit_of(prompt: Prompt, answers: Iterable[OpenAnswer]) -> UnfitAnswers | None:
    """Those of *answers* to *prompt* that do not fit; None: there are none."""
    unfit: UnfitAnswers | None = None
    for answer in answers:
        try:
            reply = _reply(answer)
        except BadAnswer:
            continue
        reading = read_answer(prompt, reply)
        if reading is not None and reading.fault:
            unfit = and_one(unfit, reply, reading.fault)
    return unfit


def with_unfit(reply: Reply, unfit: UnfitAnswers | None) -> Reply:
    """*reply* with what its row's *unfit* answers before it cost."""
    if unfit is None:
        return reply
    return replace(
        reply,
        cost=reply.cost + unfit.cost,
        cost_known=reply.cost_known and unfit.cost_known,
        attempts=reply.attempts + unfit.times,
    )


class EarlierAnswers:
    """Looks them up, row by row when its turn comes.

    unwanted  stop reasons of answers that another model is to better
    shared    whether equal rows share their answers
    """

    def __init__(self, journal: Journal, *, unwanted: Set[str], shared: bool) -> None:
        self._journal = journal
        self._unwanted = unwanted
        self._shared = shared
        # Mutable: filled before the first row is asked, and when batches come back: the
        # attempts of each row, and by row the equal one that was asked in its place.
        # Numbers only: the answers themselves may be many.
        self._attempts: defaultdict[int, set[int]] = defaultdict(set)
        self._asked: dict[int, int] = {}

    async def load(self) -> None:
        """Find the rows that have any."""
        for row, attempt in await self._journal.read(open_attempts):
            self._attempts[row].add(attempt)
        if self._attempts and self._shared:
            # Whichever of equal rows comes first asks for all: it must not begin anew.
            self._asked |= await self._journal.read(equals_of_open)

    def note(self, row: int, attempt: int, equal: Iterable[int]) -> None:
        """*attempt* brought such an answer to *row*, and to those that are *equal*."""
        self._attempts[row].add(attempt)
        self._asked.update((other, row) for other in equal)

    def has(self, row: int) -> bool:
        """Whether *row* has any."""
        return row in self._attempts or row in self._asked

    async def unfit(self, call: Call) -> UnfitAnswers | None:
        """Those that do not fit the schema of *call*; None: there are none."""
        if not self.has(call.row) or schema_of(call.prompt.params) is None:
            return None
        return unfit_of(call.prompt, await self._of(call))

    async def unwanted(self, call: Call) -> Reply | None:
        """The one that another model is to better, with what those before it cost;
        None: there is none.
        """
        if not self._unwanted or not self.has(call.row):
            return None
        # Only the last one: an unwanted answer ends what this model is asked.
        *before, last = await self._of(call) or (None,)
        try:
            reply = None if last is None else _reply(last)
        except BadAnswer:
            return None
        if reply is None or reply.stop_reason not in self._unwanted:
            return None
        if call.row in self._attempts:
            return with_unfit(reply, unfit_of(call.prompt, filter(None, before)))
        # One request, one bill.
        return replace(reply, source="duplicate", cost=0, cost_known=True, attempts=0)

    async def _of(self, call: Call) -> Sequence[OpenAnswer]:
        row = call.row if call.row in self._attempts else self._asked[call.row]
        attempts, model = list(self._attempts[row]), call.model

        def read(connection: sqlite3.Connection) -> list[OpenAnswer]:
            return list(open_answers(connection, attempts, model))

        return await self._journal.read(read)


def _reply(answer: OpenAnswer) -> Reply:
    return parse_message(
        answer.body,
        cost=answer.cost,
        cost_known=answer.cost_known,
        attempt_id=answer.attempt,
        request_id=answer.request_id,
        latency_ms=answer.latency_ms,
        via="batch" if answer.in_batch else "live",
    )
