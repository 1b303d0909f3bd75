"""Rows whose answers are in the response cache, done in large steps before the first
request.

They would come out of the response cache in the lanes as well, each through the whole
stack and two threads: that costs more than twice as much. A lane is left to its workers
as soon as a whole step finds nothing, so that an input nobody has asked before costs
one step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from claudebatch.core.domain import Pico, Reply, Route, Usage
from claudebatch.core.endings import ending
from claudebatch.core.events import Emit, RowFinished
from claudebatch.core.message import BadAnswer, parse_message
from claudebatch.core.result_lines import answer_head, place
from claudebatch.layers.response_cache.store import CacheStore
from claudebatch.storage.journal import NUMBER_ID, RowKey
from claudebatch.storage.journal.records import AnswerSource, FreeAnswer, ResultRecord

# A step's answers lie in memory at once, beside those that the journal still writes.
_ROWS_A_STEP = 1000

# Rows are many, routes few.
_route = lru_cache(maxsize=256)(Route)

Pending: TypeAlias = Callable[[int, int], Awaitable[list[RowKey]]]
"""(after, count) → the next *count* rows of a lane after row number *after* that still
need an answer.
"""


class CachedStep(NamedTuple):
    """Rows that are done without a request, ready to be written down and reported."""

    results: list[ResultRecord]
    events: list[RowFinished]


class CachedRows:
    """One step at a time; every step runs in a thread, while the journal writes down
    the one before.
    """

    def __init__(
        self,
        store: CacheStore,
        *,
        value_of: Callable[[str, Usage], Pico],
        names: Sequence[str],
        simulated: bool,
        today: Callable[[], str],
    ) -> None:
        """*value_of* tells what an answer of a model with so much usage would have
        cost; *names* are those of the input files; *today* is the UTC day.
        """
        self._names = names
        self._store = store
        self._value_of = value_of
        self._simulated = simulated
        self._today = today

    async def lane(
        self,
        pending: Pending,
        *,
        finish: Callable[[Sequence[ResultRecord]], Awaitable[None]],
        emit: Emit,
        stopped: Callable[[], bool],
    ) -> None:
        """Do a lane's rows out of the cache, step by step, until a step finds nothing
        or the session is *stopped*.

        The journal fetches the rows of the next step meanwhile, and then writes down
        the results of this one.
        """
        coming = asyncio.ensure_future(pending(0, _ROWS_A_STEP))
        try:
            while not stopped() and (rows := await coming):
                coming = asyncio.ensure_future(pending(rows[-1].row, _ROWS_A_STEP))
                found = await self._store.get_many([row.key.hex() for row in rows])
                # In a thread, so that the journal's next rows and writes are handed
                # over meanwhile.
                done = await asyncio.to_thread(self.step, rows, found)
                if not done.results:
                    break
                await finish(done.results)
                for event in done.events:
                    emit(event)
        finally:
            coming.cancel()
            await asyncio.wait((coming,))

    def step(self, rows: Sequence[RowKey], found: Sequence[bytes | None]) -> CachedStep:
        """Those of *rows* whose answers were *found*."""
        day, done = self._today(), CachedStep([], [])
        for row, value in zip(rows, found, strict=True):
            if value is None:
                continue
            try:
                reply = parse_message(value, source="cache", via=None, attempts=0)
            except BadAnswer:
                # No message: its lane will find it missing, and ask.
                continue
            saved = self._value_of(row.model, reply.usage)
            done.results.append(self._result(row, reply, saved, day))
            done.events.append(RowFinished(row.id, reply.model, "cache", True, saved=saved))
        return done

    def _result(self, row: RowKey, reply: Reply, saved: Pico, day: str) -> ResultRecord:
        ended = ending(reply)
        first = answer_head(
            row.id,
            _route(row.model, row.rule),
            reply,
            ended=ended,
            number_id=row.own == NUMBER_ID,
            simulated=self._simulated,
        )
        return ResultRecord(
            row.row,
            int(ended),
            first,
            reply.message,
            free=FreeAnswer(AnswerSource.CACHE, saved, day, row.model, row.rule),
            place=place(row.line, self._names[row.source], row.columns),
        )
