"""The journal: nothing is sent that is not written down, nothing shown that is not
written down for good.
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from claudebatch.core.errors import JournalFailed, OutputFailed, StorageError
from claudebatch.core.result_lines import line
from claudebatch.storage.journal import AttemptState, open_journal
from claudebatch.storage.journal.queries import (
    drop_superseded,
    give_up_on_sent,
    result_lines,
    totals,
    unshown_answers,
)
from claudebatch.storage.journal.records import FreeAnswer
from tests.support.journals import (
    SmallJournal,
    failed,
    index,
    intent,
    open_small_journal,
    outcome,
    record,
    succeeded,
)


async def sent(small: SmallJournal, row: int, worst: int = 100) -> int:
    attempt = small.journal.next_attempt()
    await small.journal.begin(intent(attempt, row=row, worst=worst))
    return attempt


async def answered(
    small: SmallJournal, row: int, message: bytes = b'{"m":1}', *, shown: bool = True, cost: int = 7
) -> int:
    attempt = await sent(small, row)
    small.journal.settle(outcome(attempt, cost=cost, body=message))
    if shown:
        await small.journal.finish(succeeded(row, attempt, message))
    return attempt


def seen_by_others(path: Path, query: str) -> list[tuple[object, ...]]:
    """What another process would find: only what is committed."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@pytest.fixture
async def small(tmp_path: Path):
    small = open_small_journal(tmp_path / "journal.sqlite")
    yield small
    await small.close()
    small.connection.close()


async def test_an_intent_is_durable_when_begin_returns_and_the_ledger_knew_it_before(
    small: SmallJournal, tmp_path: Path
):
    attempts = await asyncio.gather(*(sent(small, row, worst=row) for row in range(1, 20)))
    found = seen_by_others(
        tmp_path / "journal.sqlite", "SELECT attempt, row, worst, state FROM attempts"
    )
    assert found == [(attempt, attempt, attempt, AttemptState.SENT) for attempt in attempts]
    assert sorted(number for intents, _ in small.ledger.told for number in intents) == attempts


async def test_the_journal_is_synchronous_and_write_ahead(small: SmallJournal):
    assert small.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert small.connection.execute("PRAGMA synchronous").fetchone() == (2,)


async def test_a_line_is_only_written_once_its_row_is_durable(small: SmallJournal, tmp_path: Path):
    path = tmp_path / "journal.sqlite"
    durable: list[int] = []

    def count_results() -> None:
        ((count,),) = seen_by_others(path, "SELECT count(*) FROM results")
        durable.append(count)
        assert count > len(small.output.written)

    small.output.on_append = count_results
    for row in range(1, 6):
        await answered(small, row)
    await small.close()
    assert durable and durable[-1] == 5 == len(small.output.written)


async def test_the_lines_written_are_those_the_journal_puts_together_again(small: SmallJournal):
    for row in (3, 1, 2):
        await answered(small, row, b'{"n":%d}' % row)
    await small.journal.finish(failed(4))
    await small.journal.finish(succeeded(5, None, b'{"cached":1}'))
    await small.journal.finish(succeeded(6, 1, b'{"n":3}'))
    await small.close()
    assert small.output.written == list(result_lines(small.connection, ordered=False))
    assert small.output.written == [
        b'{"id":"3","message":{"n":3}}\n',
        b'{"id":"1","message":{"n":1}}\n',
        b'{"id":"2","message":{"n":2}}\n',
        b'{"id":"4","status":"failed"}\n',
        b'{"id":"5","message":{"cached":1}}\n',
        b'{"id":"6","message":{"n":3}}\n',
    ]
    in_order = [line[7:8] for line in result_lines(small.connection, ordered=True)]
    assert in_order == [b"1", b"2", b"3", b"4", b"5", b"6"]


def free(answer: FreeAnswer) -> tuple[int, int, str]:
    return answer.source, answer.saved, answer.day


