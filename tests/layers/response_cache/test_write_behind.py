"""The cache never holds an answer that the journal lacks, and nobody notices the
wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from claudebatch.layers.response_cache.write_behind import WriteBehind
from tests.support.scripted import MemoryCache
from tests.support.virtual import settled


class SlowCache(MemoryCache):
    """Notes each group of writes, which takes as long as the gate is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[dict[str, bytes]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def put_many(self, entries: Mapping[str, bytes]) -> None:
        self.groups.append(dict(entries))
        await self.gate.wait()
        await super().put_many(entries)


async def test_an_answer_is_kept_after_the_journal_has_it_and_found_before():
    store, later = SlowCache(), list[Callable[[], None]]()
    cache = WriteBehind(store, after=later.append)
    await cache.put_many({"a": b"1"})
    await settled()
    assert (await cache.get("a"), await cache.get_many("ba"), store.kept) == (
        b"1",
        [None, b"1"],
        {},
    )
    later.pop()()
    await settled()
    assert (await cache.get("a"), store.kept) == (b"1", {"a": b"1"})
    assert cache._waiting == {}, "else every answer of the run stays in memory"
    assert await cache.get("b") is None


async def test_of_two_answers_to_one_question_the_newer_is_kept():
    store, later = SlowCache(), list[Callable[[], None]]()
    cache = WriteBehind(store, after=later.append)
    await cache.put_many({"a": b"1"})
    await cache.put_many({"a": b"2"})
    for then in later:
        then()
        await settled()
        assert await cache.get("a") == b"2"
    assert store.kept == {"a": b"2"}


async def test_answers_of_one_commit_go_over_in_one_group_and_later_ones_in_the_next():
    store, later = SlowCache(), list[Callable[[], None]]()
    cache = WriteBehind(store, after=later.append)
    store.gate.clear()
    for number in range(4):
        await cache.put_many({f"k{number}": b"v"})
        if number == 2:
            for then in later:
                then()
            later.clear()
            await settled()
    later.pop()()
    await settled()
    assert await cache.get_many(["k0", "k3"]) == [b"v", b"v"], "found on their way"
    store.gate.set()
    await cache.close()
    assert store.groups == [{"k0": b"v", "k1": b"v", "k2": b"v"}, {"k3": b"v"}]


async def test_closing_waits_for_what_the_journal_has_and_drops_what_it_lacks():
    store, later = SlowCache(), list[Callable[[], None]]()
    cache = WriteBehind(store, after=later.append)
    await cache.put_many({"written": b"1"})
    await cache.put_many({"not written": b"2"})
    later[0]()
    await cache.close()
    assert store.kept == {"written": b"1"}
