"""Rows find what was looked up for them ahead, and nothing older than the last put."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from claudebatch.layers.response_cache.look_ahead import LookAheadCache
from tests.support.scripted import MemoryCache


class GatedCache(MemoryCache):
    """Look-ups by group see the entries at once and come back when the gate opens."""

    def __init__(self, **entries: bytes) -> None:
        super().__init__()
        self.kept.update(entries)
        self.gate = asyncio.Event()
        self.gate.set()

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        found = await super().get_many(keys)
        await self.gate.wait()
        return found


async def test_what_was_looked_up_ahead_is_found_without_asking_again():
    store = GatedCache(a=b"1", b=b"2")
    cache = LookAheadCache(store)
    await cache.look_ahead(["a", "b", "c"])
    store.looked_up.clear()
    assert [await cache.get(key) for key in "abc"] == [b"1", b"2", None]
    assert store.looked_up == []
    assert await cache.get("a") == b"1" and store.looked_up == ["a"], "each result serves one row"


async def test_what_is_put_after_or_during_a_look_ahead_is_found_all_the_same():
    store = GatedCache()
    cache = LookAheadCache(store)
    await cache.look_ahead(["a", "b"])
    await cache.put_many({"a": b"1"})
    store.gate.clear()
    looking = asyncio.ensure_future(cache.look_ahead(["a", "b", "c"]))
    await asyncio.sleep(0)
    await cache.put_many({"b": b"2"})
    store.gate.set()
    await looking
    asked = [await cache.get(key) for key in ("a", "b", "c", "a", "b")]
    assert asked == [b"1", b"2", None, b"1", b"2"]
    await cache.put_many({"c": b"3"})
    await cache.look_ahead(["c"])
    assert await cache.get("c") == b"3"


@pytest.mark.parametrize("overlapping", [1, 2])
async def test_what_is_put_while_look_aheads_come_back_empty_is_found(overlapping: int):
    store = GatedCache()
    cache = LookAheadCache(store)
    store.gate.clear()
    looking = [asyncio.ensure_future(cache.look_ahead(["a", "b"])) for _ in range(overlapping)]
    await asyncio.sleep(0.01)
    await cache.put_many({"a": b"1"})
    store.gate.set()
    await asyncio.gather(*looking)
    assert [await cache.get(key) for key in "ab"] == [b"1", None]


async def test_a_look_ahead_that_is_called_off_hides_nothing_later():
    store = GatedCache()
    cache = LookAheadCache(store)
    store.gate.clear()
    looking = asyncio.ensure_future(cache.look_ahead(["a"]))
    await asyncio.sleep(0.01)
    await cache.put_many({"a": b"1"})
    looking.cancel()
    await asyncio.wait([looking])
    store.gate.set()
    await cache.look_ahead(["a"])
    store.looked_up.clear()
    assert (await cache.get("a"), store.looked_up) == (b"1", [])
