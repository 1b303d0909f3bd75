"""Answers that did not fit their schema, of a row that a crash, a cap or a signal kept
from its last word: they are paid for, and the row goes on from them.
"""

from __future__ import annotations

import sqlite3

from claudebatch.core.answer_form import UnfitAnswers, schema_of
from claudebatch.core.domain import Call
from claudebatch.core.message import BadAnswer, parse_message
from claudebatch.layers.structured_answers.answer_reading import read_answer
from claudebatch.layers.structured_answers.layer import and_one
from claudebatch.storage.journal import Journal
from claudebatch.storage.journal.open_answers import open_answers, rows_with_open_answers


def unfit_before(
    connection: sqlite3.Connection, call: Call, *, but_last: bool = False
) -> UnfitAnswers | None:
    """The unfit answers that *call* had in earlier sessions, without the last answer
    where *but_last* asks so; None: there are none.
    """
    unfit: UnfitAnswers | None = None
    found = list(open_answers(connection, call.row, call.model))
    for answer in found[:-1] if but_last else found:
        try:
            reply = parse_message(answer.body, cost=answer.cost, cost_known=answer.cost_known)
        except BadAnswer:
            continue
        reading = read_answer(call.prompt, reply)
        if reading is not None and reading.fault:
            unfit = and_one(unfit, reply, reading.fault)
    return unfit


class EarlierUnfit:
    """Looks them up for rows with a schema, one by one when their turn comes."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        # Mutable: filled once, before the first row is asked. Numbers only: the answers
        # themselves may be many.
        self._rows: set[int] = set()

    async def load(self) -> None:
        """Find the rows that have any."""
        self._rows = await self._journal.read(rows_with_open_answers)

    async def __call__(self, call: Call) -> UnfitAnswers | None:
        """Those of *call*; None: there are none."""
        if call.row not in self._rows or schema_of(call.prompt.params) is None:
            return None
        return await self._journal.read(lambda connection: unfit_before(connection, call))
