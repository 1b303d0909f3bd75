"""RowFeed: rows too large to be read ahead are read one at a time, as there is room."""

from __future__ import annotations

import asyncio
import threading

from claudebatch.core.body_room import BodyRoom
from claudebatch.core.domain import Call
from claudebatch.engine.row_feed import RowFeed
from claudebatch.storage.journal import RowRef
from tests.support.scripted import make_call


class LargeRows:
    """Sources whose rows all have to be read when their turn comes."""

    large_rows = True

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.read: list[int] = []
        self.at_once = 0
        self._reading = threading.Semaphore(1)

    async def pending(self, lane: str, after: int, count: int) -> list[RowRef]:
        last = min(after + count, self.rows)
        return [RowRef(row, 0, row, 0, 9, str(row), b"") for row in range(after + 1, last + 1)]

    def lines(self, refs: list[RowRef]) -> list[bytes | None]:
        return [None] * len(refs)

    def line(self, ref: RowRef) -> bytes | None:
        return b"{}"

    def call(self, ref: RowRef, data: bytes | None) -> Call | None:
        # In a thread: whoever is not alone here is seen.
        alone = self._reading.acquire(blocking=False)
        self.at_once += not alone
        self.read.append(ref.row)
        if alone:
            self._reading.release()
        return None if ref.row == 2 else make_call("x" * 1000, row=ref.row)


def feed_of(sources: LargeRows, **more: object) -> RowFeed:
    async def look_ahead(calls: object) -> None:
        pass

    return RowFeed("a", sources.pending, sources, look_ahead=look_ahead, **more)  # type: ignore[arg-type]


async def test_rows_are_read_as_there_is_room_and_in_order():
    sources = LargeRows(12)
    feed = feed_of(sources, room=BodyRoom(3 * 1200))
    takers = [asyncio.ensure_future(feed.take()) for _ in range(8)]
    await asyncio.sleep(0.1)
    # Three have room, and one more waits for it; the second is no longer what it was.
    assert sources.read == [1, 2, 3, 4, 5]
    taken = []
    for taker in asyncio.as_completed(takers, timeout=5):
        call = await taker
        assert call is not None
        taken.append(call.row)
        feed.over(call)
    assert sorted(taken) == [1, 3, 4, 5, 6, 7, 8, 9]
    assert sources.read == [*range(1, 10)]
    assert (sources.at_once, feed.changed) == (0, 1)
    await feed.close()


async def test_nothing_more_is_read_once_the_run_has_stopped():
    sources = LargeRows(9)
    stopped: list[bool] = []
    feed = feed_of(sources, room=BodyRoom(1), stopped=lambda: bool(stopped))
    first = await feed.take()
    assert first is not None
    takers = [asyncio.ensure_future(feed.take()) for _ in range(5)]
    await asyncio.sleep(0.1)
    assert sources.read == [1, 2, 3]
    stopped.append(True)
    feed.over(first)
    # The one that was read before is the engine's to leave undone.
    taken = [call.row for call in await asyncio.gather(*takers) if call]
    assert (taken, sources.read) == ([3], [1, 2, 3])
    await feed.close()
