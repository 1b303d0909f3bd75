"""Requests that only fill the prompt cache, as a journal has them after a crash."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from claudebatch.core.domain import PREWARM, Call, Usage
from claudebatch.layers.record.journal_log import JournalLog
from claudebatch.storage.journal.audit import damaged_attempts
from claudebatch.storage.journal.failed_attempts import failed_attempts, limited_attempts
from claudebatch.storage.journal.open_answers import open_attempts
from claudebatch.storage.journal.queries import (
    billed_after,
    give_up_on_sent,
    totals,
    undecided,
    unshown_answers,
)
from claudebatch.storage.journal.schema import open_journal
from tests.support.journals import open_small_journal
from tests.support.scripted import make_call, make_reply

WORST, COST = 900, 250
USAGE = {"input_tokens": 9, "output_tokens": 0, "cache_creation_input_tokens": 3000}


def ahead() -> Call:
    call = make_call(row=1)
    size = replace(call.size, output_tokens=0, output_bound=0)
    return replace(call, route=replace(call.route, rule=PREWARM), size=size)


def after(path, then) -> None:
    """A session that ends, by a crash, with what *then* does in a log."""

    async def session() -> None:
        small = open_small_journal(path)
        log = JournalLog(small.journal, wall=lambda: datetime(2026, 11, 22, tzinfo=UTC))
        await then(log)
        await small.journal.flush()
        await small.close()
        small.connection.close()

    asyncio.run(session())


def test_its_answer_is_paid_and_no_session_takes_it_for_the_rows(tmp_path):
    async def answered(log: JournalLog) -> None:
        reply = make_reply("", usage=USAGE)
        await log.answered(await log.begin(ahead(), WORST), reply.paid(COST, 1))

    after(tmp_path / "journal.sqlite", answered)
    with closing(open_journal(tmp_path / "journal.sqlite")) as journal:
        assert unshown_answers(journal) == []
        assert open_attempts(journal) == [], "nor for one that does not fit its schema"
        found = totals(journal)
        assert (found.spent, found.unknown, found.attempts) == (COST, 0, 1)
        (billed,) = billed_after(journal, 0)
        assert billed.prewarms
        assert billed.usage == Usage(input_tokens=9, ephemeral_5m_input_tokens=3000)
        assert list(damaged_attempts(journal)) == []


def test_one_that_does_not_say_what_it_took_is_no_rows_answer_either(tmp_path):
    async def answered(log: JournalLog) -> None:
        reply = make_reply("", usage={"input_tokens": None})
        await log.answered(await log.begin(ahead(), WORST), reply.paid(None, 1))

    after(tmp_path / "journal.sqlite", answered)
    with closing(open_journal(tmp_path / "journal.sqlite")) as journal:
        assert unshown_answers(journal) == []
        assert totals(journal).unknown == WORST


def test_one_without_an_answer_counts_at_its_worst_and_leaves_its_row_to_be_asked(tmp_path):
    async def sent(log: JournalLog) -> None:
        await log.begin(ahead(), WORST)

    after(tmp_path / "journal.sqlite", sent)
    with closing(open_journal(tmp_path / "journal.sqlite")) as journal:
        assert give_up_on_sent(journal) == 1
        found = totals(journal)
        assert (found.spent, found.unknown, found.unknown_attempts) == (0, WORST, 1)
        assert undecided(journal) == (0, 0), "its row is asked in any case"


@pytest.mark.parametrize("status", [529, 429])
def test_its_failures_are_not_the_rows(tmp_path, status):
    async def fails(log: JournalLog) -> None:
        attempt = await log.begin(ahead(), WORST)
        await log.failed(attempt, "overloaded_error", unknown=False, status=status)

    after(tmp_path / "journal.sqlite", fails)
    with closing(open_journal(tmp_path / "journal.sqlite")) as journal:
        assert (failed_attempts(journal), limited_attempts(journal)) == ([], [])


def test_rows_of_a_rule_with_that_name_are_rows(tmp_path):
    async def answered(log: JournalLog) -> None:
        call = make_call(row=1)
        call = replace(call, route=replace(call.route, rule=PREWARM))
        assert not call.prewarms
        await log.answered(await log.begin(call, WORST), make_reply("hello").paid(COST, 1))

    after(tmp_path / "journal.sqlite", answered)
    with closing(open_journal(tmp_path / "journal.sqlite")) as journal:
        assert unshown_answers(journal) == [(1, 1)]
