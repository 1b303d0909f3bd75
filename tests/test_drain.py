"""Drain: one switch ends every wait in the program and touches nothing that is in flight."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from claudebatch.drain import Drain
from claudebatch.errors import Draining
from tests.support.cancellation import cuts
from tests.support.virtual import now, settled, virtual


async def never() -> None:
    await asyncio.get_running_loop().create_future()


@virtual
async def test_sleep_waits_for_as_long_as_asked():
    await Drain().sleep(12.5)
    assert now() == pytest.approx(12.5)


@virtual
async def test_starting_ends_every_wait_at_once_with_the_reason():
    drain = Drain()
    sleeping = [asyncio.ensure_future(drain.sleep(1000 + number)) for number in range(100)]
    guarding = [asyncio.ensure_future(drain.guard(never())) for _ in range(100)]
    await asyncio.sleep(5)
    drain.start("interrupted")
    ends = await asyncio.gather(*sleeping, *guarding, return_exceptions=True)
    assert now() == pytest.approx(5)
    assert {(type(end), str(end)) for end in ends} == {(Draining, "interrupted")}


@virtual
async def test_once_started_no_wait_begins():
    drain = Drain()
    drain.check()
    assert not drain.started
    drain.start("interrupted")
    assert drain.started
    for wait in (drain.sleep(0), drain.sleep(10), drain.guard(never())):
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
async def test_guard_passes_on_what_it_waited_for_even_its_error():
    async def fails() -> None:
        await asyncio.sleep(1)
        raise ValueError("inner")

    drain = Drain()
    await drain.guard(asyncio.sleep(3))
    assert now() == pytest.approx(3)
    with pytest.raises(ValueError, match="inner"):
        await drain.guard(fails())


@virtual
async def test_what_a_drain_ends_is_called_off_and_what_came_true_in_that_moment_counts():
    drain = Drain()
    lock = asyncio.Lock()
    await lock.acquire()
    waiting = asyncio.ensure_future(drain.guard(lock.acquire()))
    await settled()
    drain.start("stop")
    with pytest.raises(Draining):
        await waiting
    lock.release()
    await settled()
    assert not lock.locked(), "nobody took it behind our back"

    second, answered = Drain(), asyncio.get_running_loop().create_future()
    waiting = asyncio.ensure_future(second.guard(answered))
    await settled()
    answered.set_result(None)
    await asyncio.sleep(0)
    second.start("stop")
    await waiting


@virtual
async def test_cancelled_at_any_moment_a_wait_leaves_nothing_behind():
    for cut in cuts():
        drain = Drain()
        before = asyncio.all_tasks()
        result = await cut.run(drain.sleep(1))
        assert isinstance(result, asyncio.CancelledError) is cut.reached, cut
        result = await cut.run(drain.guard(asyncio.sleep(1)))
        await settled()
        assert drain._sleepers == set() and asyncio.all_tasks() == before, cut
        drain.start("stop")


@virtual
async def test_ended_and_cancelled_in_the_same_moment_it_makes_no_noise():
    noise: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: noise.append(context))
    drain, done = Drain(), asyncio.get_running_loop().create_future()
    tasks = [
        asyncio.ensure_future(drain.sleep(10)),
        asyncio.ensure_future(drain.guard(never())),
        asyncio.ensure_future(drain.guard(done)),
    ]
    await settled()
    done.set_result(None)
    drain.start("stop")
    for task in tasks[:2]:
        task.cancel()
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [True, True, False]
    del tasks, task, drain, done
    gc.collect()
    await settled()
    assert noise == []