@pytest.mark.parametrize("count", [1, 499, 500, 501, 1203])
async def test_many_results_at_once_are_written_down_and_shown_in_their_order(
    small: SmallJournal, count: int
):
    results = [
        succeeded(n, None, b'{"n":%d}' % n) if n % 7 else failed(n) for n in range(1, count + 1)
    ]
    await small.journal.finish_all([])
    await small.journal.finish_all(results)
    await small.journal.flush()
    columns = "row, ok, head, attempt, body, source, saved, day"
    found = small.connection.execute(f"SELECT {columns} FROM results ORDER BY n").fetchall()
    assert found == [
        (one.row, one.ok, one.head, one.attempt, one.body, *free(one.free)) for one in results
    ]
    assert small.output.written == [line(result.head, result.message) for result in results]


async def test_many_results_wait_for_those_before_them_so_that_they_do_not_pile_up(
    small: SmallJournal,
):
    unwritten: list[int] = []
    for start in range(0, 10_000, 1000):
        await small.journal.finish_all([succeeded(row, None) for row in range(start, start + 1000)])
        unwritten.append(start + 1000 - len(small.output.written))
    await small.journal.flush()
    assert len(small.output.written) == 10_000
    assert max(unwritten) <= 3000


async def test_totals_count_what_is_paid_and_what_may_be(small: SmallJournal):
    await answered(small, 1, cost=11)
    await answered(small, 2, cost=31)
    for row, state in ((3, AttemptState.FAILED), (4, AttemptState.UNKNOWN)):
        small.journal.settle(outcome(await sent(small, row), state))
    await sent(small, 5, worst=1000)
    await small.close()
    sums = totals(small.connection)
    assert (sums.attempts, sums.spent, sums.unknown, sums.unknown_attempts) == (5, 42, 1100, 2)
    assert sums.cost_known


async def test_a_dead_sessions_requests_become_unknown_at_their_worst_case(small: SmallJournal):
    await answered(small, 1)
    await sent(small, 2, worst=900)
    await small.close()
    before = totals(small.connection)
    assert give_up_on_sent(small.connection) == 1
    assert give_up_on_sent(small.connection) == 0
    assert totals(small.connection) == before
    states = small.connection.execute("SELECT state FROM attempts ORDER BY attempt").fetchall()
    assert states == [(AttemptState.ANSWERED,), (AttemptState.UNKNOWN,)]


async def test_numbers_go_on_where_the_last_session_stopped(tmp_path: Path):
    first = open_small_journal(tmp_path / "j.sqlite")
    numbers = [await sent(first, 1) for _ in range(3)]
    await first.journal.close()
    first.connection.close()
    second = open_small_journal(tmp_path / "j.sqlite")
    assert second.journal.next_attempt() == max(numbers) + 1
    await second.journal.close()
    second.connection.close()


async def test_answers_that_were_paid_for_and_never_shown_are_found_once_each(small: SmallJournal):
    await answered(small, 1)
    unshown = await answered(small, 2, shown=False)
    first, second = await answered(small, 3, shown=False), await answered(small, 3, shown=False)
    await answered(small, 4, shown=False)
    await small.journal.finish(failed(4))
    small.journal.settle(outcome(await sent(small, 5), AttemptState.UNKNOWN))
    await small.close()
    found = unshown_answers(small.connection)
    assert found[:2] == [(2, unshown), (3, max(first, second))]
    assert [row for row, _ in found] == [2, 3, 4], "a failed line does not hide a paid answer"


async def test_an_answer_of_a_line_that_is_gone_is_not_shown(small: SmallJournal):
    await answered(small, 1, shown=False)
    await small.close()
    index(small.connection, record("another", id="another"))
    assert unshown_answers(small.connection) == []


async def test_a_newer_result_replaces_an_older_one(small: SmallJournal):
    await small.journal.finish(failed(1))
    await small.journal.finish(failed(2))
    await answered(small, 1, b'{"second":1}')
    await small.close()
    assert drop_superseded(small.connection) == 1
    assert list(result_lines(small.connection, ordered=True)) == [
        b'{"id":"1","message":{"second":1}}\n',
        b'{"id":"2","status":"failed"}\n',
    ]


async def test_a_settlement_reaches_the_ledger_after_the_journal_and_at_the_latest_at_the_end(
    small: SmallJournal, tmp_path: Path
):
    path = tmp_path / "journal.sqlite"
    told_too_early: list[object] = []
    apply = small.ledger.apply

    def check(intents, outcomes):
        open_ones = {
            n
            for (n,) in seen_by_others(
                path, f"SELECT attempt FROM attempts WHERE state = {AttemptState.SENT}"
            )
        }
        told_too_early.extend(o.attempt for o in outcomes if o.attempt in open_ones)
        apply(intents, outcomes)

    small.ledger.apply = check
    attempts = [await answered(small, row) for row in range(1, 10)]
    await small.close()
    assert told_too_early == []
    assert sorted(number for _, outcomes in small.ledger.told for number in outcomes) == attempts


