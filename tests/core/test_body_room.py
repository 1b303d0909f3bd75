"""BodyRoom: the sum of the large bodies under way is bounded, and nobody waits for
ever.
"""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebatch.core.body_room import BodyRoom
from tests.support.virtual import run_virtual, virtual


@virtual
async def test_a_body_waits_until_there_is_room():
    room = BodyRoom(10)
    await room.enter(1, 6)
    waiting = asyncio.ensure_future(room.enter(2, 5))
    await asyncio.sleep(1)
    assert not waiting.done()
    room.leave(1)
    await waiting


@virtual
async def test_one_that_is_larger_than_the_room_goes_alone():
    room = BodyRoom(10)
    await room.enter(1, 99)
    waiting = asyncio.ensure_future(room.enter(2, 1))
    await asyncio.sleep(1)
    assert not waiting.done()
    room.leave(1)
    await waiting


@virtual
async def test_whoever_is_called_off_leaves_the_turn_to_the_next():
    room = BodyRoom(10)
    await room.enter(1, 10)

    async def make(row: int) -> None:
        async with room.one_at_a_time():
            await room.enter(row, 4)

    first, second = (asyncio.ensure_future(make(row)) for row in (2, 3))
    await asyncio.sleep(1)
    first.cancel()
    room.leave(1)
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
    # It took no room with it.
    await asyncio.wait_for(room.enter(4, 6), 1)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(1, 40))
def test_every_body_enters_and_the_bound_holds(sizes: list[int], most: int):
    async def all_of_them() -> None:
        room = BodyRoom(most)
        inside: dict[int, int] = {}

        async def one(row: int, size: int) -> None:
            async with room.one_at_a_time():
                await room.enter(row, size)
                inside[row] = size
                assert sum(inside.values()) <= most or len(inside) == 1
            await asyncio.sleep(1 + row % 3)
            del inside[row]
            room.leave(row)
            room.leave(row)

        await asyncio.gather(*(one(row, size) for row, size in enumerate(sizes)))
        assert not inside

    run_virtual(all_of_them())
