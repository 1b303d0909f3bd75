"""Drain: one switch ends every wait in the program and touches nothing that is in
flight.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from claudebatch.core.drain import Drain, WakeUp
from claudebatch.core.errors import Draining
from tests.support.cancellation import cuts
from tests.support.virtual import now, settled, virtual


def pending() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


@virtual
async def test_sleep_waits_for_as_long_as_asked():
    await Drain().sleep(12.5)
    assert now() == pytest.approx(12.5)


@virtual
async def test_starting_ends_every_wait_at_once_with_the_reason():
    drain = Drain()
    sleeping = [
        asyncio.ensure_future(drain.sleep(1000 + number, WakeUp())) for number in range(100)
    ]
    awaiting = [asyncio.ensure_future(drain.until(pending())) for _ in range(100)]
    await asyncio.sleep(5)
    drain.start("interrupted")
    ends = await asyncio.gather(*sleeping, *awaiting, return_exceptions=True)
    assert now() == pytest.approx(5)
    assert {(type(end), str(end)) for end in ends} == {(Draining, "interrupted")}


@virtual
async def test_once_started_no_wait_begins():
    drain = Drain()
    drain.check()
    assert not drain.started
    drain.start("interrupted")
    assert drain.started
    for wait in (
        drain.sleep(0),
        drain.sleep(10),
        drain.sleep(10, WakeUp()),
        drain.until(pending()),
    ):
        with pytest.raises(Draining):
            await wait
    with pytest.raises(Draining):
        drain.check()
    assert now() == 0


@virtual
async def test_the_first_reason_is_kept():
    drain = Drain()
    drain.start("disk full")
    drain.start("interrupted")
    assert drain.reason == "disk full"


@virtual
async def test_a_bell_ends_the_sleep_that_hangs_on_it_and_no_other():
    drain, bell = Drain(), WakeUp()
    bell.ring()
    rung, other = (asyncio.ensure_future(drain.sleep(60, each)) for each in (bell, WakeUp()))
    await asyncio.sleep(5)
    bell.ring()
    bell.ring()
    await rung
    assert now() == pytest.approx(5)
    bell.ring()
    again = asyncio.ensure_future(drain.sleep(10, bell))
    await again
    assert now() == pytest.approx(15), "a bell that rang before is not heard later"
    await other
    assert now() == pytest.approx(60)


@virtual
async def test_until_ends_when_what_it_waits_for_comes_true_even_as_an_error():
    drain, fine, failing = Drain(), pending(), pending()
    asyncio.get_running_loop().call_later(3, fine.set_result, None)
    asyncio.get_running_loop().call_later(4, failing.set_exception, ValueError("inner"))
    await drain.until(fine)
    assert now() == pytest.approx(3)
    with pytest.raises(ValueError, match="inner"):
        await drain.until(failing)


@virtual
async def test_what_came_true_in_the_moment_of_the_drain_counts():
    drain, answered = Drain(), pending()
    waiting = asyncio.ensure_future(drain.until(answered))
    await settled()
    answered.set_result(None)
    drain.start("stop")
    await waiting


@virtual
async def test_cancelled_at_any_moment_a_wait_leaves_nothing_behind():
    for cut in cuts():
        drain, bell = Drain(), WakeUp()
        before = asyncio.all_tasks()
        result = await cut.run(drain.sleep(1, bell))
        assert isinstance(result, asyncio.CancelledError) is cut.reached, cut
        bell.ring()
        await settled()
        assert drain._sleepers == set() and asyncio.all_tasks() == before, cut
        drain.start("stop")


@virtual
async def test_ended_rung_and_cancelled_in_the_same_moment_it_makes_no_noise():
    noise: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: noise.append(context))
    drain, bell, done = Drain(), WakeUp(), pending()
    tasks = [
        asyncio.ensure_future(wait)
        for wait in (drain.sleep(10), drain.sleep(10, bell), drain.until(done))
    ]
    await settled()
    done.set_result(None)
    drain.start("stop")
    bell.ring()
    for task in tasks[:2]:
        task.cancel()
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [True, True, False]
    del tasks, task, drain, done, bell
    gc.collect()
    await settled()
    assert noise == []


@virtual
async def test_a_pause_is_over_after_as_long_as_asked_and_a_shorter_one_does_not_cut_it():
    drain = Drain()
    assert drain.paused_s() == 0
    drain.pause(60)
    await drain.sleep(20)
    assert drain.paused_s() == pytest.approx(40)
    drain.pause(5)
    assert drain.paused_s() == pytest.approx(40)
    drain.pause(100)
    await drain.sleep(100)
    assert drain.paused_s() == 0