@pytest.mark.parametrize("breaks", ["journal", "output", "ledger"])
async def test_when_it_cannot_be_written_the_run_is_told_and_nothing_more_begins(
    small: SmallJournal, breaks: str
):
    await answered(small, 1)
    await small.journal.read(lambda connection: None)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if breaks == "output":
        small.output.on_append = full
    elif breaks == "ledger":
        small.ledger.apply = full  # type: ignore[method-assign]
    else:
        small.connection.execute(
            "CREATE TRIGGER t BEFORE INSERT ON attempts BEGIN SELECT raise(ABORT, 'disk'); END"
        )
    if breaks == "output":
        await small.journal.finish(failed(2))
        for _ in range(10_000):
            await asyncio.sleep(0.005)
            if small.failures:
                break
    else:
        with pytest.raises(JournalFailed, match="cannot be written"):
            await sent(small, 2)
    with pytest.raises((JournalFailed, OutputFailed)):
        await sent(small, 3)
    assert len(small.failures) == 1
    count = small.connection.execute("SELECT count(*) FROM attempts").fetchone()
    assert count == (1,), "what failed was rolled back"


async def test_a_ledger_that_fails_only_at_the_end_is_told(small: SmallJournal):
    await answered(small, 1)
    await small.journal.flush()

    def broken() -> None:
        raise sqlite3.OperationalError("disk I/O error")

    small.ledger.flush = broken  # type: ignore[method-assign]
    await small.journal.flush_ledger()
    assert isinstance(small.journal.failure, JournalFailed)
    assert small.journal.failure.id == "E714"
    assert "the spend ledger cannot be written" in small.journal.failure.message
    assert small.connection.execute("SELECT count(*) FROM results").fetchone() == (1,)


async def test_a_group_is_written_whole_or_not_at_all(small: SmallJournal):
    attempt = await sent(small, 1)
    small.connection.execute(
        "CREATE TRIGGER t BEFORE INSERT ON results BEGIN SELECT raise(ABORT, 'disk'); END"
    )
    small.journal.settle(outcome(attempt))
    await small.journal.finish(succeeded(1, attempt))
    await small.close()
    assert small.failures and small.output.written == []
    assert small.connection.execute("SELECT state FROM attempts").fetchall() == [
        (AttemptState.SENT,)
    ]
    assert not small.connection.in_transaction


async def test_what_could_not_be_written_is_tried_again_with_what_follows(small: SmallJournal):
    attempt = await sent(small, 1)
    small.connection.execute(
        "CREATE TRIGGER t BEFORE INSERT ON results BEGIN SELECT raise(ABORT, 'disk'); END"
    )
    small.journal.settle(outcome(attempt))
    await small.journal.finish(succeeded(1, attempt))
    await small.journal.flush()
    assert small.failures
    small.connection.execute("DROP TRIGGER t")
    await small.close()
    assert small.connection.execute("SELECT state FROM attempts").fetchall() == [
        (AttemptState.ANSWERED,)
    ]
    assert small.connection.execute("SELECT count(*) FROM results").fetchall() == [(1,)]


async def test_finishing_waits_once_too_much_is_unwritten(small: SmallJournal):
    for _ in range(3000):
        await small.journal.finish(failed(1))
    await small.close()
    assert len(small.output.written) == 3000


def test_a_file_that_is_no_journal_or_of_a_newer_version_is_refused(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"this is not a database, however long it may be" * 100)
    with pytest.raises(StorageError, match="cannot be opened"):
        open_journal(tmp_path / "a")
    connection = open_journal(tmp_path / "b")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StorageError, match="newer claudebatch"):
        open_journal(tmp_path / "b")


def test_the_journals_files_are_for_their_owner_only(tmp_path: Path):
    connection = open_journal(tmp_path / "journal.sqlite")
    index(connection, record("a"))
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    connection.close()
    assert modes == dict.fromkeys(
        ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"], 0o600
    )
