"""What the shared server is told goes in groups, and nothing of it is lost."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence

import pytest

from claudebatch.storage.shared_server.redis_server import ServerAway
from claudebatch.storage.shared_server.tell_queue import TellQueue
from tests.support.virtual import now, virtual


class Told:
    """Somebody to be told, a second away."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.away = False

    async def __call__(self, group: Sequence[int]) -> None:
        await asyncio.sleep(1)
        if self.away:
            raise ServerAway("it is away")
        self.groups.append(list(group))


@virtual
async def test_what_gathers_meanwhile_goes_with_the_next_and_in_order():
    told = Told()
    queue = TellQueue(told)

    async def tell(item: int) -> float:
        queue.put(item)
        await queue.emptied()
        return now()

    first = asyncio.ensure_future(tell(0))
    await asyncio.sleep(0.5)
    rest = [asyncio.ensure_future(tell(item)) for item in range(1, 100)]
    ends = await asyncio.gather(first, *rest)
    assert [len(group) for group in told.groups] == [1, 64, 35]
    assert [item for group in told.groups for item in group] == list(range(100))
    assert ends[:65] == [1.0] + [2.0] * 64, "nobody waits for those behind it"


@virtual
async def test_a_server_that_is_away_is_asked_once_for_all_who_wait():
    told = Told()
    told.away = True
    queue = TellQueue(told)

    async def tell(item: int) -> None:
        queue.put(item)
        with pytest.raises(ServerAway):
            await queue.emptied()

    await asyncio.gather(*(tell(item) for item in range(50)))
    assert now() == 1.0
    told.away = False
    queue.put(50)
    await queue.caught_up()
    assert told.groups == [list(range(51))]
    await queue.caught_up()
    assert (now(), list(queue)) == (2.0, [])


@virtual
async def test_what_was_put_off_is_told_at_the_next_chance():
    told = Told()
    queue = TellQueue(told)
    queue.put(1)
    await queue.caught_up()
    assert told.groups == [], "who put it sees to it"
    queue.put_off(2)
    await queue.caught_up()
    assert told.groups == [[1, 2]]


@virtual
async def test_a_failure_that_nobody_waits_for_any_more_is_no_fault_and_is_told_again():
    told = Told()
    told.away = True
    queue = TellQueue(told)
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    queue.put(1)
    waiting = asyncio.ensure_future(queue.emptied())
    await asyncio.sleep(0.5)
    waiting.cancel()
    await asyncio.wait([waiting])
    # It holds on to what it waited for.
    del waiting
    await asyncio.sleep(1)
    gc.collect()
    assert faults == []
    told.away = False
    await queue.caught_up()
    assert told.groups == [[1]]
