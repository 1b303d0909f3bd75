"""A running session with a deadline, in virtual time: never later than it where all at
once is in time, never dearer than that, and each row answered once; whatever batches
take and however a cancel ends.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from claudebatch.core.asked_time import AskedTime
from claudebatch.core.domain import Call, Outcome, Pico, Reply, RowKind
from claudebatch.core.drain import Drain
from claudebatch.core.errors import CommandRefused, StopRun
from claudebatch.core.events import Event, PlanMade
from claudebatch.core.notice import Notice
from claudebatch.core.reports import DeadlinePlan
from claudebatch.core.send_via import BatchSettings
from claudebatch.engine.batches.answer_judge import AnswerJudge
from claudebatch.engine.batches.outcomes import OutcomeReader
from claudebatch.engine.batches.parts import AccountQueue, BatchParts
from claudebatch.engine.batches.sender import BatchSender
from claudebatch.engine.earlier_answers import EarlierAnswers
from claudebatch.engine.engine import Engine
from claudebatch.engine.lanes_again import LanesAgain
from claudebatch.engine.pending import PendingRows
from claudebatch.engine.row_feed import InputSources, RowFeed
from claudebatch.engine.run_deadline import AskedDeadline, keep_deadline
from claudebatch.estimate.batch_plan import BatchChances
from claudebatch.estimate.deadline import Deadline
from claudebatch.estimate.duration import Durations
from claudebatch.estimate.ways import RowCost
from claudebatch.layers.budget.run_budget import RunBudget
from claudebatch.layers.prompt_caching.placed import nothing_placed
from claudebatch.setup.row_sizes import size_of
from claudebatch.storage.journal import RowFilter, RowRecord, RowRef
from claudebatch.storage.journal.roads import set_roads
from claudebatch.storage.run_folder import RunFolder
from tests.support.journals import failed, index, open_small_journal, record
from tests.support.scripted import HAIKU, SONNET, make_call, make_reply
from tests.support.timed_batches import EPOCH, TimedBatch, TimedBatches
from tests.support.virtual import cancelled, now, real_io, run_virtual

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
# Of a row, whatever it says.
LIVE, BATCH, WORST = 2_000, 1_000, 5_000
MODELS = {"haiku": HAIKU, "sonnet": SONNET}


@dataclass(frozen=True)
class Dollars:
    """Pico-dollars of a row by each road, and the most that it can cost in a batch."""

    live: int = LIVE
    batch: int = BATCH
    worst: int = WORST


class Paced:
    """`Durations` of pools that answer one row after the other."""

    start_s = 0.0

    def __init__(self, pace: Mapping[str, float]) -> None:
        """*pace*: seconds of a row, by pool."""
        self._pace = pace
        self.rows: Counter[str] = Counter()

    def pool_of(self, call: Call) -> str:
        return "haiku" if call.model == HAIKU else "sonnet"

    def by_pool(self) -> dict[str, float]:
        return {pool: rows * self._pace[pool] for pool, rows in self.rows.items()}


class Planner:
    """Plans as a run does, by the prices and paces of *case*."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._paced = Paced(case.pace)
        self._deadline = Deadline(cast(Durations, self._paced))

    def add(self, call: Call, *, in_batch: bool, kept: Any) -> tuple[int, float, RowKind]:
        self._paced.rows[self._paced.pool_of(call)] += 1
        kind: RowKind = "sent" if in_batch else "waits"
        dollars = self._case.dollars
        live = RowCost(dollars.live, dollars.live, dollars.live)
        batch = RowCost(dollars.batch, dollars.batch, dollars.worst)
        return self._deadline.add(call, 1.0, kind=kind, live=live, batch=batch), 1.0, kind

    def plan(self, deadline_s: float, *, left: Pico | None) -> DeadlinePlan | None:
        return self._deadline.plan(
            BatchChances(self._case.past), deadline_s=deadline_s, left=left, cancel_s=15 * MINUTE
        )


