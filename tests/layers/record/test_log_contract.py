"""What every log of attempts must do. A new log joins by a line in `PLACES`."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from claudebatch.core.domain import Hold, Reply
from claudebatch.core.errors import AttemptError, JournalFailed, StopRun
from claudebatch.core.events import AttemptFinished, AttemptStarted, Event
from claudebatch.layers.record.journal_log import JournalLog
from claudebatch.layers.record.layer import Record
from tests.support.cancellation import cuts
from tests.support.journals import open_small_journal
from tests.support.scripted import ScriptedClient, make_call, make_reply, overloaded, timed_out
from tests.support.sqlite_log import SqliteLog

WORST, COST = 900, 250


class InJournal:
    """The log of one run: its users share it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "journal.sqlite"
        self._small = open_small_journal(self._path)
        self._log = JournalLog(self._small.journal, wall=lambda: datetime(2026, 11, 22, tzinfo=UTC))

    def open(self) -> JournalLog:
        return self._log

    def breaks(self) -> None:
        self._small.journal.fail(JournalFailed("E000", "the disk is full"))

    async def read(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of `attempts`, by another connection."""
        await self._small.journal.flush()
        return rows_of(self._path, sql)

    async def close(self) -> None:
        await self._small.close()
        self._small.connection.close()


class InFile:
    """A file: each user is a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log.sqlite"
        self._opened: list[SqliteLog] = []

    def open(self) -> SqliteLog:
        self._opened.append(SqliteLog(self._path))
        return self._opened[-1]

    def breaks(self) -> None:
        for log in self._opened:
            log.close()

    async def read(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of `attempts`, by another connection."""
        return rows_of(self._path, sql)

    async def close(self) -> None:
        self.breaks()


def rows_of(path: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


PLACES: dict[str, Callable[[Path], InJournal | InFile]] = {"journal": InJournal, "file": InFile}
OUTCOMES = "SELECT attempt, state, cost, error FROM attempts ORDER BY attempt"
STATES = {0: "sent", 1: "answered", 2: "failed", 3: "unknown"}


@pytest.fixture(params=PLACES)
async def new_place(request: pytest.FixtureRequest, tmp_path: Path):
    """Makes places that know nothing of each other."""
    made: list[InJournal | InFile] = []

    def new() -> InJournal | InFile:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(PLACES[request.param](folder))
        return made[-1]

    yield new
    for place in made:
        await place.close()


@pytest.fixture
def place(new_place):
    return new_place()


async def outcomes(place: Any) -> list[tuple[Any, ...]]:
    """(number, state, cost, error) of each attempt."""
    return [
        (attempt, STATES.get(state, state), cost, error)
        for attempt, state, cost, error in await place.read(OUTCOMES)
    ]


def record(log: Any, events: list[Event] | None = None) -> Record:
    return Record(
        log,
        worst=lambda call: WORST,
        cost=lambda call, usage: COST,
        pool_of=lambda model: "haiku",
        now=asyncio.get_running_loop().time,
        emit=(events if events is not None else []).append,
    )


async def test_an_attempt_is_durable_when_it_has_a_number(place):
    attempt = await place.open().begin(make_call(row=3), WORST)
    assert await place.read("SELECT attempt, row, worst FROM attempts") == [(attempt, 3, WORST)]
    assert await outcomes(place) == [(attempt, "sent", 0, None)]


async def test_each_attempt_gets_the_outcome_that_was_told_of_it(place):
    log = place.open()
    first, second, third = [await log.begin(make_call(row=row), WORST) for row in (1, 2, 3)]
    await log.failed(third, "overloaded_error", unknown=False, status=529, request_id="req_1")
    await log.answered(first, make_reply(cost=COST))
    await log.failed(second, "timeout", unknown=True)
    assert await outcomes(place) == [
        (first, "answered", COST, None),
        (second, "unknown", 0, "timeout"),
        (third, "failed", 0, "overloaded_error"),
    ]


async def test_two_users_at_once_never_get_the_same_number(place):
    users = [place.open(), place.open()]
    numbers = await asyncio.gather(
        *(users[row % 2].begin(make_call(row=row), WORST) for row in range(20))
    )
    assert len(set(numbers)) == 20
    await asyncio.gather(
        *(
            users[row % 2].answered(number, make_reply(cost=row))
            for row, number in enumerate(numbers)
        )
    )
    costs = {attempt: cost for attempt, _, cost, _ in await outcomes(place)}
    assert costs == {number: row for row, number in enumerate(numbers)}


async def test_numbers_go_up(place):
    log = place.open()
    numbers = [await log.begin(make_call(row=row), WORST) for row in range(1, 6)]
    assert numbers == sorted(numbers)


# Called off


async def test_called_off_at_any_moment_an_attempt_that_never_left_holds_no_money(new_place):
    reached = 0
    for cut in cuts():
        place = new_place()
        result = await cut.run(place.open().begin(make_call(), WORST))
        states = [(state, error) for _, state, _, error in await outcomes(place)]
        if isinstance(result, asyncio.CancelledError):
            assert states in ([], [("failed", "never sent")]), cut
            reached += 1
    assert reached >= 2


@pytest.mark.parametrize("end", ["answered", "failed", "unknown"])
async def test_called_off_at_any_moment_an_outcome_is_written_down_once(new_place, end):
    for cut in cuts():
        place = new_place()
        log = place.open()
        attempt = await log.begin(make_call(), WORST)
        if end == "answered":
            await cut.run(log.answered(attempt, make_reply(cost=COST)))
            expected = (attempt, end, COST, None)
        else:
            await cut.run(log.failed(attempt, "timeout", unknown=end == "unknown"))
            expected = (attempt, end, 0, "timeout")
        assert await outcomes(place) == [expected], cut


@pytest.mark.parametrize("answer", [None, overloaded(), timed_out()], ids=["200", "529", "timeout"])
async def test_called_off_at_any_moment_log_hold_and_events_say_the_same(new_place, answer):
    for cut in cuts():
        place, events, hold = new_place(), [], Hold(WORST, WORST)
        layer = record(place.open(), events)
        await cut.run(layer(make_call().under(hold), ScriptedClient([answer])))
        logged = await outcomes(place)
        started = [event for event in events if isinstance(event, AttemptStarted)]
        finished = [event for event in events if isinstance(event, AttemptFinished)]
        assert len(started) == len(finished) == hold.sent, cut
        if not hold.sent:
            assert logged == [] or logged[0][1] == "failed", cut
            continue
        ((_, state, cost, error),) = logged
        assert state == ("unknown" if finished[0].unknown else "failed" if error else "answered")
        assert finished[0].error == error, cut
        assert hold.cost == (None if state == "unknown" else cost), cut


# A log that fails


async def test_where_an_attempt_cannot_be_written_down_nothing_is_sent(place):
    log, client = place.open(), ScriptedClient()
    await record(log)(make_call(), client)
    place.breaks()
    with pytest.raises(StopRun):
        await record(log)(make_call(row=2), client)
    assert len(client.sent) == 1


class FailingAtTheEnd:
    """A log whose connection breaks before an outcome is written."""

    def __init__(self, log: Any) -> None:
        self.begin = log.begin

    async def answered(self, attempt: int, reply: Reply) -> None:
        raise StopRun("E000", "the log is away")

    async def failed(self, attempt: int, error: str, **how: Any) -> None:
        raise StopRun("E000", "the log is away")


@pytest.mark.parametrize("answer", [None, overloaded()], ids=["answered", "failed"])
async def test_an_outcome_that_cannot_be_written_stops_the_run_and_the_money_is_known(
    place, answer
):
    hold, events = Hold(WORST, WORST), []
    with pytest.raises(StopRun):
        await record(FailingAtTheEnd(place.open()), events)(
            make_call().under(hold), ScriptedClient([answer])
        )
    assert hold.cost == (0 if isinstance(answer, AttemptError) else COST)
    assert isinstance(events[-1], AttemptFinished), "no attempt seems to be out for ever"
    assert [state for _, state, _, _ in await outcomes(place)] == ["sent"]
