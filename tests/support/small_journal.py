"""A journal of a few rows of every kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from claudebatch.storage.journal import AttemptState
from claudebatch.storage.journal.records import ResultRecord
from tests.support.journals import (
    SmallJournal,
    failed,
    intent,
    open_small_journal,
    outcome,
    succeeded,
)


async def a_small_run(path: Path) -> None:
    """Answers, a failure, an unknown one, an answer that two rows share, one out of the
    cache.
    """
    small = open_small_journal(path)
    for row in range(1, 6):
        await _sent(small, row)
        message = b'{"answer":%d}' % (row * 1_000_003)
        small.journal.settle(outcome(row, row=row, cost=7 * row, body=message))
        await small.journal.finish(_good(row, row, message))
    await _sent(small, 6)
    small.journal.settle(outcome(6, AttemptState.FAILED, row=6))
    await small.journal.finish(failed(6))
    await _sent(small, 7)
    await small.journal.finish(_good(8, 1, b'{"answer":1000003}'))
    await small.journal.finish(_good(9, None, b'{"cached":9}'))
    await small.close()
    small.connection.close()


def _good(row: int, attempt: int | None, message: bytes) -> ResultRecord:
    head = b'{"id":"%d","status":"succeeded"' % row
    return replace(succeeded(row, attempt, message), head=head)


async def _sent(small: SmallJournal, row: int) -> None:
    await small.journal.begin(intent(small.journal.next_attempt(), row=row))