class Patient:
    """The journal; no time passes while its thread works."""

    def __init__(self, journal: Any) -> None:
        self._journal = journal

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._journal, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def patient(*args: Any) -> Any:
            with real_io():
                return await found(*args)

        return patient


class Lines:
    """Rows whose calls need no file."""

    large_rows = False

    def __init__(self) -> None:
        self.read = 0

    def lines(self, refs: Sequence[RowRef]) -> list[bytes | None]:
        self.read += len(refs)
        return [b"" for _ in refs]

    def line(self, ref: RowRef) -> bytes | None:
        return b""

    def call(self, ref: RowRef, data: bytes | None) -> Call | None:
        # The first half of the rows is the one model's.
        return make_call(ref.id, row=ref.row, model=HAIKU if ref.row % 3 else SONNET)


@dataclass
class Lived:
    """How a run went."""

    ended: float
    dollars: int
    live: int
    events: list[Event] = field(default_factory=list)
    read_to_plan: int = 0
    """Lines of the input."""
    stop: StopRun | None = None

    def plans(self) -> list[PlanMade]:
        return [event for event in self.events if isinstance(event, PlanMade)]

    def said(self) -> set[str]:
        return {event.id for event in self.events if isinstance(event, Notice)}


@dataclass
class Case:
    """A run that is to be lived. *seconds*: of a row, sent at once."""

    deadline: float
    seconds: float
    account: TimedBatches
    rows: int = 30
    max_requests: int = 10_000
    asleep: tuple[float, float] | None = None
    """The machine sleeps at that moment, for so many seconds."""
    slower: float = 1.0
    """The pace is so much slower than planned."""
    stop_after: float | None = None
    """Ctrl-C comes after so many seconds."""
    cap: int | None = None
    moment: AskedTime | None = None
    """In the place of a length of time."""
    poll: float = 10.0
    """Seconds until a batch is first asked about."""
    sized: bool = False
    """The index has the sizes of rows."""
    retry_batches: bool = False
    queue: int = 200_000
    """Requests that may wait at the API."""
    elsewhere: dict[str, int] = field(default_factory=dict)
    """Those of other runs, by batch, as the ledger knows them."""
    sonnet_s: float | None = None
    """*seconds* of the other pool, where they differ."""
    dollars: Dollars = Dollars()
    past: Sequence[float] = ()
    """Seconds that earlier batches took."""

    @property
    def pace(self) -> Mapping[str, float]:
        sonnet_s = self.seconds if self.sonnet_s is None else self.sonnet_s
        return {"haiku": self.seconds, "sonnet": sonnet_s}

    @property
    def all_live_s(self) -> float:
        haiku, pace = sum(1 for row in range(1, self.rows + 1) if row % 3), self.pace
        return max(haiku * pace["haiku"], (self.rows - haiku) * pace["sonnet"])

    def seconds_of_all(self, clock: Callable[[], float]) -> float:
        """Seconds that have passed outside, where *clock* is the loop's."""
        begins, lasts = self.asleep or (0.0, 0.0)
        return clock() + (lasts if clock() >= begins else 0.0)


async def live(case: Case, path: Path, *, notes: dict[str, Any] | None = None) -> Lived:
    """One session of *case*, over the journal at *path*."""
    small = open_small_journal(path / "journal.sqlite", rows=0)
    index(small.connection, *_records(case))
    # Each record at once: the time in which others may come is no real one.
    small.journal._groups._enough = 1
    events: list[Event] = []
    parts = _parts(case, path, Patient(small.journal), events)
    kept = {} if notes is None else notes
    folder = SimpleNamespace(meta=kept.get, note=lambda **more: kept.update(more))
    await parts.journal.read(partial(set_roads, via="batch", of_rules={}, share=False))
    sender = BatchSender(parts)
    await sender.take_up()
    asked = AskedDeadline(
        case.moment or AskedTime(case.deadline),
        began_ms=round(EPOCH.timestamp() * 1000),
        planner=lambda: Planner(case),
        anyhow=False,
    )
    try:
        sender.keeper = await keep_deadline(asked, parts, cast(RunFolder, folder), cap=case.cap)
        read = cast(Lines, parts.rows).read
        if case.stop_after is not None:
            asyncio.get_running_loop().call_later(case.stop_after, parts.drain.start, "stop")
        sending = asyncio.ensure_future(sender.run())
        sent = await _live_rows(case, parts, sender)
        await sending
    finally:
        await sender.close()
        with real_io():
            await small.close()
        small.connection.close()
    ended = case.seconds_of_all(now)
    dollars = sent * case.dollars.live + case.account.rows_answered * case.dollars.batch
    return Lived(ended, dollars, sent, events, read, sender.stop)


