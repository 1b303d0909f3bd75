"""Engine: a lane has as many workers as its pool may have requests in flight, and one
that stands next in line.
"""

from __future__ import annotations

import asyncio
import weakref
from dataclasses import replace

from claudebatch.core.domain import Call, Outcome, Reply
from claudebatch.core.drain import Drain
from claudebatch.engine.engine import Ended, Engine
from tests.support.scripted import make_call, make_reply
from tests.support.virtual import now, virtual


class Rows:
    """A feed of *rows* calls; counts who asks for one."""

    def __init__(self, lane: str, rows: int) -> None:
        self.lane = lane
        self.left = rows
        self.asked = 0

    def over(self, call: Call) -> None:
        pass

    async def take(self) -> Call | None:
        self.asked += 1
        if not self.left:
            return None
        self.left -= 1
        return make_call(row=self.left)


class Work:
    """An engine over lanes of rows that take a second each."""

    def __init__(self, *lanes: Rows, workers: int) -> None:
        self.in_flight = 0
        self.most = 0
        self.done = 0
        self.engine = Engine(
            self.answer,
            feeds=lanes,
            workers=workers,
            finish=self.finish,
            value_of=lambda call, reply: 0,
            drain=Drain(),
            now=now,
            emit=lambda event: None,
        )

    async def answer(self, call: Call) -> Reply:
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        await asyncio.sleep(1)
        self.in_flight -= 1
        return make_reply()

    async def finish(self, outcome: Outcome) -> None:
        self.done += 1

    async def ends(self) -> Ended:
        return await asyncio.wait_for(self.engine.run(), 1000)


@virtual
async def test_a_lane_has_as_many_workers_as_it_was_given():
    work = Work(Rows("a", 30), workers=3)
    await work.ends()
    assert (work.most, work.done, now()) == (3, 30, 10)


@virtual
async def test_more_in_flight_means_more_workers_at_once():
    work = Work(Rows("a", 100), workers=3)
    running = asyncio.ensure_future(work.ends())
    await asyncio.sleep(0.5)
    work.engine.resize("a", 9)
    work.engine.resize("of another run", 9)
    await asyncio.sleep(0.1)
    assert work.in_flight == 10, "nine in flight and one that stands in line"
    await running
    assert work.done == 100


@virtual
async def test_fewer_in_flight_means_that_workers_leave_after_their_row():
    work = Work(Rows("a", 100), workers=20)
    running = asyncio.ensure_future(work.ends())
    await asyncio.sleep(0.5)
    work.engine.resize("a", 4)
    assert work.in_flight == 20, "nobody is interrupted"
    await asyncio.sleep(1)
    assert work.in_flight == 5
    await asyncio.sleep(1)
    work.engine.resize("a", 11)
    await asyncio.sleep(0.1)
    assert work.in_flight == 12
    await running
    assert work.done == 100


@virtual
async def test_a_lane_without_rows_gets_no_more_workers():
    empty, full = Rows("empty", 0), Rows("full", 20)
    work = Work(empty, full, workers=2)
    running = asyncio.ensure_future(work.ends())
    await asyncio.sleep(0.5)
    asked = empty.asked
    work.engine.resize("empty", 500)
    await running
    assert empty.asked <= asked + 1, "one looks, and the others go home"
    assert work.done == 20


@virtual
async def test_what_was_asked_for_before_the_start_counts():
    work = Work(Rows("a", 12), workers=64)
    work.engine.resize("a", 3)
    await work.ends()
    assert (work.most, now()) == (4, 3)


@virtual
async def test_one_worker_is_left_in_the_narrowest_lane():
    work = Work(Rows("a", 5), workers=8)
    work.engine.resize("a", 0)
    await work.ends()
    assert (work.most, work.done) == (1, 5)


class _Image:
    """A large part of a request."""


@virtual
async def test_a_worker_that_waits_for_a_row_keeps_no_request_in_memory():
    image = _Image()
    seen = weakref.ref(image)
    rows = [image]
    del image

    class Slow(Rows):
        async def take(self) -> Call | None:
            if rows:
                call = make_call(row=1)
                params = {**call.prompt.params, "image": rows.pop()}
                return replace(call, prompt=replace(call.prompt, params=params))
            await asyncio.sleep(60)
            return None

    work = Work(Slow("a", 1), workers=1)
    running = asyncio.ensure_future(work.ends())
    await asyncio.sleep(30)
    assert (work.done, seen()) == (1, None)
    await running
