"""What every store of the response cache must do, and every wrapper around one.

A new store joins by a line in `PLACES`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from claudebatch.core.notice import Notice
from claudebatch.layers.response_cache.disk_store import DiskCacheStore
from claudebatch.layers.response_cache.handed_over import HandedOver
from claudebatch.layers.response_cache.look_ahead import LookAheadCache
from claudebatch.layers.response_cache.redis_store import RedisCacheStore
from claudebatch.layers.response_cache.store import CacheStore
from claudebatch.layers.response_cache.write_behind import WriteBehind
from tests.support.cancellation import cuts
from tests.support.memory_cache import CacheServer, MemoryCacheStore
from tests.support.redis_servers import VirtualServer, needs_redis, own_prefix

LARGE = 100_000
"""Bytes that the disk's store keeps in a file of its own."""


class Disk:
    """Stores on one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "responses"
        self.notices: list[Notice] = []

    def open(self) -> CacheStore:
        return DiskCacheStore(
            self._folder, size_limit=2**30, ttl_s=None, notify=self.notices.append
        )

    def breaks(self) -> None:
        self._folder.write_bytes(b"a file where the folder should be")


class Server:
    """Clients of one server."""

    def __init__(self, folder: Path) -> None:
        self._server = CacheServer()
        self.notices: list[Notice] = []

    def open(self) -> CacheStore:
        return MemoryCacheStore(self._server, notify=self.notices.append)

    def breaks(self) -> None:
        self._server.away = True


class Redis:
    """Clients of a real Redis."""

    def __init__(self, folder: Path) -> None:
        self._exit = ExitStack()
        self._prefix = self._exit.enter_context(own_prefix())
        self.notices: list[Notice] = []
        # Mutable: the connections of its clients, and whether they are broken.
        self._servers: list[VirtualServer] = []
        self._broken = False

    def open(self) -> CacheStore:
        clock = asyncio.get_running_loop().time
        server = VirtualServer(self._prefix, "me", now=clock, sleep=asyncio.sleep, one_way_s=0.0)
        server.away = self._broken
        self._servers.append(server)
        return RedisCacheStore(server, size_limit=2**30, ttl_s=None, notify=self.notices.append)

    def breaks(self) -> None:
        self._broken = True

    def close(self) -> None:
        for server in self._servers:
            server.close()
        self._exit.close()


class Handing:
    """A disk, and claims in a real Redis."""

    def __init__(self, folder: Path) -> None:
        self._disk, self._redis = Disk(folder), Redis(folder)
        self.notices = self._disk.notices
        self.breaks = self._disk.breaks
        self.close = self._redis.close

    def open(self) -> CacheStore:
        return HandedOver(self._disk.open(), self._redis.open())  # type: ignore[arg-type]


Kind = Disk | Server | Redis | Handing
PLACES: dict[str, Callable[[Path], Kind]] = {
    "disk": Disk,
    "server": Server,
    "redis": Redis,
    "handing": Handing,
}
WRAPPERS: dict[str, Callable[[CacheStore], CacheStore]] = {
    "plain": lambda store: store,
    "look-ahead": LookAheadCache,
    "write-behind": lambda store: WriteBehind(store, after=lambda then: then()),
    "as in a run": lambda store: LookAheadCache(
        WriteBehind(store, after=asyncio.get_running_loop().call_soon)
    ),
}


class Place:
    """Opens wrapped stores in one place, and closes what a test leaves open."""

    def __init__(self, place: Kind, wrapped: Callable[[CacheStore], CacheStore]) -> None:
        self._place = place
        self._wrapped = wrapped
        self._open: list[CacheStore] = []
        self.notices = place.notices
        self.breaks = place.breaks

    def store(self) -> CacheStore:
        self._open.append(self._wrapped(self._place.open()))
        return self._open[-1]

    async def close(self) -> None:
        await asyncio.sleep(0)  # as a session does: the journal is flushed first
        while self._open:
            await self._open.pop().close()


@pytest.fixture(params=WRAPPERS)
def wrapped(request: pytest.FixtureRequest) -> Callable[[CacheStore], CacheStore]:
    return WRAPPERS[request.param]


@pytest.fixture(params=["disk", "server", pytest.param("redis", marks=needs_redis)])
async def place(
    request: pytest.FixtureRequest, wrapped: Callable[[CacheStore], CacheStore], tmp_path: Path
) -> AsyncIterator[Place]:
    kind = PLACES[request.param](tmp_path)
    place = Place(kind, wrapped)
    yield place
    await place.close()
    if isinstance(kind, Redis | Handing):
        kind.close()


async def test_what_is_put_is_found_at_once_and_the_newest_counts(place: Place):
    store = place.store()
    assert await store.get("a") is None
    await store.put_many({"a": b"1", "b": b"2"})
    await store.put_many({"a": b"3"})
    assert await store.get_many(["a", "b"]) == [b"3", b"2"]
    assert [await store.get(key) for key in "abc"] == [b"3", b"2", None]


async def test_a_group_of_look_ups_is_answered_in_its_order_whatever_is_missing_or_asked_twice(
    place: Place,
):
    store = place.store()
    assert await store.get_many([]) == []
    await store.put_many({f"k{n}": b"%d" % n for n in range(600)})
    asked = [f"k{n}" for n in (599, 3, 1000, 3, 0, 598)]
    assert await store.get_many(asked) == [b"599", b"3", None, b"3", b"0", b"598"]
    await store.put_many({})


async def test_the_next_session_finds_what_this_one_put(place: Place):
    await place.store().put_many({"a": b"1", "large": b"x" * LARGE})
    await place.close()
    assert await place.store().get_many(["a", "large"]) == [b"1", b"x" * LARGE]


async def test_many_at_once_find_each_their_own_in_the_order_of_their_puts(place: Place):
    store = place.store()

    async def one(number: int) -> list[bytes | None]:
        found = []
        for turn in range(5):
            await store.put_many({f"k{number}": b"%d in turn %d" % (number, turn)})
            found += [await store.get(f"k{number}"), *await store.get_many([f"k{number}"])]
        return found

    for number, found in enumerate(await asyncio.gather(*(one(number) for number in range(60)))):
        assert found == [b"%d in turn %d" % (number, turn) for turn in range(5) for _ in "ab"]


async def test_two_users_at_once_see_whole_values_and_each_other(place: Place):
    first, second = place.store(), place.store()
    sizes = (10, LARGE)
    possible = {name * size for name in (b"1", b"2") for size in sizes}

    async def writes(store: CacheStore, name: bytes) -> None:
        for turn in range(10):
            await store.put_many({"both": name * sizes[turn % 2], f"by {name!r}": name})
            found = await store.get("both")
            assert found is not None and found in possible

    await asyncio.gather(writes(first, b"1"), writes(second, b"2"))
    await place.close()
    third = place.store()
    assert await third.get_many(["by b'1'", "by b'2'"]) == [b"1", b"2"]
    assert await third.get("both") in possible


CALLS: dict[str, Callable[[CacheStore], Awaitable[Any]]] = {
    "get": lambda store: store.get("old"),
    "get_many": lambda store: store.get_many(["old", "new", "none"]),
    "put_many": lambda store: store.put_many({"new": b"2", "other": b"3"}),
    "close": lambda store: store.close(),
}


@pytest.mark.parametrize("name", CALLS)
async def test_cancelled_at_any_wait_a_store_keeps_what_it_had_and_goes_on(name: str, place: Place):
    for cut in cuts():
        store = place.store()
        await store.put_many({"old": b"1"})
        result = await cut.run(CALLS[name](store))  # type: ignore[arg-type]
        assert cut.reached is isinstance(result, asyncio.CancelledError), (cut, result)
        if name != "close":
            assert await store.get("old") == b"1", cut
            await store.put_many({"new": b"4"})
            assert await store.get_many(["new", "old"]) == [b"4", b"1"], cut
        await place.close()
        assert await place.store().get("old") == b"1", cut
        await place.close()


async def test_a_store_that_fails_is_a_store_without_entries_and_says_so_once(place: Place):
    place.breaks()
    store = place.store()
    assert await store.get("a") is None
    await store.put_many({"a": b"1"})
    for _ in range(3):
        await asyncio.sleep(0.05)
        assert await store.get_many(["a", "b"]) in ([None, None], [b"1", None])
    await place.close()
    assert len(place.notices) == 1 and "off for this run" in place.notices[0].text