def _records(case: Case) -> Iterator[RowRecord]:
    for n in range(1, case.rows + 1):
        one = record(f"row {n}", id=f"row-{n}", line=n, lane="haiku" if n % 3 else "sonnet")
        yield one._replace(**_size(n) if case.sized else {})


def _size(row: int) -> dict[str, Any]:
    model = HAIKU if row % 3 else SONNET
    return {"model": model, "rule": "default", "size": size_of(make_call("", model=model))}


def _parts(case: Case, path: Path, journal: Any, events: list[Event]) -> BatchParts:
    lines = Lines()
    # Of this loop: the journal's thread asks, too.
    outside = partial(case.seconds_of_all, asyncio.get_running_loop().time)
    case.account.clock = outside
    given: dict[str, Any] = {
        "settings": BatchSettings(via="auto", max_requests=case.max_requests, poll_s=case.poll),
        "journal": journal,
        "budget": RunBudget(case.cap, spent=0),
        "cache": None,
        "unkept": lambda reply: "",
        "notes": None,
        "objection": None,
        "place": nothing_placed,
        "address": "",
        "queue": AccountQueue(
            most=case.queue, most_own=case.queue, elsewhere=lambda: case.elsewhere
        ),
        "connect": case.account.connect,
        "rows": lines,
        "wanted": RowFilter(),
        "lanes": ("haiku", "sonnet"),
        "worst": lambda call: case.dollars.worst,
        "expect": lambda intent: case.dollars.batch,
        "outcomes": OutcomeReader(
            cost=lambda model, usage: case.dollars.batch,
            price_version="p",
            row_failed=lambda error: pytest.fail(str(error)),
        ),
        "judge": AnswerJudge(
            lines,
            cast(EarlierAnswers, SimpleNamespace(has=lambda row: False)),
            wants_form=False,
            retries=0,
            unwanted=frozenset(),
            has_fallback=lambda model: False,
            emit=events.append,
        ),
        "names": ("in.jsonl",),
        "known_elsewhere": set,
        "remember": lambda row, address: None,
        "folder": path,
        "simulated": False,
        "note_simulator": lambda: None,
        "halt": lambda stop: pytest.fail(str(stop)),
        "max_outage_s": 300.0,
        "collect": False,
        "retry_batches": case.retry_batches,
        "detach": False,
        "drain": Drain(),
        "now": now,
        "wall": lambda: EPOCH + timedelta(seconds=outside()),
        "rng": random.Random(round(outside())),
        "emit": events.append,
    }
    # Whatever else batches are made of is no matter of a deadline.
    return BatchParts(**{field.name: None for field in fields(BatchParts)} | given)


async def _live_rows(case: Case, parts: BatchParts, sender: BatchSender) -> int:
    """Send what is to be sent at once, as a session does; returns how many rows."""
    pending = PendingRows(parts.journal, parts.wanted).by("live")
    sent = 0

    async def answer(call: Call) -> Reply:
        nonlocal sent
        pool = "haiku" if call.model == HAIKU else "sonnet"
        await asyncio.sleep(case.pace[pool] * case.slower)
        sent += 1
        return make_reply()

    async def finish(outcome: Outcome) -> None:
        await parts.journal.finish(failed(outcome.call.row))

    def feed(lane: str) -> RowFeed:
        return RowFeed(lane, pending.refs, cast(InputSources, parts.rows), look_ahead=_nothing)

    lanes = LanesAgain(parts.lanes, sender, feed, parts.journal.flush, lambda: True)
    seen = -1
    while True:
        sender.changed.clear()
        if seen != sender.moves and not parts.drain.started:
            seen = sender.moves
            await parts.journal.flush()
            engine = Engine(
                answer,
                feeds=[feed(lane) for lane in parts.lanes],
                workers=1,
                finish=finish,
                value_of=lambda call, reply: 0,
                drain=parts.drain,
                now=now,
                emit=parts.emit,
                through=sender.changed.set,
            )
            watching = asyncio.ensure_future(lanes.watch(engine))
            await engine.run()
            await cancelled(watching)
        elif sender.ended:
            return sent
        else:
            await sender.changed.wait()


