"""The end of a row: its outcome becomes a result of the journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol

from claudebatch.core.domain import Call, Outcome, Pico, Reply, Succeeded, Usage
from claudebatch.core.notice import Notice
from claudebatch.core.result_lines import ended, head, place
from claudebatch.layers.structured_answers.answer_reading import read_answer
from claudebatch.models.prices import PriceBook, UnknownPrice
from claudebatch.setup.run_options import RunOptions
from claudebatch.storage.journal.records import (
    NOT_FREE,
    AnswerSource,
    FreeAnswer,
    ResultRecord,
    utc_day,
)
from claudebatch.storage.journal.schema import ANSWER_SOURCES
from claudebatch.storage.run_folder import RunFolder

_SIMULATED = Notice(
    "W042", "the API at this base URL is a simulator: its answers are simulated and cost nothing"
)


class Results(Protocol):
    """The journal, as far as finishing rows goes."""

    async def finish(self, result: ResultRecord) -> None:
        """Write a row's result down."""
        ...

    async def read(self, query: Callable[[sqlite3.Connection], None]) -> None:
        """Do *query* between two groups of writes."""
        ...


class RowFinisher:
    """Finishes the rows of one session."""

    def __init__(
        self,
        options: RunOptions,
        folder: RunFolder,
        prices: PriceBook,
        *,
        wall: Callable[[], datetime],
        notify: Callable[[Notice], None],
    ) -> None:
        """*notify* is called in the journal's thread."""
        self._options = options
        self._folder = folder
        self._prices = prices
        self._wall = wall
        self._notify = notify
        # Mutable: whether answers turned out to be made up.
        self._met_simulator = folder.meta("simulator") is not None

    def into(self, journal: Results) -> Callable[[Outcome], Awaitable[None]]:
        """A function that finishes a row in *journal*."""

        async def finish(outcome: Outcome) -> None:
            row, prompt = outcome.call.row, outcome.call.prompt
            reading = None
            if isinstance(outcome, Succeeded):
                reading = read_answer(prompt, outcome.reply)
            first = head(outcome, reading=reading, simulated=self._options.simulate)
            where = place(prompt.line, prompt.file, prompt.columns)
            if not isinstance(outcome, Succeeded):
                await journal.finish(ResultRecord(row, 0, first, place=where))
                return
            reply = outcome.reply
            # Noted in the journal before the first such result: a crash in between
            # would leave made-up answers that pass for real ones.
            if self._made_up(reply) and not self._met_simulator:
                await journal.read(self.note_simulator)
            free = self._free(outcome.call, reply)
            await journal.finish(
                # However many results share an answer, its message lies in its
                # attempt's row. An answer from the cache has no attempt here.
                ResultRecord(
                    row,
                    int(ended(reply, reading)),
                    first,
                    reply.message,
                    reply.attempt_id,
                    free=free,
                    place=where,
                )
            )

        return finish

    def _free(self, call: Call, reply: Reply) -> FreeAnswer:
        source = ANSWER_SOURCES[reply.source]
        if source == AnswerSource.API:
            return NOT_FREE
        # A made-up answer would not have cost anything either.
        saved = 0 if self._made_up(reply) else self.value_of(call, reply)
        return FreeAnswer(source, saved, self.today(), call.route.model, call.route.rule)

    def today(self) -> str:
        """The UTC day."""
        return utc_day(int(self._wall().timestamp() * 1000))

    def value_of(self, call: Call, reply: Reply) -> Pico:
        """The price of *reply*, had it been asked for *call*."""
        return self.worth(call.model, reply.usage)

    def worth(self, model: str, usage: Usage) -> Pico:
        """The cost of *usage* of *model*; 0 without a known price."""
        try:
            return self._prices.cost(model, usage)
        except UnknownPrice:
            return 0

    def _made_up(self, reply: Reply) -> bool:
        return reply.simulated and not self._options.simulate

    def note_simulator(self, _: sqlite3.Connection | None = None) -> None:
        """The API is a simulator: the journal says so from now on. Called in its
        thread.
        """
        if self._met_simulator:
            return
        self._met_simulator = True
        # So that a later run against the real API does not take these answers for its
        # own.
        self._folder.note(simulator=self._options.base_url)
        self._notify(_SIMULATED)
