"""A lane that is through takes up rows that come over from batches, while others are
still at work; and none that has no result yet is sent a second time.
"""

from __future__ import annotations

import asyncio
from typing import cast

from claudebatch.core.domain import Call, Outcome, Reply
from claudebatch.core.drain import Drain
from claudebatch.core.errors import AttemptError, BudgetExhausted
from claudebatch.engine.engine import Engine
from claudebatch.engine.lanes_again import LanesAgain
from claudebatch.engine.refusal_watch import RefusalWatch
from claudebatch.engine.row_feed import RowFeed
from tests.support.scripted import make_call, make_reply
from tests.support.virtual import cancelled, now, virtual

SLOW_S, FAST_S = 100.0, 1.0


class Rows:
    """A feed of numbered rows."""

    def __init__(self, lane: str, *rows: int) -> None:
        self.lane = lane
        self._left = list(rows)

    async def take(self) -> Call | None:
        return make_call(self.lane, row=self._left.pop(0)) if self._left else None

    def over(self, call: Call) -> None:
        """Nothing is kept of it."""


class Session:
    """Two lanes, a slow row in one of them, and what comes over from batches."""

    def __init__(self, *, refusals: RefusalWatch | None = None) -> None:
        self.changed = asyncio.Event()
        self.moves = 0
        self.coming: list[int] = []
        self.flushed = 0
        self.answered: dict[int, float] = {}
        self.drain = Drain()
        self.bad: BudgetExhausted | AttemptError | None = None
        self.engine = Engine(
            self.answer,
            feeds=cast(list[RowFeed], [Rows("slow", 1), Rows("fast", 2)]),
            workers=1,
            finish=self.finish,
            value_of=lambda call, reply: 0,
            drain=self.drain,
            now=now,
            emit=lambda event: None,
            refusals=refusals,
            through=self.changed.set,
        )
        self.lanes = LanesAgain(("slow", "fast"), self, self.feed, self.flush, lambda: True)

    async def answer(self, call: Call) -> Reply:
        slow = call.prompt.digest == b"slow"
        await asyncio.sleep(SLOW_S if slow else FAST_S)
        if self.bad is not None and not slow:
            raise self.bad
        return make_reply()

    async def finish(self, outcome: Outcome) -> None:
        self.answered[outcome.call.row] = now()

    async def flush(self) -> None:
        self.flushed += 1

    def feed(self, lane: str) -> RowFeed:
        rows, self.coming = (self.coming, []) if lane == "fast" else ([], self.coming)
        return cast(RowFeed, Rows(lane, *rows))

    def come(self, *rows: int) -> None:
        """*rows* go by the other road from now on."""
        self.coming += rows
        self.moves += 1
        self.changed.set()

    async def live(self, at: float) -> None:
        """A pass, with two rows that come over at *at*."""
        watching = asyncio.ensure_future(self.lanes.watch(self.engine))
        asyncio.get_running_loop().call_later(at, self.come, 3, 4)
        await self.engine.run()
        await cancelled(watching)


@virtual
async def test_a_lane_that_is_through_goes_on_at_once():
    session = Session()
    await session.live(10.0)
    assert session.answered == {2: 1.0, 3: 11.0, 4: 12.0, 1: SLOW_S}
    assert session.flushed, "what is not written yet would be asked again"


@virtual
async def test_one_that_is_at_work_goes_on_when_it_is_through():
    session = Session()
    await session.live(0.5)
    assert session.answered == {2: 1.0, 3: 2.0, 4: 3.0, 1: SLOW_S}


@virtual
async def test_what_comes_after_the_pass_waits_for_the_next_one():
    session = Session()
    await session.live(SLOW_S + 1)
    assert set(session.answered) == {1, 2}
    assert not await session.engine.again(session.feed("fast"))


@virtual
async def test_rows_that_a_cap_has_stopped_wait_for_the_next_pass():
    session = Session()
    session.bad = BudgetExhausted("run", cap="run", worst=5, needed=5)
    await session.live(10.0)
    assert session.answered == {1: SLOW_S}


@virtual
async def test_while_refusals_are_not_judged_no_lane_goes_on():
    watch = RefusalWatch(stop_after=20, max_outage_s=300.0, answered_before=True)
    session = Session(refusals=watch)
    session.bad = AttemptError("no", type="invalid_request_error", status=400)
    await session.live(10.0)
    assert watch.holds is False, "judged at the end of the pass"
    assert session.answered[2] == SLOW_S, "the refused row, once"
    assert 3 not in session.answered


@virtual
async def test_a_drain_ends_it():
    session = Session()
    asyncio.get_running_loop().call_later(5.0, session.drain.start, "stop")
    await session.live(10.0)
    assert set(session.answered) == {1, 2}