async def _nothing(calls: Sequence[Call]) -> None:
    """No response cache."""


def check(case: Case, lived: Lived, *, slack: float = 0.0) -> None:
    answered = lived.live + case.account.rows_answered
    assert answered == case.rows, "each row once"
    assert lived.dollars <= case.rows * case.dollars.live
    if case.all_live_s <= case.deadline:
        assert lived.ended <= case.deadline + slack


GRID = list(
    itertools.product(
        (20 * MINUTE, HOUR, 4 * HOUR),
        # In time, just not, never.
        ((30.0,), (35 * MINUTE,), (3 * HOUR,), (2 * DAY,), (MINUTE, 2 * DAY)),
        (1.0, 30.0, 150.0),
        ((10.0, 0.0), (850.0, 0.5), (850.0, 1.0)),
    )
)


@pytest.mark.parametrize("part", range(3))
def test_never_late_where_all_at_once_is_not_never_dearer_and_each_row_once(
    tmp_path: Path, part: int
) -> None:
    kinds: defaultdict[str, int] = defaultdict(int)
    some = random.Random(11).sample(GRID, 90)[part::3]
    for number, (deadline, durations, seconds, (cancel_s, answered)) in enumerate(some):
        account = TimedBatches(durations, cancel_s=cancel_s, answered=answered)
        case = Case(deadline, seconds, account, max_requests=10 if number % 2 else 10_000)
        path = tmp_path / str(number)
        path.mkdir()
        try:
            lived = run_virtual(live(case, path))
        except CommandRefused as refused:
            assert (refused.id, case.all_live_s > deadline) == ("E842", True)
            kinds["refused"] += 1
            continue
        check(case, lived)
        kinds["given up" if "N115" in lived.said() else "in time"] += 1
    assert kinds["in time"]
    assert kinds["given up"], kinds


def test_batches_end_within_a_day_and_are_not_given_up_before_they_must(tmp_path: Path) -> None:
    case = Case(30 * HOUR, 1.0, TimedBatches((23 * HOUR,)))
    lived = run_virtual(live(case, tmp_path))
    check(case, lived)
    assert lived.dollars == case.rows * BATCH


def test_what_comes_back_leaves_the_rest_more_time(tmp_path: Path) -> None:
    # Half an hour of work, of which a third comes back at once.
    account = TimedBatches((MINUTE, 2 * DAY, 2 * DAY))
    case = Case(2 * HOUR, 90.0, account, max_requests=10)
    lived = run_virtual(live(case, tmp_path))
    check(case, lived)
    first, *later = lived.plans()
    assert first.give_up_ms is not None
    assert later, "it is revised"
    assert all(plan.revised for plan in later)
    assert later[-1].give_up_ms is not None
    assert later[-1].give_up_ms > first.give_up_ms
    assert later[-1].rows == case.rows - 10
    # As late as those rows allow, and not a moment earlier.
    canceled = [batch.canceled for batch in account.batches if batch.canceled is not None]
    assert EPOCH.timestamp() + min(canceled) >= later[-1].give_up_ms / 1000


