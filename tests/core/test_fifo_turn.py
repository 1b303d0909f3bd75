"""Turn: a place for one, first come first served, however many give up waiting."""

from __future__ import annotations

import asyncio
import random

import pytest

from claudebatch.core.drain import Drain
from claudebatch.core.errors import Draining
from claudebatch.core.fifo_turn import FifoTurn
from tests.support.cancellation import cuts
from tests.support.virtual import now, settled, virtual


class Visitors:
    """Those who take a turn, each for *stay_s*."""

    def __init__(self, drain: Drain | None = None, *, stay_s: float = 1.0) -> None:
        self.drain = drain or Drain()
        self.turn = FifoTurn(self.drain)
        self.stay_s = stay_s
        self.came: list[int] = []
        self.inside = 0

    async def visit(self, number: int) -> None:
        async with self.turn:
            self.inside += 1
            assert self.inside == 1
            self.came.append(number)
            try:
                await self.drain.sleep(self.stay_s)
            finally:
                self.inside -= 1

    def send(self, count: int) -> list[asyncio.Task[None]]:
        return [asyncio.ensure_future(self.visit(number)) for number in range(count)]


@virtual
async def test_they_come_in_one_by_one_in_the_order_in_which_they_came():
    visitors = Visitors()
    await asyncio.gather(*visitors.send(50))
    assert visitors.came == list(range(50))
    assert now() == pytest.approx(50)


@virtual
async def test_who_comes_when_it_is_free_does_not_pass_those_who_wait():
    visitors = Visitors()
    waiting = visitors.send(3)
    await asyncio.sleep(1.0)
    await asyncio.gather(visitors.visit(99), *waiting)
    assert visitors.came == [0, 1, 2, 99]


@virtual
async def test_who_fails_inside_lets_the_next_one_in():
    visitors = Visitors()
    with pytest.raises(ValueError, match="inside"):
        async with visitors.turn:
            raise ValueError("inside")
    await visitors.visit(1)


@virtual
async def test_a_drain_sends_all_home_and_nobody_new_waits():
    visitors = Visitors()
    tasks = visitors.send(10)
    await asyncio.sleep(2.5)
    visitors.drain.start("interrupted")
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ends] == [type(None)] * 2 + [Draining] * 8
    assert now() == pytest.approx(2.5)
    with pytest.raises(Draining):
        await visitors.visit(11)


@virtual
async def test_cancelled_at_any_moment_the_place_is_not_lost():
    reached = 0
    for cut in cuts():
        visitors = Visitors()
        others = visitors.send(2)
        await settled()
        last = asyncio.ensure_future(cut.run(visitors.visit(2)))
        await settled()
        after = asyncio.ensure_future(visitors.visit(3))
        await asyncio.gather(*others, last, after)
        assert isinstance(last.result(), asyncio.CancelledError) is cut.reached, cut
        await visitors.visit(4)
        assert visitors.came[-2:] == [3, 4], cut
        reached += cut.reached
    assert reached == 4, "in line and inside, each while waiting and when it is over"


@virtual
async def test_who_gives_up_as_the_place_becomes_free_lets_in_one_and_not_two():
    visitors = Visitors()
    first, second, third, fourth = visitors.send(4)
    await asyncio.sleep(0.5)
    second.cancel()
    first.cancel()
    await asyncio.wait([first, second])
    await asyncio.gather(third, fourth)
    assert visitors.came == [0, 2, 3]


@virtual
async def test_whoever_gives_up_the_others_keep_their_order():
    rng = random.Random(7)
    for _ in range(50):
        visitors = Visitors(stay_s=0.1)
        tasks = visitors.send(30)
        for _ in range(20):
            await asyncio.sleep(rng.choice([0, 0, 0.1]))
            rng.choice(tasks).cancel()
        await asyncio.wait(tasks)
        assert visitors.came == sorted(visitors.came)
        assert {number for number, task in enumerate(tasks) if not task.cancelled()} <= set(
            visitors.came
        )
        await visitors.visit(99)