def test_after_hours_asleep_what_has_ended_is_taken_in_and_the_rest_given_up(
    tmp_path: Path,
) -> None:
    account = TimedBatches((2 * HOUR, 2 * DAY))
    case = Case(6 * HOUR, 1.0, account, max_requests=15, asleep=(10 * MINUTE, 8 * HOUR))
    lived = run_virtual(live(case, tmp_path))
    check(replace(case, deadline=9 * HOUR), lived)
    assert {"W116", "N115"} <= lived.said()
    assert (account.rows_answered, lived.live) == (15, 15)
    assert account.batches[0].canceled is None
    # Seen within seconds, though no clock of the program has moved.
    assert lived.ended <= 8 * HOUR + 10 * MINUTE + 3 * MINUTE


@pytest.mark.parametrize("asleep_s", [0.0, 2 * HOUR])
def test_a_new_session_plans_what_is_left_for_the_same_moment(
    tmp_path: Path, asleep_s: float
) -> None:
    account = TimedBatches((2 * DAY,))
    case = Case(4 * HOUR, 30.0, account, stop_after=20 * MINUTE)
    notes: dict[str, Any] = {}

    async def both() -> tuple[Lived, Lived]:
        first = await live(case, tmp_path, notes=notes)
        later = replace(case, stop_after=None, asleep=(now(), asleep_s))
        return first, await live(later, tmp_path, notes=notes)

    first, second = run_virtual(both())
    assert notes["deadline"]["seconds"] == case.deadline
    plan = second.plans()[0]
    assert plan.deadline_ms == first.plans()[0].deadline_ms
    assert plan.plan.deadline_s == pytest.approx(case.deadline - 20 * MINUTE - asleep_s, abs=1)
    assert {part.kind for part in plan.plan.parts} == {"sent"}
    assert "N116" in second.said()
    assert first.live + second.live == case.rows
    assert second.ended <= case.deadline


def test_a_new_session_that_is_too_late_says_so_and_gives_up_at_once(tmp_path: Path) -> None:
    account = TimedBatches((2 * DAY,))
    case = Case(4 * HOUR, 30.0, account, stop_after=20 * MINUTE)
    notes: dict[str, Any] = {}

    async def both() -> Lived:
        await live(case, tmp_path, notes=notes)
        later = replace(case, stop_after=None, asleep=(now(), 3.6 * HOUR))
        return await live(later, tmp_path, notes=notes)

    second = run_virtual(both())
    assert {"N116", "W117", "N115"} <= second.said()
    assert second.live == case.rows
    # A minute to see the end of the cancel.
    assert second.ended <= 20 * MINUTE + 3.6 * HOUR + case.all_live_s + 2 * MINUTE


def test_a_pace_that_is_a_little_slower_than_planned_fits_into_the_margin(tmp_path: Path) -> None:
    case = Case(4 * HOUR, 150.0, TimedBatches((2 * DAY,)), slower=1.05)
    check(case, run_virtual(live(case, tmp_path)))


def test_a_batch_that_does_not_end_is_waited_for_and_its_rows_are_not_sent_again(
    tmp_path: Path,
) -> None:
    account = TimedBatches((2 * DAY,), cancel_s=3 * HOUR, answered=1.0)
    case = Case(HOUR, 1.0, account)
    lived = run_virtual(live(case, tmp_path))
    assert (account.rows_answered, lived.live) == (case.rows, 0)
    assert {"N115", "W116"} <= lived.said()
    assert lived.ended > case.deadline


def test_a_batch_that_the_api_has_no_room_for_is_given_up_as_well(tmp_path: Path) -> None:
    case = Case(HOUR, 30.0, TimedBatches((MINUTE,), full=True))
    lived = run_virtual(live(case, tmp_path))
    check(case, lived)
    assert lived.live == case.rows
    assert "N115" not in lived.said(), "there is none to cancel"


def test_where_no_batch_can_be_made_a_deadline_is_kept_without(tmp_path: Path) -> None:
    account = TimedBatches((HOUR,), away=True)
    case = Case(3 * HOUR, 1.0, account)
    lived = run_virtual(live(case, tmp_path))
    check(case, lived)
    assert (lived.stop, lived.live) == (None, case.rows)
    assert "W118" in lived.said()
    assert lived.ended < 10 * MINUTE, "as long as an outage is waited for, and no longer"


def test_a_moment_is_one_for_all_sessions_and_one_that_has_passed_is_none_for_the_first(
    tmp_path: Path,
) -> None:
    # Of a run that is taken up: it gives up what is late, and goes on.
    words, at_ms = "03:00", round((EPOCH + timedelta(hours=3)).timestamp() * 1000)
    account = TimedBatches((2 * DAY,))
    case = Case(3 * HOUR, 1.0, account, stop_after=MINUTE)
    case.moment = AskedTime(3 * HOUR, at_ms, words)
    notes: dict[str, Any] = {}

    async def both() -> tuple[Lived, Lived]:
        first = await live(case, tmp_path, notes=notes)
        # The day after, the same words are a moment of that day.
        later = replace(case, stop_after=None, asleep=(now(), DAY))
        later.moment = AskedTime(3 * HOUR, at_ms + 86_400_000, words)
        return first, await live(later, tmp_path, notes=notes)

    first, second = run_virtual(both())
    assert [plan.deadline_ms for plan in (first.plans()[0], second.plans()[0])] == [at_ms, at_ms]
    assert "W116" in second.said()
    assert second.live == case.rows
    new = tmp_path / "new"
    new.mkdir()
    late = Case(HOUR, 1.0, TimedBatches((HOUR,)))
    late.moment = AskedTime(-60.0, round(EPOCH.timestamp() * 1000) - 60_000, "2026-11-21T23:59")
    with pytest.raises(CommandRefused) as refused:
        run_virtual(live(late, new))
    assert refused.value.id == "E845"
    assert late.account.batches == []


def test_a_plan_reads_no_line_whose_size_the_index_has_and_others_once(tmp_path: Path) -> None:
    whole, late = Case(4 * HOUR, 1.0, TimedBatches((HOUR,)), sized=True), tmp_path / "late"
    lived = run_virtual(live(whole, tmp_path))
    check(whole, lived)
    assert lived.read_to_plan == 0
    late.mkdir()
    # Checked by a session that had no deadline.
    assert run_virtual(live(replace(whole, sized=False), late)).read_to_plan == 30
    with closing(sqlite3.connect(late / "journal.sqlite")) as journal:
        assert journal.execute("SELECT count(*) FROM rows WHERE size = x''").fetchone() == (0,)


def test_the_queue_is_left_to_batches_of_others_until_there_is_room(tmp_path: Path) -> None:
    account = TimedBatches((HOUR,))
    ids = [f"other-{n}" for n in range(190)]
    account.batches.append(TimedBatch("msgbatch_other", ids, created=0.0, ends=2 * HOUR))
    case = Case(30 * HOUR, 1.0, account, queue=200)
    lived = run_virtual(live(case, tmp_path))
    check(case, lived)
    ours = [(batch.created // HOUR, len(batch.custom_ids)) for batch in account.batches[1:]]
    # What there is room for goes at once, and the rest follows what has come back.
    assert ours == [(0, 10), (1, 10), (2, 10)]


def test_a_queue_that_others_fill_is_waited_for_without_an_upload(tmp_path: Path) -> None:
    case = Case(30 * HOUR, 1.0, TimedBatches((HOUR,)), queue=200)
    case.elsewhere = {"msgbatch_theirs": 200}
    account = case.account

    async def both() -> Lived:
        asyncio.get_running_loop().call_later(3 * HOUR, case.elsewhere.clear)
        return await live(case, tmp_path)

    lived = run_virtual(both())
    check(case, lived)
    assert "N117" in lived.said()
    (only,) = account.batches
    assert 3 * HOUR <= only.created <= 3 * HOUR + 2 * MINUTE


def test_a_queue_with_more_than_the_tier_has_is_larger_than_was_thought(tmp_path: Path) -> None:
    case = Case(30 * HOUR, 1.0, TimedBatches((HOUR,)), queue=200)
    case.elsewhere = {"msgbatch_theirs": 250}
    lived = run_virtual(live(case, tmp_path))
    check(case, lived)
    assert [batch.created for batch in case.account.batches] == [0.0]
